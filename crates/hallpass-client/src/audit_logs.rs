//! The audit log of an account.

use futures_util::Stream;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use hallpass_core::time::Timestamp;
use hallpass_core::wire::audit::AuditEntry;

use crate::api_tokens::Direction;
use crate::client::Client;
use crate::error::Error;
use crate::transport::Call;

/// Which part of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListAuditLogs {
    /// From this moment on.
    pub since: Timestamp,
    /// Up to this moment, which is not part of it.
    pub before: Timestamp,
    /// Which entries come first; the newest, if nothing is said.
    pub direction: Option<Direction>,
    /// How many entries a page has; Hallpass gives at most 1000.
    pub limit: Option<u32>,
    /// From where to go on: [`AuditPage::cursor`] of the page before.
    pub cursor: Option<String>,
    /// The API's filters by name, such as `("resource_type", "service_token")`; with `.not` behind the name, the opposite.
    pub filters: Vec<(&'static str, String)>,
}

impl ListAuditLogs {
    /// All entries of a time.
    pub fn between(since: Timestamp, before: Timestamp) -> Self {
        Self { since, before, direction: None, limit: None, cursor: None, filters: Vec::new() }
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = vec![("since", self.since.to_string()), ("before", self.before.to_string())];
        query.extend(self.direction.map(|direction| ("direction", direction.as_str().to_owned())));
        query.extend(self.limit.map(|limit| ("limit", limit.to_string())));
        query.extend(self.cursor.clone().map(|cursor| ("cursor", cursor)));
        query.extend(self.filters.iter().cloned());
        query
    }
}

/// A page of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditPage {
    /// What happened.
    pub items: Vec<AuditEntry>,
    /// From where to go on; absent on the last page.
    pub cursor: Option<String>,
}

/// The audit log of an account; needs *Access: Audit Logs Read* there.
#[derive(Debug, Clone)]
pub struct AuditLogs {
    client: Client,
    path: String,
}

impl AuditLogs {
    pub(crate) fn new(client: Client, owner: &str) -> Self {
        Self { client, path: format!("{owner}/logs/audit") }
    }

    /// One page.
    pub async fn list(&self, list: &ListAuditLogs) -> Result<AuditPage, Error> {
        let (items, cursor) = self.client.part(Call::get(self.path.clone()).with_query(list.query())).await?;
        Ok(AuditPage { items, cursor })
    }

    /// All entries, page after page. A server that gives the same cursor again has nothing more.
    pub fn all(
        &self,
        list: &ListAuditLogs,
    ) -> impl Stream<Item = Result<AuditEntry, Error>> + Send + Unpin + use<> {
        let logs = self.clone();
        let pages = stream::try_unfold(Some(list.clone()), move |asked| {
            let logs = logs.clone();
            async move {
                let Some(mut asked) = asked else { return Ok(None) };
                let AuditPage { items, cursor } = logs.list(&asked).await?;
                let goes_on = cursor.is_some() && cursor != asked.cursor && !items.is_empty();
                asked.cursor = cursor;
                Ok(Some((stream::iter(items).map(Ok), goes_on.then_some(asked))))
            }
        });
        Box::pin(pages.try_flatten())
    }
}
