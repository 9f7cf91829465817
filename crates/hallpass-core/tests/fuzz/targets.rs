//! What must hold whatever an attacker sends. Each function takes bytes, as a fuzzer makes them, and asserts.
//!
//! `tests/fuzz.rs` feeds them in every run, and the targets in `fuzz/` include this file, so that no fuzzing code is part of the
//! library.

use std::net::IpAddr;

use hallpass_core::app::Pattern;
use hallpass_core::credential::{CLIENT_ID_HEADER, CLIENT_SECRET_HEADER, Presented};
use hallpass_core::request::{CanonicalRequest, client_address};
use hallpass_core::rule::Rule;
use hallpass_core::time::Timestamp;
use hallpass_core::validity::Validity;
use hallpass_core::wire::body::{self, InvalidField};
use hallpass_core::wire::{groups, policies};

/// The kinds of rules that can be true of a machine.
const MACHINES: [&str; 5] = ["service_token", "group", "ip", "any_valid_service_token", "everyone"];
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// A line with a host; the rest is a target.
pub(crate) fn request(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (host, target) = data.split_at(end);
    let target = target.strip_prefix(b"\n").unwrap_or_default();
    let Ok(request) = CanonicalRequest::new(host, target, HERE) else { return };
    let again = CanonicalRequest::new(request.host().as_bytes(), request.path().as_bytes(), HERE);
    assert_eq!(again.as_ref(), Ok(&request), "the canonical form is its own");

    let address = request.host().starts_with('[') && request.host().ends_with(']');
    let letter = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    assert!(address || request.host().bytes().all(letter), "a host has letters of hosts alone");
    assert!(!request.host().is_empty() && request.host().len() <= 253);

    let path = request.path();
    assert!(path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic()));
    assert!(!path.contains(['?', '#', '\\', ';', '"', '<', '>', '{', '}']), "delimiters are not in a path");
    assert!(!path.split('/').any(|segment| matches!(segment, "." | "..")), "no dot segments");
    assert!(!path.contains("//"), "no empty segments");
    for (_, behind) in path.match_indices('%').map(|(at, _)| path.split_at(at + 1)) {
        let byte = behind.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        assert!(byte.is_some_and(|byte| !byte.is_ascii_alphanumeric() && !byte.is_ascii_control()));
        assert!(!byte.is_some_and(|byte| b"-._~/\\?#;".contains(&byte)), "an escape hides nothing");
    }
    for (_, behind) in path.match_indices("%25").map(|(at, _)| path.split_at(at + 3)) {
        let twice = behind.get(..2).is_some_and(|next| next.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert!(!twice, "nothing is escaped twice");
    }
    let with_query = [path.as_bytes(), b"?/../x"].concat();
    let with_query = CanonicalRequest::new(host, &with_query, HERE);
    assert_eq!(with_query.as_ref(), Ok(&request), "a query decides nothing");
}

/// Each line is a value of `X-Forwarded-For`.
pub(crate) fn forwarded(data: &[u8]) {
    let Ok(trusted) =
        ["127.0.0.0/8", "10.0.0.0/8"].map(str::parse).into_iter().collect::<Result<Vec<_>, _>>()
    else {
        return;
    };
    let is_trusted =
        |address: IpAddr| trusted.iter().any(|network: &ipnet::IpNet| network.contains(&address));
    let lines: Vec<_> = data.split(|byte| *byte == b'\n').collect();
    let stranger = IpAddr::from([192, 0, 2, 9]);
    assert_eq!(
        client_address(stranger, &lines, &trusted),
        Ok(stranger),
        "a stranger speaks for itself alone"
    );
    let Ok(client) = client_address(HERE, &lines, &trusted) else { return };
    assert_eq!(client, client.to_canonical());
    if !is_trusted(client) {
        let forged = [&[&b"\xFF, 10.0.0.1"[..]], &lines[..]].concat();
        assert_eq!(client_address(HERE, &forged, &trusted), Ok(client), "what stands left of it is not read");
    }
}

/// Each line is a header: a name, a colon, a value. `x-credential` is the single header.
pub(crate) fn credential(data: &[u8]) {
    let header = |line| {
        let mut parts = <[u8]>::splitn(line, 2, |byte| *byte == b':');
        Some((std::str::from_utf8(parts.next()?).ok()?, parts.next()?))
    };
    let headers: Vec<_> = data.split(|byte| *byte == b'\n').filter_map(header).collect();
    let read = |headers: &[(&str, &[u8])]| Presented::read(headers.iter().copied(), Some("x-credential"));
    let is_credential = |presented: &Presented| matches!(presented, Presented::Credential(_));
    let count = |name: &str| headers.iter().filter(|(other, _)| *other == name).count();
    let counts = (count(CLIENT_ID_HEADER), count(CLIENT_SECRET_HEADER), count("x-credential"));

    let before = read(&headers);
    if let Presented::Credential(credential) = &before {
        let text = credential.client_id.as_str();
        assert!(text.len() <= 253 && text.contains(".access"), "a client ID has its form");
        assert!(matches!(counts, (1, 1, _) | (0, 0, 1)), "one carrier, once: {counts:?}");
    }
    assert!(counts != (0, 0, 0) || matches!(before, Presented::Nothing), "other headers present nothing");
    for header in &headers {
        let mut more = headers.clone();
        more.push(*header);
        let after = read(&more);
        assert!(is_credential(&before) || !is_credential(&after), "no copy makes a credential");
        let carries = [CLIENT_ID_HEADER, CLIENT_SECRET_HEADER].contains(&header.0);
        assert!(!carries || matches!(after, Presented::Malformed(_)), "a copy of a half makes it ambiguous");
    }
}

/// A pattern, as somebody writes it.
pub(crate) fn pattern(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(pattern) = Pattern::parse(text) else { return };
    assert_eq!(Pattern::parse(pattern.as_str()).as_ref(), Ok(&pattern), "printed and read, it is the same");
    assert_eq!(format!("{}{}", pattern.host(), pattern.path()), pattern.as_str());
    assert!(pattern.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
    // What one gets by writing something for each wildcard is covered, but for hosts that are none.
    for filling in ["x", "xy"] {
        let (host, path) = (pattern.host().replace('*', filling), pattern.path().replace('*', filling));
        let path = if path.is_empty() { "/" } else { &path };
        if let Ok(request) = CanonicalRequest::new(host.as_bytes(), path.as_bytes(), HERE) {
            assert!(pattern.covers(&request), "{pattern} covers {request:?}");
        }
    }
}

/// The body of a policy or of a group.
pub(crate) fn rules(data: &[u8]) {
    let Ok(body) = body::parse(data) else { return };
    let policy = policies::read(&body);
    if let Ok(spec) = &policy {
        let again = policies::read(&spec.body.clone().into());
        assert_eq!(again.as_ref(), Ok(spec), "what is kept is read as what was sent");
    }
    let group = groups::read(&body);
    if let Ok(spec) = &group {
        let again = groups::read(&spec.body.clone().into());
        assert_eq!(again.as_ref(), Ok(spec), "what is kept is read as what was sent");
    }
    let (policy, group) = (policy.map(|spec| spec.rules), group.map(|spec| spec.rules));
    if let (Ok(policy), Ok(group)) = (&policy, &group) {
        assert_eq!(policy, group, "the same rules say the same wherever they stand");
    }
    for read in [policy, group] {
        let rules = match read {
            Ok(rules) => rules,
            Err(errors) => {
                assert!(!errors.is_empty(), "a refusal says why");
                for InvalidField { pointer, message } in errors {
                    assert!(pointer.is_empty() || pointer.starts_with('/'), "an error has a place");
                    assert!(!message.is_empty(), "an error has a rule");
                }
                continue;
            }
        };
        assert!(rules.all().count() <= 1_000, "a policy has an end");
        // A rule that got lost on the way would open a door if it stood in `exclude` or in `require`.
        for (key, read) in
            [("include", &rules.include), ("exclude", &rules.exclude), ("require", &rules.require)]
        {
            let sent = body.get(key).and_then(|part| part.as_array()).map_or(&[][..], Vec::as_slice);
            assert_eq!(read.len(), sent.len(), "each of them counts");
            for (rule, sent) in read.iter().zip(sent) {
                let keys = sent.as_object().filter(|keys| keys.len() == 1);
                let entry = keys.and_then(|keys| keys.iter().next());
                assert!(entry.is_some(), "a rule has one kind");
                let Some((kind, asked)) = entry else { continue };
                let named = |key: &str| asked.get(key).and_then(|value| value.as_str()).unwrap_or_default();
                let is_it = match rule {
                    Rule::ServiceToken(id) => kind == "service_token" && named("token_id").parse() == Ok(*id),
                    Rule::Group(id) => kind == "group" && named("id").parse() == Ok(*id),
                    Rule::Ip(network) => kind == "ip" && named("ip") == network.as_str(),
                    Rule::AnyValidServiceToken => kind == "any_valid_service_token",
                    Rule::Everyone => kind == "everyone",
                    Rule::NoMachine => !MACHINES.contains(&kind.as_str()),
                };
                assert!(is_it, "a rule is read as what it says: {rule:?}");
            }
        }
    }
}

/// A duration, as somebody writes it.
pub(crate) fn duration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(validity) = Validity::parse(text) else { return };
    assert_eq!(validity.as_str(), text, "it comes back as it was sent");
    assert!(validity.lasts_as_long_as(&validity));
    let Ok(now) = "2026-06-01T12:00:00Z".parse() else { return };
    let expiry: Result<Option<Timestamp>, _> = validity.expiry_from(now);
    let fits = expiry.is_ok_and(|expiry| expiry.is_none_or(|expiry| expiry > now));
    assert!(fits, "nothing is born dead, and only what is forever has no expiry");
    assert_eq!(validity == Validity::Forever, text == "forever");
}
