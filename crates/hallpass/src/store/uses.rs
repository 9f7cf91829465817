//! When each secret of a service token was last used, by application: whether anybody still comes with the one before the last
//! rotation. Written with the rest of what the gate noted, in batches.

use std::collections::HashMap;

use hallpass_core::caller::{Grant, Scope};
use hallpass_core::id::{AppId, PolicyId, ServiceTokenId};
use hallpass_core::secret::SecretDigest;
use hallpass_core::time::Timestamp;
use hallpass_core::wire::apps;
use serde_json::Value;
use sqlx::{AssertSqlSafe, FromRow};

use super::access_log::Noted;
use super::engine::{Batched, CAP, Engine, Tx, on_engine, reading};
use super::error::StoreError;
use super::service_tokens::ServiceTokens;
use super::{Page, Paging};

/// The last use of one secret by one application.
#[derive(Debug, Clone)]
pub struct LastUse {
    /// The application that accepted it.
    pub app: AppId,
    /// Its first host and path.
    pub app_domain: Option<String>,
    /// The number of the secret.
    pub secret_version: u32,
    /// Whether it is the token's current one.
    pub is_current: bool,
    /// When that was.
    pub last_seen_at: Timestamp,
}

#[derive(FromRow)]
struct Row {
    app_id: String,
    body: String,
    secret_version: i64,
    last_seen_at: i64,
}

impl ServiceTokens<'_> {
    /// A page of the last uses of a token, the newest first, if the grant reaches it.
    pub async fn last_uses(
        &self,
        grant: &Grant,
        id: ServiceTokenId,
        paging: Paging,
    ) -> Result<Option<Page<LastUse>>, StoreError> {
        let Some(stored) = self.find(grant, id).await? else { return Ok(None) };
        // Whoever is at home in one zone hears nothing of applications elsewhere.
        let zone = match grant.scope() {
            Scope::Zone { zone, .. } => zone.to_string(),
            Scope::Account(_) | Scope::User(_) => String::new(),
        };
        let (total, rows) = reading!(self.store, pool => {
            let counting = sqlx::query_scalar::<_, i64>(
                "SELECT COUNT(*) FROM service_token_uses u JOIN apps a ON a.id = u.app_id \
                 WHERE u.token_id = $1 AND ($2 = '' OR a.zone_id = $2)",
            );
            let total = counting.bind(id.to_string()).bind(&zone).fetch_one(pool).await?;
            let selecting = sqlx::query_as::<_, Row>(
                "SELECT u.app_id, a.body, u.secret_version, u.last_seen_at \
                 FROM service_token_uses u JOIN apps a ON a.id = u.app_id \
                 WHERE u.token_id = $1 AND ($2 = '' OR a.zone_id = $2) \
                 ORDER BY u.last_seen_at DESC, u.app_id, u.secret_version DESC LIMIT $3 OFFSET $4",
            );
            let selecting = selecting.bind(id.to_string()).bind(&zone).bind(paging.limit()).bind(paging.offset());
            (total, selecting.fetch_all(pool).await?)
        });
        let current = stored.token.secret_version;
        let items = rows.into_iter().map(|row| row.shown(id, current)).collect::<Result<_, _>>()?;
        Ok(Some(Page { items, total: total.unsigned_abs() }))
    }
}

impl Row {
    fn shown(self, token: ServiceTokenId, current: u32) -> Result<LastUse, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt(format!("a use of service token {token}: {what}"));
        let secret_version = u32::try_from(self.secret_version).map_err(|_| corrupt("secret_version"))?;
        let last_seen_at = Timestamp::from_micros(self.last_seen_at);
        let body: Value = serde_json::from_str(&self.body).map_err(|_| corrupt("its application"))?;
        // Policies are stored apart, so none is ever made here.
        let app = apps::read(&body, &mut || PolicyId::from_bytes([0; 16]));
        let app = app.map_err(|_| corrupt("its application"))?;
        Ok(LastUse {
            app: self.app_id.parse().map_err(|_| corrupt("app_id"))?,
            app_domain: app.patterns.first().map(|pattern| pattern.as_str().to_owned()),
            secret_version,
            is_current: secret_version == current,
            last_seen_at: last_seen_at.ok_or_else(|| corrupt("a time out of range"))?,
        })
    }
}

/// The statement that writes many at once.
#[derive(Debug)]
pub(super) struct Statements {
    note: Batched,
}

impl Statements {
    pub(super) fn new(engine: Engine) -> Self {
        Self {
            // In this order, which SQLite takes from CROSS JOIN: it must not walk through all digests for a handful of uses. What
            // was rotated since is found in its new place, and what was deleted since is left out.
            note: Batched::new(engine, 4, |values| {
                format!(
                    "INSERT INTO service_token_uses (token_id, app_id, secret_version, last_seen_at) \
                     SELECT t.id, a.id, COALESCE(d.secret_version, \
                     CASE WHEN d.slot = 'current' THEN t.secret_version ELSE t.secret_version - 1 END) AS version, MAX(v.column4) \
                     FROM (VALUES {values}) AS v CROSS JOIN digests d CROSS JOIN service_tokens t CROSS JOIN apps a \
                     WHERE d.kind = 'service_token' AND d.owner_id = v.column1 AND d.digest = v.column3 \
                     AND t.id = v.column1 AND a.id = v.column2 GROUP BY t.id, a.id, version \
                     ON CONFLICT (token_id, app_id, secret_version) DO UPDATE SET last_seen_at = excluded.last_seen_at \
                     WHERE service_token_uses.last_seen_at < excluded.last_seen_at"
                )
            }),
        }
    }

    /// Writes what was accepted. A time never goes back.
    pub(super) async fn write(&self, tx: &mut Tx, noted: &Noted) -> Result<(), sqlx::Error> {
        let mut last = HashMap::<(ServiceTokenId, AppId, SecretDigest), Timestamp>::new();
        for used in noted.accepted() {
            let known = last.entry((used.token, used.app, used.digest)).or_insert(used.last);
            *known = used.last.max(*known);
        }
        let rows: Vec<_> = last.into_iter().collect();
        for rows in rows.chunks(CAP) {
            let (text, size) = self.note.for_rows(rows.len());
            on_engine!(Tx, tx, conn => {
                let mut query = sqlx::query(AssertSqlSafe(text));
                for n in 0..size {
                    let row = rows.get(n);
                    query = query
                        .bind(row.map_or_else(String::new, |((token, _, _), _)| token.to_string()))
                        .bind(row.map_or_else(String::new, |((_, app, _), _)| app.to_string()))
                        .bind(row.map_or(&[] as &[u8], |((_, _, digest), _)| digest.as_bytes().as_slice()))
                        .bind(row.map_or(0, |(_, at)| at.as_micros()));
                }
                query.execute(conn).await?;
            });
        }
        Ok(())
    }
}
