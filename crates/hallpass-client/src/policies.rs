//! Reusable policies of an account.

use futures_util::Stream;
use hallpass_core::id::PolicyId;
use hallpass_core::wire::policies::Policy;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::apps::Deleted;
use crate::client::Client;
use crate::error::Error;
use crate::paging::{List, Page, Paging};
use crate::retry::Repeat;
use crate::transport::Call;

/// What a policy is to be. An update replaces everything.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PolicyDefinition {
    /// What people call it.
    pub name: String,
    /// `allow`, `deny`, `non_identity` or `bypass`; machines pass by `non_identity`.
    pub decision: String,
    /// One of these must be true; each is an object with one key.
    pub include: Vec<Value>,
    /// None of these may be true.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<Value>,
    /// All of these must be true.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub require: Vec<Value>,
    /// Its place in its application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precedence: Option<u32>,
    /// All other fields.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Which reusable policies of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListPolicies {
    /// Those with exactly this name.
    pub name: Option<String>,
    /// Those in which this text occurs.
    pub search: Option<String>,
    /// Which page.
    pub paging: Paging,
}

/// The reusable policies of an account.
#[derive(Debug, Clone)]
pub struct Policies {
    client: Client,
    path: String,
}

impl Policies {
    pub(crate) fn new(client: Client, owner: &str) -> Self {
        Self { client, path: format!("{owner}/access/policies") }
    }

    fn at(&self, id: PolicyId) -> String {
        format!("{}/{id}", self.path)
    }

    fn listed(&self, list: &ListPolicies) -> List {
        let mut filters = Vec::new();
        filters.extend(list.name.clone().map(|name| ("name", name)));
        filters.extend(list.search.clone().map(|search| ("search", search)));
        List { path: self.path.clone(), filters, paging: list.paging }
    }

    /// Makes a policy: of a [`PolicyDefinition`], or of fields as they are to be sent.
    pub async fn create(&self, policy: &(impl Serialize + Sync)) -> Result<Policy, Error> {
        self.client.one(Call::post(self.path.clone(), Repeat::Costly).with_json(policy)?).await
    }

    /// One page of the list, newest first.
    pub async fn list(&self, list: &ListPolicies) -> Result<Page<Policy>, Error> {
        self.listed(list).page(&self.client).await
    }

    /// All of the list, page after page.
    pub fn all(
        &self,
        list: &ListPolicies,
    ) -> impl Stream<Item = Result<Policy, Error>> + Send + Unpin + use<> {
        self.listed(list).all(self.client.clone())
    }

    /// One policy.
    pub async fn get(&self, id: PolicyId) -> Result<Policy, Error> {
        self.client.one(Call::get(self.at(id))).await
    }

    /// Replaces all that can be said of it, in the same way.
    pub async fn update(&self, id: PolicyId, policy: &(impl Serialize + Sync)) -> Result<Policy, Error> {
        self.client.one(Call::put(self.at(id), Repeat::Harmless).with_json(policy)?).await
    }

    /// Deletes it, if nothing refers to it.
    pub async fn delete(&self, id: PolicyId) -> Result<Deleted, Error> {
        self.client.one(Call::delete(self.at(id))).await
    }
}
