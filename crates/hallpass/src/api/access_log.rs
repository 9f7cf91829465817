//! The access log of an account: what the gate decided.

use axum::extract::State;
use axum::response::Response;
use hallpass_core::caller::Scope;
use hallpass_core::id::AccountId;
use hallpass_core::permission::Permission;
use hallpass_core::time::Timestamp;
use hallpass_core::wire::access_log::AccessRequest;

use super::auth::Authenticated;
use super::error::ApiError;
use super::extract::{At, Query};
use super::{Api, page};
use crate::store::access_log::{AccessFilter, AccessRow, Verdict};
use crate::store::api_tokens::Order;
use crate::store::error::StoreError;
use crate::store::{Page, Paging};

/// How many entries a page has, unless told otherwise.
pub(super) const LIMIT: u64 = 25;

pub(super) async fn list(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    query: Query,
) -> Result<Response, ApiError> {
    let id: AccountId = at.id("account_id")?;
    let grant = caller.grant(Permission::AUDIT_LOGS_READ, Scope::Account(id))?;
    let paging = read_paging(&query)?;
    let words = [("asc", Order::Ascending), ("desc", Order::Descending)];
    let order = query.word("direction", &words, Order::Descending)?;
    let Some(filter) = read_filter(&query)? else {
        return Ok(page(Page::of(Vec::<AccessRequest>::new(), paging), paging, |entry| entry));
    };
    let found = api.store.access_log().list(&grant, &filter, order, paging).await?;
    let items = found.items.into_iter().map(show).collect::<Result<Vec<_>, _>>()?;
    Ok(page(Page { items, total: found.total }, paging, |entry| entry))
}

/// `limit` is the original's older name of `per_page`.
fn read_paging(query: &Query) -> Result<Paging, ApiError> {
    let asked = query.paging()?;
    let given = |name| Ok::<_, ApiError>(query.get(name)?.is_some_and(|number| number != "0"));
    let per_page = if given("per_page")? {
        asked.per_page
    } else {
        match query.get("limit")?.map(str::parse::<u64>) {
            None | Some(Ok(0)) => LIMIT,
            Some(Ok(limit)) => limit.min(asked.per_page),
            Some(Err(_)) => return Err(ApiError::invalid("/limit", "limit must be a whole number")),
        }
    };
    Ok(Paging { per_page, ..asked })
}

/// `None` where nothing can fit.
fn read_filter(query: &Query) -> Result<Option<AccessFilter>, ApiError> {
    if query.get("email")?.is_some_and(|email| !email.is_empty()) {
        // No machine has one.
        return Ok(None);
    }
    let time = |name: &str| {
        let read = query.get(name)?.map(str::parse::<Timestamp>).transpose();
        read.map_err(|rule| ApiError::invalid(&format!("/{name}"), format!("{name} {rule}")))
    };
    let words = [("true", Some(Verdict::Accepted)), ("false", Some(Verdict::Refused))];
    let filter = AccessFilter {
        since: time("since")?,
        until: time("until")?,
        verdict: query.word("allowed", &words, None)?,
        id: query.get("ray_id")?.map(str::to_owned),
        app: read_id(query, "app_uid")?,
        token: read_id(query, "service_token_id")?,
    };
    Ok(Some(filter))
}

fn read_id<T: std::str::FromStr>(query: &Query, name: &str) -> Result<Option<T>, ApiError> {
    let read = query.get(name)?.map(str::parse::<T>).transpose();
    read.map_err(|_| ApiError::invalid(&format!("/{name}"), format!("{name} must be an identifier")))
}

fn show(row: AccessRow) -> Result<AccessRequest, ApiError> {
    let corrupt =
        |what| ApiError::from(StoreError::Corrupt(format!("the {what} of access log row {}", row.id)));
    let app_uid = row.app_id.as_deref().map(str::parse).transpose().map_err(|_| corrupt("application"))?;
    let token = row.token_id.as_deref().map(str::parse).transpose().map_err(|_| corrupt("service token"))?;
    Ok(AccessRequest {
        action: "login".to_owned(),
        allowed: row.reason.is_none(),
        app_domain: row.app_domain,
        app_uid,
        connection: "service_token".to_owned(),
        created_at: Timestamp::from_micros(row.at).ok_or_else(|| corrupt("time"))?,
        ip_address: row.client.unwrap_or_default(),
        ray_id: row.id,
        user_email: String::new(),
        client_secret: row.secret,
        count: row.requests.unsigned_abs(),
        reason: row.reason,
        service_token_id: token,
    })
}
