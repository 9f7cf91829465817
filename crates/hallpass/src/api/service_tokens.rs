//! The door to service tokens. Each handler: permission, body, one call of the store, reply.

use axum::extract::State;
use axum::response::Response;
use hallpass_core::id::ServiceTokenId;
use hallpass_core::permission::Permission;
use hallpass_core::secret::{ClientSecret, SecretDigest, SecretKind};
use hallpass_core::service_token::{NewServiceToken, SecretChange, ServiceToken, TokenChange};
use hallpass_core::wire::service_tokens as wire;

use super::auth::Authenticated;
use super::error::ApiError;
use super::extract::{At, Query, Sent, Unread};
use super::{Api, created, ok, page};
use crate::store::error::WriteError;
use crate::store::service_tokens::{Changed, StoredServiceToken, TokenFilter};
use crate::store::uses::LastUse;

const READ: Permission = Permission::SERVICE_TOKENS_READ;
const WRITE: Permission = Permission::SERVICE_TOKENS_WRITE;

pub(super) async fn list(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    query: Query,
) -> Result<Response, ApiError> {
    let grant = caller.grant(READ, at.scope(&api)?)?;
    let paging = query.paging()?;
    let filter = TokenFilter {
        name: query.get("name")?.map(str::to_owned),
        search: query.get("search")?.map(str::to_owned),
    };
    let found = api.store.service_tokens().list(&grant, &filter, paging).await?;
    Ok(page(found, paging, |stored| show(&stored, None)))
}

pub(super) async fn get(State(api): State<Api>, caller: Authenticated, at: At) -> Result<Response, ApiError> {
    let id: ServiceTokenId = at.id("service_token_id")?;
    let grant = caller.grant(READ, at.scope(&api)?)?;
    let found = api.store.service_tokens().find(&grant, id).await?;
    Ok(ok(show(&found.ok_or(ApiError::ServiceTokenNotFound)?, None)))
}

pub(super) async fn last_uses(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    query: Query,
) -> Result<Response, ApiError> {
    let id: ServiceTokenId = at.id("service_token_id")?;
    let grant = caller.grant(READ, at.scope(&api)?)?;
    let paging = query.paging()?;
    let found = api.store.service_tokens().last_uses(&grant, id, paging).await?;
    Ok(page(found.ok_or(ApiError::ServiceTokenNotFound)?, paging, show_use))
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    body: Unread,
) -> Result<Response, ApiError> {
    let scope = at.scope(&api)?;
    let (_, grant, body) = body.with_grant(&api, &caller, WRITE, scope).await?;
    let spec = wire::read_create(&body)?;
    let now = api.world.now();
    let new = NewServiceToken {
        id: api.world.service_token_id(),
        account_id: scope.account().ok_or(ApiError::NotAllowed)?,
        zone_id: scope.zone(),
        client_id: api.world.client_id(),
        spec,
    };
    let token = ServiceToken::issue(new, now).map_err(|rule| failed(WriteError::Refused(rule.into())))?;
    let (secret, digest) = fresh_secret(&api, token.id);
    let changed = api
        .store
        .service_tokens()
        .create(&grant, token, digest, api.service_token_quota.get(), now)
        .await
        .map_err(failed)?;
    Ok(created(show(&changed.stored, Some(&secret))))
}

pub(super) async fn update(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    body: Unread,
) -> Result<Response, ApiError> {
    let id: ServiceTokenId = at.id("service_token_id")?;
    let (_, grant, body) = body.with_grant(&api, &caller, WRITE, at.scope(&api)?).await?;
    let edit = wire::read_update(&body)?;
    let fresh = edit.secret_version.map(|_| fresh_secret(&api, id));
    let (secret, digest) = fresh.unzip();
    let change = TokenChange::Edit(edit);
    let changed = api.store.service_tokens().change(&grant, id, change, digest, api.world.now()).await;
    let changed = changed.map_err(failed);
    let changed = if secret.is_none() { changed.map_err(ApiError::safe_to_repeat) } else { changed };
    Ok(ok(show_changed(&changed?, secret.as_ref())))
}

pub(super) async fn refresh(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    body: Unread,
) -> Result<Response, ApiError> {
    let id: ServiceTokenId = at.id("service_token_id")?;
    let (_, grant, _) = body.with_grant(&api, &caller, WRITE, at.scope(&api)?).await?;
    let changed =
        api.store.service_tokens().change(&grant, id, TokenChange::Refresh, None, api.world.now()).await;
    Ok(ok(show(&changed.map_err(failed)?.stored, None)))
}

pub(super) async fn rotate(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    Sent(attempt): Sent,
    body: Unread,
) -> Result<Response, ApiError> {
    let id: ServiceTokenId = at.id("service_token_id")?;
    let (_, grant, body) = body.with_grant(&api, &caller, WRITE, at.scope(&api)?).await?;
    let previous_until = wire::read_rotate(&body)?;
    let (secret, digest) = fresh_secret(&api, id);
    let change = TokenChange::Rotate { previous_until, attempt };
    let changed = api.store.service_tokens().change(&grant, id, change, Some(digest), api.world.now()).await;
    Ok(ok(show_changed(&changed.map_err(failed)?, Some(&secret))))
}

pub(super) async fn delete(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
) -> Result<Response, ApiError> {
    let id: ServiceTokenId = at.id("service_token_id")?;
    let grant = caller.grant(WRITE, at.scope(&api)?)?;
    let deleted = api.store.service_tokens().delete(&grant, id, api.world.now()).await;
    Ok(ok(show(&deleted.map_err(failed)?.stored, None)))
}

/// A secret that a change may need, and what is stored of it.
fn fresh_secret(api: &Api, id: ServiceTokenId) -> (ClientSecret, SecretDigest) {
    let secret = api.world.mint(SecretKind::ServiceToken);
    let digest = api.store.digest(SecretKind::ServiceToken, &id.to_string(), &secret);
    (secret, digest)
}

fn show(stored: &StoredServiceToken, secret: Option<&ClientSecret>) -> wire::ServiceToken {
    wire::ServiceToken::show(&stored.token, stored.last_seen_at, secret)
}

fn show_use(last: LastUse) -> wire::LastUse {
    wire::LastUse {
        app_domain: last.app_domain,
        app_uid: last.app,
        client_secret_version: last.secret_version,
        current: last.is_current,
        last_seen_at: last.last_seen_at.floor_second(),
    }
}

/// Shows the secret only if the change made it the token's.
fn show_changed(changed: &Changed, secret: Option<&ClientSecret>) -> wire::ServiceToken {
    show(&changed.stored, secret.filter(|_| changed.secret != SecretChange::Keep))
}

fn failed(error: WriteError) -> ApiError {
    ApiError::of_write(error, ApiError::ServiceTokenNotFound)
}
