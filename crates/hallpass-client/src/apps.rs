//! Applications of an account or a zone, and the policies that are theirs.

use futures_util::Stream;
use hallpass_core::id::{AppId, PolicyId};
use hallpass_core::wire::apps::App;
use hallpass_core::wire::policies::Policy;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::client::Client;
use crate::error::Error;
use crate::paging::{List, Page, Paging};
use crate::retry::Repeat;
use crate::transport::Call;

/// What an application is to be. An update replaces everything; what is not said is gone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AppDefinition {
    /// `self_hosted`, the one type that Hallpass has.
    #[serde(rename = "type")]
    pub kind: String,
    /// The host, and the path if need be.
    pub domain: String,
    /// What people call it; the domain, if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How long an assertion for it is good; `24h`, if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_duration: Option<String>,
    /// Identifiers, `{id, precedence}`, or whole policies. An update that does not say keeps those that are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policies: Option<Vec<Value>>,
    /// All other fields.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl AppDefinition {
    /// A self-hosted application on this host and path, and the server's word on everything else.
    pub fn at(domain: impl Into<String>) -> Self {
        Self {
            kind: "self_hosted".to_owned(),
            domain: domain.into(),
            name: None,
            session_duration: None,
            policies: None,
            more: Map::new(),
        }
    }
}

/// Which applications.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListApps {
    /// Those with exactly this name.
    pub name: Option<String>,
    /// The one that protects exactly this.
    pub domain: Option<String>,
    /// The one with this audience tag.
    pub aud: Option<String>,
    /// Those in which this text occurs.
    pub search: Option<String>,
    /// Which page.
    pub paging: Paging,
}

/// What is left of an object that was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Deleted {
    /// Its identifier.
    pub id: String,
}

/// The applications of an account or a zone.
#[derive(Debug, Clone)]
pub struct Apps {
    client: Client,
    path: String,
}

impl Apps {
    pub(crate) fn new(client: Client, owner: &str) -> Self {
        Self { client, path: format!("{owner}/access/apps") }
    }

    fn at(&self, id: AppId) -> String {
        format!("{}/{id}", self.path)
    }

    fn listed(&self, list: &ListApps) -> List {
        let mut filters = Vec::new();
        filters.extend(list.name.clone().map(|name| ("name", name)));
        filters.extend(list.domain.clone().map(|domain| ("domain", domain)));
        filters.extend(list.aud.clone().map(|aud| ("aud", aud)));
        filters.extend(list.search.clone().map(|search| ("search", search)));
        List { path: self.path.clone(), filters, paging: list.paging }
    }

    /// Makes an application: of an [`AppDefinition`], or of fields as they are to be sent.
    pub async fn create(&self, app: &(impl Serialize + Sync)) -> Result<App, Error> {
        self.client.one(Call::post(self.path.clone(), Repeat::Costly).with_json(app)?).await
    }

    /// One page of the list, newest first.
    pub async fn list(&self, list: &ListApps) -> Result<Page<App>, Error> {
        self.listed(list).page(&self.client).await
    }

    /// All of the list, page after page.
    pub fn all(&self, list: &ListApps) -> impl Stream<Item = Result<App, Error>> + Send + Unpin + use<> {
        self.listed(list).all(self.client.clone())
    }

    /// One application.
    pub async fn get(&self, id: AppId) -> Result<App, Error> {
        self.client.one(Call::get(self.at(id))).await
    }

    /// Replaces all that can be said of it, in the same way.
    pub async fn update(&self, id: AppId, app: &(impl Serialize + Sync)) -> Result<App, Error> {
        self.client.one(Call::put(self.at(id), Repeat::Harmless).with_json(app)?).await
    }

    /// Deletes it, with the policies that are its own.
    pub async fn delete(&self, id: AppId) -> Result<Deleted, Error> {
        self.client.one(Call::delete(self.at(id))).await
    }

    /// Revokes the assertions that were issued for it.
    pub async fn revoke_tokens(&self, id: AppId) -> Result<(), Error> {
        self.client.done(Call::post(format!("{}/revoke_tokens", self.at(id)), Repeat::Harmless)).await
    }

    /// The policies that it uses.
    pub fn policies(&self, id: AppId) -> AppPolicies {
        AppPolicies { client: self.client.clone(), path: format!("{}/policies", self.at(id)) }
    }
}

/// The policies that one application uses.
#[derive(Debug, Clone)]
pub struct AppPolicies {
    client: Client,
    path: String,
}

impl AppPolicies {
    fn at(&self, id: PolicyId) -> String {
        format!("{}/{id}", self.path)
    }

    fn listed(&self, paging: &Paging) -> List {
        List { path: self.path.clone(), filters: Vec::new(), paging: *paging }
    }

    /// Makes a policy that belongs to the application: of a [`PolicyDefinition`](crate::PolicyDefinition), or of fields as they are
    /// to be sent.
    pub async fn create(&self, policy: &(impl Serialize + Sync)) -> Result<Policy, Error> {
        self.client.one(Call::post(self.path.clone(), Repeat::Costly).with_json(policy)?).await
    }

    /// One page of the list, by precedence.
    pub async fn list(&self, paging: &Paging) -> Result<Page<Policy>, Error> {
        self.listed(paging).page(&self.client).await
    }

    /// All of the list, page after page.
    pub fn all(&self, paging: &Paging) -> impl Stream<Item = Result<Policy, Error>> + Send + Unpin + use<> {
        self.listed(paging).all(self.client.clone())
    }

    /// One policy.
    pub async fn get(&self, id: PolicyId) -> Result<Policy, Error> {
        self.client.one(Call::get(self.at(id))).await
    }

    /// Replaces all that can be said of a policy of its own, in the same way; the precedence stays if none is said.
    pub async fn update(&self, id: PolicyId, policy: &(impl Serialize + Sync)) -> Result<Policy, Error> {
        self.client.one(Call::put(self.at(id), Repeat::Harmless).with_json(policy)?).await
    }

    /// Deletes a policy of its own.
    pub async fn delete(&self, id: PolicyId) -> Result<Deleted, Error> {
        self.client.one(Call::delete(self.at(id))).await
    }

    /// Makes a policy of its own one that other applications can use. On an account's path alone.
    pub async fn make_reusable(&self, id: PolicyId) -> Result<Policy, Error> {
        self.client.one(Call::put(format!("{}/make_reusable", self.at(id)), Repeat::Harmless)).await
    }
}
