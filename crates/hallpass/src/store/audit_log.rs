//! Reading the audit. What an entry shows and what a filter compares are the same SQL expressions.

use std::fmt::Write as _;

use hallpass_core::caller::{Grant, Scope};
use hallpass_core::time::Timestamp;
use hallpass_core::wire::audit::Position;
use sqlx::{AssertSqlSafe, FromRow};

use super::Store;
use super::api_tokens::Order;
use super::engine::reading;
use super::error::StoreError;

/// The audit of the account that a grant is about.
#[derive(Debug)]
pub struct AuditLog<'a> {
    pub(super) store: &'a Store,
}

/// Which entries to list.
#[derive(Debug, Clone)]
pub struct AuditFilter {
    /// From this time on.
    pub since: Timestamp,
    /// Up to this time, but not at it.
    pub before: Timestamp,
    /// By time.
    pub order: Order,
    /// Behind this entry.
    pub after: Option<Position>,
    /// How many at most.
    pub limit: u32,
    /// All of these hold.
    pub conditions: Vec<Condition>,
}

/// What a property of an entry has to be.
#[derive(Debug, Clone)]
pub struct Condition {
    /// The property.
    pub property: Property,
    /// How it relates to the values.
    pub is: Relation,
    /// What it is compared with. Nothing is among no values.
    pub values: Vec<String>,
}

/// Whether a property has to be one of some values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// It is one of them.
    Among,
    /// It is none of them.
    NotAmong,
}

/// What entries can be chosen by. Each is a text, and empty where an entry has nothing of the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Property {
    /// The entry's number.
    Id,
    /// `create`, `update` or `delete`.
    ActionType,
    /// `success`.
    ActionResult,
    /// `api_key` or `api_token`.
    ActorContext,
    /// `user`, `account` or `system`.
    ActorType,
    /// The user, the account, or Hallpass' own reason.
    ActorId,
    /// The client's address.
    ActorAddress,
    /// The API token.
    TokenId,
    /// The request's identifier.
    RequestId,
    /// The object's identifier.
    ResourceId,
    /// The object's kind.
    ResourceType,
    /// What the kind belongs to.
    ResourceProduct,
    /// `accounts`.
    ResourceScope,
}

/// `service_token.` of `service_token.rotate`.
macro_rules! kind {
    () => {
        "RTRIM(action, 'abcdefghijklmnopqrstuvwxyz_')"
    };
}

macro_rules! action_type {
    () => {
        "CASE WHEN action LIKE '%.create' THEN 'create' WHEN action LIKE '%.delete' THEN 'delete' ELSE 'update' END"
    };
}

macro_rules! actor_context {
    () => {
        "CASE actor WHEN 'user' THEN 'api_key' WHEN 'user_token' THEN 'api_token' WHEN 'account_token' THEN 'api_token' \
         ELSE '' END"
    };
}

macro_rules! actor_type {
    () => {
        "CASE actor WHEN 'user' THEN 'user' WHEN 'user_token' THEN 'user' WHEN 'account_token' THEN 'account' ELSE 'system' END"
    };
}

macro_rules! actor_id {
    () => {
        "CASE actor WHEN 'user_token' THEN COALESCE(actor_user_id, '') WHEN 'account_token' THEN account_id ELSE actor_id END"
    };
}

macro_rules! token_id {
    () => {
        "CASE WHEN actor IN ('user_token', 'account_token') THEN actor_id ELSE '' END"
    };
}

macro_rules! product {
    () => {
        concat!(
            "CASE ",
            kind!(),
            " WHEN 'service_token.' THEN 'access' WHEN 'app.' THEN 'access' WHEN 'policy.' THEN 'access' \
             WHEN 'group.' THEN 'access' WHEN 'organization.' THEN 'access' WHEN 'signing_key.' THEN 'access' \
             WHEN 'api_token.' THEN 'api_tokens' ELSE 'accounts' END"
        )
    };
}

/// What every entry's scope is.
pub const RESOURCE_SCOPE: &str = "accounts";
/// What every entry's result is.
pub const ACTION_RESULT: &str = "success";

const SELECT: &str = concat!(
    "SELECT revision, at, action, detail, request_id, object_id, client, ",
    action_type!(),
    " AS action_type, ",
    actor_context!(),
    " AS actor_context, ",
    actor_type!(),
    " AS actor_type, ",
    actor_id!(),
    " AS actor_id, ",
    token_id!(),
    " AS token_id, ",
    kind!(),
    " AS kind, ",
    product!(),
    " AS product FROM audit WHERE account_id = $1 AND at >= $2 AND at < $3"
);

impl Property {
    fn sql(self) -> &'static str {
        match self {
            Self::Id => "CAST(revision AS TEXT)",
            Self::ActionType => action_type!(),
            Self::ActionResult => "'success'",
            Self::ActorContext => actor_context!(),
            Self::ActorType => actor_type!(),
            Self::ActorId => actor_id!(),
            Self::ActorAddress => "COALESCE(client, '')",
            Self::TokenId => token_id!(),
            Self::RequestId => "request_id",
            Self::ResourceId => "object_id",
            Self::ResourceType => kind!(),
            Self::ResourceProduct => product!(),
            Self::ResourceScope => "'accounts'",
        }
    }

    /// A value in the form in which it is compared.
    fn compared(self, value: &str) -> String {
        match self {
            Self::ResourceType => format!("{value}."),
            _ => value.to_owned(),
        }
    }
}

/// One row of the audit. A text is empty where the entry has nothing of the kind.
#[derive(Debug, Clone, FromRow)]
pub struct AuditRow {
    /// The number of the change.
    pub revision: i64,
    /// When, in microseconds since 1970.
    pub at: i64,
    /// What was done: `service_token.rotate`.
    pub action: String,
    /// A JSON object: what is different now.
    pub detail: String,
    /// The request.
    pub request_id: String,
    /// The object.
    pub object_id: String,
    /// The client's address.
    pub client: Option<String>,
    /// See [`Property::ActionType`].
    pub action_type: String,
    /// See [`Property::ActorContext`].
    pub actor_context: String,
    /// See [`Property::ActorType`].
    pub actor_type: String,
    /// See [`Property::ActorId`].
    pub actor_id: String,
    /// See [`Property::TokenId`].
    pub token_id: String,
    /// See [`Property::ResourceType`]; with a full stop at its end.
    pub kind: String,
    /// See [`Property::ResourceProduct`].
    pub product: String,
}

impl AuditRow {
    /// The place behind this row.
    pub fn position(&self) -> Position {
        Position { at: self.at, revision: self.revision }
    }
}

impl AuditLog<'_> {
    /// The entries of the grant's account that fit, and whether there are more of them behind the last.
    pub async fn list(
        &self,
        grant: &Grant,
        filter: &AuditFilter,
    ) -> Result<(Vec<AuditRow>, Rest), StoreError> {
        let Scope::Account(account) = grant.scope() else {
            return Ok((Vec::new(), Rest::Nothing));
        };
        let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
        let (sql, values) = statement(filter);
        let mut rows = reading!(self.store, pool => {
            // There are more shapes of this statement than are worth remembering.
            let mut query = sqlx::query_as::<_, AuditRow>(AssertSqlSafe(sql)).persistent(false)
                .bind(account.to_string())
                .bind(filter.since.as_micros())
                .bind(filter.before.as_micros());
            if let Some(Position { at, revision }) = filter.after {
                query = query.bind(at).bind(revision);
            }
            for value in values {
                query = query.bind(value);
            }
            // One more, to see whether there is one.
            query.bind(i64::from(filter.limit) + 1).fetch_all(pool).await?
        });
        let rest = if rows.len() > limit { Rest::More } else { Rest::Nothing };
        rows.truncate(limit);
        Ok((rows, rest))
    }
}

/// What lies behind a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// At least one more entry.
    More,
    /// Nothing.
    Nothing,
}

/// The statement with its placeholders, and the texts for those in its middle.
fn statement(filter: &AuditFilter) -> (String, Vec<String>) {
    let (comparison, order) = match filter.order {
        Order::Descending => ("<", "at DESC, revision DESC"),
        Order::Ascending => (">", "at, revision"),
    };
    let mut sql = SELECT.to_owned();
    let mut bound = 3;
    let mut values = Vec::new();
    if filter.after.is_some() {
        let _ = write!(sql, " AND (at, revision) {comparison} ($4, $5)");
        bound = 5;
    }
    for Condition { property, is, values: wanted } in &filter.conditions {
        let mut places = Vec::new();
        for value in wanted {
            bound += 1;
            places.push(format!("${bound}"));
            values.push(property.compared(value));
        }
        let _ = match (is, places.is_empty()) {
            (Relation::Among, true) => write!(sql, " AND 1 = 0"),
            (Relation::NotAmong, true) => Ok(()),
            (Relation::Among, false) => write!(sql, " AND {} IN ({})", property.sql(), places.join(", ")),
            (Relation::NotAmong, false) => {
                write!(sql, " AND {} NOT IN ({})", property.sql(), places.join(", "))
            }
        };
    }
    let _ = write!(sql, " ORDER BY {order} LIMIT ${}", bound + 1);
    (sql, values)
}
