//! Policies of applications, and the groups of rules that they share.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::id::{AccountId, AppId, GroupId, PolicyId, ZoneId};
use crate::rule::Rules;
use crate::service_token::Name;
use crate::time::Timestamp;

/// What happens to a request that a policy's rules fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyDecision {
    /// People pass: `allow`.
    Allow,
    /// Nobody passes: `deny`.
    Deny,
    /// Machines pass: `non_identity`, called Service Auth on the dashboard.
    NonIdentity,
    /// Everything passes, unchecked: `bypass`.
    Bypass,
}

/// A policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Its identifier.
    pub id: PolicyId,
    /// To whom it belongs.
    pub account_id: AccountId,
    /// The zone through which it was made, if it was one.
    pub zone_id: Option<ZoneId>,
    /// The application that it belongs to and goes with; none, if it is reusable.
    pub app_id: Option<AppId>,
    /// What people call it.
    pub name: Name,
    /// What it decides.
    pub decision: PolicyDecision,
    /// When.
    pub rules: Rules,
    /// The fields as they were sent, all but those that the server makes. Replies echo them.
    pub body: Map<String, Value>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A policy as an application uses it.
#[derive(Debug, Clone, PartialEq)]
pub struct AttachedPolicy {
    /// Its place among the application's policies: the lowest number comes first, and no two are the same.
    pub precedence: u32,
    /// The policy.
    pub policy: Arc<Policy>,
}

/// Rules under a name, which policies and other groups refer to.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its identifier.
    pub id: GroupId,
    /// To whom it belongs.
    pub account_id: AccountId,
    /// The zone through which it was made, if it was one.
    pub zone_id: Option<ZoneId>,
    /// What people call it.
    pub name: Name,
    /// What it stands for.
    pub rules: Rules,
    /// The fields as they were sent, all but those that the server makes. Replies echo them.
    pub body: Map<String, Value>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl PolicyDecision {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::NonIdentity => "non_identity",
            Self::Bypass => "bypass",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Allow, Self::Deny, Self::NonIdentity, Self::Bypass]
            .into_iter()
            .find(|decision| decision.as_str() == text)
    }
}
