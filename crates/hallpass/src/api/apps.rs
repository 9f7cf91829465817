//! The door to applications. Each handler: permission, body, one call of the store, reply.

use axum::extract::State;
use axum::response::Response;
use hallpass_core::app::Audience;
use hallpass_core::caller::Scope;
use hallpass_core::id::AppId;
use hallpass_core::permission::Permission;
use hallpass_core::wire::apps as wire;
use serde_json::json;

use super::auth::Authenticated;
use super::error::ApiError;
use super::extract::{At, Query, Unread};
use super::{Api, accepted, created, ok, page};
use crate::store::apps::AppFilter;
use crate::store::error::WriteError;

/// What it takes to see applications and policies: on a zone's route, the zone's permission is enough, too.
pub(super) fn seeing(scope: Scope) -> &'static [Permission] {
    match scope {
        Scope::Zone { .. } => &[Permission::APPS_READ, Permission::ZONE_APPS_READ],
        Scope::Account(_) | Scope::User(_) => &[Permission::APPS_READ],
    }
}

/// What it takes to change them.
pub(super) fn changing(scope: Scope) -> &'static [Permission] {
    match scope {
        Scope::Zone { .. } => &[Permission::APPS_WRITE, Permission::ZONE_APPS_WRITE],
        Scope::Account(_) | Scope::User(_) => &[Permission::APPS_WRITE],
    }
}

pub(super) async fn list(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    query: Query,
) -> Result<Response, ApiError> {
    let scope = at.scope(&api)?;
    let grant = caller.grant_any(seeing(scope), scope)?;
    let paging = query.paging()?;
    let text = |name: &str| Ok::<_, ApiError>(query.get(name)?.map(str::to_owned));
    let filter = AppFilter {
        name: text("name")?,
        domain: text("domain")?,
        aud: text("aud")?,
        search: text("search")?,
    };
    let found = api.store.apps().list(&grant, &filter, paging).await?;
    Ok(page(found, paging, |app| wire::App::show(&app)))
}

pub(super) async fn get(State(api): State<Api>, caller: Authenticated, at: At) -> Result<Response, ApiError> {
    let id: AppId = at.id("app_id")?;
    let scope = at.scope(&api)?;
    let grant = caller.grant_any(seeing(scope), scope)?;
    let found = api.store.apps().find(&grant, id).await?;
    Ok(ok(wire::App::show(&found.ok_or(ApiError::AppNotFound)?)))
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    body: Unread,
) -> Result<Response, ApiError> {
    let scope = at.scope(&api)?;
    let (_, grant, body) = body.with_any_grant(&api, &caller, changing(scope), scope).await?;
    let spec = wire::read(&body, &mut || api.world.policy_id())?;
    let (id, aud) = (api.world.app_id(), Audience::random(api.world.random()));
    let made = api.store.apps().create(&grant, id, aud, spec, api.world.now()).await;
    Ok(created(wire::App::show(&made.map_err(failed)?)))
}

pub(super) async fn update(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    body: Unread,
) -> Result<Response, ApiError> {
    let id: AppId = at.id("app_id")?;
    let scope = at.scope(&api)?;
    let (_, grant, body) = body.with_any_grant(&api, &caller, changing(scope), scope).await?;
    let spec = wire::read(&body, &mut || api.world.policy_id())?;
    let replaced = api.store.apps().replace(&grant, id, spec, api.world.now()).await;
    Ok(ok(wire::App::show(&replaced.map_err(failed)?)))
}

pub(super) async fn delete(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
) -> Result<Response, ApiError> {
    let id: AppId = at.id("app_id")?;
    let scope = at.scope(&api)?;
    let grant = caller.grant_any(changing(scope), scope)?;
    let deleted = api.store.apps().delete(&grant, id, api.world.now()).await.map_err(failed)?;
    Ok(accepted(json!({"id": deleted.id})))
}

pub(super) async fn revoke_tokens(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    body: Unread,
) -> Result<Response, ApiError> {
    let id: AppId = at.id("app_id")?;
    let (_, grant, _) =
        body.with_grant(&api, &caller, Permission::APP_SESSIONS_REVOKE, at.scope(&api)?).await?;
    api.store.apps().revoke_tokens(&grant, id, api.world.now()).await.map_err(failed)?;
    Ok(accepted(json!({})))
}

fn failed(error: WriteError) -> ApiError {
    ApiError::of_write(error, ApiError::AppNotFound)
}
