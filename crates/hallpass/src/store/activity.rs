//! What happened without changing anything: when something was last used, and what the gate decided. Noted in memory, written in
//! batches, never in the path of a request, and never in the row of what was used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hallpass_core::id::ApiTokenId;
use hallpass_core::time::Timestamp;
use sqlx::AssertSqlSafe;

use super::access_log::{self, Accesses};
use super::engine::{Batched, CAP, Engine, Pool, Tx, on_engine};
use super::{api_tokens, service_tokens};

/// What was used since the last flush.
#[derive(Debug, Default)]
pub(super) struct Activity {
    api_tokens: Mutex<HashMap<ApiTokenId, Timestamp>>,
    pub(super) accesses: Arc<Accesses>,
}

/// What was noted, to be written.
#[derive(Debug)]
pub(super) struct Noted {
    api_tokens: HashMap<ApiTokenId, Timestamp>,
    accesses: access_log::Noted,
}

impl Activity {
    /// Notes that an API token was used.
    pub(super) fn note(&self, id: ApiTokenId, now: Timestamp) {
        self.api_tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(id, now);
    }

    /// Takes what was noted, if anything was.
    pub(super) fn take(&self) -> Option<Noted> {
        let api_tokens = std::mem::take(&mut *self.api_tokens.lock().unwrap_or_else(PoisonError::into_inner));
        let noted = Noted { api_tokens, accesses: self.accesses.take() };
        (!noted.api_tokens.is_empty() || !noted.accesses.is_empty()).then_some(noted)
    }
}

impl Noted {
    /// When each thing was last used: kind, identifier, time.
    fn last_uses(&self) -> Vec<(&'static str, String, i64)> {
        let mut last = HashMap::<(&'static str, String), i64>::new();
        let mut see = |kind, id: String, at: Timestamp| {
            let known = last.entry((kind, id)).or_insert(i64::MIN);
            *known = at.as_micros().max(*known);
        };
        for (id, at) in &self.api_tokens {
            see(api_tokens::KIND, id.to_string(), *at);
        }
        for (token, at) in self.accesses.accepted() {
            see(service_tokens::KIND, token.to_string(), at);
        }
        last.into_iter().map(|((kind, id), at)| (kind, id, at)).collect()
    }
}

/// The statements that write many at once.
#[derive(Debug)]
pub(super) struct Statements {
    touch: Batched,
    log: access_log::Statements,
}

impl Statements {
    pub(super) fn new(engine: Engine) -> Self {
        Self {
            touch: Batched::new(engine, 3, |values| {
                format!(
                    "INSERT INTO activity (kind, owner_id, last_seen_at) \
                     SELECT v.column1, v.column2, v.column3 FROM (VALUES {values}) AS v \
                     WHERE (v.column1 = 'api_token' AND EXISTS (SELECT 1 FROM api_tokens t WHERE t.id = v.column2)) \
                     OR (v.column1 = 'service_token' AND EXISTS (SELECT 1 FROM service_tokens t WHERE t.id = v.column2)) \
                     ON CONFLICT (kind, owner_id) DO UPDATE SET last_seen_at = excluded.last_seen_at \
                     WHERE activity.last_seen_at < excluded.last_seen_at"
                )
            }),
            log: access_log::Statements::new(engine),
        }
    }

    /// Writes what was noted. A time never goes back, and what was deleted meanwhile stays gone.
    pub(super) async fn write(&self, pool: &Pool, noted: &Noted) -> Result<(), sqlx::Error> {
        let mut tx = pool.begin().await?;
        for rows in noted.last_uses().chunks(CAP) {
            self.touch(&mut tx, rows).await?;
        }
        self.log.write(&mut tx, &noted.accesses).await?;
        tx.commit().await
    }

    async fn touch(&self, tx: &mut Tx, rows: &[(&'static str, String, i64)]) -> Result<(), sqlx::Error> {
        let (text, size) = self.touch.for_rows(rows.len());
        on_engine!(Tx, tx, conn => {
            let mut query = sqlx::query(AssertSqlSafe(text));
            for n in 0..size {
                let row = rows.get(n);
                query = query
                    .bind(row.map_or("", |(kind, _, _)| *kind))
                    .bind(row.map_or("", |(_, id, _)| id.as_str()))
                    .bind(row.map_or(0, |(_, _, at)| *at));
            }
            query.execute(conn).await?;
        });
        Ok(())
    }
}

/// Forgets when something was used, because it is gone.
pub(super) async fn forget(tx: &mut Tx, kind: &'static str, id: &str) -> Result<(), sqlx::Error> {
    on_engine!(Tx, tx, conn => {
        sqlx::query("DELETE FROM activity WHERE kind = $1 AND owner_id = $2").bind(kind).bind(id).execute(conn).await?;
    });
    Ok(())
}
