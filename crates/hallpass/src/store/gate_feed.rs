//! What the gate needs to know, read whole or as changes. SQL for the gate is here; what it makes of it is in `gate/`.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hallpass_core::app::App;
use hallpass_core::client_id::ClientId;
use hallpass_core::decision::KnownServiceToken;
use hallpass_core::id::{AccountId, ServiceTokenId};
use hallpass_core::organization::Organization;
use hallpass_core::policy::Group;
use hallpass_core::time::Timestamp;
use tokio::sync::oneshot;

use super::concern::Concern;
use super::engine::{PATIENCE, Pool, StoreFile, Tx, on_engine};
use super::error::StoreError;
use super::followers::{Follower, Reading};
use super::signing_keys::Opened;
use super::writer::CHANGES_KEPT;
use super::{Store, gate_tokens, guarded, organizations, service_tokens, signing_keys};
use crate::server_key::ServerKey;
use crate::signing_keys::{KeySet, WrapKey};

/// How long reading everything may take.
const WHOLE_TIME: Duration = Duration::from_mins(5);

/// Reads the store for the gate, over a connection that nobody else uses.
#[derive(Debug)]
pub struct GateFeed {
    pool: RwLock<Pool>,
    file: StoreFile,
    follower: Arc<Follower>,
    wrap_key: WrapKey,
    opened: Opened,
}

/// A service token with the client ID by which it is found.
#[derive(Debug, Clone)]
pub struct GateToken {
    /// As it is presented.
    pub client_id: ClientId,
    /// The token.
    pub known: KnownServiceToken,
}

/// Everything that the gate judges by, but the tokens.
#[derive(Debug, Default)]
pub struct Guards {
    /// The applications, with their policies.
    pub apps: Vec<App>,
    /// The groups that policies name.
    pub groups: Vec<Group>,
    /// The organizations.
    pub organizations: Vec<Organization>,
    /// The keys that sign, of each account that has some.
    pub keys: HashMap<AccountId, KeySet>,
}

/// How far the store is from what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distance {
    /// Nothing has changed.
    None,
    /// The changes can be read.
    Changes,
    /// Too much has changed, or something that cannot be: everything must be read.
    Everything,
}

/// What was read.
#[derive(Debug, Default)]
pub struct News {
    /// The revision that was read.
    pub revision: i64,
    /// The newest time that anybody has written into the store.
    pub newest: Option<Timestamp>,
    /// The tokens that are new or other than before; of everything, none, since they were handed over one by one.
    pub tokens: Vec<GateToken>,
    /// The tokens that are gone.
    pub gone: Vec<ServiceTokenId>,
    /// What the gate judges by, if any of it may have changed.
    pub guards: Option<Guards>,
}

/// Those who wait for their changes to be followed. Dropped, they stop waiting.
#[derive(Debug)]
pub struct Waiting(Vec<oneshot::Sender<()>>);

impl Waiting {
    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The store was read, or what was read of it is no longer believed.
    pub fn answer(self) {
        for waiting in self.0 {
            // Whoever waited may have given up.
            let _ = waiting.send(());
        }
    }
}

impl Store {
    /// A feed for this node's gate. From here on, changes wait until it has followed them.
    pub fn gate_feed(&self, key: &ServerKey) -> GateFeed {
        GateFeed {
            pool: RwLock::new(self.readers().alone()),
            file: self.inner.file,
            follower: self.inner.followers.add(),
            wrap_key: WrapKey::new(key),
            opened: Opened::default(),
        }
    }
}

impl GateFeed {
    /// Is done when somebody waits for a change to be followed.
    pub async fn woken(&self) {
        self.follower.woken().await;
    }

    /// Those who wait now, to be answered after the next look at the store.
    pub fn waiting(&self) -> Waiting {
        Waiting(self.follower.waiting())
    }

    /// To be called before the store is read, so that what was missed until then counts as heard when it was.
    pub fn begin(&self) -> Reading {
        self.follower.begin()
    }

    /// The store was read, and what was read is what the gate judges by.
    pub fn end(&self, reading: Reading) {
        self.follower.end(reading);
    }

    /// Whether the gate may not be believed: a change was answered of which it has not heard.
    pub fn has_missed(&self) -> bool {
        self.follower.has_missed()
    }

    /// As if a change had been answered of which the gate has not heard.
    #[cfg(test)]
    pub(crate) fn miss(&self) {
        self.follower.miss();
    }

    /// How far the store is from a revision.
    pub async fn distance(&self, known: i64) -> Result<Distance, StoreError> {
        self.in_time(PATIENCE, async |pool| {
            pool.expect_file(self.file).await?;
            let top = on_engine!(Pool, &pool, pool => {
                sqlx::query_scalar::<_, i64>("SELECT n FROM revision").fetch_one(pool).await?
            });
            Ok(match top - known {
                0 => Distance::None,
                // Half of what is kept: so nothing can be pruned between this look and the next.
                newer if newer > 0 && newer < CHANGES_KEPT / 2 => Distance::Changes,
                _ => Distance::Everything,
            })
        })
        .await
    }

    /// What has changed since a revision.
    pub async fn changes(&self, known: i64) -> Result<News, StoreError> {
        self.in_time(PATIENCE, async |pool| {
            let mut tx = pool.begin_reading().await?;
            let mut news = begin_news(&mut tx).await?;
            let changes = on_engine!(Tx, &mut tx, conn => {
                sqlx::query_as::<_, (String, String)>("SELECT DISTINCT kind, object_id FROM changes WHERE revision > $1")
                    .bind(known)
                    .fetch_all(conn)
                    .await?
            });
            let mut gone = HashSet::new();
            for (kind, id) in &changes {
                if kind == service_tokens::KIND {
                    gone.insert(id.parse().map_err(|_| StoreError::Corrupt("the id of a change".to_owned()))?);
                }
            }
            if !gone.is_empty() {
                for token in gate_tokens::changed(&mut tx, known).await? {
                    gone.remove(&token.known.id);
                    news.tokens.push(token);
                }
            }
            news.gone = gone.into_iter().collect();
            if changes.iter().any(|(kind, _)| Concern::of(kind).is_of_guards()) {
                news.guards = Some(self.guards(&mut tx).await?);
            }
            tx.commit().await?;
            Ok(news)
        })
        .await
    }

    /// How many tokens there are.
    pub async fn tokens(&self) -> Result<usize, StoreError> {
        self.in_time(WHOLE_TIME, async |pool| {
            let count = on_engine!(Pool, &pool, pool => {
                sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM service_tokens").fetch_one(pool).await?
            });
            Ok(usize::try_from(count).unwrap_or_default())
        })
        .await
    }

    /// Everything; the tokens one by one, so that they are in memory only once. They may be newer than the revision that is told: their
    /// changes come once more.
    pub async fn everything(&self, mut each: impl FnMut(GateToken)) -> Result<News, StoreError> {
        self.in_time(WHOLE_TIME, async |pool| {
            let mut tx = pool.begin_reading().await?;
            let mut news = begin_news(&mut tx).await?;
            gate_tokens::all(&pool, &mut tx, &mut each).await?;
            // The file may have been replaced while tokens were read from what was in its place.
            pool.expect_file(self.file).await?;
            news.guards = Some(self.guards(&mut tx).await?);
            tx.commit().await?;
            Ok(news)
        })
        .await
    }

    /// Closes the connection.
    pub async fn close(&self) {
        self.pool().close().await;
    }

    async fn guards(&self, tx: &mut Tx) -> Result<Guards, StoreError> {
        let guarded::Guarded { apps, groups } = guarded::load(tx).await?;
        let organizations = organizations::load(tx).await?;
        let keys = signing_keys::load(tx, &self.wrap_key, &self.opened).await?;
        Ok(Guards { apps, groups, organizations, keys })
    }

    fn pool(&self) -> Pool {
        self.pool.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn in_time<T>(
        &self,
        most: Duration,
        read: impl AsyncFnOnce(Pool) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let pool = self.pool();
        let silent = |_| Err(StoreError::Unavailable("the store does not answer".to_owned()));
        let result = tokio::time::timeout(most, read(pool.clone())).await.unwrap_or_else(silent);
        if result.is_err() {
            // The only connection may be one that will never be heard of again.
            *self.pool.write().unwrap_or_else(PoisonError::into_inner) = pool.reopened();
        }
        result
    }
}

/// The revision of what is going to be read, and the newest time in it.
async fn begin_news(tx: &mut Tx) -> Result<News, StoreError> {
    let (revision, newest, last) = on_engine!(Tx, tx, conn => {
        sqlx::query_as::<_, (i64, i64, Option<i64>)>(
            // A node of an earlier version writes audit rows alone.
            "SELECT n, newest, (SELECT at FROM audit ORDER BY revision DESC LIMIT 1) FROM revision",
        )
        .fetch_one(conn)
        .await?
    });
    let newest = Timestamp::from_micros(last.unwrap_or_default().max(newest));
    Ok(News { revision, newest, ..News::default() })
}
