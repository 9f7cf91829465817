//! The door to the rotation of signing keys. The keys themselves are published elsewhere, to everybody.

use axum::extract::State;
use axum::response::Response;
use hallpass_core::key_rotation::KeyRotation;
use hallpass_core::permission::Permission;
use hallpass_core::wire::keys as wire;

use super::auth::Authenticated;
use super::error::ApiError;
use super::extract::{At, Unread};
use super::{Api, ok};
use crate::store::error::WriteError;

const READ: Permission = Permission::ORGANIZATIONS_READ;
const WRITE: Permission = Permission::ORGANIZATIONS_WRITE;

pub(super) async fn get(State(api): State<Api>, caller: Authenticated, at: At) -> Result<Response, ApiError> {
    let grant = caller.grant(READ, at.scope(&api)?)?;
    let rotation = api.store.signing_keys().rotation(&grant).await?;
    Ok(show(&api, rotation))
}

pub(super) async fn update(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    body: Unread,
) -> Result<Response, ApiError> {
    let (_, grant, body) = body.with_grant(&api, &caller, WRITE, at.scope(&api)?).await?;
    let days = wire::read_update(&body)?;
    let rotation = api.store.signing_keys().set_interval(&grant, days, api.world.now()).await;
    Ok(show(&api, rotation.map_err(failed)?))
}

pub(super) async fn rotate(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    body: Unread,
) -> Result<Response, ApiError> {
    let (_, grant, _) = body.with_grant(&api, &caller, WRITE, at.scope(&api)?).await?;
    let rotation = api.store.signing_keys().rotate(&grant, &api.world).await;
    Ok(show(&api, rotation.map_err(failed)?))
}

fn show(api: &Api, rotation: KeyRotation) -> Response {
    ok(wire::Keys::show(&rotation, api.world.now()))
}

fn failed(error: WriteError) -> ApiError {
    ApiError::of_write(error, ApiError::NotAllowed)
}
