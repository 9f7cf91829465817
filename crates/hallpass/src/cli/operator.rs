//! Where the operator's listener is, and that it ends with the server.

use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Failure;
use crate::config::Listen;
use crate::operator::{self, Watched};
use crate::serve;
use crate::serve::Transport;
use crate::telemetry::Log;

/// How long requests that are still running may take at the end.
const GRACE: Duration = Duration::from_secs(1);

/// The listener while it runs.
#[derive(Debug, Default)]
pub(super) struct Listening {
    running: Option<(String, oneshot::Sender<()>, JoinHandle<()>)>,
}

/// Starts listening.
pub(super) async fn listen(
    address: Listen,
    log: Log,
    watched: impl Fn() -> Watched + Send + Sync + 'static,
) -> Result<Listening, Failure> {
    let Listen::At(address) = address else { return Ok(Listening::default()) };
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address} for the operator; choose another address, or --operator off")
    })?;
    let address = listener.local_addr().context("cannot tell the listener's address")?;
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "metrics are shown beyond loopback, to everybody who reaches this address");
    }
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn(serve::serve(listener, operator::router(watched, log), async {
        // Told to, or left behind: both mean the end.
        let _ = stopped.await;
    }));
    Ok(Listening { running: Some((serve::base_url(&Transport::Plain, address), stop, serving)) })
}

impl Listening {
    /// Its address, as a URL.
    pub(super) fn url(&self) -> Option<&str> {
        self.running.as_ref().map(|(url, ..)| url.as_str())
    }

    /// Ends it.
    pub(super) async fn end(self) {
        if let Some((_, stop, serving)) = self.running {
            let _ = stop.send(());
            // Nothing is lost with a scrape, and the supervisor does not wait for long.
            let _ = tokio::time::timeout(GRACE, serving).await;
        }
    }
}
