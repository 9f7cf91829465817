//! SIGHUP: the configuration is read again, and what can be changed while the server runs is changed; all of it or nothing.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use sd_notify::NotifyState;
use tokio::signal::unix::Signal;

use super::check::certificate_files;
use crate::api::rate_limit::RateLimits;
use crate::config::{Sources, Values};
use crate::gate::Gate;
use crate::live::Live;
use crate::operator::Watched;
use crate::telemetry::Log;
use crate::tls::{Pair, Tls};

/// How long the files may take to be read.
const READING_TIME: Duration = Duration::from_secs(10);

/// What a reload changes in a running server.
pub(super) struct Running {
    sources: Sources,
    values: Values,
    log: Log,
    limits: Arc<RateLimits>,
    service_token_quota: Live<Option<u32>>,
    trusted_peers: Live<Arc<[IpNet]>>,
    tls: Option<Tls>,
    gate: Option<Gate>,
}

impl Running {
    pub(super) fn new(
        sources: Sources,
        values: Values,
        log: Log,
        watched: &Watched,
        tls: Option<Tls>,
    ) -> Self {
        let Watched { api, gate } = watched;
        Self {
            sources,
            values,
            log,
            limits: Arc::clone(&api.limits),
            service_token_quota: api.service_token_quota.clone(),
            trusted_peers: api.trusted_peers.clone(),
            tls,
            gate: gate.clone(),
        }
    }

    /// Reloads whenever it is told to.
    pub(super) async fn follow(mut self, mut hangup: Signal) {
        while hangup.recv().await.is_some() {
            // Newer supervisors want the time with it, and take the reload for failed without.
            let mut began = vec![NotifyState::Reloading];
            began.extend(NotifyState::monotonic_usec_now());
            tell_supervisor(&began);
            match self.reload().await {
                Ok(()) => tracing::info!("the configuration was reloaded"),
                Err(error) => {
                    tracing::error!(error, "the configuration was not reloaded; the old one stays in force");
                }
            }
            tell_supervisor(&[NotifyState::Ready]);
        }
    }

    async fn reload(&mut self) -> Result<(), String> {
        let sources = self.sources.clone();
        // On a thread of its own: a file on a network may not answer, and nobody else is to wait for it.
        let reading = tokio::task::spawn_blocking(move || {
            let (config, values) = sources.config().map_err(|problems| problems.to_string())?;
            let pair = certificate_files(&config).map(|files| Pair::read(&files));
            let pair = pair.transpose().map_err(|error| error.to_string())?;
            Ok::<_, String>((config, values, pair))
        });
        let read = tokio::time::timeout(READING_TIME, reading).await;
        let (config, values, pair) =
            read.map_err(|_| "the files cannot be read in time")?.map_err(|error| error.to_string())??;
        let certificate = match (&self.tls, pair) {
            (Some(tls), Some(pair)) => Some((tls, pair)),
            (Some(_), None) | (None, Some(_)) => {
                tracing::warn!("TLS is switched on or off when the server is started again");
                None
            }
            (None, None) => None,
        };
        self.log.set(&config.log.filter)?;
        if let Some((tls, pair)) = certificate {
            tls.replace(pair);
        }
        self.limits.set_limit(config.api.rate_limit.number());
        self.service_token_quota.set(config.api.service_token_quota);
        self.trusted_peers.set(config.api.trusted_peers.into());
        if let Some(gate) = &self.gate {
            gate.set(super::gate::settings(&config.gate));
        }
        let waiting = self.values.needing_restart(&values);
        if !waiting.is_empty() {
            let settings = waiting.join(", ");
            tracing::warn!(settings, "these changes count when the server is started again");
        }
        Ok(())
    }
}

/// Says how far the server is to the supervisor that asked for it by `NOTIFY_SOCKET`, if one did.
pub(super) fn tell_supervisor(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot tell the supervisor");
    }
}
