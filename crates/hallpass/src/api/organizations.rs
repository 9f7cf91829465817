//! The door to organizations. Each account has one from its beginning, so that a create is a replacement; a zone's is its account's.

use axum::extract::State;
use axum::response::Response;
use hallpass_core::organization::Organization;
use hallpass_core::permission::Permission;
use hallpass_core::wire::inactivity::{InactiveServiceToken, THRESHOLD, foreseen, read_threshold};
use hallpass_core::wire::organizations::{self as wire, Change};
use serde_json::Value;

use super::auth::Authenticated;
use super::error::ApiError;
use super::extract::{At, Query, Unread};
use super::{Api, created, ok, page};
use crate::store::Page;

const READ: Permission = Permission::ORGANIZATIONS_READ;
const WRITE: Permission = Permission::ORGANIZATIONS_WRITE;

pub(super) async fn get(State(api): State<Api>, caller: Authenticated, at: At) -> Result<Response, ApiError> {
    let grant = caller.grant(READ, at.scope(&api)?)?;
    let found = api.store.organizations().find(&grant).await?;
    Ok(ok(wire::Organization::show(&found.ok_or(ApiError::NotAllowed)?)))
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    body: Unread,
) -> Result<Response, ApiError> {
    let changed = change(&api, &caller, &at, body, Change::Replace).await?;
    Ok(created(wire::Organization::show(&changed)))
}

pub(super) async fn replace(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    body: Unread,
) -> Result<Response, ApiError> {
    let changed = change(&api, &caller, &at, body, Change::Replace).await?;
    Ok(ok(wire::Organization::show(&changed)))
}

pub(super) async fn merge(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    body: Unread,
) -> Result<Response, ApiError> {
    let changed = change(&api, &caller, &at, body, Change::Merge).await?;
    Ok(ok(wire::Organization::show(&changed)))
}

/// What would be done with service tokens that nobody uses, if it were done now: after the days that are asked about, or the
/// organization's own. So one can look before anything is enabled.
pub(super) async fn inactive(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    query: Query,
) -> Result<Response, ApiError> {
    let scope = at.scope(&api)?;
    let grant = caller.grant(READ, scope)?;
    let paging = query.paging()?;
    let days = query.get(THRESHOLD)?.map(read_threshold).transpose()?;
    let organization = api.store.organizations().find(&grant).await?.ok_or(ApiError::NotAllowed)?;
    let inactivity = foreseen(&organization, days).ok_or_else(|| {
        let message = format!("{THRESHOLD} must be given where the organization names no days");
        ApiError::invalid(&format!("/{THRESHOLD}"), message)
    })?;
    let now = api.world.now();
    let found = api.store.inactive_tokens(&grant, inactivity, now).await?;
    Ok(page(Page::of(found, paging), paging, |token| {
        InactiveServiceToken::show(token.id, token.name, token.since, token.action, now)
    }))
}

async fn change(
    api: &Api,
    caller: &Authenticated,
    at: &At,
    body: Unread,
    how: fn(Value) -> Change,
) -> Result<Organization, ApiError> {
    let (_, grant, body) = body.with_grant(api, caller, WRITE, at.scope(api)?).await?;
    let changed = api.store.organizations().change(&grant, how(body), api.world.now()).await;
    changed.map_err(|error| ApiError::of_write(error, ApiError::NotAllowed))
}
