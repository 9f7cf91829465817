//! Assertions: what tells the service behind the proxy who has passed, as a signed JWT.
//!
//! One is used again until half of its life is over, so that whoever gets it has at least the other half. Nothing is decided
//! by what is kept here: a permit comes first, every time. At most 65,536 are kept; a full part forgets what it has.

use std::hash::BuildHasher as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hallpass_core::app::{App, Audience};
use hallpass_core::claims::Claims;
use hallpass_core::client_id::ClientId;
use hallpass_core::decision::Permit;
use hallpass_core::id::ServiceTokenId;
use hallpass_core::time::Timestamp;
use hashbrown::{DefaultHashBuilder, HashTable};
use hyper::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::signing_keys::{KeySet, SigningError};

const PARTS: usize = 16;
/// How many a part keeps: each takes about two kilobytes.
const KEPT: usize = 4_096;
pub(super) const ASSERTION: HeaderName = HeaderName::from_static("cf-access-jwt-assertion");
pub(super) const EMAIL: HeaderName = HeaderName::from_static("cf-access-authenticated-user-email");
pub(super) const CLIENT_ID: HeaderName = HeaderName::from_static("hallpass-client-id");
pub(super) const TOKEN_NAME: HeaderName = HeaderName::from_static("hallpass-token-name");
const SECOND: i64 = 1_000_000;
/// What of a token's name is not sent as it is: all but visible ASCII, and the sign by which the rest is recognized.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// Mints assertions, and keeps some.
#[derive(Debug)]
pub(super) struct Assertions {
    parts: [Mutex<HashTable<Kept>>; PARTS],
    hasher: DefaultHashBuilder,
}

/// Who has passed, as the service is told: the headers of the answer.
#[derive(Debug, Clone)]
pub(super) struct Identity(HeaderMap);

impl Identity {
    /// For a bypass: everything is empty.
    pub(super) fn nobody() -> Self {
        let empty = HeaderValue::from_static("");
        Self::new(empty.clone(), empty.clone(), empty)
    }

    /// Every identity header is there, whether or not there is an identity: a proxy then overwrites whatever a client has sent.
    fn new(assertion: HeaderValue, client_id: HeaderValue, token_name: HeaderValue) -> Self {
        Self(HeaderMap::from_iter([
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (ASSERTION, assertion),
            (EMAIL, HeaderValue::from_static("")),
            (CLIENT_ID, client_id),
            (TOKEN_NAME, token_name),
        ]))
    }

    /// The headers.
    pub(super) fn into_headers(self) -> HeaderMap {
        self.0
    }
}

#[derive(Debug)]
struct Kept {
    token: ServiceTokenId,
    client_id: ClientId,
    aud: Audience,
    /// The token's name, as it was when it was escaped.
    name: Box<str>,
    issuer: Box<str>,
    kid: Box<str>,
    issued: Timestamp,
    seconds: u32,
    identity: Identity,
}

impl Default for Assertions {
    fn default() -> Self {
        Self { parts: std::array::from_fn(|_| Mutex::default()), hasher: DefaultHashBuilder::default() }
    }
}

impl Assertions {
    /// What tells the service about a permit.
    pub(super) fn of(
        &self,
        permit: &Permit,
        app: &App,
        issuer: &str,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<Identity, SigningError> {
        let hash = self.hash(permit.token_id(), &app.aud);
        let is_it = |kept: &Kept| kept.is_about(permit.token_id(), &app.aud);
        if let Some(kept) = self.part(hash).find(hash, is_it)
            && kept.says(permit, issuer, keys.kid())
            && kept.may_be_used(app, now)
        {
            return Ok(kept.identity.clone());
        }
        // Signing takes a millisecond, for which nobody else is kept waiting.
        let assertion = keys.sign(&Claims::new(permit, app, issuer, now))?;
        let name = utf8_percent_encode(permit.token_name(), ESCAPED).to_string();
        let identity = Identity::new(value(assertion)?, value(permit.client_id().to_string())?, value(name)?);
        let kept = Kept {
            token: permit.token_id(),
            client_id: permit.client_id().clone(),
            aud: app.aud.clone(),
            name: permit.token_name().into(),
            issuer: issuer.into(),
            kid: keys.kid().into(),
            issued: now.floor_second(),
            seconds: app.session_seconds,
            identity: identity.clone(),
        };
        self.keep(hash, kept);
        Ok(identity)
    }

    fn keep(&self, hash: u64, kept: Kept) {
        let mut part = self.part(hash);
        if let Ok(old) = part.find_entry(hash, |old| old.is_about(kept.token, &kept.aud)) {
            old.remove();
        } else if part.len() >= KEPT {
            part.clear();
        }
        part.insert_unique(hash, kept, |kept| self.hash(kept.token, &kept.aud));
    }

    fn hash(&self, token: ServiceTokenId, aud: &Audience) -> u64 {
        self.hasher.hash_one((token, aud))
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is less than the number of parts")]
    fn part(&self, hash: u64) -> MutexGuard<'_, HashTable<Kept>> {
        // The table itself looks at the lowest and the highest bits.
        let part = usize::try_from(hash >> 32).unwrap_or_default() % PARTS;
        self.parts[part].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn is_about(&self, token: ServiceTokenId, aud: &Audience) -> bool {
        self.token == token && self.aud == *aud
    }

    /// Whether it says the same as one that would be made now.
    fn says(&self, permit: &Permit, issuer: &str, kid: &str) -> bool {
        *self.name == *permit.token_name()
            && self.client_id == *permit.client_id()
            && *self.issuer == *issuer
            && *self.kid == *kid
    }

    /// Whether the application still wants it as it is, half of its life is still ahead, and nobody has revoked it. One from the future
    /// was issued before the clock was set back.
    fn may_be_used(&self, app: &App, now: Timestamp) -> bool {
        let age = now.as_micros() - self.issued.as_micros();
        self.seconds == app.session_seconds
            && age >= 0
            && age <= i64::from(self.seconds) * SECOND / 2
            && app.revoked_before.is_none_or(|end| self.issued >= end)
    }
}

fn value(text: String) -> Result<HeaderValue, SigningError> {
    HeaderValue::try_from(text).map_err(|error| SigningError::Sign(error.to_string()))
}
