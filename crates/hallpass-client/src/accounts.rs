//! Accounts, zones, the user and their memberships.

use futures_util::Stream;
use hallpass_core::id::{AccountId, ZoneId};
use hallpass_core::wire::accounts as wire;

use crate::access_requests::AccessRequests;
use crate::api_tokens::{ApiTokens, PermissionGroups};
use crate::apps::Apps;
use crate::audit_logs::AuditLogs;
use crate::client::Client;
use crate::error::Error;
use crate::explanations::Explanations;
use crate::groups::Groups;
use crate::keys::Keys;
use crate::organizations::Organizations;
use crate::paging::{List, Page, Paging};
use crate::policies::Policies;
use crate::service_tokens::ServiceTokens;
use crate::transport::Call;

fn listed(path: &str, paging: Paging) -> List {
    List { path: path.to_owned(), filters: Vec::new(), paging }
}

/// The accounts that the caller sees.
#[derive(Debug, Clone)]
pub struct Accounts(Client);

impl Accounts {
    pub(crate) fn new(client: Client) -> Self {
        Self(client)
    }

    /// One page of the list.
    pub async fn list(&self, paging: &Paging) -> Result<Page<wire::Account>, Error> {
        listed("/accounts", *paging).page(&self.0).await
    }

    /// All of them.
    pub fn all(&self) -> impl Stream<Item = Result<wire::Account, Error>> + Send + Unpin + use<> {
        listed("/accounts", Paging::default()).all(self.0.clone())
    }

    /// One account.
    pub async fn get(&self, id: AccountId) -> Result<wire::Account, Error> {
        self.0.one(Call::get(format!("/accounts/{id}"))).await
    }
}

/// What belongs to one account.
#[derive(Debug, Clone)]
pub struct Account {
    client: Client,
    path: String,
}

impl Account {
    pub(crate) fn new(client: Client, id: AccountId) -> Self {
        Self { client, path: format!("/accounts/{id}") }
    }

    /// Its applications.
    pub fn apps(&self) -> Apps {
        Apps::new(self.client.clone(), &self.path)
    }

    /// Its groups of rules.
    pub fn groups(&self) -> Groups {
        Groups::new(self.client.clone(), &self.path)
    }

    /// Its reusable policies.
    pub fn policies(&self) -> Policies {
        Policies::new(self.client.clone(), &self.path)
    }

    /// Its service tokens.
    pub fn service_tokens(&self) -> ServiceTokens {
        ServiceTokens::new(self.client.clone(), &self.path)
    }

    /// Its API tokens.
    pub fn api_tokens(&self) -> ApiTokens {
        ApiTokens::new(self.client.clone(), &self.path)
    }

    /// What policies of its API tokens can give.
    pub fn permission_groups(&self) -> PermissionGroups {
        self.api_tokens().permission_groups()
    }

    /// Its organization.
    pub fn organizations(&self) -> Organizations {
        Organizations::new(self.client.clone(), &self.path)
    }

    /// The keys that sign its assertions.
    pub fn keys(&self) -> Keys {
        Keys::new(self.client.clone(), &self.path)
    }

    /// Who did what there.
    pub fn audit_logs(&self) -> AuditLogs {
        AuditLogs::new(self.client.clone(), &self.path)
    }

    /// Why the gate decided so, and what it would do.
    pub fn explanations(&self) -> Explanations {
        Explanations::new(self.client.clone(), &self.path)
    }

    /// What the gate decided there.
    pub fn access_requests(&self) -> AccessRequests {
        AccessRequests::new(self.client.clone(), &self.path)
    }
}

/// The zones that the caller sees.
#[derive(Debug, Clone)]
pub struct Zones(Client);

impl Zones {
    pub(crate) fn new(client: Client) -> Self {
        Self(client)
    }

    /// One page of the list.
    pub async fn list(&self, paging: &Paging) -> Result<Page<wire::Zone>, Error> {
        listed("/zones", *paging).page(&self.0).await
    }

    /// All of them.
    pub fn all(&self) -> impl Stream<Item = Result<wire::Zone, Error>> + Send + Unpin + use<> {
        listed("/zones", Paging::default()).all(self.0.clone())
    }

    /// One zone.
    pub async fn get(&self, id: ZoneId) -> Result<wire::Zone, Error> {
        self.0.one(Call::get(format!("/zones/{id}"))).await
    }
}

/// What belongs to one zone.
#[derive(Debug, Clone)]
pub struct Zone {
    client: Client,
    path: String,
}

impl Zone {
    pub(crate) fn new(client: Client, id: ZoneId) -> Self {
        Self { client, path: format!("/zones/{id}") }
    }

    /// Its applications.
    pub fn apps(&self) -> Apps {
        Apps::new(self.client.clone(), &self.path)
    }

    /// Its groups of rules.
    pub fn groups(&self) -> Groups {
        Groups::new(self.client.clone(), &self.path)
    }

    /// Its service tokens.
    pub fn service_tokens(&self) -> ServiceTokens {
        ServiceTokens::new(self.client.clone(), &self.path)
    }
}

/// The user who calls.
#[derive(Debug, Clone)]
pub struct User(Client);

impl User {
    pub(crate) fn new(client: Client) -> Self {
        Self(client)
    }

    /// Who that is.
    pub async fn get(&self) -> Result<wire::User, Error> {
        self.0.one(Call::get("/user".to_owned())).await
    }

    /// Their API tokens.
    pub fn api_tokens(&self) -> ApiTokens {
        ApiTokens::new(self.0.clone(), "/user")
    }
}

/// The memberships of the user who calls.
#[derive(Debug, Clone)]
pub struct Memberships(Client);

impl Memberships {
    pub(crate) fn new(client: Client) -> Self {
        Self(client)
    }

    /// One page of the list.
    pub async fn list(&self, paging: &Paging) -> Result<Page<wire::Membership>, Error> {
        listed("/memberships", *paging).page(&self.0).await
    }

    /// All of them.
    pub fn all(&self) -> impl Stream<Item = Result<wire::Membership, Error>> + Send + Unpin + use<> {
        listed("/memberships", Paging::default()).all(self.0.clone())
    }
}
