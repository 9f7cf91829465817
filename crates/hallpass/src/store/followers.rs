//! Who else on this node must have heard of a change before its answer leaves: the gate.
//!
//! The writer knows of followers only that they are there. It wakes them after a commit and waits until each has read the store
//! again, or can no longer be believed.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use hallpass_core::service_token::ServiceToken;
use hallpass_core::time::Timestamp;
use tokio::sync::{Notify, oneshot};

use super::audit::Entry;
use super::engine::PATIENCE;

/// How long a follower may take: a little longer than it waits for the store itself.
const HEARING_TIME: Duration = PATIENCE.saturating_add(Duration::from_secs(1));
/// A token that ends within this time, in microseconds, may end before its refresh is followed by itself.
const ENDING_SOON: i64 = 2_000_000;

/// Those who follow.
#[derive(Debug, Clone, Default)]
pub(super) struct Followers(Arc<Mutex<Vec<Weak<Follower>>>>);

/// One who follows.
#[derive(Debug, Default)]
pub(super) struct Follower {
    woken: Notify,
    waiting: Mutex<Vec<oneshot::Sender<()>>>,
}

impl Followers {
    /// One more. It counts until it is dropped.
    pub(super) fn add(&self) -> Arc<Follower> {
        let follower = Arc::new(Follower::default());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&follower));
        follower
    }

    /// Waits until every follower has read the store after this call.
    pub(super) async fn catch_up(&self) {
        for heard in self.wake() {
            // A follower that is dropped has nothing to answer for.
            if tokio::time::timeout(HEARING_TIME, heard).await.is_err() {
                tracing::error!(
                    "the gate does not follow the store; it refuses once it is older than it may be"
                );
            }
        }
    }

    /// Whether there is any.
    pub(super) fn are_there(&self) -> bool {
        let followers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        followers.iter().any(|follower| follower.strong_count() > 0)
    }

    fn wake(&self) -> Vec<oneshot::Receiver<()>> {
        let mut followers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        followers.retain(|follower| follower.strong_count() > 0);
        followers.iter().filter_map(Weak::upgrade).map(|follower| follower.wake()).collect()
    }
}

impl Follower {
    fn wake(&self) -> oneshot::Receiver<()> {
        let (sender, heard) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        self.woken.notify_one();
        heard
    }

    /// Is done when somebody waits.
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }

    /// Those who wait now: to be answered once the store was read after this call.
    pub(super) fn waiting(&self) -> Vec<oneshot::Sender<()>> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether a change can turn a verdict of the gate. A refresh of a token that lives only keeps it as it is: nobody waits for that.
pub(super) fn concerns(entry: &Entry) -> bool {
    const OF_CALLERS: [&str; 5] = ["api_token", "account", "zone", "user", "membership"];
    entry.action != "service_token.refresh" && !OF_CALLERS.contains(&entry.kind)
}

/// Whether a refresh of the token brings it back to life, or just keeps it from ending.
pub(super) fn is_ending(token: &ServiceToken, now: Timestamp) -> bool {
    let soon = now.checked_add_micros(ENDING_SOON).unwrap_or(Timestamp::FOREVER);
    token.expires_at.is_some_and(|end| end <= soon)
}
