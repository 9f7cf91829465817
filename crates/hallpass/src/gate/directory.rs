//! All service tokens of all accounts, in memory: compact records, found by the 16 bytes of their client ID.
//!
//! A record holds both digests and takes 144 bytes beside its name; each of the two indexes adds about ten. Records are in 64
//! shards, so that a change of one token keeps nobody waiting who asks for another.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hallpass_core::client_id::ClientId;
use hallpass_core::decision::KnownServiceToken;
use hallpass_core::id::{AccountId, ServiceTokenId};
use hallpass_core::secret::SecretDigest;
use hallpass_core::time::Timestamp;
use hashbrown::{DefaultHashBuilder, HashTable};

use crate::store::gate_feed::GateToken;

const SHARDS: usize = 64;
/// Slots for which room is made at once: a list that doubles would hold up to twice what it needs. So many records take a little less
/// than 32 KiB, which allocators hand out without adding to it.
const CHUNK: usize = 32 * 1024 / size_of::<Option<Record>>();
/// Stands for *never* among times in microseconds, which are between 1970 and 2999.
const NEVER: i64 = i64::MAX;
/// Where the suffix of a client ID begins: behind 32 digits and `.access`.
const SUFFIX_FROM: usize = 39;

/// The directory.
#[derive(Debug)]
pub(super) struct Directory {
    shards: [RwLock<Shard>; SHARDS],
    /// Where tokens are, by their ids. Only who changes the directory looks here, and locks it before any shard.
    places: Mutex<HashTable<Place>>,
    hasher: DefaultHashBuilder,
    /// Copied where a shard has no other record.
    nobody: Record,
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// The first byte of the client ID, which names the shard.
    shard: u8,
    /// 24 bits: more than a shard ever has.
    slot: [u8; 3],
}

#[derive(Debug, Default)]
struct Shard {
    /// Slots, by client ID.
    index: HashTable<u32>,
    chunks: Vec<Vec<Option<Record>>>,
    free: Vec<u32>,
    /// What follows `.access` in the few client IDs that have more.
    suffixes: HashMap<[u8; 16], Box<str>>,
}

/// A token, as small as it gets.
#[derive(Debug)]
struct Record {
    client: [u8; 16],
    id: ServiceTokenId,
    account: AccountId,
    current: SecretDigest,
    previous: SecretDigest,
    /// Until when the previous digest counts; before all times without one.
    previous_until: i64,
    life: Life,
    name: Box<str>,
}

/// When a token expires, in microseconds or [`NEVER`]; of a disabled one the complement, which is negative. A flag of its own would
/// take as much room as a time.
#[derive(Debug, Clone, Copy)]
struct Life(i64);

impl Life {
    fn new(enabled: bool, expires_at: Option<Timestamp>) -> Self {
        let expires_at = expires_at.map_or(NEVER, Timestamp::as_micros);
        Self(if enabled { expires_at } else { !expires_at })
    }

    fn enabled(self) -> bool {
        self.0 >= 0
    }

    fn expires_at(self) -> Option<Timestamp> {
        let expires_at = if self.enabled() { self.0 } else { !self.0 };
        Timestamp::from_micros(expires_at).filter(|_| expires_at != NEVER)
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            places: Mutex::default(),
            hasher: DefaultHashBuilder::default(),
            nobody: Record {
                client: [0; 16],
                id: ServiceTokenId::from_bytes([0; 16]),
                account: AccountId::NIL,
                current: SecretDigest::from_stored([0; 32]),
                previous: SecretDigest::from_stored([0; 32]),
                previous_until: i64::MIN,
                life: Life::new(false, None),
                name: "nobody's token".into(),
            },
        }
    }
}

impl Directory {
    /// An empty one with room for about so many tokens: tables that grow would leave behind, in pieces, what they took before.
    pub(super) fn with_room(tokens: usize) -> Self {
        let directory = Self::default();
        directory.places.lock().unwrap_or_else(PoisonError::into_inner).reserve(tokens, |_| 0);
        for shard in &directory.shards {
            let share = tokens / SHARDS;
            // Client IDs are random, and no shard gets much more than its share.
            let room = share + share / 32;
            shard.write().unwrap_or_else(PoisonError::into_inner).index.reserve(room, |_| 0);
        }
        directory
    }

    /// The token with this client ID, of which the whole text counts. For one that nobody has, some other token is copied and
    /// thrown away: the time that it takes tells nobody which client IDs there are.
    pub(super) fn find(&self, client_id: &ClientId) -> Option<KnownServiceToken> {
        let client = *client_id.as_bytes();
        let hash = self.hash(client);
        let shard = self.read(shard_of(client));
        let suffix = shard.suffixes.get(&client).map_or("", |suffix| suffix);
        let slot = shard.slot(hash, client).filter(|_| suffix_of(client_id) == suffix);
        let found = slot.and_then(|slot| shard.record(slot));
        let other = || shard.some_slot(hash).and_then(|slot| shard.record(slot)).unwrap_or(&self.nobody);
        let copied = std::hint::black_box(found.unwrap_or_else(other).known());
        found.map(|_| copied)
    }

    /// Takes a token in, in place of what was known of it.
    pub(super) fn set(&self, token: GateToken) {
        let client = *token.client_id.as_bytes();
        let (hash, id) = (self.hash(client), token.known.id);
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let holder = {
            let shard = self.read(shard_of(client));
            shard.slot(hash, client).and_then(|slot| shard.record(slot)).map(|record| record.id)
        };
        // The client ID of a token that is gone, or a token that came back under another one.
        if holder != Some(id) {
            holder.into_iter().chain([id]).for_each(|id| self.remove_from(&mut places, id));
        }
        let added = {
            let mut shard = self.write(shard_of(client));
            match suffix_of(&token.client_id) {
                "" => shard.suffixes.remove(&client),
                suffix => shard.suffixes.insert(client, suffix.into()),
            };
            shard.put(Record::new(client, token.known), hash, |client| self.hash(client))
        };
        if let Some(slot) = added {
            let place = Place::new(shard_of(client), slot);
            places.insert_unique(self.hasher.hash_one(id), place, |place| self.hash_at(*place));
        }
    }

    /// Forgets a token.
    pub(super) fn remove(&self, id: ServiceTokenId) {
        self.remove_from(&mut self.places.lock().unwrap_or_else(PoisonError::into_inner), id);
    }

    /// How many tokens there are.
    pub(super) fn len(&self) -> usize {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn remove_from(&self, places: &mut HashTable<Place>, id: ServiceTokenId) {
        let is_it = |place: &Place| self.at(*place, |record| record.id == id).unwrap_or(false);
        let Ok(found) = places.find_entry(self.hasher.hash_one(id), is_it) else { return };
        let (place, _) = found.remove();
        let mut shard = self.write(place.shard);
        let Some(client) = shard.record(place.slot()).map(|record| record.client) else { return };
        shard.take(place.slot(), self.hash(client));
        shard.suffixes.remove(&client);
    }

    fn at<T>(&self, place: Place, look: impl FnOnce(&Record) -> T) -> Option<T> {
        self.read(place.shard).record(place.slot()).map(look)
    }

    fn hash_at(&self, place: Place) -> u64 {
        self.at(place, |record| self.hasher.hash_one(record.id)).unwrap_or_default()
    }

    fn hash(&self, client: [u8; 16]) -> u64 {
        self.hasher.hash_one(client)
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is less than the number of shards")]
    fn lock(&self, shard: u8) -> &RwLock<Shard> {
        &self.shards[usize::from(shard) % SHARDS]
    }

    fn read(&self, shard: u8) -> RwLockReadGuard<'_, Shard> {
        self.lock(shard).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, shard: u8) -> RwLockWriteGuard<'_, Shard> {
        self.lock(shard).write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn slot(&self, hash: u64, client: [u8; 16]) -> Option<u32> {
        let is_it = |slot: &u32| self.record(*slot).is_some_and(|record| record.client == client);
        self.index.find(hash, is_it).copied()
    }

    /// A slot that is always the same for the same hash, and none where there are no slots.
    fn some_slot(&self, hash: u64) -> Option<u32> {
        let slots = u64::try_from(self.slots()).ok()?;
        u32::try_from(hash.checked_rem(slots)?).ok()
    }

    /// How many slots there are, used and free.
    fn slots(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    fn record(&self, slot: u32) -> Option<&Record> {
        let slot = slot as usize;
        self.chunks.get(slot / CHUNK)?.get(slot % CHUNK)?.as_ref()
    }

    fn record_mut(&mut self, slot: u32) -> Option<&mut Option<Record>> {
        let slot = slot as usize;
        self.chunks.get_mut(slot / CHUNK)?.get_mut(slot % CHUNK)
    }

    /// Puts a record where the one with its client ID is, or else into a free slot, which is returned.
    fn put(&mut self, record: Record, hash: u64, rehash: impl Fn([u8; 16]) -> u64) -> Option<u32> {
        let known = self.slot(hash, record.client);
        let slot = known.or_else(|| self.free.pop()).unwrap_or_else(|| self.grow());
        *self.record_mut(slot)? = Some(record);
        if known.is_some() {
            return None;
        }
        let Self { index, chunks, .. } = self;
        index.insert_unique(hash, slot, |slot| {
            let slot = *slot as usize;
            let record = chunks.get(slot / CHUNK).and_then(|chunk| chunk.get(slot % CHUNK)?.as_ref());
            record.map_or(0, |record| rehash(record.client))
        });
        Some(slot)
    }

    fn take(&mut self, slot: u32, hash: u64) {
        if let Ok(found) = self.index.find_entry(hash, |known| *known == slot) {
            found.remove();
        }
        if let Some(place) = self.record_mut(slot) {
            *place = None;
            self.free.push(slot);
        }
    }

    fn grow(&mut self) -> u32 {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let slot = self.slots();
        let Some(chunk) = self.chunks.last_mut() else { return u32::MAX };
        chunk.push(None);
        u32::try_from(slot).unwrap_or(u32::MAX)
    }
}

impl Place {
    fn new(shard: u8, slot: u32) -> Self {
        let [_, slot @ ..] = slot.to_be_bytes();
        Self { shard, slot }
    }

    fn slot(self) -> u32 {
        let [a, b, c] = self.slot;
        u32::from_be_bytes([0, a, b, c])
    }
}

impl Record {
    fn new(client: [u8; 16], token: KnownServiceToken) -> Self {
        let KnownServiceToken { id, account_id, name, enabled, expires_at, current, previous } = token;
        let (previous, previous_until) = previous
            .map_or((SecretDigest::from_stored([0; 32]), i64::MIN), |(digest, until)| {
                (digest, until.as_micros())
            });
        let life = Life::new(enabled, expires_at);
        Self { client, id, account: account_id, current, previous, previous_until, life, name }
    }

    fn known(&self) -> KnownServiceToken {
        // Micros that were taken from a time make that time again.
        let time = |micros: i64| Timestamp::from_micros(micros);
        KnownServiceToken {
            id: self.id,
            account_id: self.account,
            name: self.name.clone(),
            enabled: self.life.enabled(),
            expires_at: self.life.expires_at(),
            current: self.current,
            previous: time(self.previous_until)
                .filter(|_| self.previous_until != i64::MIN)
                .map(|until| (self.previous, until)),
        }
    }
}

fn shard_of(client: [u8; 16]) -> u8 {
    let [first, ..] = client;
    first
}

fn suffix_of(client_id: &ClientId) -> &str {
    client_id.as_str().get(SUFFIX_FROM..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: u128) -> ClientId {
        ClientId::random(n.to_be_bytes())
    }

    fn token(n: u8, client_id: ClientId) -> GateToken {
        let known = KnownServiceToken {
            id: ServiceTokenId::from_bytes([n; 16]),
            account_id: AccountId::from_bytes([9; 16]),
            name: format!("token {n}").into(),
            enabled: true,
            expires_at: None,
            current: SecretDigest::from_stored([n; 32]),
            previous: None,
        };
        GateToken { client_id, known }
    }

    #[test]
    fn what_was_taken_in_is_found_as_it_was_and_gone_when_removed() {
        let directory = Directory::default();
        let (until, end) = (Timestamp::from_micros(5).unwrap(), Timestamp::from_micros(7).unwrap());
        let mut first = token(1, client(1));
        first.known.previous = Some((SecretDigest::from_stored([8; 32]), until));
        first.known.expires_at = Some(end);
        directory.set(first);
        let found = directory.find(&client(1)).unwrap();
        assert_eq!((&*found.name, found.enabled, found.expires_at), ("token 1", true, Some(end)));
        assert_eq!(found.previous, Some((SecretDigest::from_stored([8; 32]), until)));
        assert_eq!(found.account_id, AccountId::from_bytes([9; 16]));
        let mut disabled = token(1, client(1));
        disabled.known.enabled = false;
        directory.set(disabled);
        let found = directory.find(&client(1)).unwrap();
        assert_eq!((found.enabled, found.expires_at, found.previous), (false, None, None));
        let mut ending = token(1, client(1));
        (ending.known.enabled, ending.known.expires_at) = (false, Some(end));
        directory.set(ending);
        let found = directory.find(&client(1)).unwrap();
        assert_eq!((found.enabled, found.expires_at), (false, Some(end)));
        assert_eq!(directory.len(), 1);
        directory.remove(ServiceTokenId::from_bytes([1; 16]));
        directory.remove(ServiceTokenId::from_bytes([1; 16]));
        assert!(directory.find(&client(1)).is_none());
        assert_eq!(directory.len(), 0);
    }

    #[test]
    fn a_client_id_counts_with_its_suffix() {
        let directory = Directory::default();
        let whole: ClientId = format!("{}.example.com", client(1)).parse().unwrap();
        directory.set(token(1, whole.clone()));
        directory.set(token(2, client(2)));
        assert!(directory.find(&whole).is_some());
        assert!(directory.find(&client(1)).is_none());
        assert!(directory.find(&format!("{}.example.com", client(2)).parse().unwrap()).is_none());
    }

    #[test]
    fn a_client_id_that_another_token_had_is_the_new_tokens_alone() {
        let directory = Directory::default();
        directory.set(token(1, client(1)));
        directory.set(token(2, client(1)));
        directory.remove(ServiceTokenId::from_bytes([1; 16]));
        assert_eq!(&*directory.find(&client(1)).unwrap().name, "token 2");
        // And a token that came back under another client ID has left the old one.
        directory.set(token(2, client(3)));
        assert!(directory.find(&client(1)).is_none());
        assert_eq!(directory.len(), 1);
    }

    #[test]
    fn many_come_and_go_and_slots_are_used_again() {
        let directory = Directory::default();
        let nth = |n: u32| {
            let mut token =
                token(0, client(u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)));
            token.known.id = ServiceTokenId::from_bytes(u128::from(n).to_be_bytes());
            token
        };
        for n in 0..20_000 {
            directory.set(nth(n));
        }
        for n in (0..20_000).filter(|n| n % 3 == 0) {
            directory.remove(nth(n).known.id);
        }
        for n in 0..20_000 {
            assert_eq!(
                directory.find(&nth(n).client_id).map(|found| found.id),
                (n % 3 != 0).then(|| nth(n).known.id)
            );
        }
        let slots = |directory: &Directory| -> usize {
            directory.shards.iter().map(|shard| shard.read().unwrap().slots()).sum()
        };
        let before = slots(&directory);
        for n in 20_000..25_000 {
            directory.set(nth(n));
        }
        assert!(slots(&directory) < before + 500, "free slots are taken first");
    }

    #[test]
    fn a_record_is_as_small_as_promised() {
        assert!(size_of::<Option<Record>>() <= 144);
        assert_eq!(size_of::<Place>(), 4);
    }
}
