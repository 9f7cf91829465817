//! The access log of an account: what the gate decided.

use futures_util::Stream;
use hallpass_core::id::{AppId, ServiceTokenId};
use hallpass_core::time::Timestamp;
use hallpass_core::wire::access_log::AccessRequest;

use crate::api_tokens::Direction;
use crate::client::Client;
use crate::error::Error;
use crate::paging::{List, Page, Paging};

/// Which part of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListAccessRequests {
    /// From this moment on.
    pub since: Option<Timestamp>,
    /// Up to this moment.
    pub until: Option<Timestamp>,
    /// Which entries come first; the newest, if nothing is said.
    pub direction: Option<Direction>,
    /// Only what was accepted, or only what was refused. The original has no such filter.
    pub allowed: Option<bool>,
    /// Only what was asked of this application.
    pub app: Option<AppId>,
    /// Only what this token asked. The original has no such filter.
    pub service_token: Option<ServiceTokenId>,
    /// Which page.
    pub paging: Paging,
}

/// The access log of an account; needs *Access: Audit Logs Read* there.
#[derive(Debug, Clone)]
pub struct AccessRequests {
    client: Client,
    path: String,
}

impl AccessRequests {
    pub(crate) fn new(client: Client, owner: &str) -> Self {
        Self { client, path: format!("{owner}/access/logs/access_requests") }
    }

    fn listed(&self, list: &ListAccessRequests) -> List {
        let mut filters = Vec::new();
        filters.extend(list.since.map(|since| ("since", since.to_string())));
        filters.extend(list.until.map(|until| ("until", until.to_string())));
        filters.extend(list.direction.map(|direction| ("direction", direction.as_str().to_owned())));
        filters.extend(list.allowed.map(|allowed| ("allowed", allowed.to_string())));
        filters.extend(list.app.map(|app| ("app_uid", app.to_string())));
        filters.extend(list.service_token.map(|token| ("service_token_id", token.to_string())));
        List { path: self.path.clone(), filters, paging: list.paging }
    }

    /// One page.
    pub async fn list(&self, list: &ListAccessRequests) -> Result<Page<AccessRequest>, Error> {
        self.listed(list).page(&self.client).await
    }

    /// All of it, page after page. What is decided meanwhile may move an entry to another page.
    pub fn all(
        &self,
        list: &ListAccessRequests,
    ) -> impl Stream<Item = Result<AccessRequest, Error>> + Send + Unpin + use<> {
        self.listed(list).all(self.client.clone())
    }
}
