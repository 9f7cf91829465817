//! The door to groups of rules.

use axum::extract::State;
use axum::response::Response;
use hallpass_core::id::GroupId;
use hallpass_core::permission::Permission;
use hallpass_core::wire::groups as wire;
use serde_json::json;

use super::auth::Authenticated;
use super::error::ApiError;
use super::extract::{At, Query, Unread};
use super::{Api, accepted, created, ok, page};
use crate::store::error::WriteError;
use crate::store::groups::GroupFilter;

const READ: Permission = Permission::ORGANIZATIONS_READ;
const WRITE: Permission = Permission::ORGANIZATIONS_WRITE;

pub(super) async fn list(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    query: Query,
) -> Result<Response, ApiError> {
    let grant = caller.grant(READ, at.scope(&api)?)?;
    let paging = query.paging()?;
    let filter = GroupFilter {
        name: query.get("name")?.map(str::to_owned),
        search: query.get("search")?.map(str::to_owned),
    };
    let found = api.store.groups().list(&grant, &filter, paging).await?;
    Ok(page(found, paging, |group| wire::Group::show(&group)))
}

pub(super) async fn get(State(api): State<Api>, caller: Authenticated, at: At) -> Result<Response, ApiError> {
    let id: GroupId = at.id("group_id")?;
    let grant = caller.grant(READ, at.scope(&api)?)?;
    let found = api.store.groups().find(&grant, id).await?;
    Ok(ok(wire::Group::show(&found.ok_or(ApiError::NotFound)?)))
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    body: Unread,
) -> Result<Response, ApiError> {
    let (_, grant, body) = body.with_grant(&api, &caller, WRITE, at.scope(&api)?).await?;
    let spec = wire::read(&body)?;
    let made = api.store.groups().create(&grant, api.world.group_id(), spec, api.world.now()).await;
    Ok(created(wire::Group::show(&made.map_err(failed)?)))
}

pub(super) async fn update(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    body: Unread,
) -> Result<Response, ApiError> {
    let id: GroupId = at.id("group_id")?;
    let (_, grant, body) = body.with_grant(&api, &caller, WRITE, at.scope(&api)?).await?;
    let spec = wire::read(&body)?;
    let replaced = api.store.groups().replace(&grant, id, spec, api.world.now()).await;
    Ok(ok(wire::Group::show(&replaced.map_err(failed)?)))
}

pub(super) async fn delete(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
) -> Result<Response, ApiError> {
    let id: GroupId = at.id("group_id")?;
    let grant = caller.grant(WRITE, at.scope(&api)?)?;
    let deleted = api.store.groups().delete(&grant, id, api.world.now()).await.map_err(failed)?;
    Ok(accepted(json!({"id": deleted.id})))
}

fn failed(error: WriteError) -> ApiError {
    ApiError::of_write(error, ApiError::NotFound)
}
