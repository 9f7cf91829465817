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
use super::settings::{SettingArgs, describe_store, open_store};
use super::{Exit, Failure, listen, operator, output, stop_signal, write_ready_file};
use crate::api::rate_limit::RateLimits;
use crate::api::{self, Api, BASE};
use crate::config::Sources;
use crate::serve::{self, Transport};
use crate::store::{Purpose, Store};
use crate::telemetry::LogFilter;
use crate::tls::{Pair, Tls};
use crate::world::World;

#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    settings: SettingArgs,
    /// Check the configuration and the files that it names, and end: with 0 if all is good, else with 2
    #[arg(long)]
    check_config: bool,
}

pub(super) async fn run(args: Serve, log: LogFilter) -> Result<(), Failure> {
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
    let api = Api {
        store: store.clone(),
        world,
        purpose: Purpose::Service,
        limits: Arc::new(RateLimits::new(config.api.rate_limit.number())),
        service_token_quota: config.api.service_token_quota.into(),
        trusted_peers: Arc::<[_]>::from(config.api.trusted_peers).into(),
        requests: api::Requests::default(),
    };
    let (listener, address) = listen(config.api.listen).await?;
    let transport = tls.clone().map_or(Transport::Plain, Transport::Tls);
    let url = serve::base_url(&transport, address);
    let operator = operator::listen(config.operator.listen, {
        let api = api.clone();
        move || api.clone()
    })
    .await?;
    let stop = stop_signal()?;
    let running = Running::new(sources, values, log, &api, tls.clone());
    let stop = async {
        stop.await;
        tell_supervisor(&[NotifyState::Stopping]);
    };
    let serving = tokio::spawn(serve::serve_over(transport, listener, api::router(api), stop));
    let reloading = tokio::spawn(running.follow(hangup));
    let following = tls.map(|tls| tokio::spawn(tls.follow()));
    write_ready_file(config.api.ready_file.as_deref(), &url, &format!("{url}{BASE}"), operator.url())?;
    tracing::info!(%address, base_url = %format!("{url}{BASE}"), "serving");
    tell_supervisor(&[NotifyState::Ready]);
    serving.await.context("the server ended unexpectedly")?;
    operator.end().await;
    reloading.abort();
    if let Some(following) = following {
        following.abort();
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
