//! What happened without changing anything: when something was last used, and what the gate decided. Noted in memory, written in
//! batches, never in the path of a request, and never in the row of what was used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hallpass_core::id::ApiTokenId;
use hallpass_core::time::Timestamp;
use sqlx::AssertSqlSafe;

use super::access_log::{self, Accesses};
use super::engine::{Batched, CAP, Engine, Pool, Tx, on_engine};
use super::{api_tokens, service_tokens, uses};

/// What was used since the last flush.
#[derive(Debug, Default)]
pub(super) struct Activity {
    api_tokens: Mutex<HashMap<ApiTokenId, Timestamp>>,
    pub(super) accesses: Arc<Accesses>,
}

/// How much of each sort is written in one transaction, so that a long list gets shorter even where a database is slow.
const SLICE: usize = 4_096;

/// What was noted and is being written, a slice at a time. What is not written when this is dropped is noted again.
#[derive(Debug)]
pub(super) struct Taken<'a> {
    activity: &'a Activity,
    noted: Noted,
    slice: Noted,
}

#[derive(Debug, Default)]
struct Noted {
    api_tokens: HashMap<ApiTokenId, Timestamp>,
    accesses: access_log::Noted,
}

impl Activity {
    /// Notes that an API token was used.
    pub(super) fn note(&self, id: ApiTokenId, now: Timestamp) {
        self.api_tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(id, now);
    }

    /// Takes what was noted, if anything was.
    pub(super) fn take(&self) -> Option<Taken<'_>> {
        let api_tokens = std::mem::take(&mut *self.api_tokens.lock().unwrap_or_else(PoisonError::into_inner));
        let noted = Noted { api_tokens, accesses: self.accesses.take() };
        (!noted.is_empty()).then_some(Taken { activity: self, noted, slice: Noted::default() })
    }

    fn give_back(&self, Noted { api_tokens, accesses }: Noted) {
        let mut known = self.api_tokens.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, at) in api_tokens {
            known.entry(id).and_modify(|known| *known = at.max(*known)).or_insert(at);
        }
        drop(known);
        self.accesses.give_back(accesses);
    }
}

impl Taken<'_> {
    /// The next slice; the one before it is written, and need not be kept any more. `None` when all of it is.
    fn next_slice(&mut self) -> Option<&Noted> {
        let api_tokens = std::mem::take(&mut self.noted.api_tokens);
        self.slice = Noted { api_tokens, accesses: self.noted.accesses.split_off(SLICE) };
        (!self.slice.is_empty()).then_some(&self.slice)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.activity.give_back(std::mem::take(&mut self.slice));
        self.activity.give_back(std::mem::take(&mut self.noted));
    }
}

impl Noted {
    fn is_empty(&self) -> bool {
        self.api_tokens.is_empty() && self.accesses.is_empty()
    }

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
        for used in self.accesses.accepted() {
            see(service_tokens::KIND, used.token.to_string(), used.last);
        }
        last.into_iter().map(|((kind, id), at)| (kind, id, at)).collect()
    }
}

/// The statements that write many at once.
#[derive(Debug)]
pub(super) struct Statements {
    touch: Batched,
    uses: uses::Statements,
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
            uses: uses::Statements::new(engine),
            log: access_log::Statements::new(engine),
        }
    }

    /// Writes what was noted. A time never goes back, and what was deleted meanwhile stays gone.
    pub(super) async fn write(&self, pool: &Pool, mut taken: Taken<'_>) -> Result<(), sqlx::Error> {
        while let Some(noted) = taken.next_slice() {
            let mut tx = pool.begin().await?;
            for rows in noted.last_uses().chunks(CAP) {
                self.touch(&mut tx, rows).await?;
            }
            self.uses.write(&mut tx, &noted.accesses).await?;
            self.log.write(&mut tx, &noted.accesses).await?;
            tx.commit().await?;
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use hallpass_core::app::{App, Audience};
    use hallpass_core::id::{AccountId, AppId, RequestId, ServiceTokenId};
    use hallpass_core::secret::{SecretDigest, SecretSlot};
    use hallpass_core::service_token::Name;

    use super::super::access_log::Refused;
    use super::*;

    fn app(at: Timestamp) -> Arc<App> {
        Arc::new(App {
            id: AppId::from_bytes([1; 16]),
            account_id: AccountId::from_bytes([2; 16]),
            zone_id: None,
            name: Name::parse("app").unwrap(),
            aud: Audience::random([1; 32]),
            patterns: Vec::new(),
            session_seconds: 60,
            credential_header: None,
            service_auth_401: false,
            revoked_before: None,
            policies: Vec::new(),
            body: serde_json::Map::new(),
            created_at: at,
            updated_at: at,
        })
    }

    #[test]
    fn what_was_not_written_is_noted_again_beside_what_came_since() {
        let at = |second| Timestamp::from_micros(second * 1_000_000).unwrap();
        let (activity, app) = (Activity::default(), app(at(0)));
        let (caller, token) = (ApiTokenId::from_bytes([3; 16]), ServiceTokenId::from_bytes([4; 16]));
        let use_all = |number: u8| {
            let now = at(i64::from(number));
            activity.note(caller, now);
            let secret = (SecretSlot::Current, SecretDigest::from_stored([5; 32]));
            activity.accesses.accepted(&app, token, secret, now);
            for token in [Some(token), None] {
                let id = RequestId::from_bytes([number; 16]);
                let (account_id, client) = (app.account_id, [192, 0, 2, 7].into());
                let app = Some(Arc::clone(&app));
                activity.accesses.refused(Refused {
                    id,
                    account_id,
                    at: now,
                    app,
                    token,
                    reason: "x",
                    client,
                });
            }
        };
        use_all(1);
        let mut first = activity.take().unwrap();
        assert!(activity.take().is_none());
        // It was begun to be written, and was not.
        first.next_slice().unwrap();
        use_all(2);
        drop(first);
        let mut all = activity.take().unwrap();
        let slice = all.next_slice().unwrap();
        let last = at(2).as_micros();
        let mut uses = slice.last_uses();
        uses.sort();
        assert_eq!(
            uses,
            [("api_token", caller.to_string(), last), ("service_token", token.to_string(), last)]
        );
        assert_eq!(
            slice.accesses.counts(),
            [(2, None), (1, Some(1)), (1, Some(1)), (1, Some(2)), (1, Some(2))]
        );
        assert!(all.next_slice().is_none());
        drop(all);
        assert!(activity.take().is_none());
        assert_eq!(activity.accesses.left_out(), 0);
    }

    #[test]
    fn what_is_too_much_for_one_transaction_is_written_in_several() {
        let (activity, now) = (Activity::default(), Timestamp::from_micros(1).unwrap());
        let app = app(now);
        for n in 0..=u128::try_from(2 * SLICE).unwrap() {
            let secret = (SecretSlot::Current, SecretDigest::from_stored([5; 32]));
            activity.accesses.accepted(&app, ServiceTokenId::from_bytes(n.to_be_bytes()), secret, now);
        }
        let mut taken = activity.take().unwrap();
        for written in [SLICE, SLICE] {
            assert_eq!(taken.next_slice().unwrap().last_uses().len(), written);
        }
        // The second is lost on its way, and so not the first.
        drop(taken);
        let mut taken = activity.take().unwrap();
        assert_eq!(taken.next_slice().unwrap().last_uses().len(), SLICE);
        assert_eq!(taken.next_slice().unwrap().last_uses().len(), 1);
        assert!(taken.next_slice().is_none());
    }
}
