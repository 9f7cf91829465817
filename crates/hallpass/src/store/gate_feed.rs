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
use hallpass_core::secret::SecretDigest;
use hallpass_core::time::Timestamp;
use sqlx::FromRow;
use tokio::sync::oneshot;

use super::concern::Concern;
use super::engine::{PATIENCE, Pool, StoreFile, Tx, on_engine};
use super::error::StoreError;
use super::followers::{Follower, Reading};
use super::signing_keys::Opened;
use super::writer::CHANGES_KEPT;
use super::{Store, guarded, organizations, service_tokens, signing_keys};
use crate::server_key::ServerKey;
use crate::signing_keys::{KeySet, WrapKey};

/// How many tokens are read at once: few enough for a database that ends long statements.
const PAGE: i64 = 20_000;
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
                let rows = on_engine!(Tx, &mut tx, conn => {
                    sqlx::query_as::<_, Row>(
                        "SELECT t.id, t.account_id, t.client_id, t.name, t.enabled, t.expires_at, t.previous_secret_until, \
                         c.digest AS current_digest, p.digest AS previous_digest FROM service_tokens t \
                         JOIN digests c ON c.kind = 'service_token' AND c.owner_id = t.id AND c.slot = 'current' \
                         LEFT JOIN digests p ON p.kind = 'service_token' AND p.owner_id = t.id AND p.slot = 'previous' \
                         WHERE t.id IN (SELECT object_id FROM changes WHERE revision > $1 AND kind = 'service_token')",
                    )
                    .bind(known)
                    .fetch_all(conn)
                    .await?
                });
                for row in rows {
                    let token = GateToken::try_from(row)?;
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

    /// Everything; the tokens one by one, so that they are in memory only once.
    pub async fn everything(&self, mut each: impl FnMut(GateToken)) -> Result<News, StoreError> {
        self.in_time(WHOLE_TIME, async |pool| {
            let mut tx = pool.begin_reading().await?;
            let mut news = begin_news(&mut tx).await?;
            let mut last = String::new();
            loop {
                let rows = page(&mut tx, &last).await?;
                let Some(end) = rows.last() else { break };
                last.clone_from(&end.id);
                // One without a secret opens nothing.
                for row in rows.into_iter().filter(|row| !row.current_digest.is_empty()) {
                    each(GateToken::try_from(row)?);
                }
            }
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

#[derive(FromRow)]
struct Row {
    id: String,
    account_id: String,
    client_id: String,
    name: String,
    enabled: bool,
    expires_at: Option<i64>,
    previous_secret_until: Option<i64>,
    #[sqlx(default)]
    current_digest: Vec<u8>,
    #[sqlx(default)]
    previous_digest: Option<Vec<u8>>,
}

impl TryFrom<Row> for GateToken {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt(format!("service token {}: {what}", row.id));
        let time = |micros: i64| Timestamp::from_micros(micros).ok_or_else(|| corrupt("a time out of range"));
        let digest = |bytes: &[u8]| {
            let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| corrupt("a digest has another length"))?;
            Ok::<_, StoreError>(SecretDigest::from_stored(bytes))
        };
        let previous = match (&row.previous_digest, row.previous_secret_until) {
            (Some(bytes), Some(until)) => Some((digest(bytes)?, time(until)?)),
            (Some(_), None) | (None, _) => None,
        };
        let known = KnownServiceToken {
            id: row.id.parse().map_err(|_| corrupt("its id"))?,
            account_id: row.account_id.parse().map_err(|_| corrupt("account_id"))?,
            name: row.name.as_str().into(),
            enabled: row.enabled,
            expires_at: row.expires_at.map(time).transpose()?,
            current: digest(&row.current_digest)?,
            previous,
        };
        Ok(Self { client_id: row.client_id.parse().map_err(|_| corrupt("client_id"))?, known })
    }
}

/// The tokens that follow an id, with their digests: two walks along an index, side by side. A join would look for each digest anew.
async fn page(tx: &mut Tx, after: &str) -> Result<Vec<Row>, StoreError> {
    let mut rows = on_engine!(Tx, tx, conn => {
        sqlx::query_as::<_, Row>(
            "SELECT id, account_id, client_id, name, enabled, expires_at, previous_secret_until \
             FROM service_tokens WHERE id > $1 ORDER BY id LIMIT $2",
        )
        .bind(after)
        .bind(PAGE)
        .fetch_all(conn)
        .await?
    });
    let Some(end) = rows.last() else { return Ok(rows) };
    let digests = on_engine!(Tx, tx, conn => {
        sqlx::query_as::<_, (String, String, Vec<u8>)>(
            "SELECT owner_id, slot, digest FROM digests WHERE kind = 'service_token' AND owner_id > $1 AND owner_id <= $2 \
             ORDER BY owner_id",
        )
        .bind(after)
        .bind(&end.id)
        .fetch_all(conn)
        .await?
    });
    let mut digests = digests.into_iter().peekable();
    for row in &mut rows {
        while let Some((owner, slot, digest)) = digests.next_if(|(owner, ..)| *owner <= row.id) {
            match slot.as_str() {
                "current" if owner == row.id => row.current_digest = digest,
                "previous" if owner == row.id => row.previous_digest = Some(digest),
                _ => {}
            }
        }
    }
    Ok(rows)
}

/// The revision of what is going to be read, and the newest time in it.
async fn begin_news(tx: &mut Tx) -> Result<News, StoreError> {
    let (revision, newest) = on_engine!(Tx, tx, conn => {
        let revision = sqlx::query_scalar::<_, i64>("SELECT n FROM revision").fetch_one(&mut *conn).await?;
        let newest = sqlx::query_scalar::<_, i64>("SELECT at FROM audit ORDER BY revision DESC LIMIT 1");
        (revision, newest.fetch_optional(conn).await?)
    });
    Ok(News { revision, newest: newest.and_then(Timestamp::from_micros), ..News::default() })
}
