//! Who may call: accounts, zones, users and API tokens, held in memory and kept true by following the store's revision.
//!
//! A change that this node made is here before its answer leaves; one that another node made is here within a second. A
//! directory that has not heard from the store for longer than [`MAX_STALENESS`] is not asked: callers are refused.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use hallpass_core::api_token::{ApiToken, Owner};
use hallpass_core::id::{AccountId, ApiTokenId, UserId, ZoneId};
use hallpass_core::secret::SecretDigest;
use sqlx::FromRow;

use super::accounts::{self, Account, Everyone, Membership, User, Zone};
use super::api_tokens;
use super::concern::Concern;
use super::engine::{PATIENCE, Pool, StoreFile, Tx, on_engine};
use super::error::StoreError;
use super::writer::CHANGES_KEPT;
use crate::world::World;

/// For how long the directory may be believed without hearing from the store.
pub const MAX_STALENESS: Duration = Duration::from_secs(10);

/// The directory of callers.
#[derive(Debug)]
pub struct Callers {
    world: World,
    /// A connection that nobody else uses, so that no crowd of readers can keep the directory from being fresh.
    store: RwLock<Pool>,
    file: StoreFile,
    directory: RwLock<Directory>,
    /// Those who bring it up to date take turns, so that an older state never replaces a newer one.
    turn: tokio::sync::Mutex<()>,
}

/// An API token, with what its owner may reach.
#[derive(Debug, Clone)]
pub struct KnownToken {
    /// The token.
    pub token: Arc<ApiToken>,
    /// Its owner, if a user owns it.
    pub user: Option<UserId>,
    /// The accounts beyond which its owner has no say.
    pub accounts: Arc<[AccountId]>,
}

/// A user, with the digest of the global key and the accounts that it opens.
#[derive(Debug, Clone)]
pub struct KnownUser {
    /// The user.
    pub user: User,
    /// The digest of the key.
    pub key: SecretDigest,
    /// The accounts of which the user is a member.
    pub accounts: Arc<[AccountId]>,
}

#[derive(Debug, Default)]
struct Directory {
    revision: i64,
    /// When the store was last heard; `None` before the first time, and after a failure that must not be forgotten.
    heard: Option<Duration>,
    tokens: HashMap<[u8; 32], Arc<ApiToken>>,
    digests: HashMap<ApiTokenId, [u8; 32]>,
    accounts: Vec<Account>,
    zones: Vec<Zone>,
    users: HashMap<UserId, KnownUser>,
    emails: HashMap<String, UserId>,
    memberships: Vec<Membership>,
}

impl Callers {
    pub(super) fn new(world: World, store: Pool, file: StoreFile) -> Self {
        Self {
            world,
            store: RwLock::new(store),
            file,
            directory: RwLock::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Whether the directory is fresh enough to be believed.
    pub fn is_fresh(&self) -> bool {
        let heard = self.read().heard;
        heard.is_some_and(|heard| self.world.monotonic().saturating_sub(heard) <= MAX_STALENESS)
    }

    /// The API token whose secret has this digest.
    pub fn token(&self, digest: &SecretDigest) -> Option<KnownToken> {
        let directory = self.read();
        let token = directory.tokens.get(digest.as_bytes())?;
        let (user, accounts) = match token.owner {
            Owner::Account(account) => (None, Arc::from([account])),
            Owner::User(user) => (Some(user), Arc::clone(&directory.users.get(&user)?.accounts)),
        };
        Some(KnownToken { token: Arc::clone(token), user, accounts })
    }

    /// The API token with this id.
    pub fn token_by_id(&self, id: ApiTokenId) -> Option<Arc<ApiToken>> {
        let directory = self.read();
        directory.tokens.get(directory.digests.get(&id)?).cloned()
    }

    /// The ids of the API tokens that people call so.
    pub fn tokens_called(&self, name: &str) -> Vec<ApiTokenId> {
        let directory = self.read();
        let called = directory.tokens.values().filter(|token| token.name.as_str() == name);
        called.map(|token| token.id).collect()
    }

    /// The user with this e-mail address, in whatever case.
    pub fn user_by_email(&self, email: &str) -> Option<KnownUser> {
        let directory = self.read();
        let id = directory.emails.get(&email.to_lowercase())?;
        directory.users.get(id).cloned()
    }

    /// The user with this id, with the digest of the key.
    pub fn known_user(&self, id: UserId) -> Option<KnownUser> {
        self.read().users.get(&id).cloned()
    }

    /// The user with this id.
    pub fn user(&self, id: UserId) -> Option<User> {
        self.read().users.get(&id).map(|known| known.user.clone())
    }

    /// All accounts, newest first.
    pub fn accounts(&self) -> Vec<Account> {
        self.read().accounts.clone()
    }

    /// The account with this id.
    pub fn account(&self, id: AccountId) -> Option<Account> {
        self.read().accounts.iter().find(|account| account.id == id).cloned()
    }

    /// All zones, newest first.
    pub fn zones(&self) -> Vec<Zone> {
        self.read().zones.clone()
    }

    /// The zone with this id.
    pub fn zone(&self, id: ZoneId) -> Option<Zone> {
        self.read().zones.iter().find(|zone| zone.id == id).cloned()
    }

    /// A user's memberships.
    pub fn memberships(&self, user: UserId) -> Vec<Membership> {
        self.read().memberships.iter().filter(|membership| membership.user_id == user).cloned().collect()
    }

    /// Brings the directory up to a change that must not be missed. Where that fails, callers are refused until it succeeds.
    pub(super) async fn catch_up(&self) {
        if let Err(error) = self.follow().await {
            tracing::error!(%error, "cannot follow the store; callers are refused until it can be read again");
            self.write(|directory| directory.heard = None);
        }
    }

    /// The newest change that was followed.
    pub(super) fn revision(&self) -> i64 {
        self.directory.read().unwrap_or_else(PoisonError::into_inner).revision
    }

    /// Brings the directory up to the store's revision.
    pub(super) async fn follow(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let store = self.pool();
        let silent = |_| Err(StoreError::Unavailable("the store does not answer".to_owned()));
        let result = tokio::time::timeout(PATIENCE, self.follow_in(&store)).await.unwrap_or_else(silent);
        if result.is_err() {
            // The only connection may be one that will never be heard of again, even while it is being made.
            *self.store.write().unwrap_or_else(PoisonError::into_inner) = store.reopened();
        }
        result
    }

    /// To be called where [`catch_up`](Self::catch_up) was, before that event loop ends.
    pub(super) async fn settle(&self) {
        self.pool().settle().await;
    }

    pub(super) async fn close(&self) {
        self.pool().close().await;
    }

    fn pool(&self) -> Pool {
        self.store.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn follow_in(&self, readers: &Pool) -> Result<(), StoreError> {
        let asked = self.world.monotonic();
        if let Err(gone) = readers.expect_file(self.file).await {
            // That is no silence, which may pass.
            self.write(|directory| directory.heard = None);
            return Err(gone);
        }
        let known = {
            let directory = self.read();
            directory.heard.map(|_| directory.revision)
        };
        let top = on_engine!(Pool, readers, pool => {
            sqlx::query_scalar::<_, i64>("SELECT n FROM revision").fetch_one(pool).await?
        });
        match known {
            Some(known) if known == top => self.write(|directory| directory.heard = Some(asked)),
            // Half of what is kept: so nothing can be pruned between this look and the next.
            Some(known) if known < top && top - known < CHANGES_KEPT / 2 => {
                self.apply_changes(readers, known, asked).await?;
            }
            _ => self.reload(readers, asked).await?,
        }
        Ok(())
    }

    async fn reload(&self, readers: &Pool, asked: Duration) -> Result<(), StoreError> {
        let mut tx = readers.begin_reading().await?;
        let revision = revision(&mut tx).await?;
        let everyone = accounts::load(&mut tx).await?;
        let tokens = api_tokens::with_digests(&mut tx, None).await?;
        tx.commit().await?;
        let mut fresh = Directory { revision, heard: Some(asked), ..Directory::default() };
        fresh.set_everyone(everyone);
        for (stored, digest) in tokens {
            fresh.set_token(stored.token, digest);
        }
        self.write(|directory| *directory = fresh);
        Ok(())
    }

    async fn apply_changes(&self, readers: &Pool, known: i64, asked: Duration) -> Result<(), StoreError> {
        #[derive(FromRow)]
        struct Change {
            kind: String,
            object_id: String,
        }
        let mut tx = readers.begin_reading().await?;
        let revision = revision(&mut tx).await?;
        // The commonest kind is left out here already; `Concern` decides about the rest.
        let changes = on_engine!(Tx, &mut tx, conn => {
            sqlx::query_as::<_, Change>(
                "SELECT DISTINCT kind, object_id FROM changes WHERE revision > $1 AND kind <> 'service_token'",
            )
            .bind(known)
            .fetch_all(conn)
            .await?
        });
        let mut everyone = None;
        let mut tokens = Vec::new();
        for change in changes {
            if !Concern::of(&change.kind).is_of_callers() {
                continue;
            }
            if change.kind == api_tokens::KIND {
                let found = api_tokens::with_digests(&mut tx, Some(&change.object_id)).await?;
                tokens.push((change.object_id, found.into_iter().next()));
            } else if everyone.is_none() {
                everyone = Some(accounts::load(&mut tx).await?);
            }
        }
        tx.commit().await?;
        self.write(|directory| {
            if let Some(everyone) = everyone {
                directory.set_everyone(everyone);
            }
            for (id, found) in tokens {
                if let Ok(id) = id.parse() {
                    directory.remove_token(id);
                }
                if let Some((stored, digest)) = found {
                    directory.set_token(stored.token, digest);
                }
            }
            directory.revision = revision;
            directory.heard = Some(asked);
        });
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, Directory> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, change: impl FnOnce(&mut Directory)) {
        change(&mut self.directory.write().unwrap_or_else(PoisonError::into_inner));
    }
}

async fn revision(tx: &mut Tx) -> Result<i64, StoreError> {
    Ok(on_engine!(Tx, tx, conn => sqlx::query_scalar("SELECT n FROM revision").fetch_one(conn).await?))
}

impl Directory {
    fn set_token(&mut self, token: ApiToken, digest: [u8; 32]) {
        self.digests.insert(token.id, digest);
        self.tokens.insert(digest, Arc::new(token));
    }

    fn remove_token(&mut self, id: ApiTokenId) {
        if let Some(digest) = self.digests.remove(&id) {
            self.tokens.remove(&digest);
        }
    }

    fn set_everyone(&mut self, everyone: Everyone) {
        let Everyone { accounts, zones, users, memberships } = everyone;
        let known = |(user, digest): (User, [u8; 32])| {
            let of_user = memberships.iter().filter(|membership| membership.user_id == user.id);
            let accounts = of_user.map(|membership| membership.account_id).collect();
            (user.id, KnownUser { user, key: SecretDigest::from_stored(digest), accounts })
        };
        self.users = users.into_iter().map(known).collect();
        self.emails = self.users.values().map(|known| (known.user.email.clone(), known.user.id)).collect();
        self.accounts = accounts;
        self.zones = zones;
        self.memberships = memberships;
    }
}
