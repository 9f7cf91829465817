//! Explanations for the owner: what the reference of a refusal stands for, and what would happen to a request, rule by rule.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use hallpass_core::app::AppIndex;
use hallpass_core::caller::{Grant, Scope};
use hallpass_core::client_id::ClientId;
use hallpass_core::decision::{Facts, KnownServiceToken, explain};
use hallpass_core::explanation::explain_unknown;
use hallpass_core::id::{AccountId, GroupId};
use hallpass_core::permission::Permission;
use hallpass_core::request::CanonicalRequest;
use hallpass_core::rule::Rules;
use hallpass_core::secret::SecretDigest;
use hallpass_core::wire::explanations::{Explanation, Refusal};

use super::auth::Authenticated;
use super::error::ApiError;
use super::extract::{At, Query};
use super::{Api, ok};
use crate::store::Paging;
use crate::store::error::StoreError;
use crate::store::service_tokens::TokenFilter;

/// The groups, by which rules may be told.
struct Groups(HashMap<GroupId, Rules>);

impl Facts for Groups {
    fn service_token(&self, _: &ClientId) -> Option<KnownServiceToken> {
        None
    }

    fn group(&self, id: GroupId) -> Option<&Rules> {
        self.0.get(&id)
    }
}

pub(super) async fn get(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    query: Query,
) -> Result<Response, ApiError> {
    let account: AccountId = at.id("account_id")?;
    let grant = caller.grant(Permission::APPS_READ, Scope::Account(account))?;
    match query.get("reference")? {
        Some(reference) => Ok(ok(opened(&api, &grant, reference).await?)),
        None => Ok(ok(foreseen(&api, &grant, account, &query).await?)),
    }
}

/// What a reference stands for. One of another account, one of another server and one that was made up are all the same: not there.
/// One of nobody is there for everybody.
async fn opened(api: &Api, grant: &Grant, reference: &str) -> Result<Refusal, ApiError> {
    let refusal = api.references.open(reference).ok_or(ApiError::NotFound)?;
    let app = match refusal.app {
        Some(id) => api.store.apps().find(grant, id).await?,
        None => None,
    };
    let token = match refusal.token {
        Some(id) => api.store.service_tokens().find(grant, id).await?,
        None => None,
    };
    // Who was refused before an application was found has a reference that names nothing of anybody: whoever may ask in their own
    // account is told reason and time. That no application covers a request, a made-up credential shows as well, by 403 where one
    // that does would answer 401.
    let of_nobody = refusal.app.is_none() && refusal.token.is_none();
    if app.is_none() && token.is_none() && !of_nobody {
        return Err(ApiError::NotFound);
    }
    let token = token.as_ref().map(|stored| &*stored.token);
    Ok(Refusal::show(refusal.reason, refusal.at, app.as_ref(), token))
}

/// What would happen to a request, by what the store holds now.
async fn foreseen(
    api: &Api,
    grant: &Grant,
    account: AccountId,
    query: &Query,
) -> Result<Explanation, ApiError> {
    let host =
        query.get("host")?.ok_or_else(|| ApiError::invalid("/host", "host or reference must be given"))?;
    let path = query.get("path")?.unwrap_or("/");
    let client = match query.get("ip")?.map(str::parse::<IpAddr>) {
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Some(Ok(client)) => client.to_canonical(),
        Some(Err(_)) => return Err(ApiError::invalid("/ip", "ip must be an address")),
    };
    let client_id = query.get("client_id")?.map(str::parse::<ClientId>).transpose();
    let client_id = client_id.map_err(|rule| ApiError::invalid("/client_id", rule.to_string()))?;
    let request = CanonicalRequest::new(host.as_bytes(), path.as_bytes(), client)
        .map_err(|rule| ApiError::invalid("/path", format!("the gate would refuse this with 400: {rule}")))?;
    let guarded = api.store.guarded().await?;
    // Whoever has the most specific application decides, and no other account is told that it is somebody else.
    let index = AppIndex::new(guarded.apps.into_iter().map(Arc::new));
    let Some(app) = index.find(&request).filter(|app| app.account_id == account) else {
        return Ok(Explanation::uncovered(&request));
    };
    let groups = Groups(guarded.groups.into_iter().map(|group| (group.id, group.rules)).collect());
    let token = match &client_id {
        Some(client_id) => find(api, grant, client_id).await?,
        None => None,
    };
    let explanation = match (&client_id, &token) {
        (Some(_), None) => explain_unknown(app, &request, &groups),
        (_, token) => explain(app, token.as_ref(), &request, &groups, api.world.now()),
    };
    Ok(Explanation::show(&explanation, app, token.as_ref(), &request))
}

/// The account's token with this client ID.
async fn find(
    api: &Api,
    grant: &Grant,
    client_id: &ClientId,
) -> Result<Option<KnownServiceToken>, StoreError> {
    let filter = TokenFilter { search: Some(client_id.digits().to_owned()), ..TokenFilter::default() };
    let found = api.store.service_tokens().list(grant, &filter, Paging { page: 1, per_page: 1_000 }).await?;
    let token =
        found.items.into_iter().map(|stored| stored.token).find(|token| token.client_id == *client_id);
    Ok(token.map(|token| KnownServiceToken {
        id: token.id,
        account_id: token.account_id,
        name: token.name.as_str().into(),
        enabled: token.enabled,
        expires_at: token.expires_at,
        // No secret is compared: an explanation takes the presented one for right.
        current: SecretDigest::from_stored([0; 32]),
        previous: None,
    }))
}
