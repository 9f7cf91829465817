//! Where the gate's listener is, and that it ends with the server.

use std::future::Future;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::Failure;
use crate::config::{GateSettings, Listen};
use crate::gate::{Gate, Settings, Trust, listener};
use crate::serve::{self, Transport};

/// The listener while it runs.
#[derive(Debug, Default)]
pub(super) struct Listening {
    running: Option<(String, JoinHandle<()>)>,
}

/// What the gate goes by, as it was configured. Without a list, it answers this machine alone.
pub(super) fn settings(settings: &GateSettings) -> Settings {
    let GateSettings { max_staleness, trusted_peers, trust_everyone, .. } = settings.clone();
    let trust = match trusted_peers {
        peers if trust_everyone => Trust::Everyone(peers),
        peers if peers.is_empty() => Trust::loopback(),
        peers => Trust::Peers(peers),
    };
    Settings { max_staleness, trust }
}

/// Starts listening, until `stop` is done. `gate` is the gate of the moment.
pub(super) async fn listen(
    address: Listen,
    gate: impl Fn() -> Gate + Send + Sync + 'static,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<Listening, Failure> {
    let Listen::At(address) = address else { return Ok(Listening::default()) };
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address} for the gate; choose another address by --gate, or --gate off")
    })?;
    let address = listener.local_addr().context("cannot tell the listener's address")?;
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "the gate listens beyond loopback, without TLS: credentials cross that network in the clear");
    }
    let serving = tokio::spawn(listener::serve(listener, gate, stop));
    Ok(Listening { running: Some((serve::base_url(&Transport::Plain, address), serving)) })
}

impl Listening {
    /// Its address, as a URL.
    pub(super) fn url(&self) -> Option<&str> {
        self.running.as_ref().map(|(url, _)| url.as_str())
    }

    /// Waits until it has ended.
    pub(super) async fn ended(self) -> Result<(), Failure> {
        if let Some((_, serving)) = self.running {
            serving.await.context("the gate ended unexpectedly")?;
        }
        Ok(())
    }
}
