//! `hallpass serve`: the real thing.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use super::bootstrap::{self, Names};
use super::check::{certificate_files, check_files};
use super::reload::{Running, tell_supervisor};
use super::settings::{SettingArgs, describe_store, open_store, server_key};
use super::{
    Addresses, Exit, Failure, Stopping, gate, listen, operator, output, stop_signal, write_ready_file,
};
use crate::api::rate_limit::RateLimits;
use crate::api::{self, Api, BASE};
use crate::config::{Listen, Sources};
use crate::gate::Gate;
use crate::operator::Watched;
use crate::reference::References;
use crate::serve::{self, Transport};
use crate::store::{Purpose, Store};
use crate::tasks::Tasks;
use crate::telemetry::Log;
use crate::tls::{Pair, Tls};
use crate::world::World;

#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    settings: SettingArgs,
    /// Check the configuration and the files that it names, and end: with 0 if all is good, else with 2
    #[arg(long)]
    check_config: bool,
    /// Run without the gate, the same as `--gate off`
    #[arg(long, conflicts_with = "no_api")]
    no_gate: bool,
    /// Run without the management API: only the gate, which follows the store, and the operator's listener
    #[arg(long)]
    no_api: bool,
}

pub(super) async fn run(args: Serve, log: Log) -> Result<(), Failure> {
    let sources = args.settings.0;
    let (config, values) = sources.config()?;
    if args.check_config {
        check_files(&config).or(Some(()))?;
        return output::print("configuration is good");
    }
    // From here on a hangup reloads, and does not end the process.
    let hangup = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    log.set(&config.log.filter).map_err(|error| Failure::new(Exit::Usage, error))?;
    let tls = match certificate_files(&config) {
        Some(files) => {
            let pair = Pair::read(&files).map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
            Some(Tls::new(pair))
        }
        None => None,
    };
    let world = World::machine();
    let store = open_store(&config.store, &world).await?;
    if !store.is_founded() {
        first_start(&store, &world, &sources).await?;
    }
    let key = server_key(&config.store)?;
    let gate_at = if args.no_gate { Listen::Off } else { config.gate.listen };
    if args.no_api && gate_at == Listen::Off {
        return Err(Failure::new(Exit::Usage, "with neither API nor gate there is nothing to serve"));
    }
    let gate = match gate_at {
        Listen::Off => None,
        Listen::At(_) => {
            let started = Gate::start(&store, &key, &world, gate::settings(&config.gate)).await;
            Some(started.context("the gate cannot read the store")?)
        }
    };
    let tasks = Tasks::start(&store, &world, config.gate.access_log_retention);
    let api = Api {
        store: store.clone(),
        world,
        purpose: Purpose::Service,
        limits: Arc::new(RateLimits::new(config.api.rate_limit.number())),
        service_token_quota: config.api.service_token_quota.into(),
        trusted_peers: Arc::<[_]>::from(config.api.trusted_peers).into(),
        references: Arc::new(References::new(&key)),
        requests: api::Requests::default(),
    };
    let transport = tls.clone().map_or(Transport::Plain, Transport::Tls);
    let api_at = if args.no_api { None } else { Some(listen(config.api.listen).await?) };
    let url = api_at.as_ref().map(|(_, address)| serve::base_url(&transport, *address));
    let watched = Watched { api: api.clone(), gate: gate.clone() };
    let operator = operator::listen(config.operator.listen, log.clone(), {
        let watched = watched.clone();
        move || watched.clone()
    })
    .await?;
    let stop = stop_signal()?;
    let stopping = Stopping::when(async {
        stop.await;
        tell_supervisor(&[NotifyState::Stopping]);
    });
    let asking = match gate.clone() {
        Some(gate) => gate::listen(gate_at, move || gate.clone(), stopping.clone().asked()).await?,
        None => gate::Listening::default(),
    };
    let running = Running::new(sources, values, log, &watched, tls.clone());
    drop(watched);
    let serving = api_at.map(|(listener, _)| {
        tokio::spawn(serve::serve_over(transport, listener, api::router(api), stopping.clone().asked()))
    });
    let reloading = tokio::spawn(running.follow(hangup));
    let following = tls.map(|tls| tokio::spawn(tls.follow()));
    let addresses = Addresses { api: url.as_deref(), operator: operator.url(), gate: asking.url() };
    write_ready_file(config.api.ready_file.as_deref(), &addresses)?;
    let base_url = url.map(|url| format!("{url}{BASE}"));
    tracing::info!(base_url, gate = asking.url(), "serving");
    tell_supervisor(&[NotifyState::Ready]);
    if let Some(serving) = serving {
        serving.await.context("the server ended unexpectedly")?;
    }
    asking.ended().await?;
    operator.end().await;
    reloading.abort();
    if let Some(following) = following {
        following.abort();
    }
    drop(tasks);
    if let Some(gate) = gate {
        gate.stop().await;
    }
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// An empty store is bootstrapped at once where somebody is there to read the credentials; a log is no place for them.
async fn first_start(store: &Store, world: &World, sources: &Sources) -> Result<(), Failure> {
    if !io::stdout().is_terminal() {
        let message = format!(
            "the store is empty; make its first account with: hallpass bootstrap {}",
            describe_store(sources)
        );
        return Err(Failure::new(Exit::NotBootstrapped, message));
    }
    let first = bootstrap::make(store, world, Names::default()).await?;
    output::say(&bootstrap::describe(&first)).context(bootstrap::NOT_SHOWN)?;
    Ok(())
}
