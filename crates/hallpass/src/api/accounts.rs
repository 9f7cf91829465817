//! Accounts, zones, memberships and the user, as far as clients use them to find identifiers. They need no permission of their
//! own: a caller sees what its grants reach.

use axum::extract::State;
use axum::response::Response;
use hallpass_core::id::{AccountId, ZoneId};
use hallpass_core::wire::accounts as wire;

use super::auth::Authenticated;
use super::error::ApiError;
use super::extract::{At, Query};
use super::{Api, ok, page};
use crate::store::Page;
use crate::store::accounts::{Account, Zone};

pub(super) async fn list_accounts(
    State(api): State<Api>,
    caller: Authenticated,
    query: Query,
) -> Result<Response, ApiError> {
    let paging = query.paging()?;
    let name = query.get("name")?;
    let mut accounts = api.store.callers().accounts();
    accounts
        .retain(|account| caller.reaches_account(account.id) && name.is_none_or(|name| account.name == name));
    Ok(page(Page::of(accounts, paging), paging, show_account))
}

pub(super) async fn get_account(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
) -> Result<Response, ApiError> {
    let id: AccountId = at.id("account_id")?;
    let account = api.store.callers().account(id).filter(|account| caller.reaches_account(account.id));
    Ok(ok(show_account(account.ok_or(ApiError::NotAllowed)?)))
}

pub(super) async fn list_zones(
    State(api): State<Api>,
    caller: Authenticated,
    query: Query,
) -> Result<Response, ApiError> {
    let paging = query.paging()?;
    let (name, status) = (query.get("name")?, query.get("status")?);
    let (account_id, account_name) = (query.get("account.id")?, query.get("account.name")?);
    let mut zones: Vec<_> =
        api.store.callers().zones().into_iter().map(|zone| show_zone(&api, zone)).collect();
    zones.retain(|zone| {
        caller.reaches_zone(zone.id, zone.account.id)
            && name.is_none_or(|name| zone.name == name)
            && status.is_none_or(|status| zone.status == status)
            && account_id.is_none_or(|id| zone.account.id.to_string() == id)
            && account_name.is_none_or(|name| zone.account.name == name)
    });
    Ok(page(Page::of(zones, paging), paging, |zone| zone))
}

pub(super) async fn get_zone(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
) -> Result<Response, ApiError> {
    let id: ZoneId = at.id("zone_id")?;
    let zone = api.store.callers().zone(id).filter(|zone| caller.reaches_zone(zone.id, zone.account_id));
    Ok(ok(show_zone(&api, zone.ok_or(ApiError::NotAllowed)?)))
}

pub(super) async fn list_memberships(
    State(api): State<Api>,
    caller: Authenticated,
    query: Query,
) -> Result<Response, ApiError> {
    let user = caller.user().ok_or(ApiError::NotAllowed)?;
    let paging = query.paging()?;
    let (status, name) = (query.get("status")?, query.get("account.name")?);
    let shown = api.store.callers().memberships(user).into_iter().filter_map(|membership| {
        let account = api.store.callers().account(membership.account_id)?;
        let reached = caller.reaches_account(account.id) && name.is_none_or(|name| account.name == name);
        reached.then(|| wire::Membership {
            account: show_account(account),
            id: membership.id,
            status: "accepted".to_owned(),
        })
    });
    let shown = shown.filter(|membership| status.is_none_or(|status| membership.status == status)).collect();
    Ok(page(Page::of(shown, paging), paging, |membership| membership))
}

pub(super) async fn get_user(State(api): State<Api>, caller: Authenticated) -> Result<Response, ApiError> {
    let user = caller.user().and_then(|id| api.store.callers().user(id)).ok_or(ApiError::NotAllowed)?;
    let made = user.created_at.floor_second();
    Ok(ok(wire::User { created_on: made, email: user.email, id: user.id, modified_on: made }))
}

fn show_account(account: Account) -> wire::Account {
    wire::Account {
        created_on: account.created_at.floor_second(),
        id: account.id,
        name: account.name,
        kind: "standard".to_owned(),
    }
}

fn show_zone(api: &Api, zone: Zone) -> wire::Zone {
    let made = zone.created_at.floor_second();
    let owner = api.store.callers().account(zone.account_id);
    wire::Zone {
        account: wire::AccountReference {
            id: zone.account_id,
            name: owner.map(|account| account.name).unwrap_or_default(),
        },
        created_on: made,
        id: zone.id,
        modified_on: made,
        name: zone.name,
        name_servers: Vec::new(),
        paused: false,
        status: "active".to_owned(),
        kind: "full".to_owned(),
    }
}
