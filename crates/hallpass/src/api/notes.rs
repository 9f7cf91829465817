//! What the handling of a request leaves for its end: who called and how the rate limit stands, for the log and the headers.

use std::sync::{Arc, OnceLock};

use axum::http::request::Parts;
use hallpass_core::id::RequestId;

use super::rate_limit::Usage;

/// Notes on one request. The outermost layer makes them; extractors fill them in.
#[derive(Debug, Clone)]
pub(super) struct Notes {
    pub(super) request_id: RequestId,
    caller: Arc<OnceLock<String>>,
    usage: Arc<OnceLock<Usage>>,
}

impl Notes {
    pub(super) fn new(request_id: RequestId) -> Self {
        Self { request_id, caller: Arc::default(), usage: Arc::default() }
    }

    /// The notes on this request. Every route lies within the layer that makes them.
    #[expect(clippy::expect_used, reason = "a route outside the layer would be a mistake in the route table")]
    pub(super) fn of(parts: &Parts) -> &Self {
        parts.extensions.get().expect("every route lies within the envelope layer")
    }

    pub(super) fn set_caller(&self, name: String) {
        let _ = self.caller.set(name);
    }

    pub(super) fn set_usage(&self, usage: Usage) {
        let _ = self.usage.set(usage);
    }

    pub(super) fn caller(&self) -> &str {
        self.caller.get().map_or("-", String::as_str)
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        self.usage.get().copied()
    }
}
