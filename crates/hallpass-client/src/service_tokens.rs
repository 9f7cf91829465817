//! Service tokens of an account or a zone.

use futures_util::Stream;
use hallpass_core::id::ServiceTokenId;
use hallpass_core::service_token::Patch;
use hallpass_core::time::Timestamp;
use hallpass_core::wire::service_tokens::{LastUse, ServiceToken};
use serde::{Serialize, Serializer};

use crate::client::Client;
use crate::error::Error;
use crate::paging::{List, Page, Paging};
use crate::retry::Repeat;
use crate::transport::Call;

/// What a new service token is to be. What is not said, the server decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CreateServiceToken {
    /// What people call it: 1 to 350 characters.
    pub name: String,
    /// How long it is good for: `8760h`, `2h45m`, `forever`. A year, if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Whether it may be used; it may, if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The number of its first secret; 1, if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_version: Option<u32>,
    /// Until when a previous secret counts, for later rotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_client_secret_expires_at: Option<Timestamp>,
}

impl CreateServiceToken {
    /// A token with this name, and the server's word on everything else.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// What is to change on a service token. What is not said stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct UpdateServiceToken {
    /// Another name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Another duration, which counts from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Whether it may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// A number above the present one rotates the secret. Such an update is never sent twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_version: Option<u32>,
    /// Until when the previous secret counts.
    #[serde(skip_serializing_if = "is_kept", serialize_with = "set_or_null")]
    pub previous_client_secret_expires_at: Patch<Timestamp>,
}

/// How a secret is to be replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RotateServiceToken {
    /// Until when the replaced secret still counts; if nothing is said, it is dead at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_client_secret_expires_at: Option<Timestamp>,
}

/// Which service tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListServiceTokens {
    /// Those with exactly this name.
    pub name: Option<String>,
    /// Those in which this text occurs.
    pub search: Option<String>,
    /// Which page.
    pub paging: Paging,
}

fn is_kept<T>(patch: &Patch<T>) -> bool {
    matches!(patch, Patch::Keep)
}

fn set_or_null<S: Serializer>(patch: &Patch<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match patch {
        Patch::Set(time) => serializer.serialize_some(time),
        Patch::Keep | Patch::Clear => serializer.serialize_none(),
    }
}

/// The service tokens of an account or a zone.
#[derive(Debug, Clone)]
pub struct ServiceTokens {
    client: Client,
    path: String,
}

impl ServiceTokens {
    pub(crate) fn new(client: Client, owner: &str) -> Self {
        Self { client, path: format!("{owner}/access/service_tokens") }
    }

    fn at(&self, id: ServiceTokenId) -> String {
        format!("{}/{id}", self.path)
    }

    fn listed(&self, list: &ListServiceTokens) -> List {
        let mut filters = Vec::new();
        filters.extend(list.name.clone().map(|name| ("name", name)));
        filters.extend(list.search.clone().map(|search| ("search", search)));
        List { path: self.path.clone(), filters, paging: list.paging }
    }

    fn uses(&self, id: ServiceTokenId, paging: Paging) -> List {
        List { path: format!("{}/last_uses", self.at(id)), filters: Vec::new(), paging }
    }

    /// Makes a token. The reply is the only one that shows its secret.
    pub async fn create(&self, token: &CreateServiceToken) -> Result<ServiceToken, Error> {
        self.client.one(Call::post(self.path.clone(), Repeat::Costly).with_json(token)?).await
    }

    /// One page of the list, newest first.
    pub async fn list(&self, list: &ListServiceTokens) -> Result<Page<ServiceToken>, Error> {
        self.listed(list).page(&self.client).await
    }

    /// All of the list, page after page. A token that is made or deleted meanwhile may come twice, or not at all.
    pub fn all(
        &self,
        list: &ListServiceTokens,
    ) -> impl Stream<Item = Result<ServiceToken, Error>> + Send + Unpin + use<> {
        self.listed(list).all(self.client.clone())
    }

    /// One token.
    pub async fn get(&self, id: ServiceTokenId) -> Result<ServiceToken, Error> {
        self.client.one(Call::get(self.at(id))).await
    }

    /// A page of when each application last accepted each of its secrets, the newest first. The original has no such list.
    pub async fn last_uses(&self, id: ServiceTokenId, paging: Paging) -> Result<Page<LastUse>, Error> {
        self.uses(id, paging).page(&self.client).await
    }

    /// All of them, page after page.
    pub fn all_last_uses(
        &self,
        id: ServiceTokenId,
        paging: Paging,
    ) -> impl Stream<Item = Result<LastUse, Error>> + Send + Unpin + use<> {
        self.uses(id, paging).all(self.client.clone())
    }

    /// Changes what is said, and keeps the rest. Shows a secret only where the update made one.
    pub async fn update(
        &self,
        id: ServiceTokenId,
        change: &UpdateServiceToken,
    ) -> Result<ServiceToken, Error> {
        let repeat = match change.client_secret_version {
            Some(_) => Repeat::Costly,
            None => Repeat::Harmless,
        };
        self.client.one(Call::put(self.at(id), repeat).with_json(change)?).await
    }

    /// Makes it good for its whole duration again, counted from now. Never a new secret, never an earlier expiry.
    pub async fn refresh(&self, id: ServiceTokenId) -> Result<ServiceToken, Error> {
        self.client.one(Call::post(format!("{}/refresh", self.at(id)), Repeat::Harmless)).await
    }

    /// Replaces its secret. The reply is the only one that shows the new one.
    pub async fn rotate(&self, id: ServiceTokenId, how: &RotateServiceToken) -> Result<ServiceToken, Error> {
        let call = Call::post(format!("{}/rotate", self.at(id)), Repeat::Costly);
        self.client.one(call.with_json(how)?).await
    }

    /// Deletes it, and gives what it last was. Where the reply to a first attempt was lost, the second one finds nothing: the error is
    /// then [`NotFound`](crate::ErrorKind::NotFound).
    pub async fn delete(&self, id: ServiceTokenId) -> Result<ServiceToken, Error> {
        self.client.one(Call::delete(self.at(id))).await
    }
}
