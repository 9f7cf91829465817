//! What has to be done from time to time whether or not anybody asks: old rows of the access log are forgotten, and service tokens
//! that nobody uses are ended. Signing keys have a task of their own in the store.

use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use crate::store::Store;
use crate::world::World;

/// How often there is a look.
const EVERY: Duration = Duration::from_mins(1);
/// For how long the access log is kept unless somebody says otherwise.
pub const ACCESS_LOG_RETENTION: Duration = Duration::from_hours(30 * 24);

/// The tasks of a store, which end when this is dropped: before the store is closed, because they hold it.
#[derive(Debug)]
pub struct Tasks(AbortHandle);

impl Tasks {
    /// Begins with them. `retention` is for how long the access log is kept, by the world's clock.
    pub fn start(store: &Store, world: &World, retention: Duration) -> Self {
        Self::start_with(store, world, retention, EVERY)
    }

    /// The same, with another time between two looks.
    pub fn start_with(store: &Store, world: &World, retention: Duration, every: Duration) -> Self {
        let (store, world) = (store.clone(), world.clone());
        let task = tokio::spawn(async move {
            let mut interval = tokio::time::interval(every);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                interval.tick().await;
                look(&store, &world, retention).await;
            }
        });
        Self(task.abort_handle())
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Does once what is due.
pub async fn look(store: &Store, world: &World, retention: Duration) {
    let micros = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
    if let Some(before) = world.now().checked_add_micros(-micros) {
        store.forget_accesses(before);
    }
    match store.end_inactive(world).await {
        Ok(0) => {}
        Ok(tokens) => tracing::info!(tokens, "ended service tokens that nobody used"),
        Err(error) => tracing::warn!(%error, "cannot look for service tokens that nobody uses"),
    }
}
