//! Applications: what is protected, by host and path.

use std::fmt::{self, Write as _};

use serde_json::{Map, Value};

use crate::id::{AccountId, AppId, ZoneId};
use crate::policy::AttachedPolicy;
use crate::service_token::Name;
use crate::time::Timestamp;

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
    /// How long an assertion for it is good, in seconds: at most a day (compatibility, D28).
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
        let mut text = String::with_capacity(64);
        for byte in bytes {
            // Writing to a text cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// Reads a tag.
    pub fn parse(text: &str) -> Option<Self> {
        crate::id::decode_hex::<32>(text).map(|_| Self(text.to_owned()))
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
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern {
    text: String,
}

impl Pattern {
    /// The canonical text: the host in lower case, and the path, if there is one.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}
