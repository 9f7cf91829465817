//! The operator's listener: metrics and health. It has no credentials, which is why it has an address of its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::api::{self, Api};
use crate::store::statistics::Census;

/// How long a count of the tokens is good for: it reads the whole table.
const CENSUS_AGE: Duration = Duration::from_secs(10);
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the routes need: the API of the moment, which the emulator exchanges on a reset.
#[derive(Clone)]
struct Operator {
    api: Arc<dyn Fn() -> Api + Send + Sync>,
    counted: Arc<Mutex<Option<(Duration, Census)>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Standing {
    standing: &'static str,
}

/// `/metrics`, `/healthz` and `/readyz`.
pub fn router(api: impl Fn() -> Api + Send + Sync + 'static) -> Router {
    let operator = Operator { api: Arc::new(api), counted: Arc::default() };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(api::health::healthz))
        .route(
            "/readyz",
            get(async |State(operator): State<Operator>| api::health::readyz(State((operator.api)())).await),
        )
        .with_state(operator)
}

async fn metrics(State(operator): State<Operator>) -> Response {
    let api = (operator.api)();
    let mut registry = Registry::with_prefix("hallpass");
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    registry.register("build", "What is running", Info::new(version));
    api.requests.register(&mut registry);
    api.store.register(&mut registry);
    match operator.census(&api).await {
        Ok(census) => register_census(&mut registry, census),
        // What can be told without the store is told all the same.
        Err(error) => tracing::warn!(%error, "cannot count the service tokens"),
    }
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl Operator {
    async fn census(&self, api: &Api) -> Result<Census, crate::store::error::StoreError> {
        let now = api.world.monotonic();
        let counted = *self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, census)) = counted
            && now.saturating_sub(at) < CENSUS_AGE
        {
            return Ok(census);
        }
        let census = api.store.census(api.world.now()).await?;
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, census));
        Ok(census)
    }
}

fn register_census(registry: &mut Registry, census: Census) {
    let tokens = Family::<Standing, Gauge>::default();
    for (standing, count) in
        [("live", census.live), ("disabled", census.disabled), ("expired", census.expired)]
    {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        tokens.get_or_create(&Standing { standing }).set(count);
    }
    registry.register("service_tokens", "Service tokens, by their standing", tokens);
    if let Some(soonest) = census.soonest_expiry {
        let expiry = Gauge::<i64>::default();
        expiry.set(soonest.as_micros() / 1_000_000);
        registry.register_with_unit(
            "soonest_expiry_timestamp",
            "When the next live service token expires, in Unix time",
            Unit::Seconds,
            expiry,
        );
    }
}
