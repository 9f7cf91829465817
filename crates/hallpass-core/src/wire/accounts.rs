//! Accounts, zones, users and memberships as JSON, as far as clients use them to find identifiers.

use serde::{Deserialize, Serialize};

use crate::id::{AccountId, MembershipId, UserId, ZoneId};
use crate::time::Timestamp;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// When it was made.
    pub created_on: Timestamp,
    /// Its identifier.
    pub id: AccountId,
    /// What people call it.
    pub name: String,
    /// Always `standard`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// An account, as a zone names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountReference {
    /// Its identifier.
    pub id: AccountId,
    /// What people call it.
    pub name: String,
}

/// A zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// The account that owns it.
    pub account: AccountReference,
    /// When it was made.
    pub created_on: Timestamp,
    /// Its identifier.
    pub id: ZoneId,
    /// When it last changed.
    pub modified_on: Timestamp,
    /// Its domain name.
    pub name: String,
    /// Hallpass runs no name servers: always empty.
    pub name_servers: Vec<String>,
    /// Always false.
    pub paused: bool,
    /// Always `active`.
    pub status: String,
    /// Always `full`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// When it was made.
    pub created_on: Timestamp,
    /// The e-mail address.
    pub email: String,
    /// Its identifier.
    pub id: UserId,
    /// When it last changed.
    pub modified_on: Timestamp,
}

/// A user's membership of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The account.
    pub account: Account,
    /// Its identifier.
    pub id: MembershipId,
    /// Always `accepted`.
    pub status: String,
}
