//! How the gate keeps up with the store: it looks whenever a change on this node waits for it, and a few times a second for those
//! of other nodes.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use hallpass_core::time::Timestamp;
use tokio::time::MissedTickBehavior;

use super::Inner;
use super::directory::Directory;
use super::snapshot::Snapshot;
use crate::store::error::StoreError;
use crate::store::gate_feed::{Distance, GateFeed, News};

/// How often the gate looks for what other nodes changed.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);

/// Follows until the gate is gone.
pub(super) async fn run(gate: Weak<Inner>, feed: Arc<GateFeed>) {
    let mut tick = tokio::time::interval(FOLLOW_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = feed.woken() => {}
            _ = tick.tick() => {}
        }
        let Some(gate) = gate.upgrade() else { return };
        let waiting = feed.waiting();
        // A panic must not end the only task that follows.
        let followed = AssertUnwindSafe(gate.follow()).catch_unwind().await;
        let failure = match followed {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("it panicked".to_owned()),
        };
        if let Some(error) = failure {
            if waiting.is_empty() {
                tracing::warn!(error, "the gate cannot follow the store");
            } else {
                tracing::error!(
                    error,
                    "the gate missed a change; it refuses until it can follow the store again"
                );
                gate.forget();
            }
        }
        waiting.answer();
    }
}

impl Inner {
    /// Brings the gate up to the store's revision.
    pub(super) async fn follow(&self) -> Result<(), StoreError> {
        let (asked, reading) = (self.world.monotonic(), self.feed.begin());
        let known = self.revision.load(Ordering::Acquire);
        let distance = if known < 0 { Distance::Everything } else { self.feed.distance(known).await? };
        match distance {
            Distance::None => {}
            Distance::Changes => self.take(self.feed.changes(known).await?),
            Distance::Everything => {
                let fresh = Directory::with_room(self.feed.tokens().await?);
                let news = self.feed.everything(|token| fresh.set(token)).await?;
                self.directory.store(Arc::new(fresh));
                self.take(news);
            }
        }
        let asked = u64::try_from(asked.as_micros()).unwrap_or_default();
        self.heard.store(asked, Ordering::Release);
        self.feed.end(reading);
        Ok(())
    }

    fn take(&self, news: News) {
        let News { revision, newest, tokens, gone, guards } = news;
        let directory = self.directory.load();
        // First those that are gone: a token that came later may have the client ID of one of them.
        for id in gone {
            directory.remove(id);
        }
        for token in tokens {
            directory.set(token);
        }
        if let Some(guards) = guards {
            self.snapshot.store(Arc::new(Snapshot::from(guards)));
        }
        self.newest.fetch_max(newest.map_or(0, Timestamp::as_micros), Ordering::AcqRel);
        self.revision.store(revision, Ordering::Release);
    }
}
