//! The audit rows and the change rows of a batch: one each for every change, under the change's own revision number.

use hallpass_core::caller::{Actor, Grant, SystemReason};
use hallpass_core::time::Timestamp;
use sqlx::AssertSqlSafe;

use super::engine::{Batched, CAP, Engine, Tx, on_engine};
use super::service_tokens::expect_rows;

/// One change, as it is noted.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) at: Timestamp,
    pub(super) actor: &'static str,
    pub(super) actor_id: String,
    pub(super) account_id: Option<String>,
    pub(super) kind: &'static str,
    pub(super) object_id: String,
    pub(super) action: &'static str,
    /// A JSON object that says what was changed. Never a secret, never a digest.
    pub(super) detail: String,
    pub(super) client: Option<String>,
    pub(super) request_id: String,
}

impl Entry {
    /// Notes that the grant's actor did something to an object.
    pub(super) fn new(
        grant: &Grant,
        at: Timestamp,
        action: &'static str,
        kind: &'static str,
        object_id: String,
        detail: &serde_json::Value,
    ) -> Self {
        let (actor, actor_id) = match grant.actor() {
            Actor::User { id } => ("user", id.to_string()),
            Actor::UserToken { id, .. } => ("user_token", id.to_string()),
            Actor::AccountToken { id, .. } => ("account_token", id.to_string()),
            Actor::System(SystemReason::Bootstrap) => ("system", "bootstrap".to_owned()),
            Actor::System(SystemReason::Seed) => ("system", "seed".to_owned()),
        };
        Self {
            at,
            actor,
            actor_id,
            account_id: grant.scope().account().map(|account| account.to_string()),
            kind,
            object_id,
            action,
            detail: detail.to_string(),
            client: grant.origin().client.map(|client| client.to_string()),
            request_id: grant.origin().request_id.to_string(),
        }
    }
}

/// The statements that write many entries at once.
#[derive(Debug)]
pub(super) struct Statements {
    audit: Batched,
    changes: Batched,
}

impl Statements {
    pub(super) fn new(engine: Engine) -> Self {
        Self {
            audit: Batched::new(engine, 10, |values| {
                format!(
                    "INSERT INTO audit (revision, at, actor, actor_id, account_id, action, object_id, detail, client, request_id) \
                     SELECT v.column1, v.column2, v.column3, v.column4, v.column5, v.column6, v.column7, v.column8, v.column9, \
                     v.column10 FROM (VALUES {values}) AS v WHERE v.column1 > 0"
                )
            }),
            changes: Batched::new(engine, 3, |values| {
                format!(
                    "INSERT INTO changes (revision, kind, object_id) SELECT v.column1, v.column2, v.column3 \
                     FROM (VALUES {values}) AS v WHERE v.column1 > 0"
                )
            }),
        }
    }

    /// Raises the revision by the number of entries and writes each under its own number.
    pub(super) async fn record(&self, tx: &mut Tx, entries: &[Entry]) -> Result<(), sqlx::Error> {
        let raised = i64::try_from(entries.len()).unwrap_or(i64::MAX);
        let top = on_engine!(Tx, tx, conn => {
            let raising = sqlx::query_scalar::<_, i64>("UPDATE revision SET n = n + $1 RETURNING n").bind(raised);
            raising.fetch_one(conn).await?
        });
        let numbered: Vec<_> = (top - raised + 1..).zip(entries).collect();
        for entries in numbered.chunks(CAP) {
            self.write_audit(tx, entries).await?;
            self.write_changes(tx, entries).await?;
        }
        Ok(())
    }

    async fn write_audit(&self, tx: &mut Tx, entries: &[(i64, &Entry)]) -> Result<(), sqlx::Error> {
        let (text, size) = self.audit.for_rows(entries.len());
        let written = on_engine!(Tx, tx, conn => {
            let mut query = sqlx::query(AssertSqlSafe(text));
            for n in 0..size {
                let entry = entries.get(n).map(|(_, entry)| entry);
                query = query
                    .bind(entries.get(n).map_or(0, |(revision, _)| *revision))
                    .bind(entry.map_or(0, |entry| entry.at.as_micros()))
                    .bind(entry.map_or("", |entry| entry.actor))
                    .bind(entry.map_or("", |entry| entry.actor_id.as_str()))
                    .bind(entry.and_then(|entry| entry.account_id.as_deref()))
                    .bind(entry.map_or("", |entry| entry.action))
                    .bind(entry.map_or("", |entry| entry.object_id.as_str()))
                    .bind(entry.map_or("", |entry| entry.detail.as_str()))
                    .bind(entry.and_then(|entry| entry.client.as_deref()))
                    .bind(entry.map_or("", |entry| entry.request_id.as_str()));
            }
            query.execute(conn).await?.rows_affected()
        });
        expect_rows(written, entries.len())
    }

    async fn write_changes(&self, tx: &mut Tx, entries: &[(i64, &Entry)]) -> Result<(), sqlx::Error> {
        let (text, size) = self.changes.for_rows(entries.len());
        let written = on_engine!(Tx, tx, conn => {
            let mut query = sqlx::query(AssertSqlSafe(text));
            for n in 0..size {
                let entry = entries.get(n);
                query = query
                    .bind(entry.map_or(0, |(revision, _)| *revision))
                    .bind(entry.map_or("", |(_, entry)| entry.kind))
                    .bind(entry.map_or("", |(_, entry)| entry.object_id.as_str()));
            }
            query.execute(conn).await?.rows_affected()
        });
        expect_rows(written, entries.len())
    }
}
