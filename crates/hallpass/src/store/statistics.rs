//! What the store counts of itself, and how its service tokens stand, for the operator.

use hallpass_core::time::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::engine::reading;
use super::error::StoreError;
use super::{Store, writer};

/// Upper ends of the buckets for the size of a batch.
const SIZES: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

/// What the writer counts. Clones count together.
#[derive(Debug, Clone)]
pub(super) struct Statistics {
    /// Jobs per transaction.
    pub(super) batch: Histogram,
    /// Transactions that failed, whatever became of their jobs afterwards.
    pub(super) failed: Counter,
}

impl Default for Statistics {
    fn default() -> Self {
        Self { batch: Histogram::new(SIZES), failed: Counter::default() }
    }
}

/// How all service tokens stand at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// They can be used.
    pub live: u64,
    /// Their owners switched them off.
    pub disabled: u64,
    /// Their time is over.
    pub expired: u64,
    /// When the next live one expires; absent if none ever does.
    pub soonest_expiry: Option<Timestamp>,
}

impl Store {
    /// Hands the writer's counters, and how long its queue is now, to a registry.
    pub fn register(&self, registry: &mut Registry) {
        let counted = &self.inner.statistics;
        registry.register("writer_batch_jobs", "Changes that were committed together", counted.batch.clone());
        registry.register(
            "writer_failed_batches",
            "Transactions of the writer that failed",
            counted.failed.clone(),
        );
        let waiting = Gauge::<i64>::default();
        waiting.set(
            i64::try_from(writer::QUEUE.saturating_sub(self.inner.writer.capacity())).unwrap_or(i64::MAX),
        );
        registry.register("writer_queue", "Messages that wait for the writer", waiting);
        let revision = Gauge::<i64>::default();
        revision.set(self.callers().revision());
        registry.register("revision", "The newest change that this node has followed", revision);
    }

    /// Counts all service tokens by their standing. Reads the whole table; says nothing about any one token.
    pub async fn census(&self, now: Timestamp) -> Result<Census, StoreError> {
        let text = "SELECT COUNT(CASE WHEN enabled AND (expires_at IS NULL OR expires_at > $1) THEN 1 END), \
                    COUNT(CASE WHEN NOT enabled THEN 1 END), COUNT(CASE WHEN enabled AND expires_at <= $1 THEN 1 END), \
                    MIN(CASE WHEN enabled AND expires_at > $1 THEN expires_at END) FROM service_tokens";
        let (live, disabled, expired, soonest) = reading!(self, pool => {
            sqlx::query_as::<_, (i64, i64, i64, Option<i64>)>(text).bind(now.as_micros()).fetch_one(pool).await?
        });
        let count = |n: i64| n.unsigned_abs();
        Ok(Census {
            live: count(live),
            disabled: count(disabled),
            expired: count(expired),
            soonest_expiry: soonest.and_then(Timestamp::from_micros),
        })
    }
}
