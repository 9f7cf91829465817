//! Service tokens in the store: reading them, and handing changes of them to the writer.

use std::fmt::Write as _;
use std::sync::Arc;

use hallpass_core::caller::{Grant, Scope};
use hallpass_core::id::{AccountId, ServiceTokenId, ZoneId};
use hallpass_core::secret::SecretDigest;
use hallpass_core::service_token::{Name, SecretChange, ServiceToken, TokenChange, fold_case};
use hallpass_core::time::Timestamp;
use hallpass_core::validity::Validity;
use sqlx::{AssertSqlSafe, FromRow};

use super::batch::{Outcome, Work};
use super::engine::{Batched, CAP, Engine, Tx, expect_rows, on_engine, reading};
use super::error::{StoreError, WriteError};
use super::{Page, Paging, Store};

/// A token with what is stored beside it.
#[derive(Debug, Clone)]
pub struct StoredServiceToken {
    /// The token. Shared, because a batch keeps it beside those who wait for it.
    pub token: Arc<ServiceToken>,
    /// When it was last used.
    pub last_seen_at: Option<Timestamp>,
}

/// What became of a change.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The token after the change; for a delete, before.
    pub stored: StoredServiceToken,
    /// What happened to its secrets.
    pub secret: SecretChange,
}

/// Which tokens to list.
#[derive(Debug, Clone, Default)]
pub struct TokenFilter {
    /// Only those with exactly this name.
    pub name: Option<String>,
    /// Only those whose name, client ID or id holds this, in upper or lower case.
    pub search: Option<String>,
}

/// The service tokens that a grant reaches.
#[derive(Debug)]
pub struct ServiceTokens<'a> {
    pub(super) store: &'a Store,
}

macro_rules! columns {
    () => {
        "id, account_id, zone_id, client_id, name, duration, expires_at, enabled, secret_version, \
         previous_secret_expires_at, previous_secret_until, rotated_at, created_at, updated_at, \
         (SELECT a.last_seen_at FROM activity a WHERE a.kind = 'service_token' AND a.owner_id = service_tokens.id) AS last_seen_at"
    };
}

impl ServiceTokens<'_> {
    /// The token with this id, if the grant reaches it.
    pub async fn find(
        &self,
        grant: &Grant,
        id: ServiceTokenId,
    ) -> Result<Option<StoredServiceToken>, StoreError> {
        let row = reading!(self.store, pool => {
            sqlx::query_as::<_, TokenRow>(concat!("SELECT ", columns!(), " FROM service_tokens WHERE id = $1"))
                .bind(id.to_string())
                .fetch_optional(pool)
                .await?
        });
        let found = row.map(StoredServiceToken::try_from).transpose()?;
        Ok(found.filter(|stored| reaches(grant.scope(), &stored.token)))
    }

    /// A page of the tokens that the grant reaches, newest first.
    pub async fn list(
        &self,
        grant: &Grant,
        filter: &TokenFilter,
        paging: Paging,
    ) -> Result<Page<StoredServiceToken>, StoreError> {
        let Some((condition, texts)) = condition(grant.scope(), filter) else {
            return Ok(Page::empty());
        };
        let n = texts.len();
        let count = format!("SELECT COUNT(*) FROM service_tokens WHERE {condition}");
        let select = format!(
            "SELECT {} FROM service_tokens WHERE {condition} ORDER BY created_at DESC, id LIMIT ${} OFFSET ${}",
            columns!(),
            n + 1,
            n + 2
        );
        let (total, rows) = reading!(self.store, pool => {
            let mut counting = sqlx::query_scalar::<_, i64>(AssertSqlSafe(count));
            let mut selecting = sqlx::query_as::<_, TokenRow>(AssertSqlSafe(select));
            for text in &texts {
                counting = counting.bind(text);
                selecting = selecting.bind(text);
            }
            let total = counting.fetch_one(pool).await?;
            (total, selecting.bind(paging.limit()).bind(paging.offset()).fetch_all(pool).await?)
        });
        let items = rows.into_iter().map(StoredServiceToken::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, total: total.unsigned_abs() })
    }

    /// Stores a new token with the digest of its secret, unless its account has `quota` tokens already.
    pub async fn create(
        &self,
        grant: &Grant,
        token: ServiceToken,
        digest: SecretDigest,
        quota: Option<u32>,
        now: Timestamp,
    ) -> Result<Changed, WriteError> {
        let work = Work::CreateServiceToken { token: Arc::new(token), digest, quota };
        self.store.write(grant, now, work).await?.into_service_token()
    }

    /// Applies a change. `fresh` is the digest that becomes current if the change replaces the secret.
    pub async fn change(
        &self,
        grant: &Grant,
        id: ServiceTokenId,
        change: TokenChange,
        fresh: Option<SecretDigest>,
        now: Timestamp,
    ) -> Result<Changed, WriteError> {
        let work = Work::ChangeServiceToken { id, change, fresh };
        self.store.write(grant, now, work).await?.into_service_token()
    }

    /// Deletes a token, and says what it was.
    pub async fn delete(
        &self,
        grant: &Grant,
        id: ServiceTokenId,
        now: Timestamp,
    ) -> Result<Changed, WriteError> {
        self.store.write(grant, now, Work::DeleteServiceToken(id)).await?.into_service_token()
    }
}

/// Whether a scope covers a token: an account's covers all of its tokens, a zone's those that were made for it (compatibility, D13).
pub(super) fn reaches(scope: Scope, token: &ServiceToken) -> bool {
    match scope {
        Scope::Account(account) => token.account_id == account,
        Scope::Zone { zone, account } => token.account_id == account && token.zone_id == Some(zone),
        Scope::User(_) => false,
    }
}

/// The WHERE of a list, with its texts; `None` where nothing can match.
fn condition(scope: Scope, filter: &TokenFilter) -> Option<(String, Vec<String>)> {
    let mut texts = vec![scope.account()?.to_string()];
    let mut condition = "account_id = $1".to_owned();
    if let Some(zone) = scope.zone() {
        texts.push(zone.to_string());
        condition += " AND zone_id = $2";
    }
    if let Some(name) = &filter.name {
        texts.push(name.clone());
        let _ = write!(condition, " AND name = ${}", texts.len());
    }
    if let Some(search) = &filter.search {
        let escaped = fold_case(search).replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        texts.push(format!("%{escaped}%"));
        let n = texts.len();
        let _ = write!(
            condition,
            " AND (search_name LIKE ${n} ESCAPE '\\' OR client_id LIKE ${n} ESCAPE '\\' OR id LIKE ${n} ESCAPE '\\')"
        );
    }
    // No name holds a NUL, which PostgreSQL's texts cannot hold either; none is that long, and SQLite bounds its patterns.
    let can_match = |text: &String| !text.contains('\0') && text.len() <= 4_096;
    texts.iter().all(can_match).then_some((condition, texts))
}

/// A row of the table.
#[derive(Debug, FromRow)]
pub(super) struct TokenRow {
    id: String,
    account_id: String,
    zone_id: Option<String>,
    client_id: String,
    name: String,
    duration: String,
    expires_at: Option<i64>,
    enabled: bool,
    secret_version: i64,
    previous_secret_expires_at: Option<i64>,
    previous_secret_until: Option<i64>,
    rotated_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
    last_seen_at: Option<i64>,
}

impl TryFrom<TokenRow> for StoredServiceToken {
    type Error = StoreError;

    fn try_from(row: TokenRow) -> Result<Self, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt(format!("service token {}: {what}", row.id));
        let time = |micros: i64| Timestamp::from_micros(micros).ok_or_else(|| corrupt("a time out of range"));
        let maybe_time = |micros: Option<i64>| micros.map(time).transpose();
        let zone_id = row.zone_id.as_deref().map(str::parse::<ZoneId>).transpose();
        let token = ServiceToken {
            id: row.id.parse().map_err(|_| corrupt("its id"))?,
            account_id: row.account_id.parse::<AccountId>().map_err(|_| corrupt("account_id"))?,
            zone_id: zone_id.map_err(|_| corrupt("zone_id"))?,
            client_id: row.client_id.parse().map_err(|_| corrupt("client_id"))?,
            name: Name::parse(&row.name).map_err(|_| corrupt("name"))?,
            validity: Validity::parse(&row.duration).map_err(|_| corrupt("duration"))?,
            expires_at: maybe_time(row.expires_at)?,
            enabled: row.enabled,
            secret_version: u32::try_from(row.secret_version).map_err(|_| corrupt("secret_version"))?,
            previous_secret_expires_at: maybe_time(row.previous_secret_expires_at)?,
            previous_secret_until: maybe_time(row.previous_secret_until)?,
            rotated_at: maybe_time(row.rotated_at)?,
            created_at: time(row.created_at)?,
            updated_at: time(row.updated_at)?,
        };
        Ok(Self { token: Arc::new(token), last_seen_at: maybe_time(row.last_seen_at)? })
    }
}

impl Outcome {
    fn into_service_token(self) -> Result<Changed, WriteError> {
        match self {
            Self::ServiceToken(changed) => Ok(changed),
            _ => Err(StoreError::Corrupt("the writer answered another question".to_owned()).into()),
        }
    }
}

/// The statements of a batch. Values come without casts: SQLite is twice as fast so, and sqlx declares every type to PostgreSQL.
#[derive(Debug)]
pub(super) struct Statements {
    select: Batched,
    insert: Batched,
    update: Batched,
    extend: Batched,
}

impl Statements {
    pub(super) fn new(engine: Engine) -> Self {
        Self {
            select: Batched::new(engine, 1, |ids| {
                format!("SELECT {} FROM service_tokens WHERE id IN ({ids})", columns!())
            }),
            insert: Batched::new(engine, 15, |values| {
                format!(
                    "INSERT INTO service_tokens (id, account_id, zone_id, client_id, name, search_name, duration, expires_at, \
                     enabled, secret_version, previous_secret_expires_at, previous_secret_until, rotated_at, created_at, updated_at) \
                     SELECT v.column1, v.column2, v.column3, v.column4, v.column5, v.column6, v.column7, v.column8, v.column9, \
                     v.column10, v.column11, v.column12, v.column13, v.column14, v.column15 \
                     FROM (VALUES {values}) AS v WHERE v.column1 <> ''"
                )
            }),
            update: Batched::new(engine, 11, |values| {
                format!(
                    "UPDATE service_tokens SET name = v.column2, search_name = v.column3, duration = v.column4, \
                     expires_at = v.column5, enabled = v.column6, secret_version = v.column7, \
                     previous_secret_expires_at = v.column8, previous_secret_until = v.column9, rotated_at = v.column10, \
                     updated_at = v.column11 FROM (VALUES {values}) AS v WHERE service_tokens.id = v.column1"
                )
            }),
            extend: Batched::new(engine, 3, |values| {
                format!(
                    "UPDATE service_tokens SET expires_at = v.column2, updated_at = v.column3 \
                     FROM (VALUES {values}) AS v WHERE service_tokens.id = v.column1"
                )
            }),
        }
    }

    /// Reads tokens. `ids` are sorted, without doubles, and not empty.
    pub(super) async fn read(
        &self,
        tx: &mut Tx,
        ids: &[String],
    ) -> Result<Vec<StoredServiceToken>, sqlx::Error> {
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(CAP) {
            let (text, size) = self.select.for_rows(ids.len());
            let last = ids.last().map_or("", String::as_str);
            let rows = on_engine!(Tx, tx, conn => {
                let mut query = sqlx::query_as::<_, TokenRow>(AssertSqlSafe(text));
                for n in 0..size {
                    query = query.bind(ids.get(n).map_or(last, String::as_str));
                }
                query.fetch_all(conn).await?
            });
            for row in rows {
                found.push(
                    StoredServiceToken::try_from(row).map_err(|error| sqlx::Error::Decode(error.into()))?,
                );
            }
        }
        Ok(found)
    }

    /// Writes new tokens.
    pub(super) async fn insert(&self, tx: &mut Tx, tokens: &[&ServiceToken]) -> Result<(), sqlx::Error> {
        for tokens in tokens.chunks(CAP) {
            let (text, size) = self.insert.for_rows(tokens.len());
            let written = on_engine!(Tx, tx, conn => {
                let mut query = sqlx::query(AssertSqlSafe(text));
                for n in 0..size {
                    let token = tokens.get(n);
                    query = query
                        .bind(token.map_or_else(String::new, |token| token.id.to_string()))
                        .bind(token.map_or_else(String::new, |token| token.account_id.to_string()))
                        .bind(token.and_then(|token| token.zone_id).map(|zone| zone.to_string()))
                        .bind(token.map_or("", |token| token.client_id.as_str()))
                        .bind(token.map_or("", |token| token.name.as_str()))
                        .bind(token.map_or_else(String::new, |token| fold_case(token.name.as_str())))
                        .bind(token.map_or("", |token| token.validity.as_str()))
                        .bind(token.and_then(|token| token.expires_at).map(Timestamp::as_micros))
                        .bind(token.is_some_and(|token| token.enabled))
                        .bind(token.map_or(0, |token| i64::from(token.secret_version)))
                        .bind(token.and_then(|token| token.previous_secret_expires_at).map(Timestamp::as_micros))
                        .bind(token.and_then(|token| token.previous_secret_until).map(Timestamp::as_micros))
                        .bind(token.and_then(|token| token.rotated_at).map(Timestamp::as_micros))
                        .bind(token.map_or(0, |token| token.created_at.as_micros()))
                        .bind(token.map_or(0, |token| token.updated_at.as_micros()));
                }
                query.execute(conn).await?.rows_affected()
            });
            expect_rows(written, tokens.len())?;
        }
        Ok(())
    }

    /// Writes changed tokens: `(before, after)`. Those of which only the expiry moved take a shorter statement.
    pub(super) async fn update(
        &self,
        tx: &mut Tx,
        changed: &[(&ServiceToken, &ServiceToken)],
    ) -> Result<(), sqlx::Error> {
        let (extended, edited): (Vec<_>, Vec<_>) =
            changed.iter().partition(|(before, after)| only_extended(before, after));
        for tokens in extended.chunks(CAP) {
            let (text, size) = self.extend.for_rows(tokens.len());
            let written = on_engine!(Tx, tx, conn => {
                let mut query = sqlx::query(AssertSqlSafe(text));
                for n in 0..size {
                    let token = tokens.get(n).map(|(_, after)| after);
                    query = query
                        .bind(token.map_or_else(String::new, |token| token.id.to_string()))
                        .bind(token.and_then(|token| token.expires_at).map(Timestamp::as_micros))
                        .bind(token.map_or(0, |token| token.updated_at.as_micros()));
                }
                query.execute(conn).await?.rows_affected()
            });
            expect_rows(written, tokens.len())?;
        }
        for tokens in edited.chunks(CAP) {
            let (text, size) = self.update.for_rows(tokens.len());
            let written = on_engine!(Tx, tx, conn => {
                let mut query = sqlx::query(AssertSqlSafe(text));
                for n in 0..size {
                    let token = tokens.get(n).map(|(_, after)| after);
                    query = query
                        .bind(token.map_or_else(String::new, |token| token.id.to_string()))
                        .bind(token.map_or("", |token| token.name.as_str()))
                        .bind(token.map_or_else(String::new, |token| fold_case(token.name.as_str())))
                        .bind(token.map_or("", |token| token.validity.as_str()))
                        .bind(token.and_then(|token| token.expires_at).map(Timestamp::as_micros))
                        .bind(token.is_some_and(|token| token.enabled))
                        .bind(token.map_or(0, |token| i64::from(token.secret_version)))
                        .bind(token.and_then(|token| token.previous_secret_expires_at).map(Timestamp::as_micros))
                        .bind(token.and_then(|token| token.previous_secret_until).map(Timestamp::as_micros))
                        .bind(token.and_then(|token| token.rotated_at).map(Timestamp::as_micros))
                        .bind(token.map_or(0, |token| token.updated_at.as_micros()));
                }
                query.execute(conn).await?.rows_affected()
            });
            expect_rows(written, tokens.len())?;
        }
        Ok(())
    }
}

fn only_extended(before: &ServiceToken, after: &ServiceToken) -> bool {
    let as_before =
        ServiceToken { expires_at: before.expires_at, updated_at: before.updated_at, ..after.clone() };
    as_before == *before
}

/// Counts an account's tokens.
pub(super) async fn count(tx: &mut Tx, account: AccountId) -> Result<u64, sqlx::Error> {
    let count = on_engine!(Tx, tx, conn => {
        let counting = sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM service_tokens WHERE account_id = $1");
        counting.bind(account.to_string()).fetch_one(conn).await?
    });
    Ok(count.unsigned_abs())
}

/// Deletes a token's row.
pub(super) async fn delete(tx: &mut Tx, id: ServiceTokenId) -> Result<(), sqlx::Error> {
    let deleted = on_engine!(Tx, tx, conn => {
        let deleting = sqlx::query("DELETE FROM service_tokens WHERE id = $1").bind(id.to_string());
        deleting.execute(conn).await?.rows_affected()
    });
    expect_rows(deleted, 1)
}

/// The text under which [`SecretDigest`]s and activity of service tokens are kept.
pub(super) const KIND: &str = "service_token";

/// Sorted ids without doubles, as [`Statements::read`] wants them.
pub(super) fn sorted(ids: impl Iterator<Item = ServiceTokenId>) -> Vec<String> {
    let mut ids: Vec<_> = ids.map(|id| id.to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
