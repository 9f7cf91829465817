//! Two engines, one SQL text. The only file that knows both: connections, transactions, and how a batch becomes a statement.

use std::fmt::Write as _;
use std::future::Future;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, Postgres, Sqlite, Transaction};

use super::Durability;
use super::error::StoreError;

/// The steps of the schema.
static SQLITE_SCHEMA: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES_SCHEMA: Migrator = sqlx::migrate!("migrations/postgres");

/// The most jobs in a transaction, and the most rows in a statement.
pub(super) const CAP: usize = 64;
const READERS_SQLITE: u32 = 4;
const READERS_POSTGRES: u32 = 8;
/// How long somebody waits for a lock or a connection before being told that the store is unavailable.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long a read may take in all. PostgreSQL itself ends a statement after 10 seconds; a silent one ends nothing.
const READ_TIME: Duration = Duration::from_secs(16);

/// Runs the same code on whichever engine it is: `on_engine!(Pool, pool, conn => …)`.
macro_rules! on_engine {
    (Pool, $pool:expr, $conn:ident => $body:expr) => {
        match $pool {
            $crate::store::engine::Pool::Sqlite(pool) => {
                let $conn = pool;
                $body
            }
            $crate::store::engine::Pool::Postgres(pool) => {
                let $conn = pool;
                $body
            }
        }
    };
    (Tx, $tx:expr, $conn:ident => $body:expr) => {
        match $tx {
            $crate::store::engine::Tx::Sqlite(tx) => {
                let $conn = &mut **tx;
                $body
            }
            $crate::store::engine::Tx::Postgres(tx) => {
                let $conn = &mut **tx;
                $body
            }
        }
    };
}
pub(super) use on_engine;

/// Reads on whichever engine it is, and gives up on a store that does not answer: `reading!(store, pool => …)`.
macro_rules! reading {
    ($store:expr, $pool:ident => $body:expr) => {
        $crate::store::engine::in_time(async {
            Ok($crate::store::engine::on_engine!(Pool, &$store.readers(), $pool => $body))
        })
        .await?
    };
}
pub(super) use reading;

/// The end of a read that takes longer than waiting for a connection and the longest statement may.
pub(super) async fn in_time<T>(read: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let silent = |_| StoreError::Unavailable("the store does not answer".to_owned());
    tokio::time::timeout(READ_TIME, read).await.map_err(silent)?
}

/// Which engine it is, where it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Sqlite,
    Postgres,
}

/// Connections of one engine.
#[derive(Debug, Clone)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Which file an embedded store is in, by its device and number there. A database elsewhere has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoreFile(Option<(u64, u64)>);

/// A transaction of one engine. Dropped without a commit, it never happened.
#[derive(Debug)]
pub(super) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Engine {
    /// The steps of the schema that this binary knows.
    pub(super) fn schema(self) -> &'static Migrator {
        match self {
            Self::Sqlite => &SQLITE_SCHEMA,
            Self::Postgres => &POSTGRES_SCHEMA,
        }
    }
}

impl Pool {
    pub(super) fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// The file that is in the store's place now.
    pub(super) async fn file(&self) -> Result<StoreFile, StoreError> {
        let Self::Sqlite(pool) = self else { return Ok(StoreFile(None)) };
        let options = pool.connect_options();
        // A disk may not answer, for which nobody else is kept waiting.
        let found = tokio::task::spawn_blocking(move || std::fs::metadata(options.get_filename())).await;
        let gone = |error: std::io::Error| StoreError::Unavailable(format!("its file is gone: {error}"));
        let found = found.map_err(|error| StoreError::Unavailable(error.to_string()))?.map_err(gone)?;
        Ok(StoreFile(Some((found.dev(), found.ino()))))
    }

    /// Fails where the store's file is gone, or another one is in its place: SQLite would go on with one that nobody else sees any
    /// more, and that ends with this process.
    pub(super) async fn expect_file(&self, file: StoreFile) -> Result<(), StoreError> {
        if self.file().await? == file {
            return Ok(());
        }
        let message = "its file was replaced by another one; start the server again to use that";
        Err(StoreError::Unavailable(message.to_owned()))
    }

    /// Begins a transaction that will write, once no other node does, and keeps them all waiting until its end: what it reads
    /// stays true. Otherwise each row that a change depends on would have to be locked, which costs as much as writing it.
    pub(super) async fn begin(&self) -> sqlx::Result<Tx> {
        Ok(match self {
            // A deferred transaction that turns into a writer fails where one that starts as a writer waits.
            Self::Sqlite(pool) => Tx::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => {
                // The server may have hung up on an idle connection. Nothing was written yet, so trying once more is harmless.
                let mut tx = match pool.begin().await {
                    Err(error) if !matches!(error, sqlx::Error::PoolTimedOut) => pool.begin().await?,
                    begun => begun?,
                };
                sqlx::query("SELECT n FROM revision FOR UPDATE").execute(&mut *tx).await?;
                Tx::Postgres(tx)
            }
        })
    }

    /// Begins a transaction that reads one state of the store.
    pub(super) async fn begin_reading(&self) -> sqlx::Result<Tx> {
        Ok(match self {
            Self::Sqlite(pool) => Tx::Sqlite(pool.begin().await?),
            Self::Postgres(pool) => {
                Tx::Postgres(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
            }
        })
    }

    /// New connections in place of ones from which nothing is heard any more: a network that swallows packets tells nobody.
    pub(super) fn reopened(&self) -> Self {
        match self {
            Self::Sqlite(pool) => Self::Sqlite(pool.clone()),
            Self::Postgres(pool) => {
                let options = (*pool.connect_options()).clone();
                Self::Postgres(pool.options().clone().connect_lazy_with(options))
            }
        }
    }

    /// One connection more, to the same place and apart from these.
    pub(super) fn alone(&self) -> Self {
        match self {
            Self::Sqlite(pool) => {
                let options = pool.options().clone().max_connections(1);
                Self::Sqlite(options.connect_lazy_with((*pool.connect_options()).clone()))
            }
            Self::Postgres(pool) => {
                let options = pool.options().clone().max_connections(1);
                Self::Postgres(options.connect_lazy_with((*pool.connect_options()).clone()))
            }
        }
    }

    /// The same as [`reopened`](Self::reopened), for the event loop that calls: sockets belong to the one that opened them. SQLite has none, but threads.
    pub(super) async fn moved_here(self) -> Self {
        let moved = self.reopened();
        self.moved_away().await;
        moved
    }

    /// What may be handed to another event loop: sockets are closed.
    pub(super) async fn moved_away(self) -> Self {
        match &self {
            Self::Postgres(pool) => pool.close().await,
            Self::Sqlite(_) => self.settle().await,
        }
        self
    }

    /// Waits for SQLite's connection to be back in its pool of one. On its way there it would end with this event loop, unseen by
    /// whoever closes the pool, and so would SQLite's chance to fold its log into the one file.
    pub(super) async fn settle(&self) {
        if let Self::Sqlite(pool) = self
            && let Ok(mut connection) = pool.acquire().await
        {
            connection.return_to_pool().await;
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    pub(super) async fn commit(self) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => tx.commit().await,
        }
    }
}

/// One connection that writes, several that read, and one that nobody waits for but the directory of callers.
pub(super) struct Pools {
    pub(super) writer: Pool,
    pub(super) readers: Pool,
    pub(super) follower: Pool,
}

/// Opens an embedded store, makes it if it is not there, and brings its schema up to date.
pub(super) async fn open_sqlite(file: &Path, durability: Durability) -> sqlx::Result<Pools> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .journal_mode(SqliteJournalMode::Wal)
        .foreign_keys(true)
        .busy_timeout(PATIENCE)
        .pragma("temp_store", "memory")
        // A long reader lets the log grow; without a limit it would keep that size for ever.
        .pragma("journal_size_limit", "67108864");
    let writing = options.clone().create_if_missing(true).synchronous(match durability {
        Durability::Full => SqliteSynchronous::Full,
        Durability::NoneForTests => SqliteSynchronous::Off,
    });
    let writer = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(PATIENCE)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        // A commit that fails, on a full disk say, has ended SQLite's transaction while sqlx still counts it: such a connection
        // could begin no other.
        .after_release(|connection, _| {
            Box::pin(async move {
                if connection.is_in_transaction() {
                    // A rollback that is still under way is done after this.
                    connection.ping().await?;
                }
                Ok(!connection.is_in_transaction())
            })
        })
        .connect_with(writing)
        .await?;
    SQLITE_SCHEMA.run(&writer).await?;
    // Opened after the writer has made the file.
    let options = options.read_only(true);
    let reading = |most: u32| {
        SqlitePoolOptions::new()
            .max_connections(most)
            .acquire_timeout(PATIENCE)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
    };
    let readers = reading(READERS_SQLITE).connect_with(options.clone()).await?;
    let follower = reading(1).connect_with(options).await?;
    Ok(Pools {
        writer: Pool::Sqlite(writer),
        readers: Pool::Sqlite(readers),
        follower: Pool::Sqlite(follower),
    })
}

/// Opens a store on PostgreSQL and brings its schema up to date.
pub(super) async fn open_postgres(url: &str, durability: Durability) -> sqlx::Result<Pools> {
    let options = PgConnectOptions::from_str(url)?.application_name("hallpass");
    let mut probe = options.clone().connect().await?;
    let commit: String = sqlx::query_scalar("SHOW synchronous_commit").fetch_one(&mut probe).await?;
    let fsync: String = sqlx::query_scalar("SHOW fsync").fetch_one(&mut probe).await?;
    probe.close().await?;
    if fsync != "on" {
        tracing::warn!(
            "PostgreSQL runs with fsync = {fsync}: a crash of its machine can lose acknowledged writes"
        );
    }
    // Stronger settings, which wait for replicas, are kept; a weaker one would answer before the write is durable.
    let options = match (durability, commit.as_str()) {
        (Durability::NoneForTests, _) => options.options([("synchronous_commit", "off")]),
        (Durability::Full, "off") => options.options([("synchronous_commit", "on")]),
        (Durability::Full, _) => options,
    };
    let options = options.options([("statement_timeout", "10s"), ("lock_timeout", "5s")]);
    let pool = |most: u32| {
        PgPoolOptions::new()
            .max_connections(most)
            .acquire_timeout(PATIENCE)
            .test_before_acquire(false)
            .idle_timeout(None)
    };
    // The writer finds a few rows by their keys in tables of any size. Left alone, the planner reads a table of thousands whole for
    // a batch of 64, which takes many times as long, and may compile the statement, which takes longer still.
    let writing =
        options.clone().options([("enable_hashjoin", "off"), ("enable_mergejoin", "off"), ("jit", "off")]);
    let writer = pool(1).max_lifetime(None).connect_with(writing).await?;
    POSTGRES_SCHEMA.run(&writer).await?;
    let readers = pool(READERS_POSTGRES).connect_with(options.clone()).await?;
    let follower = pool(1).connect_with(options).await?;
    Ok(Pools {
        writer: Pool::Postgres(writer),
        readers: Pool::Postgres(readers),
        follower: Pool::Postgres(follower),
    })
}

/// Opens an embedded store to look at it, and writes to no file: neither to the store, nor to its log, nor to the log's index
/// (`readonly_shm`), which an ordinary reader writes to. `log` is whether there is a log beside the store; without one, nobody
/// has the store open, and SQLite is told that the file does not change, or it would make a log.
pub(super) async fn look_at_sqlite(file: &Path, log: Log) -> sqlx::Result<Pool> {
    let mut path = String::new();
    for byte in file.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => path.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => path.push(char::from(*byte)),
            byte => {
                // Writing to a text cannot fail.
                let _ = write!(path, "%{byte:02X}");
            }
        }
    }
    let how = match log {
        Log::None => "immutable=1",
        Log::Present => "readonly_shm=1",
    };
    let options = SqliteConnectOptions::new()
        .filename(format!("file:{path}?{how}"))
        .read_only(true)
        .busy_timeout(PATIENCE)
        .pragma("temp_store", "memory");
    let pool = SqlitePoolOptions::new().max_connections(1).acquire_timeout(PATIENCE).connect_with(options);
    Ok(Pool::Sqlite(pool.await?))
}

/// Opens a store on PostgreSQL to look at it: the database refuses whatever would write.
pub(super) async fn look_at_postgres(url: &str) -> sqlx::Result<Pool> {
    let options = PgConnectOptions::from_str(url)?
        .application_name("hallpass doctor")
        .options([("default_transaction_read_only", "on"), ("statement_timeout", "60s")]);
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE).connect_with(options);
    Ok(Pool::Postgres(pool.await?))
}

/// Whether an embedded store has its log (`-wal`) beside it: while it is open, and after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Log {
    Present,
    None,
}

/// A statement for batches: one text for each power of two up to [`CAP`], so that few texts serve all sizes and each stays in
/// the connection's cache. What is too much is padding, which the caller binds and the statement ignores.
#[derive(Debug)]
pub(super) struct Batched {
    texts: Vec<Arc<str>>,
}

impl Batched {
    /// `text` makes the statement for a list of placeholders.
    pub(super) fn new(engine: Engine, columns: usize, text: impl Fn(&str) -> String) -> Self {
        let texts =
            (0..=CAP.ilog2()).map(|power| text(&placeholders(engine, 1 << power, columns)).into()).collect();
        Self { texts }
    }

    /// The statement for so many rows, and how many it takes.
    pub(super) fn for_rows(&self, rows: usize) -> (Arc<str>, usize) {
        let power = rows.max(1).next_power_of_two().ilog2() as usize;
        let last = self.texts.len() - 1;
        let text = self.texts.get(power.min(last)).map_or_else(|| Arc::from(""), Arc::clone);
        (text, 1 << power.min(last))
    }
}

/// `(?, ?), (?, ?)` for SQLite and `($1, $2), ($3, $4)` for PostgreSQL. SQLite would take the second form too, but treats `$1` as
/// a name, and finding a parameter by name takes longer the more there are.
fn placeholders(engine: Engine, rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let columns = (0..columns).map(|column| match engine {
            Engine::Sqlite => "?".to_owned(),
            Engine::Postgres => format!("${}", row * columns + column + 1),
        });
        format!("({})", columns.collect::<Vec<_>>().join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// A statement that wrote more or fewer rows than it should have ends the transaction.
pub(super) fn expect_rows(written: u64, expected: usize) -> Result<(), sqlx::Error> {
    if written == expected as u64 {
        Ok(())
    } else {
        Err(sqlx::Error::Decode(format!("a statement wrote {written} rows where {expected} were due").into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_takes_the_next_power_of_two() {
        let batched = Batched::new(Engine::Postgres, 2, |values| format!("VALUES {values}"));
        assert_eq!(batched.for_rows(1), ("VALUES ($1, $2)".into(), 1));
        assert_eq!(batched.for_rows(2), ("VALUES ($1, $2), ($3, $4)".into(), 2));
        assert_eq!(batched.for_rows(3).1, 4);
        assert_eq!(batched.for_rows(33).1, 64);
        assert_eq!(batched.for_rows(64).1, 64);
        let batched = Batched::new(Engine::Sqlite, 1, |values| format!("VALUES {values}"));
        assert_eq!(batched.for_rows(2), ("VALUES (?), (?)".into(), 2));
    }
}
