//! Signing keys in the store: which key of an account signs, which one is next, which are still published.
//!
//! Keys are made before the writer is asked, off the event loop. The writer decides by what is stored whether they are wanted: of two
//! nodes that want to rotate at once, one does.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;

use hallpass_core::caller::{Grant, Scope, SystemReason};
use hallpass_core::id::AccountId;
use hallpass_core::key_rotation::{DEFAULT_INTERVAL_DAYS, KeyRotation, published_until};
use hallpass_core::time::Timestamp;
use serde_json::json;
use sqlx::FromRow;

use super::audit::Entry;
use super::batch::{Outcome, Work};
use super::engine::{Tx, expect_rows, in_time, on_engine, reading};
use super::error::{Refusal, StoreError, WriteError};
use super::{Inner, Store, organizations};
use crate::signing_keys::{KeySet, KeyState, NewKey, StoredKey, WrapKey};
use crate::world::World;

/// The kind of a signing key in change rows; its id there is its `kid`.
pub(super) const KIND: &str = "signing_key";
/// How often it is looked whether a rotation is due.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// How many replaced keys are published at most: whoever rotates more often than that within a week wants them gone.
const MOST_PREVIOUS: usize = 8;

/// The signing keys.
#[derive(Debug)]
pub struct SigningKeys<'a> {
    pub(super) store: &'a Store,
}

/// What accounts begin with: a key that signs, and the next one, their private halves encrypted.
#[derive(Debug, Clone, Default)]
pub struct FirstKeys(Vec<(AccountId, [NewKey; 2])>);

/// A change of an account's keys, as data.
#[derive(Debug)]
pub(super) enum KeyWork {
    /// The first two keys of an account that has none: one signs, the other is next.
    Begin(Box<[NewKey; 2]>),
    /// The next key signs, and a fresh one is next.
    Rotate(Box<NewKey>, When),
    /// Keys whose time is over are published no more.
    Forget,
    /// So many days are between two rotations.
    SetInterval(u32),
}

/// Under which condition keys are rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Somebody asked for it.
    Asked,
    /// The interval is over.
    Due,
}

impl SigningKeys<'_> {
    /// How the keys of the grant's account are rotated.
    pub async fn rotation(&self, grant: &Grant) -> Result<KeyRotation, StoreError> {
        let account = grant.scope().account().map(|account| account.to_string()).unwrap_or_default();
        let row = reading!(self.store, pool => {
            sqlx::query_as::<_, RotationRow>(
                "SELECT a.id AS account_id, o.key_rotation_interval_days, k.signs_since FROM accounts a \
                 LEFT JOIN organizations o ON o.account_id = a.id \
                 LEFT JOIN signing_keys k ON k.account_id = a.id AND k.state = 'current' WHERE a.id = $1",
            )
            .bind(account)
            .fetch_optional(pool)
            .await?
        });
        match row {
            Some(row) => Ok(row.read()?.1),
            None => Ok(KeyRotation { interval_days: DEFAULT_INTERVAL_DAYS, last: None }),
        }
    }

    /// Sets the days from one rotation to the next.
    pub async fn set_interval(
        &self,
        grant: &Grant,
        days: u32,
        now: Timestamp,
    ) -> Result<KeyRotation, WriteError> {
        self.write(grant, KeyWork::SetInterval(days), now).await
    }

    /// Rotates the keys of the grant's account; one that has none gets its first ones before. It takes a second or two.
    pub async fn rotate(&self, grant: &Grant, world: &World) -> Result<KeyRotation, WriteError> {
        if self.rotation(grant).await?.last.is_none() {
            self.begin(grant, world).await?;
        }
        self.exchange(grant, When::Asked, world).await
    }

    /// Gives every account that has no keys its first two. Where two nodes try at once, one of them does.
    pub async fn ensure(&self, world: &World) -> Result<(), WriteError> {
        let text = "SELECT a.id FROM accounts a WHERE NOT EXISTS \
                    (SELECT 1 FROM signing_keys k WHERE k.account_id = a.id) ORDER BY a.id";
        let without: Vec<String> = self.texts(text, Timestamp::FOREVER).await?;
        for account in without {
            self.begin(&system(&account, world)?, world).await?;
        }
        Ok(())
    }

    /// The keys that sign now and next, to begin with in another store under the same server key.
    pub async fn for_another_store(&self) -> Result<FirstKeys, StoreError> {
        let rows = reading!(self.store, pool => sqlx::query_as::<_, KeyRow>(KEYS).fetch_all(pool).await?);
        let pairs = by_account(rows)?.into_iter().filter_map(|(account, keys)| {
            let only = |state| keys.iter().find(|key| key.state == state).and_then(StoredKey::made);
            Some((account, [only(KeyState::Current)?, only(KeyState::Next)?]))
        });
        Ok(FirstKeys(pairs.collect()))
    }

    /// Gives accounts keys that another store had. Nothing is made, and an account that has keys keeps them.
    pub async fn begin_with(&self, keys: &FirstKeys, world: &World) -> Result<(), WriteError> {
        for (account, pair) in &keys.0 {
            let begun = KeyWork::Begin(Box::new(pair.clone()));
            self.write(&system(&account.to_string(), world)?, begun, world.now()).await?;
        }
        Ok(())
    }

    /// Rotates the keys whose interval is over, and forgets those that need not be published any more.
    pub async fn rotate_due(&self, world: &World) -> Result<(), WriteError> {
        let now = world.now();
        let rows = self.in_use().await?;
        for row in rows {
            let (account, rotation) = row.read()?;
            if rotation.is_due(now) {
                self.exchange(&system(&account.to_string(), world)?, When::Due, world).await?;
            }
        }
        let text =
            "SELECT DISTINCT account_id FROM signing_keys WHERE published_until <= $1 ORDER BY account_id";
        for account in self.texts(text, now).await? {
            self.write(&system(&account, world)?, KeyWork::Forget, now).await?;
        }
        Ok(())
    }

    /// The keys of all accounts that have any. A key that does not open is left out, and logged: its account can sign nothing.
    pub async fn load(&self) -> Result<HashMap<AccountId, KeySet>, StoreError> {
        in_time(async {
            let mut tx = self.store.readers().begin_reading().await?;
            load(&mut tx, &self.store.inner.wrap_key, &Opened::default()).await
        })
        .await
    }

    async fn in_use(&self) -> Result<Vec<RotationRow>, StoreError> {
        Ok(reading!(self.store, pool => {
            sqlx::query_as::<_, RotationRow>(
                "SELECT k.account_id, o.key_rotation_interval_days, k.signs_since FROM signing_keys k \
                 LEFT JOIN organizations o ON o.account_id = k.account_id WHERE k.state = 'current' ORDER BY k.account_id",
            )
            .fetch_all(pool)
            .await?
        }))
    }

    async fn texts(&self, text: &'static str, until: Timestamp) -> Result<Vec<String>, StoreError> {
        Ok(reading!(self.store, pool => {
            let mut query = sqlx::query_scalar::<_, String>(text);
            if text.contains("$1") {
                query = query.bind(until.as_micros());
            }
            query.fetch_all(pool).await?
        }))
    }

    async fn begin(&self, grant: &Grant, world: &World) -> Result<(), WriteError> {
        let (current, next) = tokio::try_join!(self.make(grant, world), self.make(grant, world))?;
        self.write(grant, KeyWork::Begin(Box::new([current, next])), world.now()).await.map(|_| ())
    }

    async fn exchange(&self, grant: &Grant, when: When, world: &World) -> Result<KeyRotation, WriteError> {
        let fresh = Box::new(self.make(grant, world).await?);
        self.write(grant, KeyWork::Rotate(fresh, when), world.now()).await
    }

    /// Makes a key, on a thread where nobody waits for a turn.
    async fn make(&self, grant: &Grant, world: &World) -> Result<NewKey, WriteError> {
        let account = grant.scope().account().ok_or(Refusal::Absent)?;
        let (wrap, world) = (self.store.inner.wrap_key.clone(), world.clone());
        let made = tokio::task::spawn_blocking(move || NewKey::make(account, &wrap, &world)).await;
        let failed = |why: String| StoreError::Unavailable(why);
        Ok(made.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?)
    }

    async fn write(&self, grant: &Grant, work: KeyWork, now: Timestamp) -> Result<KeyRotation, WriteError> {
        let account = grant.scope().account().ok_or(Refusal::Absent)?;
        match self.store.write(grant, now, Work::Keys(account, work)).await? {
            Outcome::Keys(rotation) => Ok(rotation),
            _ => Err(StoreError::Corrupt("the writer answered another question".to_owned()).into()),
        }
    }
}

/// What Hallpass does by itself with the keys of an account.
fn system(account: &str, world: &World) -> Result<Grant, StoreError> {
    let account = account.parse().map_err(|_| StoreError::Corrupt("an account's id".to_owned()))?;
    Ok(Grant::system(SystemReason::KeyRotation, Scope::Account(account), world.request_id()))
}

/// Looks every minute whether keys are to be rotated, or to be made; ends with the store.
pub(super) async fn keep(store: Weak<Inner>, world: World) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(inner) = store.upgrade() else { return };
        let store = Store { inner };
        if let Err(error) = store.signing_keys().rotate_due(&world).await {
            tracing::warn!(%error, "cannot look whether signing keys are to be rotated");
        }
        // Accounts that were made since a gate started here; without one, nobody needs keys.
        if store.inner.followers.are_there()
            && let Err(error) = store.signing_keys().ensure(&world).await
        {
            tracing::warn!(%error, "cannot make the signing keys of accounts that have none");
        }
    }
}

/// The keys that were opened last, as they were stored. To open one takes as long as a signature, and where there are many accounts,
/// nearly every change leaves nearly all keys as they were.
#[derive(Debug, Default)]
pub(super) struct Opened(Mutex<HashMap<AccountId, (Vec<StoredKey>, KeySet)>>);

/// Reads the keys of all accounts, and opens those that sign, but for those that are open.
pub(super) async fn load(
    tx: &mut Tx,
    wrap: &WrapKey,
    opened: &Opened,
) -> Result<HashMap<AccountId, KeySet>, StoreError> {
    let rows = on_engine!(Tx, tx, conn => sqlx::query_as::<_, KeyRow>(KEYS).fetch_all(conn).await?);
    let accounts = by_account(rows)?;
    let mut opened = opened.0.lock().unwrap_or_else(PoisonError::into_inner);
    let mut before = std::mem::take(&mut *opened);
    for (account, keys) in accounts {
        let known = before.remove(&account).filter(|(known, _)| *known == keys).map(|(_, set)| set);
        match known.map_or_else(|| KeySet::open(wrap, account, &keys), Ok) {
            Ok(set) => {
                opened.insert(account, (keys, set));
            }
            Err(error) => tracing::error!(%account, %error, "no assertion can be signed for this account"),
        }
    }
    Ok(opened.iter().map(|(account, (_, set))| (*account, set.clone())).collect())
}

/// Runs a change of an account's keys. Without effect, there are no entries.
pub(super) async fn run(
    tx: &mut Tx,
    grant: &Grant,
    now: Timestamp,
    account: AccountId,
    work: &KeyWork,
) -> Result<Result<(KeyRotation, Vec<Entry>), Refusal>, sqlx::Error> {
    let Some(organization) = organizations::read(tx, account).await? else {
        return Ok(Err(Refusal::Absent));
    };
    let mut rotation =
        KeyRotation { interval_days: organization.interval_days, last: signs_since(tx, account).await? };
    let entry = |action, kid: &str, detail| Entry::new(grant, now, action, KIND, kid.to_owned(), &detail);
    let mut entries = Vec::new();
    match work {
        KeyWork::Begin(_) if rotation.last.is_some() => {}
        KeyWork::Begin(keys) => {
            let [current, next] = &**keys;
            for (key, state) in [(current, "current"), (next, "next")] {
                insert(tx, account, key, state, now).await?;
                entries.push(entry("signing_key.create", &key.kid, json!({"state": state})));
            }
            rotation.last = Some(now);
        }
        KeyWork::Rotate(_, When::Due) if !rotation.is_due(now) => {}
        KeyWork::Rotate(fresh, _) => {
            let moved = advance(tx, account, now).await?;
            insert(tx, account, fresh, "next", now).await?;
            let [previous, current] = moved;
            let detail = json!({"previous_kid": previous, "next_kid": fresh.kid});
            entries.push(entry("signing_key.rotate", &current, detail));
            rotation.last = Some(now);
            for kid in forget(tx, account, now).await? {
                entries.push(entry("signing_key.delete", &kid, json!({})));
            }
        }
        KeyWork::Forget => {
            for kid in forget(tx, account, now).await? {
                entries.push(entry("signing_key.delete", &kid, json!({})));
            }
        }
        KeyWork::SetInterval(days) => {
            rotation.interval_days = *days;
            entries.extend(organizations::set_interval(tx, grant, now, organization, *days).await?);
        }
    }
    Ok(Ok((rotation, entries)))
}

async fn signs_since(tx: &mut Tx, account: AccountId) -> Result<Option<Timestamp>, sqlx::Error> {
    let micros = on_engine!(Tx, tx, conn => {
        sqlx::query_scalar::<_, Option<i64>>(
            "SELECT signs_since FROM signing_keys WHERE account_id = $1 AND state = 'current'",
        )
        .bind(account.to_string())
        .fetch_optional(conn)
        .await?
    });
    Ok(micros.flatten().and_then(Timestamp::from_micros))
}

async fn insert(
    tx: &mut Tx,
    account: AccountId,
    key: &NewKey,
    state: &'static str,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let since = (state == "current").then_some(now.as_micros());
    on_engine!(Tx, tx, conn => {
        sqlx::query(
            "INSERT INTO signing_keys (kid, account_id, state, wrapped, modulus, certificate, created_at, signs_since) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(&key.kid)
        .bind(account.to_string())
        .bind(state)
        .bind(&key.wrapped)
        .bind(&key.modulus)
        .bind(&key.certificate)
        .bind(now.as_micros())
        .bind(since)
        .execute(conn)
        .await?;
    });
    Ok(())
}

/// The key that signed signs no more, and the next one does: their names, in this order. What signs no more has no private half.
async fn advance(tx: &mut Tx, account: AccountId, now: Timestamp) -> Result<[String; 2], sqlx::Error> {
    let account = account.to_string();
    Ok(on_engine!(Tx, tx, conn => {
        let previous = sqlx::query_scalar::<_, String>(
            "UPDATE signing_keys SET state = 'previous', wrapped = NULL, published_until = $2 \
             WHERE account_id = $1 AND state = 'current' RETURNING kid",
        );
        let previous = previous.bind(&account).bind(published_until(now).as_micros());
        let previous = previous.fetch_one(&mut *conn).await?;
        let current = sqlx::query_scalar::<_, String>(
            "UPDATE signing_keys SET state = 'current', signs_since = $2 \
             WHERE account_id = $1 AND state = 'next' RETURNING kid",
        );
        [previous, current.bind(&account).bind(now.as_micros()).fetch_one(conn).await?]
    }))
}

/// Deletes the keys that are published no more, and says which.
async fn forget(tx: &mut Tx, account: AccountId, now: Timestamp) -> Result<Vec<String>, sqlx::Error> {
    let previous = on_engine!(Tx, tx, conn => {
        sqlx::query_as::<_, (String, i64)>(
            "SELECT kid, published_until FROM signing_keys WHERE account_id = $1 AND state = 'previous' \
             ORDER BY published_until DESC, signs_since DESC, kid",
        )
        .bind(account.to_string())
        .fetch_all(conn)
        .await?
    });
    let over = previous.into_iter().enumerate();
    let over = over.filter(|(n, (_, until))| *n >= MOST_PREVIOUS || *until <= now.as_micros());
    let kids: Vec<_> = over.map(|(_, (kid, _))| kid).collect();
    for kid in &kids {
        let deleted = on_engine!(Tx, tx, conn => {
            sqlx::query("DELETE FROM signing_keys WHERE kid = $1").bind(kid).execute(conn).await?.rows_affected()
        });
        expect_rows(deleted, 1)?;
    }
    Ok(kids)
}

/// All keys, those of an account together, the oldest first.
pub(super) const KEYS: &str = "SELECT kid, account_id, state, wrapped, modulus, certificate, signs_since FROM signing_keys ORDER BY account_id, created_at, kid";

#[derive(FromRow)]
pub(super) struct KeyRow {
    kid: String,
    account_id: String,
    state: String,
    wrapped: Option<Vec<u8>>,
    modulus: String,
    certificate: String,
    signs_since: Option<i64>,
}

#[derive(FromRow)]
struct RotationRow {
    account_id: String,
    key_rotation_interval_days: Option<i64>,
    signs_since: Option<i64>,
}

impl RotationRow {
    fn read(&self) -> Result<(AccountId, KeyRotation), StoreError> {
        let corrupt = || StoreError::Corrupt("when keys are rotated cannot be read".to_owned());
        let days = self.key_rotation_interval_days.map(u32::try_from).transpose().map_err(|_| corrupt())?;
        let last = self.signs_since.map(|micros| Timestamp::from_micros(micros).ok_or_else(corrupt));
        let rotation =
            KeyRotation { interval_days: days.unwrap_or(DEFAULT_INTERVAL_DAYS), last: last.transpose()? };
        Ok((self.account_id.parse().map_err(|_| corrupt())?, rotation))
    }
}

/// The keys of each account.
pub(super) fn by_account(rows: Vec<KeyRow>) -> Result<Vec<(AccountId, Vec<StoredKey>)>, StoreError> {
    let corrupt = || StoreError::Corrupt("a signing key cannot be read".to_owned());
    let mut accounts: Vec<(AccountId, Vec<StoredKey>)> = Vec::new();
    for row in rows {
        let account = row.account_id.parse().map_err(|_| corrupt())?;
        let state = match row.state.as_str() {
            "next" => KeyState::Next,
            "current" => KeyState::Current,
            "previous" => KeyState::Previous,
            _ => return Err(corrupt()),
        };
        let since = row.signs_since.map(|micros| Timestamp::from_micros(micros).ok_or_else(corrupt));
        let signs_since = since.transpose()?;
        let KeyRow { kid, wrapped, modulus, certificate, .. } = row;
        let key = StoredKey { kid, state, wrapped, modulus, certificate, signs_since };
        match accounts.last_mut() {
            Some((last, keys)) if *last == account => keys.push(key),
            _ => accounts.push((account, vec![key])),
        }
    }
    Ok(accounts)
}
