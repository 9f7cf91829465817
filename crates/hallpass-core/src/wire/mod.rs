//! The only types that are JSON: what goes over the wire in both directions.
//!
//! Replies are plain structs. Requests are *read*: every field is looked at, and all that is wrong with a body is told at once,
//! each with a JSON pointer (RFC 6901) to the culprit.

pub mod access_log;
pub mod accounts;
pub mod api_tokens;
pub mod apps;
pub mod audit;
pub mod body;
pub mod codes;
pub mod envelope;
pub mod explanations;
pub mod groups;
pub mod inactivity;
pub mod keys;
pub mod organizations;
pub mod policies;
mod rules;
pub mod service_tokens;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::secret::ClientSecret;

/// A secret in the one reply that shows it. It is JSON, but nothing that a log could print.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RevealedSecret(String);

impl RevealedSecret {
    /// Shows a secret.
    pub fn of(secret: &ClientSecret) -> Self {
        Self(secret.reveal().to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RevealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RevealedSecret(redacted)")
    }
}
