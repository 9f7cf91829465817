//! What the gate counts: verdicts by reason, how long they took, how far it has followed. No label comes from a client.

use std::time::Duration;

use hallpass_core::decision::Reason;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::Gate;

/// Upper ends of the histogram's buckets, in seconds: from a look in memory to several signatures.
const LATENCIES: [f64; 11] =
    [0.000_002, 0.000_005, 0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.1];

/// Counters of verdicts.
#[derive(Debug)]
pub(super) struct Measures {
    verdicts: Family<Verdict, Counter>,
    /// The same counters, found without looking for their labels.
    allowed: Counter,
    bypassed: Counter,
    refused: [Counter; Reason::ALL.len()],
    durations: Histogram,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Verdict {
    verdict: &'static str,
}

impl Default for Measures {
    fn default() -> Self {
        let verdicts = Family::<Verdict, Counter>::default();
        let counter = |verdict| verdicts.get_or_create(&Verdict { verdict }).clone();
        Self {
            allowed: counter("allowed"),
            bypassed: counter("bypassed"),
            refused: Reason::ALL.map(|reason| counter(reason.as_str())),
            verdicts,
            durations: Histogram::new(LATENCIES),
        }
    }
}

impl Measures {
    pub(super) fn count_allowed(&self) {
        self.allowed.inc();
    }

    pub(super) fn count_bypassed(&self) {
        self.bypassed.inc();
    }

    pub(super) fn count_refused(&self, reason: Reason) {
        // Reasons are numbered from 1, in the order of `ALL`: so each takes as long as any other.
        let counter = usize::from(reason.code()).checked_sub(1).and_then(|n| self.refused.get(n));
        if let Some(counter) = counter {
            counter.inc();
        }
    }

    pub(super) fn observe(&self, took: Duration) {
        self.durations.observe(took.as_secs_f64());
    }
}

impl Gate {
    /// Hands the counters to a registry.
    pub fn register(&self, registry: &mut Registry) {
        let measures = &self.inner.measures;
        registry.register(
            "gate_decisions",
            "Checks at the gate, by what became of them: allowed, bypassed, or why not",
            measures.verdicts.clone(),
        );
        registry.register_with_unit(
            "gate_check_duration",
            "How long checks at the gate took",
            Unit::Seconds,
            measures.durations.clone(),
        );
        let left_out = Counter::<u64>::default();
        left_out.inc_by(self.inner.accesses.left_out());
        registry.register(
            "gate_access_log_left_out",
            "Decisions that the access log does not have, because there were too many at once",
            left_out,
        );
        self.register_state(registry);
    }

    /// What the gate knows, and how well.
    fn register_state(&self, registry: &mut Registry) {
        let gauge = |value: i64| {
            let gauge = Gauge::<i64>::default();
            gauge.set(value);
            gauge
        };
        registry.register(
            "gate_directory_revision",
            "The newest change of the store that the gate has followed",
            gauge(self.revision()),
        );
        let tokens = i64::try_from(self.inner.directory.load().len()).unwrap_or(i64::MAX);
        registry.register("gate_directory_tokens", "Service tokens that the gate knows", gauge(tokens));
        let (snapshot, now) = (self.inner.snapshot.load(), self.inner.world.now());
        let without = i64::try_from(snapshot.accounts_that_cannot_sign()).unwrap_or(i64::MAX);
        registry.register(
            "gate_accounts_without_signing_key",
            "Accounts that have applications and no signing key that can be used: nobody passes there",
            gauge(without),
        );
        if let Some(since) = snapshot.oldest_key() {
            // A clock that was set back makes no key younger than new.
            let age = now.as_micros().saturating_sub(since.as_micros()).max(0);
            registry.register_with_unit(
                "gate_signing_key_age",
                "For how long the oldest of the keys that sign has been signing",
                Unit::Seconds,
                gauge(age / 1_000_000),
            );
        }
        if let Some(age) = self.age() {
            let seconds = Gauge::<f64, std::sync::atomic::AtomicU64>::default();
            seconds.set(age.as_secs_f64());
            registry.register_with_unit(
                "gate_directory_age",
                "How long ago the gate last heard from the store; absent where it must not be believed",
                Unit::Seconds,
                seconds,
            );
        }
    }
}
