//! Policies as they are stored: reading them, by themselves and as applications use them.

use std::sync::Arc;

use hallpass_core::policy::{AttachedPolicy, Policy};
use hallpass_core::time::Timestamp;
use hallpass_core::wire::policies::{self as wire, PolicySpec};
use serde_json::Value;
use sqlx::{AssertSqlSafe, FromRow};

use super::engine::{Tx, on_engine};
use super::error::StoreError;
use super::guarded::Which;
use super::policies::StoredPolicy;

#[derive(Debug, FromRow)]
struct PolicyRow {
    id: String,
    account_id: String,
    zone_id: Option<String>,
    app_id: Option<String>,
    body: String,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<PolicyRow> for Policy {
    type Error = StoreError;

    fn try_from(row: PolicyRow) -> Result<Self, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt(format!("policy {}: {what}", row.id));
        let time = |micros: i64| Timestamp::from_micros(micros).ok_or_else(|| corrupt("a time out of range"));
        let body: Value = serde_json::from_str(&row.body).map_err(|_| corrupt("body"))?;
        let PolicySpec { name, decision, rules, body } = wire::read(&body).map_err(|_| corrupt("body"))?;
        let zone_id = row.zone_id.as_deref().map(str::parse).transpose();
        let app_id = row.app_id.as_deref().map(str::parse).transpose();
        Ok(Self {
            id: row.id.parse().map_err(|_| corrupt("its id"))?,
            account_id: row.account_id.parse().map_err(|_| corrupt("account_id"))?,
            zone_id: zone_id.map_err(|_| corrupt("zone_id"))?,
            app_id: app_id.map_err(|_| corrupt("app_id"))?,
            name,
            decision,
            rules,
            body,
            created_at: time(row.created_at)?,
            updated_at: time(row.updated_at)?,
        })
    }
}

macro_rules! columns {
    () => {
        "p.id, p.account_id, p.zone_id, p.app_id, p.body, p.created_at, p.updated_at"
    };
}

/// Reads policies, newest first.
pub(super) async fn read(tx: &mut Tx, which: &Which) -> Result<Vec<StoredPolicy>, StoreError> {
    #[derive(FromRow)]
    struct Row {
        #[sqlx(flatten)]
        policy: PolicyRow,
        app_count: i64,
    }
    let (condition, value) = which.condition("p.account_id", "p.id");
    let text = format!(
        "SELECT {}, (SELECT COUNT(*) FROM app_policies a WHERE a.policy_id = p.id) AS app_count FROM policies p \
         WHERE {condition} ORDER BY p.created_at DESC, p.id",
        columns!()
    );
    let rows = on_engine!(Tx, tx, conn => {
        sqlx::query_as::<_, Row>(AssertSqlSafe(text)).bind(value).fetch_all(conn).await?
    });
    let stored = |row: Row| {
        let policy = Arc::new(Policy::try_from(row.policy)?);
        Ok(StoredPolicy { policy, precedence: None, app_count: row.app_count.unsigned_abs() })
    };
    rows.into_iter().map(stored).collect()
}

/// Reads which applications use which policies, each application's by precedence.
pub(super) async fn read_attached(
    tx: &mut Tx,
    which: &Which,
) -> Result<Vec<(String, AttachedPolicy)>, StoreError> {
    #[derive(FromRow)]
    struct Row {
        user_id: String,
        precedence: i64,
        #[sqlx(flatten)]
        policy: PolicyRow,
    }
    let (condition, value) = which.condition("p.account_id", "l.app_id");
    let text = format!(
        "SELECT l.app_id AS user_id, l.precedence, {} FROM app_policies l JOIN policies p ON p.id = l.policy_id \
         WHERE {condition} ORDER BY l.app_id, l.precedence",
        columns!()
    );
    let rows = on_engine!(Tx, tx, conn => {
        sqlx::query_as::<_, Row>(AssertSqlSafe(text)).bind(value).fetch_all(conn).await?
    });
    let attached = |row: Row| {
        let corrupt = |_| StoreError::Corrupt(format!("application {}: a precedence", row.user_id));
        let precedence = u32::try_from(row.precedence).map_err(corrupt)?;
        Ok((row.user_id.clone(), AttachedPolicy { precedence, policy: Arc::new(row.policy.try_into()?) }))
    };
    rows.into_iter().map(attached).collect()
}
