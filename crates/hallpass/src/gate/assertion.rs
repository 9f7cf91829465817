//! Assertions: what tells the service behind the proxy who has passed, as a signed JWT.
//!
//! One is used again until half of its life is over, so that whoever gets it has at least the other half. Nothing is decided
//! by what is kept here: a permit comes first, every time. At most 65,536 are kept; a full part forgets what it has.

use std::hash::BuildHasher as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hallpass_core::app::{App, Audience};
use hallpass_core::claims::Claims;
use hallpass_core::decision::Permit;
use hallpass_core::id::ServiceTokenId;
use hallpass_core::organization::Organization;
use hallpass_core::time::Timestamp;
use hashbrown::{DefaultHashBuilder, HashTable};
use hyper::header::HeaderValue;

use crate::signing_keys::{KeySet, SigningError};

const PARTS: usize = 16;
/// How many a part keeps: each takes about a kilobyte.
const KEPT: usize = 4_096;
const SECOND: i64 = 1_000_000;

/// Mints assertions, and keeps some.
#[derive(Debug)]
pub(super) struct Assertions {
    parts: [Mutex<HashTable<Kept>>; PARTS],
    hasher: DefaultHashBuilder,
}

/// What decides whether an assertion is the one that is wanted.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key<'a> {
    token: ServiceTokenId,
    aud: &'a Audience,
    issuer: &'a str,
    kid: &'a str,
}

#[derive(Debug)]
struct Kept {
    token: ServiceTokenId,
    aud: Audience,
    issuer: String,
    kid: String,
    issued: Timestamp,
    seconds: u32,
    value: HeaderValue,
}

impl Default for Assertions {
    fn default() -> Self {
        Self { parts: std::array::from_fn(|_| Mutex::default()), hasher: DefaultHashBuilder::default() }
    }
}

impl Assertions {
    /// The assertion for a permit.
    pub(super) fn of(
        &self,
        permit: &Permit,
        app: &App,
        organization: &Organization,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<HeaderValue, SigningError> {
        let issuer = format!("https://{}", organization.auth_domain);
        let key = Key { token: permit.token_id(), aud: &app.aud, issuer: &issuer, kid: keys.kid() };
        let hash = self.hasher.hash_one(&key);
        if let Some(kept) = self.part(hash).find(hash, |kept| kept.key() == key)
            && kept.may_be_used(app, now)
        {
            return Ok(kept.value.clone());
        }
        // Signing takes a millisecond, for which nobody else is kept waiting.
        let token = keys.sign(&Claims::new(permit, app, &issuer, now))?;
        let value = HeaderValue::try_from(token).map_err(|error| SigningError::Sign(error.to_string()))?;
        let kept = Kept {
            token: key.token,
            aud: app.aud.clone(),
            kid: key.kid.to_owned(),
            issued: now.floor_second(),
            seconds: app.session_seconds,
            value: value.clone(),
            issuer,
        };
        self.keep(hash, kept);
        Ok(value)
    }

    fn keep(&self, hash: u64, kept: Kept) {
        let mut part = self.part(hash);
        if let Ok(old) = part.find_entry(hash, |old| old.key() == kept.key()) {
            old.remove();
        } else if part.len() >= KEPT {
            part.clear();
        }
        part.insert_unique(hash, kept, |kept| self.hasher.hash_one(kept.key()));
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is less than the number of parts")]
    fn part(&self, hash: u64) -> MutexGuard<'_, HashTable<Kept>> {
        // The table itself looks at the lowest and the highest bits.
        let part = usize::try_from(hash >> 32).unwrap_or_default() % PARTS;
        self.parts[part].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn key(&self) -> Key<'_> {
        Key { token: self.token, aud: &self.aud, issuer: &self.issuer, kid: &self.kid }
    }

    /// Whether it would be issued the same way now, half of its life is still ahead, and nobody has revoked it. One from the future
    /// was issued before the clock was set back.
    fn may_be_used(&self, app: &App, now: Timestamp) -> bool {
        let age = now.as_micros() - self.issued.as_micros();
        self.seconds == app.session_seconds
            && age >= 0
            && age <= i64::from(self.seconds) * SECOND / 2
            && app.revoked_before.is_none_or(|end| self.issued >= end)
    }
}
