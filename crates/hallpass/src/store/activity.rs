//! When something was last used: noted in memory, written in batches, never in the path of a request.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hallpass_core::id::ApiTokenId;
use hallpass_core::time::Timestamp;

use super::engine::{Pool, on_engine};

/// What was used since the last flush.
#[derive(Debug, Default)]
pub(super) struct Activity {
    seen: Mutex<HashMap<ApiTokenId, Timestamp>>,
}

impl Activity {
    /// Notes that an API token was used.
    pub(super) fn note(&self, id: ApiTokenId, now: Timestamp) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(id, now);
    }

    /// Takes what was noted.
    pub(super) fn take(&self) -> HashMap<ApiTokenId, Timestamp> {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes what was noted. A time never goes back, and what was deleted meanwhile stays gone.
pub(super) async fn write(pool: &Pool, seen: &HashMap<ApiTokenId, Timestamp>) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    for (id, at) in seen {
        on_engine!(Tx, &mut tx, conn => {
            sqlx::query(
                "INSERT INTO activity (kind, owner_id, last_seen_at) SELECT 'api_token', id, $2 FROM api_tokens WHERE id = $1 \
                 ON CONFLICT (kind, owner_id) DO UPDATE SET last_seen_at = excluded.last_seen_at \
                 WHERE activity.last_seen_at < excluded.last_seen_at",
            )
            .bind(id.to_string())
            .bind(at.as_micros())
            .execute(conn)
            .await?;
        });
    }
    tx.commit().await
}

/// Forgets when something was used, because it is gone.
pub(super) async fn forget(
    tx: &mut super::engine::Tx,
    kind: &'static str,
    id: &str,
) -> Result<(), sqlx::Error> {
    on_engine!(Tx, tx, conn => {
        sqlx::query("DELETE FROM activity WHERE kind = $1 AND owner_id = $2").bind(kind).bind(id).execute(conn).await?;
    });
    Ok(())
}
