//! Groups of rules of an account or a zone.

use futures_util::Stream;
use hallpass_core::id::GroupId;
use hallpass_core::wire::groups::Group;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::apps::Deleted;
use crate::client::Client;
use crate::error::Error;
use crate::paging::{List, Page, Paging};
use crate::retry::Repeat;
use crate::transport::Call;

/// What a group is to be. An update replaces everything.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct GroupDefinition {
    /// What people call it.
    pub name: String,
    /// One of these must be true; each is an object with one key.
    pub include: Vec<Value>,
    /// None of these may be true.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<Value>,
    /// All of these must be true.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub require: Vec<Value>,
    /// All other fields.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Which groups of rules of an account or a zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListGroups {
    /// Those with exactly this name.
    pub name: Option<String>,
    /// Those in which this text occurs.
    pub search: Option<String>,
    /// Which page.
    pub paging: Paging,
}

/// The groups of rules of an account or a zone.
#[derive(Debug, Clone)]
pub struct Groups {
    client: Client,
    path: String,
}

impl Groups {
    pub(crate) fn new(client: Client, owner: &str) -> Self {
        Self { client, path: format!("{owner}/access/groups") }
    }

    fn at(&self, id: GroupId) -> String {
        format!("{}/{id}", self.path)
    }

    fn listed(&self, list: &ListGroups) -> List {
        let mut filters = Vec::new();
        filters.extend(list.name.clone().map(|name| ("name", name)));
        filters.extend(list.search.clone().map(|search| ("search", search)));
        List { path: self.path.clone(), filters, paging: list.paging }
    }

    /// Makes a group: of a [`GroupDefinition`], or of fields as they are to be sent.
    pub async fn create(&self, group: &(impl Serialize + Sync)) -> Result<Group, Error> {
        self.client.one(Call::post(self.path.clone(), Repeat::Costly).with_json(group)?).await
    }

    /// One page of the list, newest first.
    pub async fn list(&self, list: &ListGroups) -> Result<Page<Group>, Error> {
        self.listed(list).page(&self.client).await
    }

    /// All of the list, page after page.
    pub fn all(&self, list: &ListGroups) -> impl Stream<Item = Result<Group, Error>> + Send + Unpin + use<> {
        self.listed(list).all(self.client.clone())
    }

    /// One group.
    pub async fn get(&self, id: GroupId) -> Result<Group, Error> {
        self.client.one(Call::get(self.at(id))).await
    }

    /// Replaces all that can be said of it, in the same way.
    pub async fn update(&self, id: GroupId, group: &(impl Serialize + Sync)) -> Result<Group, Error> {
        self.client.one(Call::put(self.at(id), Repeat::Harmless).with_json(group)?).await
    }

    /// Deletes it, if nothing refers to it.
    pub async fn delete(&self, id: GroupId) -> Result<Deleted, Error> {
        self.client.one(Call::delete(self.at(id))).await
    }
}
