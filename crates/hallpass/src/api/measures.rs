//! What the API counts: requests by route template and status, and how long they took. No label comes from a client.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::store::error::StoreError;

/// Upper ends of the histogram's buckets, in seconds: from a read in memory to the longest wait for a lock.
const LATENCIES: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 20.0];

/// Counters of requests. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct Requests {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    answered: Family<Answer, Counter>,
    durations: Family<Asked, Histogram, fn() -> Histogram>,
    store_errors: Family<Failure, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    method: &'static str,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    kind: &'static str,
}

impl Default for Requests {
    fn default() -> Self {
        let durations = Family::new_with_constructor((|| Histogram::new(LATENCIES)) as fn() -> Histogram);
        let (answered, store_errors) = (Family::default(), Family::default());
        Self { inner: Arc::new(Inner { answered, durations, store_errors }) }
    }
}

impl Requests {
    /// Counts an answer. `route` is the template, never the path.
    pub(super) fn count(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        let method = known(method);
        let asked = Asked { method, route: route.to_owned() };
        let answer = Answer { method, route: route.to_owned(), status: status.as_u16() };
        self.inner.durations.get_or_create(&asked).observe(took.as_secs_f64());
        self.inner.answered.get_or_create(&answer).inc();
    }

    /// Counts a request that the store failed.
    pub(super) fn count_store_error(&self, error: &StoreError) {
        let kind = match error {
            StoreError::Unavailable(_) => "unavailable",
            StoreError::UnknownOutcome(_) => "unknown_outcome",
            StoreError::Corrupt(_) => "corrupt",
        };
        self.inner.store_errors.get_or_create(&Failure { kind }).inc();
    }

    /// Hands the counters to a registry.
    pub fn register(&self, registry: &mut Registry) {
        let inner = &self.inner;
        registry.register(
            "requests",
            "Requests to the API, by route template and status",
            inner.answered.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "How long answers of the API took",
            Unit::Seconds,
            inner.durations.clone(),
        );
        registry.register(
            "store_errors",
            "Requests that failed because of the store, by kind",
            inner.store_errors.clone(),
        );
    }
}

/// A method's name, out of a closed list: clients can invent others.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
