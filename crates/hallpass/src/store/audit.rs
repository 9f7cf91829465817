//! The audit rows and the change rows of a batch: one each for every change, under the change's own revision number.

use hallpass_core::caller::Grant;
use hallpass_core::service_token::{SecretChange, ServiceToken};
use hallpass_core::time::Timestamp;
use serde::Serialize;
use sqlx::AssertSqlSafe;

use super::engine::{Batched, CAP, Engine, Tx, expect_rows, on_engine};

/// One change, as it is noted.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) at: Timestamp,
    pub(super) actor: &'static str,
    pub(super) actor_id: String,
    pub(super) actor_user_id: Option<String>,
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
        detail: &impl Serialize,
    ) -> Self {
        Self {
            at,
            actor: grant.actor().kind(),
            actor_id: grant.actor().id(),
            actor_user_id: grant.actor().user().map(|user| user.to_string()),
            account_id: grant.scope().account().map(|account| account.to_string()),
            kind,
            object_id,
            action,
            // Texts, numbers and times always make JSON.
            detail: serde_json::to_string(detail).unwrap_or_default(),
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
            audit: Batched::new(engine, 11, |values| {
                format!(
                    "INSERT INTO audit (revision, at, actor, actor_id, actor_user_id, account_id, action, object_id, detail, client, request_id) \
                     SELECT v.column1, v.column2, v.column3, v.column4, v.column5, v.column6, v.column7, v.column8, v.column9, \
                     v.column10, v.column11 FROM (VALUES {values}) AS v WHERE v.column1 > 0"
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

    /// Raises the revision by the number of entries and writes each under its own number. The newest time of all is kept beside the
    /// revision: a clock may have been set back between two entries.
    pub(super) async fn record(&self, tx: &mut Tx, entries: &[Entry]) -> Result<(), sqlx::Error> {
        let raised = i64::try_from(entries.len()).unwrap_or(i64::MAX);
        let newest = entries.iter().map(|entry| entry.at.as_micros()).max().unwrap_or_default();
        let top = on_engine!(Tx, tx, conn => {
            let raising = sqlx::query_scalar::<_, i64>(
                "UPDATE revision SET n = n + $1, newest = CASE WHEN newest < $2 THEN $2 ELSE newest END RETURNING n",
            );
            raising.bind(raised).bind(newest).fetch_one(conn).await?
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
                    .bind(entry.and_then(|entry| entry.actor_user_id.as_deref()))
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

/// What an audit row says of a service token: what is different now.
#[derive(Debug, Default, Serialize)]
pub(super) struct Detail<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_secret_version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duration: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    /// The new date, or an empty text where it was cleared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) previous_client_secret_expires_at: Option<String>,
}

impl<'a> Detail<'a> {
    /// What a change made different.
    pub(super) fn of_change(before: &ServiceToken, after: &'a ServiceToken, secret: SecretChange) -> Self {
        let grace = after.previous_secret_expires_at;
        Self {
            client_id: None,
            client_secret_version: (secret != SecretChange::Keep).then_some(after.secret_version),
            duration: (after.validity != before.validity).then(|| after.validity.as_str()),
            enabled: (after.enabled != before.enabled).then_some(after.enabled),
            expires_at: (after.expires_at != before.expires_at)
                .then(|| after.expires_at.unwrap_or(Timestamp::FOREVER)),
            name: (after.name != before.name).then(|| after.name.as_str()),
            previous_client_secret_expires_at: (grace != before.previous_secret_expires_at)
                .then(|| grace.map(|grace| grace.to_string()).unwrap_or_default()),
        }
    }
}
