//! The audit log of an account: a window of time, filters, and a cursor.

use axum::extract::State;
use axum::response::Response;
use hallpass_core::caller::Scope;
use hallpass_core::id::{AccountId, ApiTokenId, UserId};
use hallpass_core::permission::Permission;
use hallpass_core::time::Timestamp;
use hallpass_core::wire::accounts::AccountReference;
use hallpass_core::wire::audit::{self as wire, CursorInfo, Cursors, Position};
use hallpass_core::wire::body::InvalidField;
use hallpass_core::wire::envelope::Envelope;

use super::Api;
use super::auth::Authenticated;
use super::error::{self, ApiError};
use super::extract::{At, Query};
use crate::store::accounts::Account;
use crate::store::api_tokens::Order;
use crate::store::audit_log::{
    ACTION_RESULT, AuditFilter, AuditRow, Condition, Property, RESOURCE_SCOPE, Relation, Rest,
};
use crate::store::error::StoreError;

/// How many entries a page has, unless told otherwise.
pub(super) const LIMIT: u32 = 100;
/// How many it has at most.
pub(super) const MOST: u32 = 1_000;
/// How many values one filter may have: each is looked at for every entry.
pub(super) const MOST_VALUES: usize = 50;

/// The filters, each as it is and with `.not` behind it, and what they compare.
pub(super) const FILTERS: [(&str, Filter); 17] = [
    ("account_name", Filter::AccountName),
    ("action_result", Filter::By(Property::ActionResult)),
    ("action_type", Filter::By(Property::ActionType)),
    ("actor_context", Filter::By(Property::ActorContext)),
    ("actor_email", Filter::ActorEmail),
    ("actor_id", Filter::By(Property::ActorId)),
    ("actor_ip_address", Filter::By(Property::ActorAddress)),
    ("actor_token_id", Filter::By(Property::TokenId)),
    ("actor_token_name", Filter::TokenName),
    ("actor_type", Filter::By(Property::ActorType)),
    ("audit_log_id", Filter::By(Property::Id)),
    ("id", Filter::By(Property::Id)),
    ("raw_cf_ray_id", Filter::By(Property::RequestId)),
    ("resource_id", Filter::By(Property::ResourceId)),
    ("resource_product", Filter::By(Property::ResourceProduct)),
    ("resource_scope", Filter::By(Property::ResourceScope)),
    ("resource_type", Filter::By(Property::ResourceType)),
];

/// What the original has and an audit row here does not say.
pub(super) const NOT_RECORDED: [&str; 6] =
    ["product_category", "raw_method", "raw_status_code", "raw_uri", "zone_id", "zone_name"];

/// What a filter compares.
#[derive(Debug, Clone, Copy)]
pub(super) enum Filter {
    /// Something that is stored.
    By(Property),
    /// The account's name, which is the same in every entry.
    AccountName,
    /// The address of the user who acted.
    ActorEmail,
    /// The name that the API token has now.
    TokenName,
}

pub(super) async fn list(
    State(api): State<Api>,
    caller: Authenticated,
    at: At,
    query: Query,
) -> Result<Response, ApiError> {
    let id: AccountId = at.id("account_id")?;
    let grant = caller.grant(Permission::AUDIT_LOGS_READ, Scope::Account(id))?;
    let account = api.store.callers().account(id).ok_or(ApiError::NotAllowed)?;
    let filter = read_filter(&api, &account, &query)?;
    let (rows, rest) = api.store.audit_log().list(&grant, &filter).await?;
    let after = rows.last().filter(|_| rest == Rest::More).map(|row| row.position().to_string());
    let shown = rows.into_iter().map(|row| show(&api, &account, row)).collect::<Result<Vec<_>, _>>()?;
    let info = CursorInfo { count: shown.len() as u64, cursor: after.clone(), cursors: Cursors { after } };
    let envelope = Envelope {
        success: true,
        errors: Vec::new(),
        messages: Vec::new(),
        result: Some(shown),
        result_info: Some(info),
    };
    Ok(error::json(200, &envelope))
}

fn read_filter(api: &Api, account: &Account, query: &Query) -> Result<AuditFilter, ApiError> {
    let mut wrong = Vec::new();
    let mut refuse = |name: &str, message: String| {
        wrong.push(InvalidField { pointer: format!("/{name}"), message });
    };
    let mut conditions = Vec::new();
    for name in query.names() {
        let (plain, is) = match name.strip_suffix(".not") {
            Some(plain) => (plain, Relation::NotAmong),
            None => (name, Relation::Among),
        };
        if let Some((_, filter)) = FILTERS.iter().find(|(known, _)| *known == plain) {
            let values = query.all(name);
            if values.len() > MOST_VALUES {
                refuse(name, format!("a filter can have {MOST_VALUES} values at most"));
            } else if !values.is_empty() {
                conditions.push(condition(api, account, *filter, is, &values));
            }
        } else if NOT_RECORDED.contains(&plain) {
            refuse(name, "this is not recorded, so nothing can be filtered by it".to_owned());
        } else if !["since", "before", "cursor", "direction", "limit"].contains(&name) {
            refuse(name, "is not a filter that Hallpass knows".to_owned());
        }
    }
    let mut bound = |name: &str| -> Result<Option<Timestamp>, ApiError> {
        let read = query.get(name)?.map(wire::read_bound);
        match read {
            None => refuse(name, format!("{name} is required: a date, or an RFC 3339 date and time")),
            Some(Err(_)) => refuse(name, format!("{name} must be a date, or an RFC 3339 date and time")),
            Some(Ok(time)) => return Ok(Some(time)),
        }
        Ok(None)
    };
    let (since, before) = (bound("since")?, bound("before")?);
    if let (Some(since), Some(before)) = (since, before)
        && since >= before
    {
        refuse("before", "before must be later than since".to_owned());
    }
    let after = match query.get("cursor")?.map(str::parse::<Position>) {
        Some(Err(rule)) => {
            refuse("cursor", format!("cursor {rule}"));
            None
        }
        read => read.and_then(Result::ok),
    };
    let limit = match query.get("limit")?.map(str::parse::<u64>) {
        None | Some(Ok(0)) => LIMIT,
        Some(Ok(limit)) => u32::try_from(limit).unwrap_or(MOST).min(MOST),
        Some(Err(_)) => {
            refuse("limit", "limit must be a whole number".to_owned());
            LIMIT
        }
    };
    let words = [("asc", Order::Ascending), ("desc", Order::Descending)];
    let order = query.word("direction", &words, Order::Descending)?;
    match (since, before) {
        (Some(since), Some(before)) if wrong.is_empty() => {
            Ok(AuditFilter { since, before, order, after, limit, conditions })
        }
        _ => Err(wrong.into()),
    }
}

/// A filter by something that is not stored becomes one by what it stands for.
fn condition(api: &Api, account: &Account, filter: Filter, is: Relation, values: &[&str]) -> Condition {
    let callers = api.store.callers();
    let texts = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    match filter {
        Filter::By(property) => Condition { property, is, values: texts(values) },
        Filter::AccountName => {
            let same = values.contains(&account.name.as_str());
            let scope = if same { vec![RESOURCE_SCOPE.to_owned()] } else { Vec::new() };
            Condition { property: Property::ResourceScope, is, values: scope }
        }
        Filter::ActorEmail => {
            let users = values.iter().filter_map(|email| callers.user_by_email(email));
            let ids = users.map(|known| known.user.id.to_string()).collect();
            Condition { property: Property::ActorId, is, values: ids }
        }
        Filter::TokenName => {
            let ids = values.iter().flat_map(|name| callers.tokens_called(name));
            Condition { property: Property::TokenId, is, values: ids.map(|id| id.to_string()).collect() }
        }
    }
}

fn show(api: &Api, account: &Account, row: AuditRow) -> Result<wire::AuditEntry, ApiError> {
    let callers = api.store.callers();
    let corrupt =
        |what| ApiError::from(StoreError::Corrupt(format!("the {what} of audit row {}", row.revision)));
    let time = Timestamp::from_micros(row.at).ok_or_else(|| corrupt("time"))?;
    let response = serde_json::from_str(&row.detail).map_err(|_| corrupt("detail"))?;
    let user = row.actor_id.parse::<UserId>().ok().filter(|_| row.actor_type == "user");
    let token = row.token_id.parse::<ApiTokenId>().ok().and_then(|id| callers.token_by_id(id));
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(wire::AuditEntry {
        account: AccountReference { id: account.id, name: account.name.clone() },
        action: wire::Action {
            description: row.action,
            result: ACTION_RESULT.to_owned(),
            time,
            kind: row.action_type,
        },
        actor: wire::Actor {
            context: given(row.actor_context),
            email: user.and_then(|id| callers.user(id)).map(|user| user.email),
            id: given(row.actor_id),
            ip_address: row.client,
            token_id: given(row.token_id),
            token_name: token.map(|token| token.name.as_str().to_owned()),
            kind: row.actor_type,
        },
        id: row.revision.to_string(),
        raw: wire::Raw { cf_ray_id: row.request_id },
        resource: wire::Resource {
            id: row.object_id,
            product: row.product,
            response,
            scope: RESOURCE_SCOPE.to_owned(),
            kind: row.kind.trim_end_matches('.').to_owned(),
        },
    })
}
