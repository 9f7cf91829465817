//! The audit log as JSON: who did what to which object, and where a page of it ends.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::accounts::AccountReference;
use crate::id::decode_hex;
use crate::time::{InvalidTimestamp, Timestamp};

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// The account that it happened in.
    pub account: AccountReference,
    /// What was done.
    pub action: Action,
    /// By whom.
    pub actor: Actor,
    /// Its number: the revision that the store had after it.
    pub id: String,
    /// The request.
    pub raw: Raw,
    /// To what.
    pub resource: Resource,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// The precise name, such as `service_token.rotate`.
    pub description: String,
    /// Always `success`: what was refused changed nothing and is in the log of the server alone.
    pub result: String,
    /// When.
    pub time: Timestamp,
    /// `create`, `update` or `delete`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// By which credential: `api_key` or `api_token`; absent for Hallpass itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The user's e-mail address; absent where no user acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The user, or the account if the token belonged to it; for Hallpass itself the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The client's address; absent where it was not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    /// The API token that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// What people call that token now; absent once it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_name: Option<String>,
    /// `user`, `account` or `system`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// The request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raw {
    /// What the reply's `X-Request-Id` said.
    pub cf_ray_id: String,
}

/// What was changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// Its identifier.
    pub id: String,
    /// What it belongs to: `access`, `api_tokens`, or `accounts`.
    pub product: String,
    /// What is different now. Never a secret or a digest.
    pub response: Map<String, Value>,
    /// Always `accounts`.
    pub scope: String,
    /// `service_token`, `api_token`, and so on.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Where a page of the log ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorInfo {
    /// How many entries the page holds.
    pub count: u64,
    /// From where to go on; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// The same, where the SDKs look for it.
    pub cursors: Cursors,
}

/// Where the pages around this one begin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursors {
    /// From where to go on; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A place in the log: behind an entry. New entries do not move it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The entry's time, in microseconds since 1970.
    pub at: i64,
    /// Its revision.
    pub revision: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.at, self.revision)
    }
}

/// The text is not a cursor that a reply gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a cursor from a reply's result_info")]
pub struct InvalidCursor;

impl FromStr for Position {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (at, revision) = text.split_at_checked(16).ok_or(InvalidCursor)?;
        let number =
            |digits: &str| decode_hex::<8>(digits.as_bytes()).map(i64::from_be_bytes).ok_or(InvalidCursor);
        Ok(Self { at: number(at)?, revision: number(revision)? })
    }
}

/// Reads an end of the time asked for: a date and time, or a date, whose first moment in UTC is meant.
pub fn read_bound(text: &str) -> Result<Timestamp, InvalidTimestamp> {
    text.parse().or_else(|error| {
        let is_date = text.len() == 10 && !text.contains(['T', 't', ' ']);
        if is_date { format!("{text}T00:00:00Z").parse() } else { Err(error) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        for (at, revision) in [(0, 0), (1_780_315_200_250_000, 42), (-1, i64::MAX), (i64::MIN, 1)] {
            let position = Position { at, revision };
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        for text in ["", "0", &"0".repeat(31), &"0".repeat(33), &"A".repeat(32), &"é".repeat(16)] {
            assert_eq!(text.parse::<Position>(), Err(InvalidCursor), "{text}");
        }
    }

    #[test]
    fn a_date_means_its_first_moment() {
        let moment = |text: &str| read_bound(text).map(|time| time.to_string()).ok();
        assert_eq!(moment("2026-06-01").unwrap(), "2026-06-01T00:00:00Z");
        assert_eq!(moment("2026-06-01T02:00:00+02:00").unwrap(), "2026-06-01T00:00:00Z");
        for text in ["", "2026-06-31", "2026-6-1", "20260601", "2026-06-01T", "yesterday", "2026-06-01Z"] {
            assert_eq!(moment(text), None, "{text}");
        }
    }
}
