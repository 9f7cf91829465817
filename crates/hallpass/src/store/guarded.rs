//! What the gate needs to know of applications, and what applications, policies and groups have in common in the store.

use hallpass_core::app::App;
use hallpass_core::caller::Scope;
use hallpass_core::id::{AccountId, ZoneId};
use hallpass_core::policy::Group;
use hallpass_core::service_token::fold_case;
use hallpass_core::time::Timestamp;
use hallpass_core::wire::body::InvalidField;
use serde_json::{Map, Value};
use sqlx::AssertSqlSafe;

use super::engine::{Tx, expect_rows, on_engine};
use super::error::{Refusal, StoreError};
use super::{apps, groups};

/// Everything that decides who may pass where, of all accounts.
#[derive(Debug, Clone, Default)]
pub struct Guarded {
    /// The applications, with their policies.
    pub apps: Vec<App>,
    /// The groups that policies refer to.
    pub groups: Vec<Group>,
}

/// Reads everything, in the state that the transaction sees.
pub(super) async fn load(tx: &mut Tx) -> Result<Guarded, StoreError> {
    Ok(Guarded { apps: apps::read(tx, &Which::All).await?, groups: groups::read(tx, &Which::All).await? })
}

/// Which objects to read.
#[derive(Debug, Clone)]
pub(super) enum Which {
    All,
    Of(AccountId),
    One(String),
}

impl Which {
    pub(super) fn one(id: &impl ToString) -> Self {
        Self::One(id.to_string())
    }

    /// Those that a scope might reach; [`reaches`] decides.
    pub(super) fn within(scope: Scope) -> Self {
        Self::Of(scope.account().unwrap_or(AccountId::NIL))
    }

    /// The condition, and the one text that it takes.
    pub(super) fn condition(&self, account_column: &str, id_column: &str) -> (String, String) {
        match self {
            Self::All => ("$1 = ''".to_owned(), String::new()),
            Self::Of(account) => (format!("{account_column} = $1"), account.to_string()),
            Self::One(id) => (format!("{id_column} = $1"), id.clone()),
        }
    }
}

/// Whether a scope covers an object: an account's covers all of its objects, a zone's those that were made for it
/// (compatibility, D13).
pub(super) fn reaches(scope: Scope, account_id: AccountId, zone_id: Option<ZoneId>) -> bool {
    match scope {
        Scope::Account(account) => account_id == account,
        Scope::Zone { zone, account } => account_id == account && zone_id == Some(zone),
        Scope::User(_) => false,
    }
}

/// A field that breaks a rule which only the store can know.
pub(super) fn refuse(pointer: impl Into<String>, message: impl Into<String>) -> Refusal {
    Refusal::Field(InvalidField { pointer: pointer.into(), message: message.into() })
}

/// The columns that applications, policies and groups share.
pub(super) struct Common<'a> {
    pub(super) id: String,
    pub(super) account_id: AccountId,
    pub(super) zone_id: Option<ZoneId>,
    pub(super) name: &'a str,
    pub(super) body: &'a Map<String, Value>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

/// Inserts a row; `extra` is one more column, with its text.
pub(super) async fn insert(
    tx: &mut Tx,
    table: &str,
    row: &Common<'_>,
    extra: Option<(&str, Option<String>)>,
) -> Result<(), sqlx::Error> {
    let (column, place) =
        extra.as_ref().map_or_else(Default::default, |(column, _)| (format!(", {column}"), ", $8"));
    let text = format!(
        "INSERT INTO {table} (id, account_id, zone_id, name, body, created_at, updated_at{column}) \
         VALUES ($1, $2, $3, $4, $5, $6, $7{place})"
    );
    on_engine!(Tx, tx, conn => {
        let mut query = sqlx::query(AssertSqlSafe(text))
            .bind(row.id.clone())
            .bind(row.account_id.to_string())
            .bind(row.zone_id.map(|zone| zone.to_string()))
            .bind(row.name)
            .bind(write_body(row.body)?)
            .bind(row.created_at.as_micros())
            .bind(row.updated_at.as_micros());
        if let Some((_, value)) = extra {
            query = query.bind(value);
        }
        query.execute(conn).await?;
    });
    Ok(())
}

/// Writes what an update can change.
pub(super) async fn update(tx: &mut Tx, table: &str, row: &Common<'_>) -> Result<(), sqlx::Error> {
    let text = format!("UPDATE {table} SET name = $2, body = $3, updated_at = $4 WHERE id = $1");
    let written = on_engine!(Tx, tx, conn => {
        sqlx::query(AssertSqlSafe(text))
            .bind(row.id.clone())
            .bind(row.name)
            .bind(write_body(row.body)?)
            .bind(row.updated_at.as_micros())
            .execute(conn)
            .await?
            .rows_affected()
    });
    expect_rows(written, 1)
}

fn write_body(body: &Map<String, Value>) -> Result<String, sqlx::Error> {
    serde_json::to_string(body).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// Runs a statement that takes texts alone, and says how many rows it wrote.
pub(super) async fn run(tx: &mut Tx, text: &'static str, values: &[&str]) -> Result<u64, sqlx::Error> {
    Ok(on_engine!(Tx, tx, conn => {
        let mut query = sqlx::query(text);
        for value in values {
            query = query.bind(*value);
        }
        query.execute(conn).await?.rows_affected()
    }))
}

/// The rows of a query that takes one text and finds columns of texts.
pub(super) async fn texts<Row>(tx: &mut Tx, text: &'static str, value: &str) -> Result<Vec<Row>, sqlx::Error>
where
    Row: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow>
        + for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>
        + Send
        + Unpin,
{
    Ok(on_engine!(Tx, tx, conn => sqlx::query_as::<_, Row>(text).bind(value).fetch_all(conn).await?))
}

/// Whether one of the texts holds what is looked for, in upper or lower case.
pub(super) fn is_found(search: Option<&str>, texts: &[&str]) -> bool {
    search.is_none_or(|search| texts.iter().any(|text| fold_case(text).contains(&fold_case(search))))
}

/// Some of the fields that were sent, for the audit: the others may hold somebody else's secrets.
pub(super) fn of_body(body: &Map<String, Value>, keys: &[&str]) -> Map<String, Value> {
    let mut some = body.clone();
    some.retain(|key, _| keys.contains(&key.as_str()));
    some
}

/// What was stored and cannot be read.
pub(super) fn decode(error: StoreError) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}
