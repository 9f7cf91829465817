//! Whether the server lives, and whether it can serve.

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use super::error::ApiError;
use super::{Api, ok};

/// The process answers. It asks nobody, and is the base line of every measurement.
pub(crate) async fn healthz() -> Response {
    ok(json!({"status": "ok"}))
}

/// The store can be read, the writer runs, and callers are known.
pub(crate) async fn readyz(State(api): State<Api>) -> Result<Response, ApiError> {
    api.store.check().await?;
    Ok(ok(json!({"status": "ready"})))
}
