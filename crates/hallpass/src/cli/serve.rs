//! `hallpass serve`: the real thing.

use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;

use super::bootstrap::{self, Names};
use super::operator::{self, OperatorAddress};
use super::{Exit, Failure, LimitArgs, RateLimit, StoreArgs, listen, output, stop_signal, write_ready_file};
use crate::api::rate_limit::RateLimits;
use crate::api::{self, Api, BASE};
use crate::serve;
use crate::store::{Purpose, Store};
use crate::world::World;

/// The original's limit: so many requests per 5 minutes.
const RATE_LIMIT: RateLimit = RateLimit::To(1200);

#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    store: StoreArgs,
    /// Address to listen on; port 0 picks a free one
    #[arg(long, env = "HALLPASS_LISTEN", default_value = "127.0.0.1:8484", value_name = "ADDR")]
    listen: SocketAddr,
    /// Listen beyond loopback although credentials then cross the network in the clear
    #[arg(long)]
    insecure_http: bool,
    /// The most service tokens that an account may have; any number unless this is given
    #[arg(long, env = "HALLPASS_SERVICE_TOKEN_QUOTA", value_name = "N")]
    service_token_quota: Option<u32>,
    /// Address of the operator's listener, with metrics and health and without credentials; or `off`
    #[arg(long, env = "HALLPASS_OPERATOR", default_value = "127.0.0.1:8487", value_name = "ADDR|off")]
    operator: OperatorAddress,
    #[command(flatten)]
    limits: LimitArgs,
}

pub(super) async fn run(args: Serve) -> Result<(), Failure> {
    if !args.listen.ip().is_loopback() && !args.insecure_http {
        let message = format!(
            "listening on {} would send credentials over the network in the clear; put a TLS proxy in front of a loopback address, or say --insecure-http",
            args.listen
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    let world = World::machine();
    let store = args.store.open(&world).await?;
    if !store.is_founded() {
        first_start(&store, &world, &args.store).await?;
    }
    let api = Api {
        store: store.clone(),
        world,
        purpose: Purpose::Service,
        limits: Arc::new(RateLimits::new(args.limits.rate_limit.unwrap_or(RATE_LIMIT).number())),
        service_token_quota: args.service_token_quota,
        trusted_peers: args.limits.trusted_peer.into(),
        requests: api::Requests::default(),
    };
    let (listener, address) = listen(args.listen).await?;
    let url = serve::base_url(address);
    let operator = operator::listen(args.operator, {
        let api = api.clone();
        move || api.clone()
    })
    .await?;
    let stop = stop_signal()?;
    let serving = tokio::spawn(serve::serve(listener, api::router(api), stop));
    write_ready_file(args.limits.ready_file.as_deref(), &url, &format!("{url}{BASE}"), operator.url())?;
    tracing::info!(%address, base_url = %format!("{url}{BASE}"), "serving");
    serving.await.context("the server ended unexpectedly")?;
    operator.end().await;
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// An empty store is bootstrapped at once where somebody is there to read the credentials; a log is no place for them.
async fn first_start(store: &Store, world: &World, args: &StoreArgs) -> Result<(), Failure> {
    if !io::stdout().is_terminal() {
        let message = format!(
            "the store is empty; make its first account with: hallpass bootstrap {}",
            args.describe()
        );
        return Err(Failure::new(Exit::NotBootstrapped, message));
    }
    let first = bootstrap::make(store, world, Names::default()).await?;
    output::say(&bootstrap::describe(&first)).context(bootstrap::NOT_SHOWN)?;
    Ok(())
}
