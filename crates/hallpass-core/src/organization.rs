//! Organizations: what holds for all applications of an account. Each account has exactly one.

use serde_json::{Map, Value};

use crate::id::AccountId;
use crate::time::Timestamp;

/// An account's organization.
#[derive(Debug, Clone, PartialEq)]
pub struct Organization {
    /// Whose it is.
    pub account_id: AccountId,
    /// The host name that issues assertions: `iss` is `https://` and this (compatibility, D28).
    pub auth_domain: String,
    /// What people call it.
    pub name: String,
    /// What happens to service tokens that nobody uses.
    pub inactivity: Option<Inactivity>,
    /// The fields as they were sent, all but those that the server makes. Replies echo them.
    pub body: Map<String, Value>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What happens to service tokens that were not used for so long, and to which no policy or group refers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inactivity {
    /// After how many days.
    pub days: u32,
    /// What then.
    pub action: InactivityAction,
}

/// What is done with an unused service token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InactivityAction {
    /// It is disabled: `disable`.
    Disable,
    /// It is deleted: `delete`.
    Delete,
}
