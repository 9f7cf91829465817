//! A request as the gate judges it: one spelling of host, path and client's address, whatever was sent.
//!
//! What two readers could understand differently is refused and never repaired: the origin behind the gate would have to
//! repair it in the very same way. The query is no part of it, so that no rule can depend on it.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;

/// The longest name that DNS knows, in its text form.
const MAX_HOST: usize = 253;
/// The longest label of such a name.
const MAX_LABEL: usize = 63;
/// What servers commonly take as a request line.
const MAX_PATH: usize = 8_192;

/// Host, path and client of a request, in the one form in which two that mean the same are equal.
///
/// - The host is in lower case, without port and without the dot at the end. An IPv6 address stands in brackets.
/// - The path is decoded once and written again: each character that a path may hold stands for itself, every other one is
///   escaped, in upper case. `/a`, `/%61` and `/%61?x` are one path; so are `/@a` and `/%40a`, which no origin tells apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalRequest {
    host: String,
    path: String,
    client: IpAddr,
}

/// Why a request cannot be judged. It says which rule was broken, and nothing of what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguous {
    /// No host.
    #[error("the host is missing")]
    NoHost,
    /// User information, blanks, non-ASCII letters and whatever else no name has.
    #[error(
        "a host has ASCII letters, digits, hyphens, underscores and dots; other letters are written as A-labels (xn--)"
    )]
    HostCharacter,
    /// A label that is empty or too long, or too many of them.
    #[error("the labels of a host have 1 to 63 characters, and all of it at most 253")]
    HostLabel,
    /// Something like an address that is none in its usual form.
    #[error(
        "a host that ends in a number must be an IPv4 address with four numbers, and one in brackets an IPv6 address"
    )]
    HostAddress,
    /// What stands behind the colon is no port.
    #[error("what follows the colon behind a host must be a port")]
    Port,
    /// The absolute form, the authority form, or `*`.
    #[error("the target must be a path that begins with a slash")]
    Target,
    /// A `#`: fragments are never sent.
    #[error("a target has no fragment")]
    Fragment,
    /// A raw byte that no path has.
    #[error("a target has no control characters, blanks, backslashes or non-ASCII bytes")]
    Character,
    /// A percent sign without two hex digits.
    #[error("a percent sign must be followed by two hex digits")]
    Escape,
    /// An escaped delimiter or control character.
    #[error(
        "slashes, backslashes, question marks, hashes, semicolons and control characters must not be escaped in a path"
    )]
    EscapedDelimiter,
    /// What is an escape again once it has been decoded.
    #[error("a path must not be escaped twice")]
    DoubleEscape,
    /// Escaped bytes that are no text.
    #[error("the escaped bytes of a path must be valid UTF-8")]
    NotUtf8,
    /// `.` or `..`.
    #[error("a path has no dot segments")]
    DotSegment,
    /// `//`.
    #[error("a path has no empty segments")]
    EmptySegment,
    /// A `;`.
    #[error("a path has no parameters behind a semicolon")]
    PathParameter,
    /// A path that no server would take.
    #[error("a path has at most 8192 bytes")]
    TooLong,
    /// A hop that has to be looked at is not an address.
    #[error("X-Forwarded-For must be a list of addresses")]
    ForwardedFor,
}

impl CanonicalRequest {
    /// Reads a request.
    ///
    /// - `host`: the value of `Host`. A port is checked, and then ignored.
    /// - `target`: path and query as the client sent them. The query is cut off.
    /// - `client`: where it comes from. The IPv6 form of an IPv4 address counts as that one.
    pub fn new(host: &[u8], target: &[u8], client: IpAddr) -> Result<Self, Ambiguous> {
        let (host, port) = split_port(host)?;
        if port.is_some_and(|port| !is_port(port)) {
            return Err(Ambiguous::Port);
        }
        Ok(Self {
            host: canonical_host(host, Wildcards::Refused)?,
            path: canonical_path(without_query(target)?)?,
            client: client.to_canonical(),
        })
    }

    /// The host: a name in lower case, an IPv4 address, or an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path, beginning with a slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where it comes from.
    pub fn client(&self) -> IpAddr {
        self.client
    }
}

/// Where a request comes from: the right-most hop that is not trusted.
///
/// `peer` sent the request to us, and `forwarded_for` are the values of its `X-Forwarded-For` headers in the order in which they
/// came; ports in them are ignored. Whoever is not trusted is believed nothing, so that what stands left of the answer is
/// not even read. If all hops are trusted, it is the left-most one.
pub fn client_address(peer: IpAddr, forwarded_for: &[&[u8]], trusted: &[IpNet]) -> Result<IpAddr, Ambiguous> {
    let mut client = peer.to_canonical();
    let lines = forwarded_for.iter().rev().filter(|line| !line.trim_ascii().is_empty());
    for hop in lines.flat_map(|line| line.rsplit(|byte| *byte == b',')) {
        if !trusted.iter().any(|network| network.contains(&client)) {
            break;
        }
        client = hop_address(hop.trim_ascii()).ok_or(Ambiguous::ForwardedFor)?;
    }
    Ok(client)
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn hop_address(hop: &[u8]) -> Option<IpAddr> {
    let address = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse::<IpAddr>().ok();
    let (host, port) = match address(hop) {
        Some(address) => return Some(address.to_canonical()),
        None => split_port(hop).ok()?,
    };
    let port_fits = port.is_none_or(is_port);
    let host = match host.strip_prefix(b"[") {
        Some(inner) => address(inner.strip_suffix(b"]")?).filter(IpAddr::is_ipv6)?,
        None => address(host).filter(IpAddr::is_ipv4)?,
    };
    port_fits.then(|| host.to_canonical())
}

/// Parts a host from what stands behind its colon. The colons of an IPv6 address stand in brackets.
pub(crate) fn split_port(host: &[u8]) -> Result<(&[u8], Option<&[u8]>), Ambiguous> {
    let name = match host.first() {
        None => return Err(Ambiguous::NoHost),
        Some(b'[') => host.iter().position(|byte| *byte == b']').ok_or(Ambiguous::HostAddress)? + 1,
        Some(_) => host.iter().position(|byte| *byte == b':').unwrap_or(host.len()),
    };
    match host.split_at_checked(name) {
        Some((host, [])) => Ok((host, None)),
        Some((host, [b':', port @ ..])) => Ok((host, Some(port))),
        _ => Err(Ambiguous::HostAddress),
    }
}

fn is_port(text: &[u8]) -> bool {
    let digits = (1..=5).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    digits && text.iter().fold(0, |port, digit| port * 10 + u32::from(digit - b'0')) <= 65_535
}

/// What a `*` in a host means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wildcards {
    /// Nothing: no host has one.
    Refused,
    /// Any characters within a label.
    Allowed,
}

/// The one spelling of a host without a port.
pub(crate) fn canonical_host(host: &[u8], wildcards: Wildcards) -> Result<String, Ambiguous> {
    if host.first() == Some(&b'[') {
        let inner = host.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
        let address = inner.and_then(|inner| std::str::from_utf8(inner).ok()?.parse().ok());
        let address = address.filter(IpAddr::is_ipv6).ok_or(Ambiguous::HostAddress)?;
        return Ok(format!("[{address}]"));
    }
    let host = host.strip_suffix(b".").unwrap_or(host);
    if host.is_empty() {
        return Err(Ambiguous::NoHost);
    }
    if host.len() > MAX_HOST {
        return Err(Ambiguous::HostLabel);
    }
    let mut canonical = String::with_capacity(host.len());
    for byte in host {
        canonical.push(match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte.to_ascii_lowercase())
            }
            b'*' if wildcards == Wildcards::Allowed => '*',
            _ => return Err(Ambiguous::HostCharacter),
        });
    }
    if canonical.split('.').any(|label| label.is_empty() || label.len() > MAX_LABEL) {
        return Err(Ambiguous::HostLabel);
    }
    // `127.1`, `0x7f.1` and `2130706433` are addresses for some and names for others.
    let last = canonical.rsplit('.').next().unwrap_or_default();
    let numeric = match last.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => last.bytes().all(|byte| byte.is_ascii_digit()),
    };
    if numeric && canonical.parse::<IpAddr>().is_err() {
        return Err(Ambiguous::HostAddress);
    }
    Ok(canonical)
}

/// The path of a target in origin form. The query may hold what it likes, but nothing that could end the line.
fn without_query(target: &[u8]) -> Result<&[u8], Ambiguous> {
    if target.first() != Some(&b'/') {
        return Err(Ambiguous::Target);
    }
    if target.contains(&b'#') {
        return Err(Ambiguous::Fragment);
    }
    let path = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at_checked(path).ok_or(Ambiguous::Target)?;
    if query.iter().any(|byte| *byte <= b' ' || *byte == 0x7F) {
        return Err(Ambiguous::Character);
    }
    Ok(path)
}

/// The one spelling of a path that begins with a slash.
pub(crate) fn canonical_path(path: &[u8]) -> Result<String, Ambiguous> {
    if path.len() > MAX_PATH {
        return Err(Ambiguous::TooLong);
    }
    if let Some(path) = as_it_is(path) {
        return Ok(path.to_owned());
    }
    let decoded = decode(path)?;
    let text = std::str::from_utf8(&decoded).map_err(|_| Ambiguous::NotUtf8)?;
    // Control characters beyond ASCII have only been found now.
    if text.chars().any(char::is_control) {
        return Err(Ambiguous::EscapedDelimiter);
    }
    let mut segments = text.strip_prefix('/').ok_or(Ambiguous::Target)?.split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => return Err(Ambiguous::DotSegment),
            "" if segments.peek().is_some() => return Err(Ambiguous::EmptySegment),
            _ => {}
        }
    }
    let mut canonical = String::with_capacity(path.len());
    let mut rest = decoded.as_ref();
    while let Some((byte, behind)) = rest.split_first() {
        if *byte == b'%' && escaped(behind).is_some() {
            return Err(Ambiguous::DoubleEscape);
        }
        if stands_for_itself(*byte) {
            canonical.push(char::from(*byte));
        } else {
            canonical.push('%');
            canonical.push(hex_digit(byte >> 4));
            canonical.push(hex_digit(byte & 0x0F));
        }
        rest = behind;
    }
    Ok(canonical)
}

/// A path that surely is in its one spelling already, as nearly all are. `None` says nothing.
fn as_it_is(path: &[u8]) -> Option<&str> {
    let plain = path.first() == Some(&b'/') && path.iter().all(|byte| stands_for_itself(*byte));
    let odd_segment = |pair: &[u8]| matches!(pair, [b'/', b'/' | b'.']);
    if plain && !path.windows(2).any(odd_segment) { std::str::from_utf8(path).ok() } else { None }
}

/// The bytes of a path, each escape decoded, once. No escape becomes a delimiter.
fn decode(path: &[u8]) -> Result<Cow<'_, [u8]>, Ambiguous> {
    if let Some(byte) = path.iter().find(|byte| !byte.is_ascii_graphic() || matches!(byte, b'\\' | b';')) {
        return Err(if *byte == b';' { Ambiguous::PathParameter } else { Ambiguous::Character });
    }
    if !path.contains(&b'%') {
        return Ok(Cow::Borrowed(path));
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, behind)) = rest.split_first() {
        if *byte != b'%' {
            decoded.push(*byte);
            rest = behind;
            continue;
        }
        let byte = escaped(behind).ok_or(Ambiguous::Escape)?;
        if byte.is_ascii_control() || matches!(byte, b'/' | b'\\' | b'?' | b'#' | b';') {
            return Err(Ambiguous::EscapedDelimiter);
        }
        decoded.push(byte);
        rest = behind.get(2..).unwrap_or_default();
    }
    Ok(Cow::Owned(decoded))
}

/// The byte that the two hex digits at the beginning stand for, if there are two.
fn escaped(text: &[u8]) -> Option<u8> {
    let [high, low, ..] = text else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

/// The slash, and what RFC 3986 calls `pchar`, without the semicolon.
fn stands_for_itself(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b'!' | b'$' | b'&' | b'\'' | b'('
        | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@')
}

fn hex_digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or_default().to_ascii_uppercase()
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
