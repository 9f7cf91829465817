//! The door to API tokens, those of users and those of accounts. Nobody can grant more than they hold,
//! and nobody can take over a token that holds more than they do.

use axum::extract::State;
use axum::response::Response;
use hallpass_core::api_token::{ApiToken, Owner, Status};
use hallpass_core::caller::Scope;
use hallpass_core::id::ApiTokenId;
use hallpass_core::permission::{Permission, PermissionGroup};
use hallpass_core::resource::{Resource, Which};
use hallpass_core::secret::{ClientSecret, SecretKind};
use hallpass_core::wire::api_tokens::{self as wire, ApiTokenSpec};
use hallpass_core::wire::body::InvalidField;
use hallpass_core::wire::codes;
use hallpass_core::wire::envelope::{Envelope, Message};

use serde_json::json;

use super::auth::{Authenticated, ShownToken};
use super::error::{self, ApiError};
use super::extract::{At, Query, Unread};
use super::{Api, ok, page};
use crate::store::Page;
use crate::store::api_tokens::{ApiTokenFilter, Expired, Order, StoredApiToken};
use crate::store::error::{Refusal, WriteError};

pub(super) async fn list(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    query: Query,
) -> Result<Response, ApiError> {
    let owned = Owned::of(&at, &caller)?;
    let grant = caller.grant(owned.read, owned.scope)?;
    let paging = query.paging()?;
    let expired = [("true", Expired::Included), ("false", Expired::LeftOut)];
    let order = [("asc", Order::Ascending), ("desc", Order::Descending)];
    let filter = ApiTokenFilter {
        expired: query.word("include_expired", &expired, Expired::LeftOut)?,
        order: query.word("direction", &order, Order::Descending)?,
    };
    let now = api.world.now();
    let found = api.store.api_tokens().list(&grant, filter, paging, now).await?;
    Ok(page(found, paging, |stored| wire::ApiToken::show(&stored.token, stored.last_used_on, None, now)))
}

pub(super) async fn get(State(api): State<Api>, caller: Authenticated, at: At) -> Result<Response, ApiError> {
    let id: ApiTokenId = at.id("token_id")?;
    let owned = Owned::of(&at, &caller)?;
    let grant = caller.grant(owned.read, owned.scope)?;
    let found = api.store.api_tokens().find(&grant, id).await?;
    Ok(show(&api, &found.ok_or(ApiError::ApiTokenNotFound)?, None))
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    body: Unread,
) -> Result<Response, ApiError> {
    let owned = Owned::of(&at, &caller)?;
    let (caller, grant, body) = body.with_grant(&api, &caller, owned.write, owned.scope).await?;
    let spec = wire::read_token(&body, &mut || api.world.token_policy_id())?;
    caller.may_hand_on(&spec.policies)?;
    owned.check(&spec)?;
    let now = api.world.now();
    let token = ApiToken {
        id: api.world.api_token_id(),
        owner: owned.owner,
        name: spec.name,
        status: spec.status.unwrap_or(Status::Active),
        policies: spec.policies.into(),
        condition: spec.condition,
        not_before: spec.not_before,
        expires_on: spec.expires_on,
        issued_on: now,
        modified_on: now,
    };
    let secret = api.world.mint(owned.secret);
    let digest = api.store.api_token_digest(&secret);
    let stored = api.store.api_tokens().create(&grant, token, digest, now).await.map_err(failed)?;
    Ok(show(&api, &stored, Some(&secret)))
}

pub(super) async fn update(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    body: Unread,
) -> Result<Response, ApiError> {
    let id: ApiTokenId = at.id("token_id")?;
    let owned = Owned::of(&at, &caller)?;
    let (caller, grant, body) = body.with_grant(&api, &caller, owned.write, owned.scope).await?;
    let spec = wire::read_token(&body, &mut || api.world.token_policy_id())?;
    caller.may_hand_on(&spec.policies)?;
    owned.check(&spec)?;
    let stored = api.store.api_tokens().replace(&grant, id, spec, api.world.now()).await.map_err(failed)?;
    Ok(show(&api, &stored, None))
}

pub(super) async fn roll(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    body: Unread,
) -> Result<Response, ApiError> {
    let id: ApiTokenId = at.id("token_id")?;
    let owned = Owned::of(&at, &caller)?;
    let (caller, grant, _) = body.with_grant(&api, &caller, owned.write, owned.scope).await?;
    let secret = api.world.mint(owned.secret);
    let digest = api.store.api_token_digest(&secret);
    loop {
        let found = api.store.api_tokens().find(&grant, id).await?.ok_or(ApiError::ApiTokenNotFound)?;
        // The new secret gives its holder all that the token holds.
        caller.may_hand_on(&found.token.policies)?;
        let seen = found.token.policies;
        match api.store.api_tokens().roll(&grant, id, seen, digest, api.world.now()).await {
            Ok(_) => return Ok(ok(hallpass_core::wire::RevealedSecret::of(&secret))),
            // Its policies were changed between the look and the roll: look again.
            Err(WriteError::Refused(Refusal::Changed)) => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

pub(super) async fn delete(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
) -> Result<Response, ApiError> {
    let id: ApiTokenId = at.id("token_id")?;
    let owned = Owned::of(&at, &caller)?;
    let grant = caller.grant(owned.write, owned.scope)?;
    api.store.api_tokens().delete(&grant, id, api.world.now()).await.map_err(failed)?;
    Ok(ok(json!({"id": id})))
}

/// Says whether the token that the request shows can be used, at the address of the token's own kind.
pub(super) async fn verify(
    State(api): State<Api>,
    ShownToken(token): ShownToken,
    at: At,
) -> Result<Response, ApiError> {
    let asked_at = at.names("account_id").then(|| at.id("account_id")).transpose()?;
    let asked_here = match token.owner {
        Owner::Account(account) => asked_at == Some(account),
        Owner::User(_) => asked_at.is_none(),
    };
    if !asked_here {
        return Err(ApiError::InvalidApiToken);
    }
    let message = Message {
        code: codes::TOKEN_IS_ACTIVE,
        message: "This API Token is valid and active".to_owned(),
        kind: None,
    };
    let shown = wire::Verification::show(&token, api.world.now());
    Ok(error::json(200, &Envelope { messages: vec![message], ..Envelope::of(shown) }))
}

/// The permission groups whose name holds `name`, those called exactly so first, and that act on `scope`.
pub(super) async fn permission_groups(
    caller: Authenticated,
    at: At,
    query: Query,
) -> Result<Response, ApiError> {
    let owned = Owned::of(&at, &caller)?;
    caller.grant(owned.read, owned.scope)?;
    let paging = query.paging()?;
    let name = query.get("name")?.map(str::to_lowercase);
    let scope = query.get("scope")?;
    let matches = |group: &&PermissionGroup| {
        name.as_ref().is_none_or(|name| group.name.to_lowercase().contains(name))
            && scope.is_none_or(|scope| group.scope.as_str() == scope)
    };
    let mut groups: Vec<_> = PermissionGroup::all().iter().filter(matches).collect();
    groups.sort_by_key(|group| {
        (name.as_ref().is_some_and(|name| group.name.to_lowercase() != *name), group.name)
    });
    Ok(page(Page::of(groups, paging), paging, wire::PermissionGroup::show))
}

/// Whose tokens a path is about, and what one must hold for them.
struct Owned {
    owner: Owner,
    scope: Scope,
    read: Permission,
    write: Permission,
    secret: SecretKind,
}

impl Owned {
    fn of(at: &At, caller: &Authenticated) -> Result<Self, ApiError> {
        if at.names("account_id") {
            let account = at.id("account_id")?;
            Ok(Self {
                owner: Owner::Account(account),
                scope: Scope::Account(account),
                read: Permission::ACCOUNT_API_TOKENS_READ,
                write: Permission::ACCOUNT_API_TOKENS_WRITE,
                secret: SecretKind::AccountApiToken,
            })
        } else {
            let user = caller.user().ok_or(ApiError::NotAllowed)?;
            Ok(Self {
                owner: Owner::User(user),
                scope: Scope::User(user),
                read: Permission::USER_API_TOKENS_READ,
                write: Permission::USER_API_TOKENS_WRITE,
                secret: SecretKind::UserApiToken,
            })
        }
    }

    /// An account's token can name nothing but that account: anything else it could never use.
    fn check(&self, spec: &ApiTokenSpec) -> Result<(), ApiError> {
        let Owner::Account(own) = self.owner else {
            return Ok(());
        };
        let foreign = |resource: &Resource| match resource {
            Resource::Account(Which::One(id)) | Resource::ZoneOf(Which::One(id), _) => *id != own,
            Resource::User(_) => true,
            Resource::Account(Which::Any)
            | Resource::ZoneOf(Which::Any, _)
            | Resource::Zone(_)
            | Resource::Foreign => false,
        };
        let wrong = spec.policies.iter().enumerate().filter(|(_, policy)| policy.reach.iter().any(foreign));
        let errors: Vec<_> = wrong
            .map(|(n, _)| InvalidField {
                pointer: format!("/policies/{n}/resources"),
                message: "an account's API token can only name that account and its zones".to_owned(),
            })
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(errors.into()) }
    }
}

fn show(api: &Api, stored: &StoredApiToken, secret: Option<&ClientSecret>) -> Response {
    ok(wire::ApiToken::show(&stored.token, stored.last_used_on, secret, api.world.now()))
}

fn failed(error: WriteError) -> ApiError {
    ApiError::of_write(error, ApiError::ApiTokenNotFound)
}
