//! The access log as JSON: what the gate decided.

use serde::{Deserialize, Serialize};

use crate::id::{AppId, ServiceTokenId};
use crate::time::Timestamp;

/// One refusal, or all that an application accepted of one secret within a minute. The last four fields are Hallpass' own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRequest {
    /// Always `login`.
    pub action: String,
    /// Whether it was accepted.
    pub allowed: bool,
    /// The application's first host and path; absent where no application was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_domain: Option<String>,
    /// The application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_uid: Option<AppId>,
    /// Always `service_token`.
    pub connection: String,
    /// When; of acceptances, the beginning of their minute.
    pub created_at: Timestamp,
    /// The client's address; empty for acceptances, which may come from several.
    pub ip_address: String,
    /// The identifier of this entry.
    pub ray_id: String,
    /// Always empty: machines have none.
    pub user_email: String,
    /// Which of the token's secrets was accepted: `current`, or `previous` within its grace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// For how many requests this entry stands.
    #[serde(default = "one")]
    pub count: u64,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The service token, where it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_token_id: Option<ServiceTokenId>,
}

fn one() -> u64 {
    1
}
