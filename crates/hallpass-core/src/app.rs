//! Applications: what is protected, by host and path.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::id::{AccountId, AppId, ZoneId};
use crate::policy::AttachedPolicy;
use crate::request::{Ambiguous, CanonicalRequest, Wildcards, canonical_host, canonical_path, split_port};
use crate::service_token::Name;
use crate::time::Timestamp;

/// The longest pattern that is kept: an index of the database has to hold it.
const MAX_PATTERN: usize = 1_024;

/// How long an assertion is good at most, in seconds: a day (compatibility, D28).
pub const LONGEST_SESSION: u32 = 86_400;

/// An application.
#[derive(Debug, Clone, PartialEq)]
pub struct App {
    /// Its identifier.
    pub id: AppId,
    /// To whom it belongs.
    pub account_id: AccountId,
    /// The zone through which it was made, if it was one.
    pub zone_id: Option<ZoneId>,
    /// What people call it.
    pub name: Name,
    /// Its audience tag: what an assertion for it carries in `aud`. It never changes.
    pub aud: Audience,
    /// The hosts and paths that it protects; at least one.
    pub patterns: Vec<Pattern>,
    /// How long an assertion for it is good, in seconds: at most [`LONGEST_SESSION`], and 0 if it wants none kept.
    pub session_seconds: u32,
    /// The one header that may carry a credential as JSON, in lower case.
    pub credential_header: Option<String>,
    /// Whether a request without a credential is answered by 401 in place of 403.
    pub service_auth_401: bool,
    /// Assertions that were issued before this count as revoked: none is used again.
    pub revoked_before: Option<Timestamp>,
    /// Its policies, by precedence.
    pub policies: Vec<AttachedPolicy>,
    /// The fields as they were sent, all but `policies` and those that the server makes. Replies echo them.
    pub body: Map<String, Value>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// An audience tag: 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Audience(String);

impl Audience {
    /// From 32 random bytes.
    pub fn random(bytes: [u8; 32]) -> Self {
        let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0F]);
        Self(digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect())
    }

    /// Reads a tag.
    pub fn parse(text: &str) -> Option<Self> {
        crate::id::decode_hex::<32>(text.as_bytes()).map(|_| Self(text.to_owned()))
    }

    /// The 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A host and a path, with `*` in either, in the one form in which two that mean the same are equal.
///
/// | Pattern | Covers |
/// |---|---|
/// | `example.com`, `example.com/`, `example.com/*` | all of the host |
/// | `*.example.com` | each host with exactly one label more, but not `example.com` |
/// | `*test.example.com` | `test.example.com` and `alphatest.example.com`: a `*` stays within its label |
/// | `example.com/alpha` | `/alpha` and all below it, but not `/alphabet` (compatibility, D32) |
/// | `example.com/alpha/`, `example.com/alpha/*` | all below `/alpha/`, but not `/alpha` |
/// | `example.com/foo*/bar` | `/foo/bar`, `/food/bar`, `/food/stuff/bar`, and all below them: a `*` in a path crosses slashes |
///
/// Hosts and paths are spelt as in a [`CanonicalRequest`]. Upper and lower case are two things in a path. An IPv6 address is
/// covered by itself alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern {
    text: String,
    host_length: usize,
}

/// The text is no pattern. It says which rule was broken, and nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// `https://`.
    #[error("must not have a scheme: write example.com/path")]
    Scheme,
    /// `:8080`.
    #[error("must not have a port: ports of requests are ignored")]
    Port,
    /// A query or a fragment.
    #[error("must not have a query or a fragment")]
    Query,
    /// `a*b*c.example.com`.
    #[error("must have at most one * in each label of the host")]
    HostWildcard,
    /// `/a*b*c`.
    #[error("must have at most one * in each segment of the path")]
    PathWildcard,
    /// `%2A`: it could not be told from the wildcard.
    #[error("must not have an escaped *")]
    EscapedWildcard,
    /// Longer than any that is kept.
    #[error("must have at most 1024 characters")]
    TooLong,
    /// No request could ever fit it.
    #[error("must be a host with an optional path, such as example.com/path: {0}")]
    Unmatchable(Ambiguous),
}

impl Pattern {
    /// Reads a pattern, in any spelling.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        if text.contains("://") {
            return Err(InvalidPattern::Scheme);
        }
        if text.contains(['?', '#']) {
            return Err(InvalidPattern::Query);
        }
        if text.to_ascii_lowercase().contains("%2a") {
            return Err(InvalidPattern::EscapedWildcard);
        }
        let (host, path) = text.split_at(text.find('/').unwrap_or(text.len()));
        let crowded = |part: &str| part.matches('*').count() > 1;
        if host.split('.').any(crowded) {
            return Err(InvalidPattern::HostWildcard);
        }
        if path.split('/').any(crowded) {
            return Err(InvalidPattern::PathWildcard);
        }
        let (host, port) = split_port(host.as_bytes()).map_err(InvalidPattern::Unmatchable)?;
        if port.is_some() {
            return Err(InvalidPattern::Port);
        }
        let mut text = canonical_host(host, Wildcards::Allowed).map_err(InvalidPattern::Unmatchable)?;
        let host_length = text.len();
        if !matches!(path, "" | "/" | "/*") {
            text.push_str(&canonical_path(path.as_bytes()).map_err(InvalidPattern::Unmatchable)?);
        }
        if text.ends_with('/') {
            text.push('*');
        }
        if text.len() > MAX_PATTERN { Err(InvalidPattern::TooLong) } else { Ok(Self { text, host_length }) }
    }

    /// The canonical text: the host in lower case, and the path, if there is one.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host, with its `*`.
    pub fn host(&self) -> &str {
        self.text.get(..self.host_length).unwrap_or_default()
    }

    /// The path, with its `*`; empty if it is all of the host.
    pub fn path(&self) -> &str {
        self.text.get(self.host_length..).unwrap_or_default()
    }

    /// Whether it covers a request.
    pub fn covers(&self, request: &CanonicalRequest) -> bool {
        self.covers_host(request.host()) && self.covers_path(request.path())
    }

    /// The order in which patterns win over each other, the winner first. It is total: only equal patterns are equal in it.
    ///
    /// 1. A host without `*`.
    /// 2. The host with more characters other than `*`; then the one with fewer `*`.
    /// 3. The path with more characters other than `*`; then the one with fewer `*`.
    /// 4. The canonical text that comes first, byte by byte.
    ///
    /// So a pattern wins over any other that covers all that it covers, and more.
    pub fn by_specificity(&self, other: &Self) -> Ordering {
        let rank = |pattern: &Self| {
            let (host, path) = (pattern.host(), pattern.path());
            let (host_stars, path_stars) = (host.matches('*').count(), path.matches('*').count());
            let host_rank = (Reverse(host.len() - host_stars), host_stars);
            (host_stars > 0, host_rank, Reverse(path.len() - path_stars), path_stars)
        };
        rank(self).cmp(&rank(other)).then_with(|| self.text.cmp(&other.text))
    }

    fn has_wild_host(&self) -> bool {
        self.host().contains('*')
    }

    fn covers_host(&self, host: &str) -> bool {
        if !self.has_wild_host() || host.starts_with('[') {
            return self.host() == host;
        }
        let (mut wanted, mut labels) = (self.host().split('.'), host.split('.'));
        loop {
            match (wanted.next(), labels.next()) {
                (None, None) => return true,
                (Some(wanted), Some(label)) if covers_label(wanted, label) => {}
                _ => return false,
            }
        }
    }

    fn covers_path(&self, path: &str) -> bool {
        let mut pieces = self.path().split('*');
        let Some(mut rest) = pieces.next().and_then(|first| path.strip_prefix(first)) else { return false };
        let Some(last) = pieces.next_back() else { return ends_a_segment(rest) };
        // Each piece at its first place leaves the most for those behind it.
        for piece in pieces {
            let Some((_, behind)) = rest.split_once(piece) else { return false };
            rest = behind;
        }
        // An empty last piece fits everywhere: the pattern ends with its `*`. Another one is looked for by the places where it may
        // end, because the places where it begins may overlap.
        let mut ends = rest.match_indices('/').map(|(at, _)| at).chain([rest.len()]);
        last.is_empty() || ends.any(|end| rest.get(..end).is_some_and(|start| start.ends_with(last)))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether there is a host that two hosts with `*` both cover.
pub fn hosts_meet(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) if labels_meet(one, other) => {}
            _ => return false,
        }
    }
}

fn labels_meet(one: &str, other: &str) -> bool {
    match (one.split_once('*'), other.split_once('*')) {
        (None, _) => covers_label(other, one),
        (_, None) => covers_label(one, other),
        // The longer beginning with the longer end is a label that both cover.
        (Some((start, end)), Some((other_start, other_end))) => {
            (start.starts_with(other_start) || other_start.starts_with(start))
                && (end.ends_with(other_end) || other_end.ends_with(end))
        }
    }
}

fn covers_label(wanted: &str, label: &str) -> bool {
    match wanted.split_once('*') {
        None => wanted == label,
        Some((start, end)) => label.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)),
    }
}

fn ends_a_segment(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

/// All applications, by what they cover. A lookup asks for the host, and for each of its ends that a wildcard stands before; how
/// many applications there are elsewhere makes no difference to it.
#[derive(Debug, Default)]
pub struct AppIndex {
    apps: Vec<Arc<App>>,
    /// By the whole host, for patterns without `*` in it; the most specific first.
    exact: HashMap<Box<str>, Vec<Entry>>,
    /// The others, by those labels at the end of their hosts that have no `*`; the most specific first.
    wild: HashMap<Box<str>, Vec<Entry>>,
    /// The most labels of a key of `wild`.
    wild_labels: usize,
}

#[derive(Debug)]
struct Entry {
    /// Its place among all patterns of the index.
    rank: usize,
    pattern: Pattern,
    app: Arc<App>,
}

impl AppIndex {
    /// An index of these applications. If two of them have the same pattern, the one with the lower identifier has it.
    pub fn new(apps: impl IntoIterator<Item = Arc<App>>) -> Self {
        let mut index = Self { apps: apps.into_iter().collect(), ..Self::default() };
        let claims = index.apps.iter().flat_map(|app| app.patterns.iter().map(move |pattern| (pattern, app)));
        let mut claims: Vec<_> = claims.collect();
        claims.sort_by(|(left, left_app), (right, right_app)| {
            left.by_specificity(right).then_with(|| left_app.id.cmp(&right_app.id))
        });
        for (rank, (pattern, app)) in claims.into_iter().enumerate() {
            let host = pattern.host();
            let (map, key) = if pattern.has_wild_host() {
                let end = host.rsplit_once('*').and_then(|(_, end)| end.split_once('.'));
                let key = end.map_or("", |(_, labels)| labels);
                index.wild_labels = index.wild_labels.max(key.split('.').count());
                (&mut index.wild, key)
            } else {
                (&mut index.exact, host)
            };
            let entry = Entry { rank, pattern: pattern.clone(), app: Arc::clone(app) };
            map.entry(key.into()).or_default().push(entry);
        }
        index
    }

    /// The application that a request is for: the one with the most specific pattern that covers it, in the order of
    /// [`Pattern::by_specificity`].
    pub fn find(&self, request: &CanonicalRequest) -> Option<&Arc<App>> {
        self.first(request.host(), |pattern| pattern.covers_path(request.path()))
    }

    /// The application to which a host belongs whatever the path: the one with the most specific pattern for that host.
    pub fn at_host(&self, host: &str) -> Option<&Arc<App>> {
        self.first(host, |_| true)
    }

    fn first(&self, host: &str, covers_path: impl Fn(&Pattern) -> bool) -> Option<&Arc<App>> {
        let exact = self.exact.get(host).into_iter().flatten();
        if let Some(entry) = exact.into_iter().find(|entry| covers_path(&entry.pattern)) {
            return Some(&entry.app);
        }
        let ends = host.rmatch_indices('.').take(self.wild_labels).filter_map(|(dot, _)| host.get(dot + 1..));
        let ends = ends.chain(std::iter::once("")).filter_map(|end| self.wild.get(end));
        let covers = |entry: &&Entry| entry.pattern.covers_host(host) && covers_path(&entry.pattern);
        let best = ends.filter_map(|entries| entries.iter().find(covers));
        best.min_by_key(|entry| entry.rank).map(|entry| &entry.app)
    }

    /// All applications.
    pub fn apps(&self) -> impl Iterator<Item = &Arc<App>> {
        self.apps.iter()
    }
}

#[cfg(test)]
#[path = "app_tests.rs"]
mod tests;
