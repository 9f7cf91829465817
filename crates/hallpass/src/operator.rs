//! The operator's listener: metrics and health. It has no credentials, which is why it has an address of its own.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::Mutex;

use crate::api::{self, Api};
use crate::gate::Gate;
use crate::store::statistics::Census;
use crate::telemetry::Log;

/// How long a count of the tokens is good for: it reads the whole table.
const CENSUS_AGE: Duration = Duration::from_secs(10);
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is shown.
#[derive(Debug, Clone)]
pub struct Watched {
    /// The API.
    pub api: Api,
    /// The gate, where this process has one.
    pub gate: Option<Gate>,
}

/// What the routes need: API and gate of the moment, which the emulator exchanges on a reset.
#[derive(Clone)]
struct Operator {
    watched: Arc<dyn Fn() -> Watched + Send + Sync>,
    log: Log,
    counted: Arc<Mutex<Option<Counted>>>,
}

/// What a count came to, and when; nothing, if the store failed.
#[derive(Debug, Clone, Copy)]
struct Counted {
    at: Duration,
    census: Option<Census>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: &'static str,
}

/// `/metrics`, `/healthz` and `/readyz`.
pub fn router(watched: impl Fn() -> Watched + Send + Sync + 'static, log: Log) -> Router {
    let operator = Operator { watched: Arc::new(watched), log, counted: Arc::default() };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(api::health::healthz))
        .route(
            "/readyz",
            get(async |State(operator): State<Operator>| {
                api::health::readyz(State((operator.watched)().api)).await
            }),
        )
        .with_state(operator)
}

async fn metrics(State(operator): State<Operator>) -> Response {
    let Watched { api, gate } = (operator.watched)();
    let mut registry = Registry::with_prefix("hallpass");
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    registry.register("build", "What is running", Info::new(version));
    let left_out = Counter::<u64>::default();
    left_out.inc_by(operator.log.left_out());
    registry.register(
        "log_lines_left_out",
        "Lines of the log that were not written, because standard error takes no more",
        left_out,
    );
    api.requests.register(&mut registry);
    api.store.register(&mut registry);
    if let Some(gate) = gate {
        gate.register(&mut registry);
    }
    // Without the store, what can be told without it is told all the same.
    if let Some(census) = operator.census(&api).await {
        register_census(&mut registry, census);
    }
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl Operator {
    /// A recent count. Whoever comes while it is made waits for the same one, and a failure counts as long as a success: neither
    /// crowds of scrapers nor a store in trouble make it read the table more often.
    async fn census(&self, api: &Api) -> Option<Census> {
        let mut counted = self.counted.lock().await;
        let now = api.world.monotonic();
        if let Some(Counted { at, census }) = *counted
            && now.saturating_sub(at) < CENSUS_AGE
        {
            return census;
        }
        let census = match api.store.census(api.world.now()).await {
            Ok(census) => Some(census),
            Err(error) => {
                tracing::warn!(%error, "cannot count the service tokens");
                None
            }
        };
        *counted = Some(Counted { at: api.world.monotonic(), census });
        census
    }
}

fn register_census(registry: &mut Registry, census: Census) {
    let tokens = Family::<Status, Gauge>::default();
    for (status, count) in
        [("active", census.live), ("disabled", census.disabled), ("expired", census.expired)]
    {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        tokens.get_or_create(&Status { status }).set(count);
    }
    registry.register("service_tokens", "Service tokens, by status", tokens);
    if let Some(soonest) = census.soonest_expiry {
        let expiry = Gauge::<i64>::default();
        expiry.set(soonest.as_micros() / 1_000_000);
        registry.register_with_unit(
            "soonest_expiry_timestamp",
            "When the next active service token expires, in Unix time",
            Unit::Seconds,
            expiry,
        );
    }
}
