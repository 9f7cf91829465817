//! Who else on this node must have heard of a change before its answer leaves: the gate.
//!
//! The writer knows of followers only that they are there. It wakes them after a commit and waits until each has read the store
//! again, or can no longer be believed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use hallpass_core::service_token::ServiceToken;
use hallpass_core::time::Timestamp;
use tokio::sync::{Notify, oneshot};

use super::audit::Entry;
use super::concern::Concern;
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
    /// How often somebody went on who had waited too long.
    missed: AtomicU64,
    /// How many of those had gone on before the newest reading of the store began.
    made_up: AtomicU64,
}

/// A reading of the store by a follower, from before it began.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    missed: u64,
}

impl Followers {
    /// One more. It counts until it is dropped.
    pub(super) fn add(&self) -> Arc<Follower> {
        let follower = Arc::new(Follower::default());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&follower));
        follower
    }

    /// Waits until every follower has read the store after this call, or is no longer believed.
    pub(super) async fn catch_up(&self) {
        self.catch_up_within(HEARING_TIME).await;
    }

    async fn catch_up_within(&self, time: Duration) {
        for (follower, heard) in self.wake() {
            // A follower that is dropped has nothing to answer for.
            if tokio::time::timeout(time, heard).await.is_err()
                && let Some(follower) = follower.upgrade()
            {
                follower.miss();
                tracing::error!("the gate does not follow the store; it refuses until it has");
            }
        }
    }

    /// Whether there is any.
    pub(super) fn are_there(&self) -> bool {
        let followers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        followers.iter().any(|follower| follower.strong_count() > 0)
    }

    fn wake(&self) -> Vec<(Weak<Follower>, oneshot::Receiver<()>)> {
        let mut followers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        followers.retain(|follower| follower.strong_count() > 0);
        let woken = |follower: &Weak<Follower>| Some((follower.clone(), follower.upgrade()?.wake()));
        followers.iter().filter_map(woken).collect()
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

    /// A change is answered of which this follower has not heard: it is not believed until it has read the store from the beginning
    /// of a reading that is still to come.
    pub(super) fn miss(&self) {
        self.missed.fetch_add(1, Ordering::SeqCst);
    }

    /// To be called before the store is read.
    pub(super) fn begin(&self) -> Reading {
        Reading { missed: self.missed.load(Ordering::SeqCst) }
    }

    /// The store was read.
    pub(super) fn end(&self, reading: Reading) {
        self.made_up.fetch_max(reading.missed, Ordering::SeqCst);
    }

    /// Whether a change was answered since the newest reading began, although this follower had not heard of it.
    pub(super) fn has_missed(&self) -> bool {
        self.made_up.load(Ordering::SeqCst) != self.missed.load(Ordering::SeqCst)
    }
}

/// Whether a change can turn a verdict of the gate. A refresh of a token that lives only keeps it as it is: nobody waits for that.
pub(super) fn concerns(entry: &Entry) -> bool {
    entry.action != "service_token.refresh" && Concern::of(entry.kind).is_of_the_gate()
}

/// Whether a refresh of the token brings it back to life, or just keeps it from ending.
pub(super) fn is_ending(token: &ServiceToken, now: Timestamp) -> bool {
    let soon = now.checked_add_micros(ENDING_SOON).unwrap_or(Timestamp::FOREVER);
    token.expires_at.is_some_and(|end| end <= soon)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_follower_that_did_not_hear_in_time_has_missed_until_a_later_reading_has_ended() {
        let followers = Followers::default();
        let follower = followers.add();
        let early = follower.begin();
        followers.catch_up_within(Duration::ZERO).await;
        assert!(follower.has_missed());
        // What began before the answer left may not have seen the change.
        follower.end(early);
        assert!(follower.has_missed());
        let late = follower.begin();
        assert!(follower.has_missed());
        follower.end(late);
        assert!(!follower.has_missed());
        follower.end(early);
        assert!(!follower.has_missed());
    }

    #[tokio::test]
    async fn a_follower_that_hears_in_time_has_missed_nothing() {
        let followers = Followers::default();
        let follower = followers.add();
        let hear = async {
            follower.woken().await;
            for waiting in follower.waiting() {
                waiting.send(()).unwrap();
            }
        };
        tokio::join!(followers.catch_up_within(HEARING_TIME), hear);
        assert!(!follower.has_missed());
    }
}
