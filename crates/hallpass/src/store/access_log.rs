//! The access log: what the gate decided. Refusals are kept one by one, acceptances are counted by the minute.
//!
//! The gate only notes in memory; what it notes is bounded, and what goes beyond is counted as left out.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hallpass_core::app::App;
use hallpass_core::caller::{Grant, Scope};
use hallpass_core::id::{AccountId, AppId, RequestId, ServiceTokenId};
use hallpass_core::secret::{SecretDigest, SecretSlot};
use hallpass_core::time::Timestamp;
use hashbrown::HashMap;
use sqlx::{AssertSqlSafe, FromRow};

use super::api_tokens::Order;
use super::engine::{Batched, CAP, Engine, Pool, Tx, on_engine, reading};
use super::error::StoreError;
use super::{Page, Paging, Store};

const MINUTE: i64 = 60_000_000;
/// How many acceptances are told apart between two flushes: more than a gate on two cores checks in the five seconds between them.
const MOST_ACCEPTED: usize = 500_000;
/// How many refusals of known tokens are written at a flush.
const MOST_REFUSED: usize = 20_000;
/// How many refusals of strangers, who can make as many as they like, are written at a flush.
const MOST_STRANGERS: usize = 100;
/// How many refusals there is room for between two flushes.
const ROOM: usize = 2 * MOST_REFUSED;
const SHARDS: usize = 16;

/// What the gate noted since the last flush.
#[derive(Debug)]
pub struct Accesses {
    accepted: [Mutex<HashMap<Acceptance, Accepted>>; SHARDS],
    refused: Mutex<Vec<Refused>>,
    left_out: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Acceptance {
    app: AppId,
    token: ServiceTokenId,
    secret: SecretSlot,
    /// Two secrets can be the current one within a minute.
    digest: SecretDigest,
    minute: i64,
}

#[derive(Debug)]
struct Accepted {
    app: Arc<App>,
    requests: i64,
    last: Timestamp,
}

/// That an application accepted a secret, and when last.
pub(super) struct Used {
    pub(super) app: AppId,
    pub(super) token: ServiceTokenId,
    pub(super) digest: SecretDigest,
    pub(super) last: Timestamp,
}

/// A refusal, as the log keeps it.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Under which it is found.
    pub id: RequestId,
    /// Whose log it is in.
    pub account_id: AccountId,
    /// When.
    pub at: Timestamp,
    /// Which application was asked for, if there is one.
    pub app: Option<Arc<App>>,
    /// Which token was presented, if there is one.
    pub token: Option<ServiceTokenId>,
    /// Why.
    pub reason: &'static str,
    /// From where.
    pub client: IpAddr,
}

/// What was noted, to be written.
#[derive(Debug, Default)]
pub(super) struct Noted {
    accepted: Vec<(Acceptance, Accepted)>,
    refused: Vec<Refused>,
}

impl Default for Accesses {
    fn default() -> Self {
        Self {
            accepted: std::array::from_fn(|_| Mutex::default()),
            refused: Mutex::default(),
            left_out: AtomicU64::default(),
        }
    }
}

impl Accesses {
    /// Notes that an application accepted a token, by which of its secrets.
    pub fn accepted(
        &self,
        app: &Arc<App>,
        token: ServiceTokenId,
        (secret, digest): (SecretSlot, SecretDigest),
        now: Timestamp,
    ) {
        let minute = now.as_micros().div_euclid(MINUTE) * MINUTE;
        self.add(Acceptance { app: app.id, token, secret, digest, minute }, 1, now, || Arc::clone(app));
    }

    fn add(&self, what: Acceptance, requests: i64, last: Timestamp, app: impl FnOnce() -> Arc<App>) {
        let [.., part] = *what.token.as_bytes();
        let Some(shard) = self.accepted.get(usize::from(part) % SHARDS) else { return };
        let mut shard = held(shard);
        if let Some(known) = shard.get_mut(&what) {
            known.requests += requests;
            known.last = known.last.max(last);
        } else if shard.len() < MOST_ACCEPTED / SHARDS {
            shard.insert(what, Accepted { app: app(), requests, last });
        } else {
            self.left_out.fetch_add(requests.unsigned_abs(), Relaxed);
        }
    }

    /// Notes that a request was refused. Refusals of known tokens are kept, and some of others. Which of both it is makes no
    /// difference to the work that is done here, nor to the memory that is touched: whoever is refused waits for it, and its
    /// time must not tell.
    pub fn refused(&self, refused: Refused) {
        let mut list = held(&self.refused);
        if list.len() >= ROOM {
            self.thin(&mut list);
        }
        list.push(refused);
    }

    /// Leaves the newest of what may be written.
    fn thin(&self, list: &mut Vec<Refused>) {
        let all = list.len();
        let known = list.iter().filter(|refused| refused.token.is_some()).count();
        let mut too_many = (known.saturating_sub(MOST_REFUSED), (all - known).saturating_sub(MOST_STRANGERS));
        list.retain(|refused| {
            let too_many = if refused.token.is_some() { &mut too_many.0 } else { &mut too_many.1 };
            let left = too_many.checked_sub(1);
            *too_many = left.unwrap_or_default();
            left.is_none()
        });
        self.left_out.fetch_add((all - list.len()) as u64, Relaxed);
    }

    /// How many decisions are left out of what is written, because there were too many.
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Relaxed)
    }

    pub(super) fn take(&self) -> Noted {
        let accepted = self.accepted.iter().flat_map(|shard| std::mem::take(&mut *held(shard))).collect();
        // Whoever notes a refusal waits for the lock, so it is held no longer than it takes to exchange the list.
        let mut refused = std::mem::take(&mut *held(&self.refused));
        self.thin(&mut refused);
        Noted { accepted, refused }
    }

    /// Notes again what could not be written, as far as there is room beside what was noted since.
    pub(super) fn give_back(&self, noted: Noted) {
        for (what, Accepted { app, requests, last }) in noted.accepted {
            self.add(what, requests, last, || app);
        }
        let mut older = noted.refused;
        let mut list = held(&self.refused);
        older.append(&mut list);
        *list = older;
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Noted {
    /// Takes away so many at most of each sort.
    pub(super) fn split_off(&mut self, most: usize) -> Self {
        let accepted = self.accepted.split_off(self.accepted.len().saturating_sub(most));
        Self { accepted, refused: self.refused.split_off(self.refused.len().saturating_sub(most)) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.accepted.is_empty() && self.refused.is_empty()
    }

    /// What was accepted, and when: a secret several times, if by several applications or in several minutes.
    pub(super) fn accepted(&self) -> impl Iterator<Item = Used> {
        self.accepted.iter().map(|(what, Accepted { last, .. })| {
            let Acceptance { app, token, digest, .. } = *what;
            Used { app, token, digest, last: *last }
        })
    }

    /// How often, and of refusals the first byte of their id.
    #[cfg(test)]
    pub(super) fn counts(&self) -> Vec<(i64, Option<u8>)> {
        let accepted = self.accepted.iter().map(|(_, accepted)| (accepted.requests, None));
        accepted.chain(self.refused.iter().map(|refused| (1, Some(refused.id.as_bytes()[0])))).collect()
    }

    fn rows(&self) -> Vec<NewRow> {
        // Secrets that were the current one in turn have one row, which a statement must not write twice.
        let mut counts = HashMap::<_, (&Arc<App>, i64)>::with_capacity(self.accepted.len());
        for (what, Accepted { app, requests, .. }) in &self.accepted {
            counts.entry((what.minute, what.app, what.token, what.secret)).or_insert((app, 0)).1 += requests;
        }
        let accepted = counts.into_iter().map(|((minute, id, token, secret), (app, requests))| NewRow {
            id: format!("{}/{id}/{token}/{}", minute / MINUTE, secret.as_str()),
            account_id: app.account_id.to_string(),
            at: minute,
            app: Some(Arc::clone(app)),
            token_id: Some(token.to_string()),
            secret: Some(secret.as_str()),
            reason: None,
            client: None,
            requests,
        });
        let refused = self.refused.iter().map(|refused| NewRow {
            id: refused.id.to_string(),
            account_id: refused.account_id.to_string(),
            at: refused.at.as_micros(),
            app: refused.app.clone(),
            token_id: refused.token.map(|token| token.to_string()),
            secret: None,
            reason: Some(refused.reason),
            client: Some(refused.client.to_string()),
            requests: 1,
        });
        accepted.chain(refused).collect()
    }
}

struct NewRow {
    id: String,
    account_id: String,
    at: i64,
    app: Option<Arc<App>>,
    token_id: Option<String>,
    secret: Option<&'static str>,
    reason: Option<&'static str>,
    client: Option<String>,
    requests: i64,
}

#[derive(Debug)]
pub(super) struct Statements {
    insert: Batched,
}

impl Statements {
    pub(super) fn new(engine: Engine) -> Self {
        Self {
            insert: Batched::new(engine, 10, |values| {
                format!(
                    "INSERT INTO access_requests (id, account_id, at, app_id, app_domain, token_id, secret, reason, client, requests) \
                     SELECT v.column1, v.column2, v.column3, v.column4, v.column5, v.column6, v.column7, v.column8, v.column9, \
                     v.column10 FROM (VALUES {values}) AS v WHERE v.column10 > 0 \
                     ON CONFLICT (id) DO UPDATE SET requests = access_requests.requests + excluded.requests \
                     WHERE access_requests.reason IS NULL"
                )
            }),
        }
    }

    pub(super) async fn write(&self, tx: &mut Tx, noted: &Noted) -> Result<(), sqlx::Error> {
        for rows in noted.rows().chunks(CAP) {
            let (text, size) = self.insert.for_rows(rows.len());
            on_engine!(Tx, tx, conn => {
                let mut query = sqlx::query(AssertSqlSafe(text));
                for n in 0..size {
                    let row = rows.get(n);
                    let app = row.and_then(|row| row.app.as_deref());
                    query = query
                        .bind(row.map_or("", |row| row.id.as_str()))
                        .bind(row.map_or("", |row| row.account_id.as_str()))
                        .bind(row.map_or(0, |row| row.at))
                        .bind(app.map(|app| app.id.to_string()))
                        .bind(app.and_then(|app| app.patterns.first()).map(|pattern| pattern.as_str().to_owned()))
                        .bind(row.and_then(|row| row.token_id.as_deref()))
                        .bind(row.and_then(|row| row.secret))
                        .bind(row.and_then(|row| row.reason))
                        .bind(row.and_then(|row| row.client.as_deref()))
                        .bind(row.map_or(0, |row| row.requests));
                }
                query.execute(conn).await?;
            });
        }
        Ok(())
    }
}

/// The access log of the account that a grant is about.
#[derive(Debug)]
pub struct AccessLog<'a> {
    pub(super) store: &'a Store,
}

/// Which rows to list.
#[derive(Debug, Clone, Default)]
pub struct AccessFilter {
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Up to this time, and at it.
    pub until: Option<Timestamp>,
    /// Only this application's.
    pub app: Option<AppId>,
    /// Only this token's.
    pub token: Option<ServiceTokenId>,
    /// Only the row with this identifier.
    pub id: Option<String>,
    /// Only what was accepted, or only what was refused.
    pub verdict: Option<Verdict>,
}

/// What the gate said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Come in.
    Accepted,
    /// Stay out.
    Refused,
}

/// A row of the log.
#[derive(Debug, Clone, FromRow)]
pub struct AccessRow {
    /// Its identifier.
    pub id: String,
    /// When, in microseconds since 1970; of acceptances, the beginning of their minute.
    pub at: i64,
    /// The application, if there was one.
    pub app_id: Option<String>,
    /// Its first host and path.
    pub app_domain: Option<String>,
    /// The service token, if it was known.
    pub token_id: Option<String>,
    /// Which of its secrets: `current` or `previous`; absent for refusals.
    pub secret: Option<String>,
    /// Why it was refused; absent for acceptances.
    pub reason: Option<String>,
    /// The client's address; absent for acceptances.
    pub client: Option<String>,
    /// How many requests the row stands for.
    pub requests: i64,
}

impl AccessLog<'_> {
    /// A page of the log.
    pub async fn list(
        &self,
        grant: &Grant,
        filter: &AccessFilter,
        order: Order,
        paging: Paging,
    ) -> Result<Page<AccessRow>, StoreError> {
        let Scope::Account(account) = grant.scope() else { return Ok(Page::empty()) };
        let mut condition = "account_id = $1 AND at >= $2 AND at <= $3".to_owned();
        let mut texts = Vec::new();
        let app = filter.app.map(|app| app.to_string());
        let token = filter.token.map(|token| token.to_string());
        for (column, text) in [("app_id", app), ("token_id", token), ("id", filter.id.clone())] {
            if let Some(text) = text {
                texts.push(text);
                let _ = write!(condition, " AND {column} = ${}", texts.len() + 3);
            }
        }
        condition += match filter.verdict {
            None => "",
            Some(Verdict::Accepted) => " AND reason IS NULL",
            Some(Verdict::Refused) => " AND reason IS NOT NULL",
        };
        let sort = match order {
            Order::Ascending => "at, id",
            Order::Descending => "at DESC, id DESC",
        };
        let n = texts.len() + 3;
        let count = format!("SELECT COUNT(*) FROM access_requests WHERE {condition}");
        let select = format!(
            "SELECT id, at, app_id, app_domain, token_id, secret, reason, client, requests FROM access_requests \
             WHERE {condition} ORDER BY {sort} LIMIT ${} OFFSET ${}",
            n + 1,
            n + 2
        );
        let bounds = (
            filter.since.map_or(i64::MIN, Timestamp::as_micros),
            filter.until.map_or(i64::MAX, Timestamp::as_micros),
        );
        let (total, items) = reading!(self.store, pool => {
            let mut counting = sqlx::query_scalar::<_, i64>(AssertSqlSafe(count))
                .persistent(false).bind(account.to_string()).bind(bounds.0).bind(bounds.1);
            let mut selecting = sqlx::query_as::<_, AccessRow>(AssertSqlSafe(select))
                .persistent(false).bind(account.to_string()).bind(bounds.0).bind(bounds.1);
            for text in &texts {
                counting = counting.bind(text);
                selecting = selecting.bind(text);
            }
            let total = counting.fetch_one(pool).await?;
            (total, selecting.bind(paging.limit()).bind(paging.offset()).fetch_all(pool).await?)
        });
        Ok(Page { items, total: total.unsigned_abs() })
    }
}

/// Forgets some of what is older than this, and says how much: so that the writer is not kept for long, the rest waits for the next
/// time.
pub(super) async fn forget(pool: &Pool, before: Timestamp) -> Result<u64, sqlx::Error> {
    let text = "DELETE FROM access_requests WHERE id IN (SELECT id FROM access_requests WHERE at < $1 ORDER BY at LIMIT 10000)";
    Ok(on_engine!(Pool, pool, pool => {
        sqlx::query(text).bind(before.as_micros()).execute(pool).await?.rows_affected()
    }))
}
