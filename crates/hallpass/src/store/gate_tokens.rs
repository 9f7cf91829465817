//! Every service token with its digests, as the gate wants them: all of them at its start, and those that changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hallpass_core::decision::KnownServiceToken;
use hallpass_core::secret::SecretDigest;
use hallpass_core::time::Timestamp;
use rusqlite::{Connection, OpenFlags, Row};
use sqlx::AssertSqlSafe;
use tokio::sync::mpsc;

use super::engine::{PATIENCE, Pool, Tx, on_engine};
use super::error::StoreError;
use super::gate_feed::GateToken;

/// How many tokens PostgreSQL is asked for at once: few enough for a database that ends long statements.
const PAGE: i64 = 20_000;
/// How many tokens of an embedded store are handed over at once, and how many times that may wait to be taken.
const BATCH: usize = 1_024;
const BATCHES: usize = 4;

/// A token as it is stored.
struct Stored<'a> {
    id: &'a str,
    account_id: &'a str,
    client_id: &'a str,
    name: &'a str,
    enabled: bool,
    expires_at: Option<i64>,
    previous_secret_until: Option<i64>,
}

impl Stored<'_> {
    fn with(&self, current: SecretDigest, previous: Option<SecretDigest>) -> Result<GateToken, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt(format!("service token {}: {what}", self.id));
        let time = |micros: i64| Timestamp::from_micros(micros).ok_or_else(|| corrupt("a time out of range"));
        let known = KnownServiceToken {
            id: self.id.parse().map_err(|_| corrupt("its id"))?,
            account_id: self.account_id.parse().map_err(|_| corrupt("account_id"))?,
            name: self.name.into(),
            enabled: self.enabled,
            expires_at: self.expires_at.map(time).transpose()?,
            current,
            previous: previous.zip(self.previous_secret_until.map(time).transpose()?),
        };
        Ok(GateToken { client_id: self.client_id.parse().map_err(|_| corrupt("client_id"))?, known })
    }
}

fn digest(bytes: &[u8]) -> Result<SecretDigest, StoreError> {
    let bytes =
        bytes.try_into().map_err(|_| StoreError::Corrupt("a digest has another length".to_owned()))?;
    Ok(SecretDigest::from_stored(bytes))
}

/// A token with its digests, read at once: the columns of [`Stored`] in their order, then the current digest and the previous one.
type Whole =
    (String, String, String, String, bool, Option<i64>, Option<i64>, Option<Vec<u8>>, Option<Vec<u8>>);

/// What makes a [`Whole`], up to its condition. Digests are looked for one by one: by a join, PostgreSQL would read all of them
/// whenever it does not know yet how many there are, and compare each with each.
const SELECT: &str = "SELECT t.id, t.account_id, t.client_id, t.name, t.enabled, t.expires_at, t.previous_secret_until, \
     (SELECT d.digest FROM digests d WHERE d.kind = 'service_token' AND d.owner_id = t.id AND d.slot = 'current'), \
     (SELECT d.digest FROM digests d WHERE d.kind = 'service_token' AND d.owner_id = t.id AND d.slot = 'previous') \
     FROM service_tokens t";

/// One without a secret opens nothing, and is left out.
fn from_whole(row: &Whole) -> Option<Result<GateToken, StoreError>> {
    let (id, account_id, client_id, name, enabled, expires_at, previous_secret_until, current, previous) =
        row;
    let (enabled, expires_at, previous_secret_until) = (*enabled, *expires_at, *previous_secret_until);
    let stored = Stored { id, account_id, client_id, name, enabled, expires_at, previous_secret_until };
    let current = digest(current.as_deref()?);
    let previous = previous.as_deref().map(digest).transpose();
    Some(current.and_then(|current| stored.with(current, previous?)))
}

/// The tokens that changed after a revision, and are still there.
pub(super) async fn changed(tx: &mut Tx, after: i64) -> Result<Vec<GateToken>, StoreError> {
    let text = format!(
        "{SELECT} WHERE t.id IN (SELECT object_id FROM changes WHERE revision > $1 AND kind = 'service_token')"
    );
    let rows = on_engine!(Tx, tx, conn => {
        sqlx::query_as::<_, Whole>(AssertSqlSafe(text)).bind(after).fetch_all(conn).await?
    });
    rows.iter().filter_map(from_whole).collect()
}

/// All of them, one by one: on PostgreSQL as the transaction sees them, on SQLite as they are now, which is no earlier.
pub(super) async fn all(pool: &Pool, tx: &mut Tx, each: impl FnMut(GateToken)) -> Result<(), StoreError> {
    match pool {
        Pool::Sqlite(pool) => embedded(pool.connect_options().get_filename().to_owned(), each).await,
        Pool::Postgres(_) => paged(tx, each).await,
    }
}

async fn paged(tx: &mut Tx, mut each: impl FnMut(GateToken)) -> Result<(), StoreError> {
    let text = Arc::<str>::from(format!("{SELECT} WHERE t.id > $1 ORDER BY t.id LIMIT $2"));
    let mut last = String::new();
    loop {
        let text = AssertSqlSafe(Arc::clone(&text));
        let rows = on_engine!(Tx, tx, conn => {
            sqlx::query_as::<_, Whole>(text).bind(&last).bind(PAGE).fetch_all(conn).await?
        });
        let Some((end, ..)) = rows.last() else { return Ok(()) };
        last.clone_from(end);
        for token in rows.iter().filter_map(from_whole) {
            each(token?);
        }
    }
}

/// All tokens of an embedded store, over a connection that borrows each row instead of copying it: with a million tokens, that is
/// the difference between one second and ten (docs/performance.md).
async fn embedded(file: PathBuf, mut each: impl FnMut(GateToken)) -> Result<(), StoreError> {
    let (sender, mut batches) = mpsc::channel(BATCHES);
    let reading = tokio::task::spawn_blocking(move || read(&file, &sender));
    while let Some(batch) = batches.recv().await {
        Vec::into_iter(batch).for_each(&mut each);
    }
    reading.await.map_err(|error| StoreError::Unavailable(error.to_string()))?
}

/// Walks along two indexes side by side. A join would look for each digest anew.
fn read(file: &Path, batches: &mpsc::Sender<Vec<GateToken>>) -> Result<(), StoreError> {
    let db = Connection::open_with_flags(
        file,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    db.busy_timeout(PATIENCE)?;
    let one_state = db.unchecked_transaction()?;
    let mut tokens = one_state.prepare(
        "SELECT id, account_id, client_id, name, enabled, expires_at, previous_secret_until FROM service_tokens ORDER BY id",
    )?;
    let mut digests = one_state.prepare(
        "SELECT owner_id, slot, digest FROM digests WHERE kind = 'service_token' ORDER BY owner_id, slot",
    )?;
    let (mut tokens, mut digests) = (tokens.query([])?, digests.query([])?);
    let mut next = digests.next()?;
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(row) = tokens.next()? {
        let token = from_row(row)?;
        let (mut current, mut previous) = (None, None);
        while let Some(row) = next {
            let owner = row.get_ref(0)?.as_str()?;
            if owner > token.id {
                break;
            }
            let slot = match row.get_ref(1)?.as_str()? {
                "current" => &mut current,
                _ => &mut previous,
            };
            *slot = (owner == token.id).then(|| digest(row.get_ref(2)?.as_blob()?)).transpose()?;
            next = digests.next()?;
        }
        let Some(current) = current else { continue };
        batch.push(token.with(current, previous)?);
        if batch.len() == BATCH
            && batches.blocking_send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).is_err()
        {
            // Nobody waits for the rest.
            return Ok(());
        }
    }
    let _ = batches.blocking_send(batch);
    Ok(())
}

fn from_row<'r>(row: &'r Row<'_>) -> Result<Stored<'r>, StoreError> {
    Ok(Stored {
        id: row.get_ref(0)?.as_str()?,
        account_id: row.get_ref(1)?.as_str()?,
        client_id: row.get_ref(2)?.as_str()?,
        name: row.get_ref(3)?.as_str()?,
        enabled: row.get_ref(4)?.as_i64()? != 0,
        expires_at: row.get_ref(5)?.as_i64_or_null()?,
        previous_secret_until: row.get_ref(6)?.as_i64_or_null()?,
    })
}
