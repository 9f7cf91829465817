//! The organization of an account: what holds for all of its applications.

use futures_util::Stream;
use hallpass_core::wire::inactivity::{InactiveServiceToken, THRESHOLD};
use hallpass_core::wire::organizations::Organization;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::client::Client;
use crate::error::Error;
use crate::paging::{List, Page, Paging};
use crate::retry::Repeat;
use crate::transport::Call;

/// What an organization is to be. A replacement forgets every other field.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ReplaceOrganization {
    /// The host name that issues assertions.
    pub auth_domain: String,
    /// What people call it; its present name, if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// All other fields.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// The organization of an account or a zone.
#[derive(Debug, Clone)]
pub struct Organizations {
    client: Client,
    path: String,
}

impl Organizations {
    pub(crate) fn new(client: Client, owner: &str) -> Self {
        Self { client, path: format!("{owner}/access/organizations") }
    }

    fn inactive(&self, days: Option<u32>, paging: Paging) -> List {
        let path = format!("{}/inactive_service_tokens", self.path);
        let days = days.map(|days| (THRESHOLD, days.to_string()));
        List { path, filters: days.into_iter().collect(), paging }
    }

    /// The organization.
    pub async fn get(&self) -> Result<Organization, Error> {
        self.client.one(Call::get(self.path.clone())).await
    }

    /// A page of the service tokens that nobody has used for so many days, and what would be done with them now, whether or not it is
    /// enabled; `None` is about the days that the organization names. An account has them, a zone does not.
    pub async fn inactive_service_tokens(
        &self,
        days: Option<u32>,
        paging: Paging,
    ) -> Result<Page<InactiveServiceToken>, Error> {
        self.inactive(days, paging).page(&self.client).await
    }

    /// All of them, page after page.
    pub fn all_inactive_service_tokens(
        &self,
        days: Option<u32>,
        paging: Paging,
    ) -> impl Stream<Item = Result<InactiveServiceToken, Error>> + Send + Unpin + use<> {
        self.inactive(days, paging).all(self.client.clone())
    }

    /// Makes it. Hallpass has one for every account already, and replaces it.
    pub async fn create(&self, organization: &ReplaceOrganization) -> Result<Organization, Error> {
        self.client.one(Call::post(self.path.clone(), Repeat::Harmless).with_json(organization)?).await
    }

    /// Replaces it.
    pub async fn replace(&self, organization: &ReplaceOrganization) -> Result<Organization, Error> {
        self.client.one(Call::put(self.path.clone(), Repeat::Harmless).with_json(organization)?).await
    }

    /// Merges these fields into it (RFC 7396): what is not named is kept, and `null` takes away.
    pub async fn merge(&self, fields: &Map<String, Value>) -> Result<Organization, Error> {
        self.client.one(Call::patch(self.path.clone(), Repeat::Harmless).with_json(fields)?).await
    }
}
