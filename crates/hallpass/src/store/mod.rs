//! The store: what is kept, on SQLite or PostgreSQL, and the only way to change it.
//!
//! Transactions never leave this folder. A call that changes something takes a [`Grant`] and returns when the change is durable,
//! audited, and known to this node's directory of callers and to its gate.

pub mod access_log;
pub mod accounts;
mod activity;
pub mod api_tokens;
pub mod apps;
mod audit;
pub mod audit_log;
mod batch;
pub mod callers;
mod concern;
pub mod diagnosis;
mod digests;
mod engine;
pub mod error;
mod followers;
mod founding;
pub mod gate_feed;
mod gate_tokens;
pub mod groups;
pub mod guarded;
mod hosts;
mod import;
pub mod inactivity;
pub mod organizations;
mod paging;
pub mod policies;
mod policy_rows;
mod references;
pub mod service_tokens;
pub mod signing_keys;
pub mod statistics;
pub mod uses;
mod writer;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hallpass_core::caller::Grant;
use hallpass_core::id::ApiTokenId;
use hallpass_core::secret::{ClientSecret, DigestKey, SecretDigest, SecretKind};
use hallpass_core::time::Timestamp;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use crate::server_key::ServerKey;
use crate::signing_keys::WrapKey;
use crate::world::World;
use activity::Activity;
use batch::{Outcome, Work};
use callers::Callers;
use engine::{PATIENCE, Pool, StoreFile, on_engine, reading};
use error::{OpenError, StoreError, WriteError};
use followers::Followers;
pub use founding::{FirstToken, Founding};
pub use import::Holder;
pub use paging::{Page, Paging};
use service_tokens::ServiceTokens;
use statistics::Statistics;
use writer::{Job, Message, Writer};

/// How often the directory of callers looks for what other nodes changed.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);
/// How often it is written down what was used, and what the gate decided.
const TOUCH_EVERY: Duration = Duration::from_secs(5);
/// How long a store that is closed waits for the requests that still use it.
const CLOSING_TIME: Duration = Duration::from_secs(2);
/// How often old change rows are forgotten.
const PRUNE_EVERY: Duration = Duration::from_mins(1);

/// Where a store is.
#[derive(Debug, Clone)]
pub enum Location {
    /// Embedded, in this directory.
    Directory(PathBuf),
    /// In the PostgreSQL database at this URL.
    Postgres(String),
}

/// What a store is for. One made for one purpose cannot be opened for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The real thing.
    Service,
    /// The emulator, whose credentials everybody knows.
    Emulator,
}

/// When a write counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When it would survive a power cut.
    Full,
    /// Earlier. It loses acknowledged writes, and exists so that a test can show that it would be noticed.
    NoneForTests,
}

/// The store. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    readers: RwLock<Pool>,
    file: StoreFile,
    writer: mpsc::Sender<Message>,
    callers: Arc<Callers>,
    followers: Followers,
    activity: Arc<Activity>,
    statistics: Statistics,
    digest_key: DigestKey,
    wrap_key: WrapKey,
    writing: Mutex<Option<oneshot::Receiver<Pool>>>,
}

impl Inner {
    fn readers(&self) -> Pool {
        self.readers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The file of an embedded store.
pub fn database_file(directory: &Path) -> PathBuf {
    directory.join("hallpass.db")
}

/// The server key beside an embedded store.
pub fn key_file(directory: &Path) -> PathBuf {
    directory.join("server.key")
}

/// Makes the directory of an embedded store, for its owner alone.
pub fn make_directory(directory: &Path) -> Result<(), OpenError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|error| OpenError::Io(directory.to_owned(), error))
}

impl Store {
    /// Opens a store, makes it if need be, and starts its tasks.
    pub async fn open(
        location: &Location,
        key: &ServerKey,
        purpose: Purpose,
        durability: Durability,
        world: &World,
    ) -> Result<Self, OpenError> {
        let pools = match location {
            Location::Directory(directory) => {
                let _one_at_a_time = lock(directory)?;
                engine::open_sqlite(&database_file(directory), durability).await?
            }
            Location::Postgres(url) => engine::open_postgres(url, durability).await?,
        };
        check_meta(&pools.writer, key, purpose).await?;

        let file = pools.writer.file().await?;
        let callers = Arc::new(Callers::new(world.clone(), pools.follower, file));
        callers.follow().await?;
        let (sender, queue) = mpsc::channel(writer::QUEUE);
        let engine = pools.writer.engine();
        let statistics = Statistics::default();
        let followers = Followers::default();
        let noted = Arc::<Activity>::default();
        let writer = Writer {
            statistics: statistics.clone(),
            pool: pools.writer.clone(),
            file,
            callers: Arc::clone(&callers),
            followers: followers.clone(),
            tokens: service_tokens::Statements::new(engine),
            digests: digests::Statements::new(engine),
            audit: audit::Statements::new(engine),
            activity: activity::Statements::new(engine),
            noted: Arc::clone(&noted),
        };
        let writing = writer.start(queue).map_err(OpenError::Thread)?;
        let inner = Arc::new(Inner {
            readers: RwLock::new(pools.readers),
            file,
            writer: sender,
            callers,
            followers,
            activity: noted,
            statistics,
            digest_key: key.digest_key(),
            wrap_key: WrapKey::new(key),
            writing: Mutex::new(Some(writing)),
        });
        tokio::spawn(upkeep(Arc::downgrade(&inner)));
        tokio::spawn(signing_keys::keep(Arc::downgrade(&inner), world.clone()));
        Ok(Self { inner })
    }

    /// Ends the store: what was accepted is written, then the connections are closed.
    pub async fn close(self) {
        // Without a writer, nobody will ask when a token was last used.
        let _ = self.inner.writer.send(Message::Note).await;
        let writing = self.inner.writing.lock().await.take();
        let readers = self.inner.readers();
        let callers = Arc::clone(&self.inner.callers);
        // The writer ends when the last sender is gone; requests that are still running hold one.
        drop(self);
        let Some(writing) = writing else { return };
        match tokio::time::timeout(CLOSING_TIME, writing).await {
            Ok(Ok(pool)) => {
                // In this order, so that the last connection can write and SQLite folds its log into the one file.
                let closing = async {
                    readers.close().await;
                    callers.close().await;
                    pool.close().await;
                };
                // A database that does not answer need not hear that we are leaving.
                let _ = tokio::time::timeout(CLOSING_TIME, closing).await;
            }
            Ok(Err(_)) => tracing::error!("the writer ended badly"),
            Err(_) => tracing::warn!("the store was closed while requests were still using it"),
        }
    }

    /// The service tokens.
    pub fn service_tokens(&self) -> ServiceTokens<'_> {
        ServiceTokens { store: self }
    }

    /// The API tokens.
    pub fn api_tokens(&self) -> api_tokens::ApiTokens<'_> {
        api_tokens::ApiTokens { store: self }
    }

    /// The applications.
    pub fn apps(&self) -> apps::Apps<'_> {
        apps::Apps { store: self }
    }

    /// The policies.
    pub fn policies(&self) -> policies::Policies<'_> {
        policies::Policies { store: self }
    }

    /// The groups of rules.
    pub fn groups(&self) -> groups::Groups<'_> {
        groups::Groups { store: self }
    }

    /// The organization of an account.
    pub fn organizations(&self) -> organizations::Organizations<'_> {
        organizations::Organizations { store: self }
    }

    /// The keys that sign assertions.
    pub fn signing_keys(&self) -> signing_keys::SigningKeys<'_> {
        signing_keys::SigningKeys { store: self }
    }

    /// Everything that decides who may pass where, of all accounts, as it is at one moment.
    pub async fn guarded(&self) -> Result<guarded::Guarded, StoreError> {
        engine::in_time(async {
            let mut tx = self.readers().begin_reading().await?;
            let guarded = guarded::load(&mut tx).await?;
            tx.commit().await?;
            Ok(guarded)
        })
        .await
    }

    /// The audit, to be read.
    pub fn audit_log(&self) -> audit_log::AuditLog<'_> {
        audit_log::AuditLog { store: self }
    }

    /// What the gate decided, to be read.
    pub fn access_log(&self) -> access_log::AccessLog<'_> {
        access_log::AccessLog { store: self }
    }

    /// Forgets what the gate decided before this time, in the background and piece by piece.
    pub fn forget_accesses(&self, before: Timestamp) {
        // A full queue has more urgent things; this will be asked for again.
        let _ = self.inner.writer.try_send(Message::ForgetAccesses(before));
    }

    /// Where the gate notes what it decides.
    pub fn accesses(&self) -> &Arc<access_log::Accesses> {
        &self.inner.activity.accesses
    }

    /// The directory of callers.
    pub fn callers(&self) -> &Callers {
        &self.inner.callers
    }

    /// The digest of a secret under this store's key.
    pub fn digest(&self, kind: SecretKind, record_id: &str, secret: &ClientSecret) -> SecretDigest {
        SecretDigest::new(&self.inner.digest_key, kind, record_id, secret)
    }

    /// The digest of an API token's secret, whoever owns it. It has no record id, because the record is looked up by it.
    pub fn api_token_digest(&self, secret: &ClientSecret) -> SecretDigest {
        self.digest(SecretKind::AccountApiToken, "", secret)
    }

    /// Notes that an API token was used.
    pub fn note_use(&self, id: ApiTokenId, now: Timestamp) {
        self.inner.activity.note(id, now);
    }

    /// Whether the store can be read and written now.
    pub async fn check(&self) -> Result<(), StoreError> {
        let silent = || StoreError::Unavailable("the store does not answer".to_owned());
        tokio::time::timeout(PATIENCE, self.read_revision()).await.map_err(|_| silent())??;
        if self.inner.writer.is_closed() || !self.callers().is_fresh() {
            return Err(StoreError::Unavailable("the store is not being followed".to_owned()));
        }
        Ok(())
    }

    async fn read_revision(&self) -> Result<(), StoreError> {
        reading!(self, pool => {
            sqlx::query("SELECT n FROM revision").fetch_one(pool).await?;
        });
        Ok(())
    }

    fn readers(&self) -> Pool {
        self.inner.readers()
    }

    async fn write(&self, grant: &Grant, now: Timestamp, work: Work) -> Result<Outcome, WriteError> {
        let (answer, answered) = oneshot::channel();
        let job = Job { grant: grant.clone(), now, work, answer };
        self.inner
            .writer
            .send(Message::Write(Box::new(job)))
            .await
            .map_err(|_| StoreError::Unavailable("the writer is gone".to_owned()))?;
        answered.await.map_err(|_| StoreError::UnknownOutcome("the writer ended".to_owned()))?
    }
}

/// Holds the directory's lock while the schema is brought up to date: SQLite has none of its own for that.
fn lock(directory: &Path) -> Result<File, OpenError> {
    make_directory(directory)?;
    let path = directory.join("hallpass.lock");
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let lock =
        lock.and_then(|file| file.lock().map(|()| file)).map_err(|error| OpenError::Io(path, error))?;
    let file = database_file(directory);
    let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&file);
    made.map_err(|error| OpenError::Io(file, error))?;
    Ok(lock)
}

/// Writes down, the first time, which key fits the store and what it is for; holds every later opening to it.
async fn check_meta(pool: &Pool, key: &ServerKey, purpose: Purpose) -> Result<(), OpenError> {
    let purpose_text = match purpose {
        Purpose::Service => "service",
        Purpose::Emulator => "emulator",
    };
    let mut tx = pool.begin().await?;
    let mut stored = Vec::new();
    for (name, value) in [("server_key", key.fingerprint()), ("purpose", purpose_text.to_owned())] {
        stored.push(on_engine!(Tx, &mut tx, conn => {
            sqlx::query("INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING")
                .bind(name)
                .bind(&value)
                .execute(&mut *conn)
                .await?;
            sqlx::query_scalar::<_, String>("SELECT value FROM meta WHERE key = $1").bind(name).fetch_one(conn).await?
        }));
    }
    let (fingerprint, stored_purpose) = (stored.first().cloned(), stored.get(1).map(String::as_str));
    if stored_purpose != Some(purpose_text) {
        return Err(match purpose {
            Purpose::Service => OpenError::Emulator,
            Purpose::Emulator => OpenError::NotEmulator,
        });
    }
    if fingerprint != Some(key.fingerprint()) {
        return Err(OpenError::WrongKey);
    }
    tx.commit().await?;
    Ok(())
}

/// Follows other nodes, writes down last uses, forgets old change rows; ends with the store.
async fn upkeep(store: std::sync::Weak<Inner>) {
    let every = |period| {
        let mut interval = tokio::time::interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    };
    let (mut follow, mut touch, mut prune) = (every(FOLLOW_EVERY), every(TOUCH_EVERY), every(PRUNE_EVERY));
    loop {
        tokio::select! {
            _ = follow.tick() => {
                let Some(inner) = store.upgrade() else { return };
                if let Err(error) = inner.callers.follow().await {
                    tracing::warn!(%error, "cannot follow the store");
                    // Whatever happened to this connection may have happened to the others.
                    *inner.readers.write().unwrap_or_else(PoisonError::into_inner) = inner.readers().reopened();
                }
            }
            _ = touch.tick() => {
                let Some(inner) = store.upgrade() else { return };
                // A full queue is no reason to stop following: what was noted stays noted until the next time.
                let _ = inner.writer.try_send(Message::Note);
            }
            _ = prune.tick() => {
                let Some(inner) = store.upgrade() else { return };
                let _ = inner.writer.try_send(Message::Prune);
            }
        }
    }
}

/// Whether an embedded store is in this directory already.
pub fn exists(directory: &Path) -> bool {
    fs::exists(database_file(directory)).unwrap_or(true)
}
