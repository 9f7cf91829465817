//! The service token, and every change that can happen to it.
//!
//! A [`ServiceToken`] holds no digest, so that no update can damage one: [`apply`](ServiceToken::apply) says by a
//! [`SecretChange`] what is to happen to the digests, and only creation and rotation say anything but *keep*.

use crate::client_id::ClientId;
use crate::id::{AccountId, ServiceTokenId, ZoneId};
use crate::time::Timestamp;
use crate::validity::{InvalidDuration, Validity};

/// A retry of a rotation within this time of the rotation replaces the new secret only (compatibility, D15).
const RETRY_WINDOW_MICROS: i64 = 60_000_000;
/// The highest secret version: every client's integers can hold it.
pub const MAX_SECRET_VERSION: u32 = i32::MAX.unsigned_abs();
/// The longest name, in characters (compatibility, D8).
const MAX_NAME: usize = 350;

/// All that is known of a service token, but for its secrets and its last use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceToken {
    /// Its identifier.
    pub id: ServiceTokenId,
    /// The account that owns it.
    pub account_id: AccountId,
    /// The zone through whose route it was made, if any.
    pub zone_id: Option<ZoneId>,
    /// The public half of its credential.
    pub client_id: ClientId,
    /// What people call it; not unique.
    pub name: Name,
    /// How long it is good for.
    pub validity: Validity,
    /// When it expires; `None` is never.
    pub expires_at: Option<Timestamp>,
    /// Whether it may be used at all.
    pub enabled: bool,
    /// The number of its current secret.
    pub secret_version: u32,
    /// The date that is shown for the previous secret.
    pub previous_secret_expires_at: Option<Timestamp>,
    /// Until when the previous secret really counts. It follows the shown date while that secret lives; once it is dead, no
    /// later date brings it back.
    pub previous_secret_until: Option<Timestamp>,
    /// When its secret was last replaced.
    pub rotated_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What a new token is made of.
#[derive(Debug, Clone)]
pub struct NewServiceToken {
    /// Its identifier.
    pub id: ServiceTokenId,
    /// The account that will own it.
    pub account_id: AccountId,
    /// The zone through whose route it is made, if any.
    pub zone_id: Option<ZoneId>,
    /// The public half of its credential.
    pub client_id: ClientId,
    /// What its creator asked for.
    pub spec: ServiceTokenSpec,
}

/// What the creator of a token can say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceTokenSpec {
    /// What people call it.
    pub name: Name,
    /// How long it is good for.
    pub validity: Validity,
    /// Whether it may be used at once.
    pub enabled: bool,
    /// The number of its first secret.
    pub secret_version: u32,
    /// A date to show for a previous secret, which a new token does not have.
    pub previous_secret_expires_at: Option<Timestamp>,
}

/// A change of a service token, as data: the writer batches it, the audit row describes it, the tests replay it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenChange {
    /// Change what was named, keep the rest (compatibility, D4).
    Edit(Edit),
    /// Extend the expiry, touch nothing else (compatibility, D1).
    Refresh,
    /// Replace the secret.
    Rotate {
        /// Until when the replaced secret still counts; at once if absent.
        previous_until: Option<Timestamp>,
        /// Whether the caller says that it asked for this before.
        attempt: Attempt,
    },
}

/// Whether a caller sends a request for the first time (`X-Stainless-Retry-Count`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The first time.
    First,
    /// Again, because no answer to the first arrived.
    Retry,
}

/// The fields of a merge update; `None` and [`Patch::Keep`] leave what is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// A new name.
    pub name: Option<Name>,
    /// A new validity; expiry counts from now if it lasts differently long.
    pub validity: Option<Validity>,
    /// Enable or disable.
    pub enabled: Option<bool>,
    /// A secret version; a higher one than stored rotates once (compatibility, D5).
    pub secret_version: Option<u32>,
    /// Another end of the previous secret's grace.
    pub previous_secret_expires_at: Patch<Timestamp>,
}

/// A field of a merge update that can also be cleared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// The field was not sent.
    #[default]
    Keep,
    /// The field was sent as `null`.
    Clear,
    /// The field was sent.
    Set(T),
}

/// What a change does to the stored digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretChange {
    /// Nothing.
    Keep,
    /// The current digest becomes the previous one; a new one becomes current.
    Replace,
    /// A new digest becomes current; the previous one stays.
    ReplaceCurrentOnly,
}

/// Whether a token can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It can.
    Live,
    /// Its owner switched it off.
    Disabled,
    /// Its time is over.
    Expired,
}

/// Why a token cannot be made or changed as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The expiry cannot be computed.
    #[error(transparent)]
    Duration(#[from] InvalidDuration),
    /// There is no higher version.
    #[error("client_secret_version has reached its highest value, 2147483647")]
    SecretVersion,
}

/// Why a token that was issued elsewhere cannot be taken over as described.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidImport {
    /// It could not be issued here either.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Two statements about its end that contradict each other.
    #[error("a token that is good forever does not expire: leave one of duration and expires_at out")]
    ForeverExpires,
}

impl ServiceToken {
    /// A token that was issued elsewhere and keeps its client ID. Its time starts now, unless it is known when it expires: a
    /// date that is over makes an expired token, which a refresh brings back.
    pub fn import(
        new: NewServiceToken,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Self, InvalidImport> {
        let mut token = Self::issue(new, now)?;
        match (&token.validity, expires_at) {
            (_, None) => {}
            // So long a date is how "never" is shown.
            (Validity::Forever, Some(expiry)) if expiry >= Timestamp::FOREVER => {}
            (Validity::Forever, Some(_)) => return Err(InvalidImport::ForeverExpires),
            (Validity::For(_), Some(expiry)) => token.expires_at = Some(expiry),
        }
        Ok(token)
    }

    /// A new token, whose time starts now.
    pub fn issue(new: NewServiceToken, now: Timestamp) -> Result<Self, Invalid> {
        let NewServiceToken { id, account_id, zone_id, client_id, spec } = new;
        Ok(Self {
            id,
            account_id,
            zone_id,
            client_id,
            name: spec.name,
            expires_at: spec.validity.expiry_from(now)?,
            validity: spec.validity,
            enabled: spec.enabled,
            secret_version: spec.secret_version,
            previous_secret_expires_at: spec.previous_secret_expires_at,
            previous_secret_until: None,
            rotated_at: None,
            created_at: now,
            updated_at: now,
        })
    }

    /// The token after a change, and what the change means for its digests. A change without effect returns an equal token.
    pub fn apply(&self, change: &TokenChange, now: Timestamp) -> Result<(Self, SecretChange), Invalid> {
        let mut token = self.clone();
        let secret = match change {
            TokenChange::Edit(edit) => token.edit(edit, now)?,
            TokenChange::Refresh => token.refresh(now)?,
            TokenChange::Rotate { previous_until, attempt } => {
                token.rotate(*previous_until, *attempt, now)?
            }
        };
        // An edit without effect leaves the time of change alone; a refresh or a rotation is never without one.
        if token != *self || !matches!(change, TokenChange::Edit(_)) {
            token.updated_at = now;
        }
        Ok((token, secret))
    }

    /// Whether it can be used now. Disabled comes first: it says what its owner wanted.
    pub fn standing(&self, now: Timestamp) -> Standing {
        match self.expires_at {
            _ if !self.enabled => Standing::Disabled,
            Some(expiry) if now >= expiry => Standing::Expired,
            _ => Standing::Live,
        }
    }

    /// Whether the previous secret still counts.
    pub fn previous_secret_lives(&self, now: Timestamp) -> bool {
        self.previous_secret_until.is_some_and(|until| now < until)
    }

    fn refresh(&mut self, now: Timestamp) -> Result<SecretChange, Invalid> {
        let expiry = self.validity.expiry_from(now)?;
        self.expires_at = match (self.expires_at, expiry) {
            (Some(old), Some(new)) => Some(old.max(new)),
            _ => None,
        };
        Ok(SecretChange::Keep)
    }

    fn rotate(
        &mut self,
        previous_until: Option<Timestamp>,
        attempt: Attempt,
        now: Timestamp,
    ) -> Result<SecretChange, Invalid> {
        let next = self.secret_version.checked_add(1).filter(|next| *next <= MAX_SECRET_VERSION);
        self.secret_version = next.ok_or(Invalid::SecretVersion)?;
        if attempt == Attempt::Retry && self.rotated_within_retry_window(now) {
            self.rotated_at = Some(now);
            return Ok(SecretChange::ReplaceCurrentOnly);
        }
        self.replace_secret(previous_until, now);
        Ok(SecretChange::Replace)
    }

    fn edit(&mut self, edit: &Edit, now: Timestamp) -> Result<SecretChange, Invalid> {
        if let Some(name) = &edit.name {
            self.name = name.clone();
        }
        if let Some(enabled) = edit.enabled {
            self.enabled = enabled;
        }
        if let Some(validity) = &edit.validity {
            if !validity.lasts_as_long_as(&self.validity) {
                self.expires_at = validity.expiry_from(now)?;
            }
            self.validity = validity.clone();
        }
        let Some(version) = edit.secret_version.filter(|version| *version > self.secret_version) else {
            self.move_grace(edit.previous_secret_expires_at, now);
            return Ok(SecretChange::Keep);
        };
        self.secret_version = version;
        // A date that is stored, but not sent, belonged to the secret before: it is no grace for this one.
        let until = match edit.previous_secret_expires_at {
            Patch::Set(until) => Some(until),
            Patch::Keep | Patch::Clear => None,
        };
        self.replace_secret(until, now);
        Ok(SecretChange::Replace)
    }

    fn replace_secret(&mut self, previous_until: Option<Timestamp>, now: Timestamp) {
        let until = previous_until.unwrap_or(now.floor_second());
        self.previous_secret_expires_at = Some(until);
        self.previous_secret_until = Some(until);
        self.rotated_at = Some(now);
    }

    fn move_grace(&mut self, patch: Patch<Timestamp>, now: Timestamp) {
        let lives = self.previous_secret_lives(now);
        match patch {
            Patch::Set(until) => {
                self.previous_secret_expires_at = Some(until);
                if lives {
                    self.previous_secret_until = Some(until);
                }
            }
            Patch::Clear if !lives => self.previous_secret_expires_at = None,
            Patch::Clear | Patch::Keep => {}
        }
    }

    fn rotated_within_retry_window(&self, now: Timestamp) -> bool {
        self.rotated_at
            .is_some_and(|at| (0..RETRY_WINDOW_MICROS).contains(&(now.as_micros() - at.as_micros())))
    }
}

/// A name: 1 to 350 characters, not only white space, no control characters (compatibility, D8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing, or nothing but white space.
    #[error("name must not be empty")]
    Empty,
    /// Too long.
    #[error("name must have at most 350 characters")]
    TooLong,
    /// A control character.
    #[error("name must not contain control characters")]
    Control,
}

impl Name {
    /// Reads a name; it is kept as sent.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if text.trim().is_empty() {
            Err(InvalidName::Empty)
        } else if text.chars().count() > MAX_NAME {
            Err(InvalidName::TooLong)
        } else if text.chars().any(char::is_control) {
            Err(InvalidName::Control)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// The text as sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Folds upper and lower case for searching: character by character, so that a part of a folded text is the folded part.
pub fn fold_case(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
#[path = "service_token_tests.rs"]
mod tests;
