//! The door to policies: an application's, and the account's reusable ones.

use axum::extract::State;
use axum::response::Response;
use hallpass_core::id::{AppId, PolicyId};
use hallpass_core::permission::Permission;
use hallpass_core::wire::policies as wire;
use serde_json::json;

use super::apps::{changing, seeing};
use super::auth::Authenticated;
use super::error::ApiError;
use super::extract::{At, Query, Unread};
use super::{Api, accepted, created, ok, page};
use crate::store::Page;
use crate::store::error::WriteError;
use crate::store::policies::{Place, StoredPolicy};

pub(super) async fn list(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    query: Query,
) -> Result<Response, ApiError> {
    let grant = caller.grant(Permission::APPS_READ, at.scope(&api)?)?;
    let paging = query.paging()?;
    let (name, search) = (query.get("name")?, query.get("search")?);
    let found = api.store.policies().list(&grant, name, search, paging).await?;
    Ok(page(found, paging, |stored| show(&stored)))
}

pub(super) async fn get(State(api): State<Api>, caller: Authenticated, at: At) -> Result<Response, ApiError> {
    let id: PolicyId = at.id("policy_id")?;
    let grant = caller.grant(Permission::APPS_READ, at.scope(&api)?)?;
    let found = api.store.policies().find(&grant, id).await?;
    Ok(ok(show(&found.ok_or(ApiError::NotFound)?)))
}

/// The policies that an application uses.
pub(super) async fn list_of_app(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    query: Query,
) -> Result<Response, ApiError> {
    let id: AppId = at.id("app_id")?;
    let scope = at.scope(&api)?;
    let grant = caller.grant_any(seeing(scope), scope)?;
    let paging = query.paging()?;
    let app = api.store.apps().find(&grant, id).await?.ok_or(ApiError::AppNotFound)?;
    Ok(page(Page::of(app.policies, paging), paging, |attached| wire::Policy::show_attached(&attached)))
}

/// One of the policies that an application uses.
pub(super) async fn get_of_app(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
) -> Result<Response, ApiError> {
    let (app, id): (AppId, PolicyId) = (at.id("app_id")?, at.id("policy_id")?);
    let scope = at.scope(&api)?;
    let grant = caller.grant_any(seeing(scope), scope)?;
    let app = api.store.apps().find(&grant, app).await?.ok_or(ApiError::AppNotFound)?;
    let found = app.policies.iter().find(|attached| attached.policy.id == id);
    Ok(ok(wire::Policy::show_attached(found.ok_or(ApiError::NotFound)?)))
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    body: Unread,
) -> Result<Response, ApiError> {
    let place = place(&at)?;
    let scope = at.scope(&api)?;
    let (_, grant, body) = body.with_any_grant(&api, &caller, changing(scope), scope).await?;
    let (spec, precedence) = wire::read_of_app(&body)?;
    let (id, now) = (api.world.policy_id(), api.world.now());
    let made = api.store.policies().create(&grant, place, id, spec, precedence, now).await;
    Ok(created(show(&made.map_err(failed)?)))
}

pub(super) async fn update(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    body: Unread,
) -> Result<Response, ApiError> {
    let (place, id) = (place(&at)?, at.id("policy_id")?);
    let scope = at.scope(&api)?;
    let (_, grant, body) = body.with_any_grant(&api, &caller, changing(scope), scope).await?;
    let (spec, precedence) = wire::read_of_app(&body)?;
    let now = api.world.now();
    let replaced = api.store.policies().replace(&grant, place, id, spec, precedence, now).await;
    Ok(ok(show(&replaced.map_err(failed)?)))
}

pub(super) async fn delete(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
) -> Result<Response, ApiError> {
    let (place, id) = (place(&at)?, at.id("policy_id")?);
    let scope = at.scope(&api)?;
    let grant = caller.grant_any(changing(scope), scope)?;
    let deleted = api.store.policies().delete(&grant, place, id, api.world.now()).await.map_err(failed)?;
    Ok(accepted(json!({"id": deleted.policy.id})))
}

pub(super) async fn make_reusable(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    body: Unread,
) -> Result<Response, ApiError> {
    let (app, id) = (at.id("app_id")?, at.id("policy_id")?);
    let (_, grant, _) = body.with_grant(&api, &caller, Permission::APPS_WRITE, at.scope(&api)?).await?;
    let made = api.store.policies().make_reusable(&grant, app, id, api.world.now()).await;
    Ok(ok(show(&made.map_err(failed)?)))
}

/// The application in the path, if there is one.
fn place(at: &At) -> Result<Place, ApiError> {
    if at.names("app_id") { at.id("app_id").map(Place::App) } else { Ok(Place::Reusable) }
}

fn show(stored: &StoredPolicy) -> wire::Policy {
    match stored.precedence {
        Some(precedence) => {
            wire::Policy { precedence: Some(precedence), ..wire::Policy::show(&stored.policy) }
        }
        None => wire::Policy::show_reusable(&stored.policy, stored.app_count),
    }
}

fn failed(error: WriteError) -> ApiError {
    ApiError::of_write(error, ApiError::NotFound)
}
