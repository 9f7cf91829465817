//! The gate: decides, from memory, whether the machine at a service's door may pass.
//!
//! It reads the store through a feed and is never called by the API: changes reach it as data. What it has not heard of for too long
//! it does not believe, and refuses. Between the tokens and the applications of one change that touches both, a request may see one
//! of them a few microseconds earlier than the other.

mod assertion;
mod check;
mod directory;
mod follow;
mod forward_auth;
#[cfg(test)]
mod gate_tests;
pub mod listener;
mod measures;
#[cfg(test)]
mod place_tests;
mod refusal;
mod snapshot;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use hallpass_core::secret::DigestKey;
use ipnet::IpNet;
use tokio::task::AbortHandle;

use crate::reference::{References, Refusal};
use crate::server_key::ServerKey;
use crate::store::Store;
use crate::store::access_log::Accesses;
use crate::store::error::StoreError;
use crate::store::gate_feed::GateFeed;
use crate::world::World;
use assertion::Assertions;
use check::Warned;
use directory::Directory;
use measures::Measures;
use snapshot::Snapshot;

/// Stands for *not heard, or not to be believed*.
const UNHEARD: u64 = u64::MAX;

/// The gate. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

/// What can be changed while it runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// For how long it may be believed without having heard from the store.
    pub max_staleness: Duration,
    /// Who may speak for clients; nobody else is answered.
    pub trust: Trust,
}

/// Who may speak for clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// These networks.
    Peers(Vec<IpNet>),
    /// Whoever reaches the gate. The networks are those of proxies in front of proxies, which no client address is taken from.
    Everyone(Vec<IpNet>),
}

#[derive(Debug)]
struct Inner {
    world: World,
    settings: ArcSwap<Settings>,
    digest_key: DigestKey,
    references: References,
    directory: ArcSwap<Directory>,
    snapshot: ArcSwap<Snapshot>,
    assertions: Assertions,
    measures: Measures,
    /// The newest change that was followed.
    revision: AtomicI64,
    /// When the store was last heard, in microseconds of monotonic time.
    heard: AtomicU64,
    /// The newest time that anybody wrote into the store, in microseconds.
    newest: AtomicI64,
    /// When an untrusted peer was last logged.
    warned: Warned,
    feed: Arc<GateFeed>,
    /// Where verdicts are noted for the access log.
    accesses: Arc<Accesses>,
    following: std::sync::OnceLock<AbortHandle>,
    /// Nothing is believed ever again.
    stopped: AtomicBool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_staleness: Duration::from_mins(1), trust: Trust::loopback() }
    }
}

impl Trust {
    /// This machine alone.
    pub fn loopback() -> Self {
        const FOUR: IpNet = IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8);
        const SIX: IpNet = IpNet::new_assert(IpAddr::V6(Ipv6Addr::LOCALHOST), 128);
        Self::Peers(vec![FOUR, SIX])
    }

    fn speaks(&self, peer: IpAddr) -> bool {
        match self {
            Self::Peers(networks) => networks.iter().any(|network| network.contains(&peer.to_canonical())),
            Self::Everyone(_) => true,
        }
    }

    /// The proxies that a client's address is never taken from.
    fn networks(&self) -> &[IpNet] {
        match self {
            Self::Peers(networks) | Self::Everyone(networks) => networks,
        }
    }
}

/// How long a gate waits for the first signing keys of accounts before it starts.
const KEYS_TIME: Duration = Duration::from_secs(5);

impl Gate {
    /// Reads the store once, and follows it from then on. Changes made on this node are answered only when the gate knows of them.
    pub async fn start(
        store: &Store,
        key: &ServerKey,
        world: &World,
        settings: Settings,
    ) -> Result<Self, StoreError> {
        // A store with many accounts that have no keys gets the others in the background: until then they are answered 503.
        let made = tokio::time::timeout(KEYS_TIME, store.signing_keys().ensure(world)).await;
        if let Ok(Err(error)) = made {
            tracing::error!(%error, "cannot make the signing keys of accounts that have none");
        }
        let gate = Self { inner: Arc::new(Inner::new(store, key, world, settings)) };
        gate.inner.follow().await?;
        let task = tokio::spawn(follow::run(Arc::downgrade(&gate.inner), Arc::clone(&gate.inner.feed)));
        // Nobody else has the gate yet.
        let _ = gate.inner.following.set(task.abort_handle());
        Ok(gate)
    }

    /// Ends the following. Requests that are still checked are refused.
    pub async fn stop(&self) {
        if let Some(following) = self.inner.following.get() {
            following.abort();
        }
        // What is being read this moment must not be believed either.
        self.inner.stopped.store(true, Ordering::Release);
        self.inner.feed.close().await;
    }

    /// Exchanges the settings.
    pub fn set(&self, settings: Settings) {
        self.inner.settings.store(Arc::new(settings));
    }

    /// Opens a reference that a refusal carried.
    pub fn open(&self, reference: &str) -> Option<Refusal> {
        self.inner.references.open(reference)
    }

    /// The newest change of the store that was followed.
    pub fn revision(&self) -> i64 {
        self.inner.revision.load(Ordering::Acquire)
    }

    /// How long ago the store was last heard; `None` where the gate must not be believed whatever its age.
    pub fn age(&self) -> Option<Duration> {
        self.inner.age(self.inner.world.monotonic())
    }
}

impl Inner {
    fn new(store: &Store, key: &ServerKey, world: &World, settings: Settings) -> Self {
        Self {
            world: world.clone(),
            settings: ArcSwap::from_pointee(settings),
            digest_key: key.digest_key(),
            references: References::new(key),
            directory: ArcSwap::default(),
            snapshot: ArcSwap::default(),
            assertions: Assertions::default(),
            measures: Measures::default(),
            revision: AtomicI64::new(-1),
            heard: AtomicU64::new(UNHEARD),
            newest: AtomicI64::new(0),
            warned: Warned::default(),
            feed: Arc::new(store.gate_feed(key)),
            accesses: Arc::clone(store.accesses()),
            following: std::sync::OnceLock::new(),
            stopped: AtomicBool::new(false),
        }
    }

    fn age(&self, now: Duration) -> Option<Duration> {
        if self.feed.has_missed() || self.stopped.load(Ordering::Acquire) {
            return None;
        }
        let heard = Some(self.heard.load(Ordering::Acquire)).filter(|heard| *heard != UNHEARD)?;
        Some(now.saturating_sub(Duration::from_micros(heard)))
    }

    fn is_fresh(&self, settings: &Settings, now: Duration) -> bool {
        self.age(now).is_some_and(|age| age <= settings.max_staleness)
    }

    /// From now on nothing is believed, until the store was heard again.
    fn forget(&self) {
        self.heard.store(UNHEARD, Ordering::Release);
    }
}
