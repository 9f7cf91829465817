//! Looking at a store without changing anything: what `hallpass doctor` asks. Nothing here writes, makes a file or brings a
//! schema up to date, and it works beside a running server.

use std::path::PathBuf;
use std::sync::Arc;
use std::{fs, io};

use hallpass_core::id::AccountId;
use hallpass_core::policy::Policy;
use hallpass_core::time::Timestamp;
use sqlx::FromRow;

use super::api_tokens::{self, StoredApiToken};
use super::engine::{self, Engine, Log, Pool, on_engine};
use super::error::StoreError;
use super::guarded::{self, Guarded, Which};
use super::signing_keys::KeyRow;
use super::{Location, database_file, policy_rows, signing_keys};
use crate::server_key::ServerKey;
use crate::signing_keys::{KeyState, StoredKey, WrapKey, publish};

/// A store that is only looked at.
#[derive(Debug)]
pub struct Look {
    pool: Pool,
}

/// Why a store cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// There is none.
    #[error("there is no store")]
    Absent,
    /// Its log is there, without the index that belongs to it.
    #[error("the store has a log (-wal) without its index (-shm)")]
    LogWithoutIndex,
    /// A file cannot be read.
    #[error("cannot read {}: {}", .0.display(), .1)]
    Io(PathBuf, io::Error),
    /// The database said no.
    #[error("{0}")]
    Database(#[from] sqlx::Error),
}

/// How the store's schema compares to the one that this binary knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// There is nothing of Hallpass's in it.
    None,
    /// It is the same.
    Current,
    /// So many steps are missing.
    Older(usize),
    /// It has steps that this binary does not know.
    Newer,
    /// A step was not finished, or is not the one that this binary knows by its number.
    Damaged,
}

/// What the database promises about durability: the names of its settings, and their values.
pub type Settings = Vec<(&'static str, String)>;

/// Numbers that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Counts {
    /// The revision.
    pub revision: i64,
    /// How many audit rows there are.
    pub audit: i64,
    /// The highest revision of an audit row.
    pub highest_audit: i64,
    /// The highest revision of a change row.
    pub highest_change: i64,
    /// How many change rows have no audit row of the same revision.
    pub unaudited: i64,
    /// How many service tokens, API tokens and users have no digest of a current secret.
    pub without_digest: i64,
    /// How many digests belong to nothing.
    pub stray_digests: i64,
}

/// A service token that is about to expire.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Expiring {
    /// Its identifier.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// When it expires, in microseconds.
    pub expires_at: i64,
}

/// How many service tokens there are of each sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct ServiceTokenCounts {
    /// All of them.
    pub total: i64,
    /// Enabled, and expired.
    pub expired: i64,
    /// Enabled, and about to expire.
    pub expiring: i64,
    /// Those whose use was ever recorded.
    pub seen: i64,
    /// Enabled and not expired, made long ago, and not seen for as long.
    pub idle: i64,
}

/// What the gate judges and signs by, in one state of the store.
#[derive(Debug)]
pub struct GateLook {
    /// The applications with their policies, and the groups.
    pub guarded: Guarded,
    /// All policies, also those that no application uses.
    pub policies: Vec<Arc<Policy>>,
    /// The keys that sign now, and those that will next.
    pub keys: Vec<KeyLook>,
}

/// A signing key that has a private half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLook {
    /// The account whose assertions it signs.
    pub account_id: AccountId,
    /// Its name, which is published.
    pub kid: String,
    /// Whether it signs now, or will next.
    pub signs: bool,
    /// Whether its private half opens; `None` where there was no server key to try.
    pub opens: Option<bool>,
}

impl Look {
    /// Opens the store to look at it.
    pub async fn open(location: &Location) -> Result<Self, LookError> {
        let pool = match location {
            Location::Postgres(url) => engine::look_at_postgres(url).await?,
            Location::Directory(directory) => {
                let file = database_file(directory);
                let beside = |ending: &str| file.with_extension(ending);
                let exists = |path: PathBuf| fs::exists(&path).map_err(|error| LookError::Io(path, error));
                if !exists(file.clone())? {
                    return Err(LookError::Absent);
                }
                let written = fs::metadata(beside("db-wal")).is_ok_and(|log| log.len() > 0);
                let log = match (exists(beside("db-wal"))?, exists(beside("db-shm"))?) {
                    (false, _) => Log::None,
                    (true, false) if !written => Log::None,
                    (true, true) => Log::Present,
                    // SQLite would have to write the index first.
                    (true, false) => return Err(LookError::LogWithoutIndex),
                };
                // Else SQLite says no more than that it could not.
                fs::File::open(&file).map_err(|error| LookError::Io(file.clone(), error))?;
                engine::look_at_sqlite(&file, log).await?
            }
        };
        Ok(Self { pool })
    }

    /// Ends the look.
    pub async fn close(self) {
        self.pool.close().await;
    }

    /// Compares the schema.
    pub async fn schema(&self) -> Result<Schema, StoreError> {
        let here = match self.pool.engine() {
            Engine::Sqlite => {
                "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'"
            }
            Engine::Postgres => "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('_sqlx_migrations')",
        };
        let tables: i64 =
            on_engine!(Pool, &self.pool, pool => sqlx::query_scalar(here).fetch_one(pool).await?);
        if tables == 0 {
            return Ok(Schema::None);
        }
        let done = on_engine!(Pool, &self.pool, pool => {
            sqlx::query_as::<_, (i64, bool, Vec<u8>)>("SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version")
                .fetch_all(pool)
                .await?
        });
        let known = self.pool.engine().schema();
        let mut newer = false;
        for (version, success, checksum) in &done {
            match known.iter().find(|step| step.version == *version) {
                None => newer = true,
                Some(step) if !success || *step.checksum != **checksum => return Ok(Schema::Damaged),
                Some(_) => {}
            }
        }
        if newer {
            return Ok(Schema::Newer);
        }
        let missing = known.iter().filter(|step| !done.iter().any(|(version, ..)| *version == step.version));
        Ok(match missing.count() {
            0 => Schema::Current,
            missing => Schema::Older(missing),
        })
    }

    /// What the store as a whole says of itself, if it does: `server_key` (the fingerprint of the key that fits), `purpose`,
    /// `founded`.
    pub async fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(on_engine!(Pool, &self.pool, pool => {
            sqlx::query_scalar("SELECT value FROM meta WHERE key = $1").bind(key).fetch_optional(pool).await?
        }))
    }

    /// The settings on which durability depends. SQLite's are the connection's own, and the server sets them.
    pub async fn settings(&self) -> Result<Settings, StoreError> {
        let Pool::Postgres(pool) = &self.pool else { return Ok(Settings::new()) };
        let mut settings = Settings::new();
        for (name, sql) in [
            ("fsync", "SHOW fsync"),
            ("full_page_writes", "SHOW full_page_writes"),
            ("synchronous_commit", "SHOW synchronous_commit"),
        ] {
            settings.push((name, sqlx::query_scalar(sql).fetch_one(pool).await?));
        }
        Ok(settings)
    }

    /// What SQLite finds wrong with its file; `None` where it finds nothing, and for PostgreSQL, which has its own means.
    pub async fn damage(&self) -> Result<Option<String>, StoreError> {
        let Pool::Sqlite(pool) = &self.pool else { return Ok(None) };
        let found: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(pool).await?;
        Ok((found != "ok").then_some(found))
    }

    /// The latest point in time that the store knows of as past.
    pub async fn newest(&self) -> Result<Option<Timestamp>, StoreError> {
        let text = "SELECT MAX(t.n) FROM (SELECT MAX(at) AS n FROM audit UNION ALL SELECT MAX(updated_at) FROM service_tokens \
                    UNION ALL SELECT MAX(modified_on) FROM api_tokens UNION ALL SELECT MAX(last_seen_at) FROM activity) AS t";
        let newest: Option<i64> =
            on_engine!(Pool, &self.pool, pool => sqlx::query_scalar(text).fetch_one(pool).await?);
        Ok(newest.and_then(Timestamp::from_micros))
    }

    /// Numbers that belong together, of one state of the store.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let text = "SELECT (SELECT n FROM revision) AS revision, (SELECT COUNT(*) FROM audit) AS audit, \
            (SELECT COALESCE(MAX(revision), 0) FROM audit) AS highest_audit, \
            (SELECT COALESCE(MAX(revision), 0) FROM changes) AS highest_change, \
            (SELECT COUNT(*) FROM changes c WHERE NOT EXISTS (SELECT 1 FROM audit a WHERE a.revision = c.revision)) AS unaudited, \
            (SELECT COUNT(*) FROM (SELECT 'service_token' AS kind, id FROM service_tokens UNION ALL SELECT 'api_token', id FROM api_tokens \
             UNION ALL SELECT 'user', id FROM users) AS o \
             WHERE NOT EXISTS (SELECT 1 FROM digests d WHERE d.kind = o.kind AND d.owner_id = o.id AND d.slot = 'current')) AS without_digest, \
            (SELECT COUNT(*) FROM digests d WHERE (d.kind = 'service_token' AND NOT EXISTS (SELECT 1 FROM service_tokens t WHERE t.id = d.owner_id)) \
             OR (d.kind = 'api_token' AND NOT EXISTS (SELECT 1 FROM api_tokens t WHERE t.id = d.owner_id)) \
             OR (d.kind = 'user' AND NOT EXISTS (SELECT 1 FROM users u WHERE u.id = d.owner_id))) AS stray_digests";
        Ok(on_engine!(Pool, &self.pool, pool => sqlx::query_as(text).fetch_one(pool).await?))
    }

    /// Counts service tokens: `soon` is until when an expiry is near, `idle` since when a token that is used would have been seen.
    pub async fn count_service_tokens(
        &self,
        now: Timestamp,
        soon: Timestamp,
        idle: Timestamp,
    ) -> Result<ServiceTokenCounts, StoreError> {
        let text = "SELECT COUNT(*) AS total, \
            COUNT(CASE WHEN t.enabled AND t.expires_at <= $1 THEN 1 END) AS expired, \
            COUNT(CASE WHEN t.enabled AND t.expires_at > $1 AND t.expires_at <= $2 THEN 1 END) AS expiring, \
            COUNT(a.last_seen_at) AS seen, \
            COUNT(CASE WHEN t.enabled AND (t.expires_at IS NULL OR t.expires_at > $1) AND t.created_at < $3 \
                       AND (a.last_seen_at IS NULL OR a.last_seen_at < $3) THEN 1 END) AS idle \
            FROM service_tokens t LEFT JOIN activity a ON a.kind = 'service_token' AND a.owner_id = t.id";
        Ok(on_engine!(Pool, &self.pool, pool => {
            let counting = sqlx::query_as(text).bind(now.as_micros()).bind(soon.as_micros());
            counting.bind(idle.as_micros()).fetch_one(pool).await?
        }))
    }

    /// The service tokens that expire first, from now on until `soon`.
    pub async fn expiring(
        &self,
        now: Timestamp,
        soon: Timestamp,
        most: i64,
    ) -> Result<Vec<Expiring>, StoreError> {
        let text = "SELECT id, name, expires_at FROM service_tokens WHERE enabled AND expires_at > $1 AND expires_at <= $2 \
                    ORDER BY expires_at, id LIMIT $3";
        Ok(on_engine!(Pool, &self.pool, pool => {
            let selecting = sqlx::query_as(text).bind(now.as_micros()).bind(soon.as_micros());
            selecting.bind(most).fetch_all(pool).await?
        }))
    }

    /// The key set of each account that has keys, as it is published.
    pub async fn published_keys(&self) -> Result<Vec<(AccountId, String)>, StoreError> {
        let rows = on_engine!(Pool, &self.pool, pool => {
            sqlx::query_as(signing_keys::KEYS).fetch_all(pool).await?
        });
        let publish = |(account, keys): (AccountId, Vec<StoredKey>)| match publish(&keys) {
            Ok(set) => Ok((account, set)),
            Err(error) => Err(StoreError::Corrupt(error.to_string())),
        };
        signing_keys::by_account(rows)?.into_iter().map(publish).collect()
    }

    /// What the gate judges and signs by. Signing keys are opened under `key`, if there is one, and closed again.
    pub async fn gate(&self, key: Option<&ServerKey>) -> Result<GateLook, StoreError> {
        let mut tx = self.pool.begin_reading().await?;
        let guarded = guarded::load(&mut tx).await?;
        let policies = policy_rows::read(&mut tx, &Which::All).await?;
        let rows = on_engine!(Tx, &mut tx, conn => {
            sqlx::query_as::<_, KeyRow>(signing_keys::KEYS).fetch_all(conn).await?
        });
        let wrap = key.map(WrapKey::new);
        let mut keys = Vec::new();
        for (account_id, stored) in signing_keys::by_account(rows)? {
            for key in stored.into_iter().filter(|key| key.state != KeyState::Previous) {
                let opens = wrap.as_ref().map(|wrap| key.opens(wrap, account_id));
                keys.push(KeyLook { account_id, signs: key.state == KeyState::Current, kid: key.kid, opens });
            }
        }
        let policies = policies.into_iter().map(|stored| stored.policy).collect();
        Ok(GateLook { guarded, policies, keys })
    }

    /// All API tokens.
    pub async fn api_tokens(&self) -> Result<Vec<StoredApiToken>, StoreError> {
        let mut tx = self.pool.begin_reading().await?;
        let tokens = api_tokens::with_digests(&mut tx, None).await?;
        Ok(tokens.into_iter().map(|(stored, _)| stored).collect())
    }
}
