//! API tokens of a user or an account.

use futures_util::Stream;
use hallpass_core::id::{AccountId, ApiTokenId, PermissionGroupId, TokenPolicyId, ZoneId};
use hallpass_core::wire::RevealedSecret;
use hallpass_core::wire::api_tokens::{ApiToken, Condition, PermissionGroup, Verification};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::client::Client;
use crate::error::Error;
use crate::paging::{List, Page, Paging};
use crate::retry::Repeat;
use crate::transport::Call;

/// What a new API token is to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CreateApiToken {
    /// What people call it.
    pub name: String,
    /// What it may do: at least one policy.
    pub policies: Vec<ApiTokenPolicy>,
    /// From where it may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// From when on it may be used, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// Until when it may be used, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_on: Option<String>,
}

/// What an API token is to be from now on. An update replaces: what is not said is gone, but for the status.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct UpdateApiToken {
    /// What people call it.
    pub name: String,
    /// Whether it may be used; stays, if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<ApiTokenStatus>,
    /// What it may do: at least one policy.
    pub policies: Vec<ApiTokenPolicy>,
    /// From where it may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// From when on it may be used, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// Until when it may be used, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_on: Option<String>,
}

/// Whether an API token may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ApiTokenStatus {
    /// It may.
    Active,
    /// It may not.
    Disabled,
}

/// One policy of an API token.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ApiTokenPolicy {
    /// Its identifier, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<TokenPolicyId>,
    /// Whether it gives or takes; what is taken stays taken.
    pub effect: Effect,
    /// What it gives or takes.
    pub permission_groups: Vec<GroupInPolicy>,
    /// On what: `{"com.cloudflare.api.account.<id>": "*"}`.
    pub resources: Map<String, Value>,
}

/// Whether a policy gives or takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It gives.
    Allow,
    /// It takes.
    Deny,
}

/// A permission group in a policy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupInPolicy {
    /// Its identifier.
    pub id: PermissionGroupId,
    /// The sender's notes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<Value>,
}

/// The token has a policy that neither allows nor denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token has a policy that neither allows nor denies")]
pub struct UnknownEffect;

impl ApiTokenPolicy {
    /// Gives these groups on an account.
    pub fn allow_on_account(account: AccountId, groups: &[PermissionGroupId]) -> Self {
        Self::allow(groups, format!("com.cloudflare.api.account.{account}"))
    }

    /// Gives these groups on a zone.
    pub fn allow_on_zone(zone: ZoneId, groups: &[PermissionGroupId]) -> Self {
        Self::allow(groups, format!("com.cloudflare.api.account.zone.{zone}"))
    }

    fn allow(groups: &[PermissionGroupId], resource: String) -> Self {
        Self {
            id: None,
            effect: Effect::Allow,
            permission_groups: groups.iter().map(|&id| GroupInPolicy { id, meta: None }).collect(),
            resources: Map::from_iter([(resource, Value::from("*"))]),
        }
    }
}

impl TryFrom<&ApiToken> for UpdateApiToken {
    type Error = UnknownEffect;

    /// The update that changes nothing: a place to begin, since an update replaces.
    fn try_from(token: &ApiToken) -> Result<Self, UnknownEffect> {
        let policies = token.policies.iter().map(|policy| {
            let groups = policy.permission_groups.iter();
            Ok(ApiTokenPolicy {
                id: Some(policy.id),
                effect: match policy.effect.as_str() {
                    "allow" => Effect::Allow,
                    "deny" => Effect::Deny,
                    _ => return Err(UnknownEffect),
                },
                permission_groups: groups
                    .map(|group| GroupInPolicy { id: group.id, meta: group.meta.clone() })
                    .collect(),
                resources: policy.resources.clone(),
            })
        });
        Ok(Self {
            name: token.name.clone(),
            status: None,
            policies: policies.collect::<Result<_, _>>()?,
            condition: token.condition.clone(),
            not_before: token.not_before.clone(),
            expires_on: token.expires_on.clone(),
        })
    }
}

/// Which API tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListApiTokens {
    /// In which order; newest first, if nothing is said.
    pub direction: Option<Direction>,
    /// Whether those that have expired are listed; they are not, if nothing is said.
    pub include_expired: Option<bool>,
    /// Which page.
    pub paging: Paging,
}

/// The order of a list, by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    Ascending,
    /// Newest first.
    Descending,
}

impl Direction {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ascending => "asc",
            Self::Descending => "desc",
        }
    }
}

/// The API tokens of a user or an account.
#[derive(Debug, Clone)]
pub struct ApiTokens {
    client: Client,
    path: String,
}

impl ApiTokens {
    pub(crate) fn new(client: Client, owner: &str) -> Self {
        Self { client, path: format!("{owner}/tokens") }
    }

    fn at(&self, id: ApiTokenId) -> String {
        format!("{}/{id}", self.path)
    }

    fn listed(&self, list: &ListApiTokens) -> List {
        let mut filters = Vec::new();
        filters.extend(list.direction.map(|direction| ("direction", direction.as_str().to_owned())));
        filters.extend(list.include_expired.map(|include| ("include_expired", include.to_string())));
        List { path: self.path.clone(), filters, paging: list.paging }
    }

    /// Makes a token. The reply is the only one that shows its secret.
    pub async fn create(&self, token: &CreateApiToken) -> Result<ApiToken, Error> {
        self.client.one(Call::post(self.path.clone(), Repeat::Costly).with_json(token)?).await
    }

    /// One page of the list.
    pub async fn list(&self, list: &ListApiTokens) -> Result<Page<ApiToken>, Error> {
        self.listed(list).page(&self.client).await
    }

    /// All of the list, page after page. A token that is made or deleted meanwhile may come twice, or not at all.
    pub fn all(
        &self,
        list: &ListApiTokens,
    ) -> impl Stream<Item = Result<ApiToken, Error>> + Send + Unpin + use<> {
        self.listed(list).all(self.client.clone())
    }

    /// One token.
    pub async fn get(&self, id: ApiTokenId) -> Result<ApiToken, Error> {
        self.client.one(Call::get(self.at(id))).await
    }

    /// Replaces all that is said of a token; its secret stays.
    pub async fn update(&self, id: ApiTokenId, token: &UpdateApiToken) -> Result<ApiToken, Error> {
        self.client.one(Call::put(self.at(id), Repeat::Harmless).with_json(token)?).await
    }

    /// Deletes it. Where the reply to a first attempt was lost, the second one finds nothing: the error is then
    /// [`NotFound`](crate::ErrorKind::NotFound).
    pub async fn delete(&self, id: ApiTokenId) -> Result<(), Error> {
        self.client.done(Call::delete(self.at(id))).await
    }

    /// Whether the token that the caller shows can be used. It must be asked where the token belongs: at its user or its account.
    pub async fn verify(&self) -> Result<Verification, Error> {
        self.client.one(Call::get(format!("{}/verify", self.path))).await
    }

    /// Replaces its secret. The old one is dead at once.
    pub async fn roll(&self, id: ApiTokenId) -> Result<RevealedSecret, Error> {
        let call = Call::put(format!("{}/value", self.at(id)), Repeat::Costly);
        self.client.one(call.with_json(&Map::new())?).await
    }

    /// What policies can give.
    pub fn permission_groups(&self) -> PermissionGroups {
        PermissionGroups { client: self.client.clone(), path: format!("{}/permission_groups", self.path) }
    }
}

/// Which permission groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListPermissionGroups {
    /// Those whose name holds this text, the one that is called so first.
    pub name: Option<String>,
    /// Those that act on this: `com.cloudflare.api.account`.
    pub scope: Option<String>,
    /// Which page.
    pub paging: Paging,
}

/// What policies can give.
#[derive(Debug, Clone)]
pub struct PermissionGroups {
    client: Client,
    path: String,
}

impl PermissionGroups {
    fn listed(&self, list: &ListPermissionGroups) -> List {
        let mut filters = Vec::new();
        filters.extend(list.name.clone().map(|name| ("name", name)));
        filters.extend(list.scope.clone().map(|scope| ("scope", scope)));
        List { path: self.path.clone(), filters, paging: list.paging }
    }

    /// One page of the list.
    pub async fn list(&self, list: &ListPermissionGroups) -> Result<Page<PermissionGroup>, Error> {
        self.listed(list).page(&self.client).await
    }

    /// All of the list.
    pub fn all(
        &self,
        list: &ListPermissionGroups,
    ) -> impl Stream<Item = Result<PermissionGroup, Error>> + Send + Unpin + use<> {
        self.listed(list).all(self.client.clone())
    }
}
