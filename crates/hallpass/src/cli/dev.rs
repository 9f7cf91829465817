//! `hallpass dev`: the emulator.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use ipnet::IpNet;

use super::{
    Addresses, Exit, Failure, Stopping, gate, listen, operator, output, stop_signal, write_ready_file,
};
use crate::api::{BASE, published};
use crate::config::{Listen, RateLimit, read};
use crate::emulator::{Emulator, Reach, may_listen};
use crate::seed::{EXAMPLE, Seed};
use crate::serve::{self, Transport};
use crate::telemetry::Log;

#[derive(Debug, Args)]
pub(super) struct Dev {
    /// Address to listen on; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:8484", value_name = "ADDR")]
    listen: SocketAddr,
    /// JSON file with the state to begin with, instead of the published example
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,
    /// Print the published example as a seed file, and end
    #[arg(long)]
    print_seed: bool,
    /// Listen beyond loopback, for service containers: everybody who reaches it knows its credentials
    #[arg(long)]
    allow_remote: bool,
    /// Address of a listener with metrics and health, or `off`
    #[arg(long, default_value = "off", value_name = "ADDR|off", value_parser = read::operator)]
    operator: Listen,
    /// Address at which proxies ask the gate, or `off` [default: 127.0.0.1:8485, or a free port beside another --listen]
    #[arg(long, env = "HALLPASS_GATE", value_name = "ADDR|off", value_parser = read::gate)]
    gate: Option<Listen>,
    /// Run without the gate, the same as `--gate off`
    #[arg(long)]
    no_gate: bool,
    #[command(flatten)]
    limits: LimitArgs,
}

/// What the API allows to whom. The emulator has no configuration file, and no limit unless it is given one.
#[derive(Debug, Args)]
struct LimitArgs {
    /// Requests per 5 minutes and credential, and failed attempts per client address; or `off`
    #[arg(long, env = "HALLPASS_RATE_LIMIT", value_name = "N|off", default_value = "off", value_parser = read::rate_limit)]
    rate_limit: RateLimit,
    /// Address or network of a proxy whose X-Forwarded-For says who the client is (repeat, or separate by commas)
    #[arg(long, env = "HALLPASS_TRUSTED_PEERS", value_name = "CIDR", value_delimiter = ',', value_parser = read::peer)]
    trusted_peer: Vec<IpNet>,
    /// File that gets the addresses as JSON once the server answers
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

pub(super) async fn run(args: Dev, log: Log) -> Result<(), Failure> {
    if args.print_seed {
        return output::print(EXAMPLE.trim_end());
    }
    let reach = if args.allow_remote { Reach::Remote } else { Reach::Loopback };
    if !may_listen(args.listen, reach) {
        let message = format!(
            "the emulator's credentials are published, so it listens on loopback only; to listen on {} all the same, say --allow-remote",
            args.listen
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    if !args.listen.ip().is_loopback() {
        tracing::warn!(listen = %args.listen, "the emulator listens beyond loopback: everybody who reaches it knows its credentials");
    }
    let seed = match &args.seed {
        Some(file) => {
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
        }
        None => EXAMPLE.to_owned(),
    };
    let seed = Seed::parse(&seed)
        .map_err(|error| Failure::new(Exit::Usage, format!("the seed cannot be used: {error}")))?;

    let (listener, address) = listen(args.listen).await?;
    let limit = args.limits.rate_limit.number();
    let emulator = Emulator::start(seed, reach, args.limits.trusted_peer.into(), limit).await;
    let emulator = emulator
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot start the emulator: {error}")))?;
    let api = serve::base_url(&Transport::Plain, address);
    let base_url = format!("{api}{BASE}");
    let operator = operator::listen(args.operator, log, {
        let emulator = emulator.clone();
        move || emulator.watched()
    })
    .await?;
    let stopping = Stopping::when(stop_signal()?);
    let gate_at = if args.no_gate { Listen::Off } else { args.gate.unwrap_or_else(|| beside(args.listen)) };
    if let Listen::At(at) = gate_at
        && !may_listen(at, reach)
    {
        let message = format!(
            "the emulator's gate listens on loopback only; to listen on {at} all the same, say --allow-remote"
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    let asking = {
        let emulator = emulator.clone();
        gate::listen(gate_at, move || emulator.gate(), stopping.clone().asked()).await?
    };
    let serving = tokio::spawn(serve::serve(listener, emulator.router(), stopping.asked()));
    let addresses = Addresses { api: Some(&api), operator: operator.url(), gate: asking.url() };
    write_ready_file(args.limits.ready_file.as_deref(), &addresses)?;
    let text = if args.seed.is_some() {
        introduction(&api, &base_url)
    } else {
        example_introduction(&api, &base_url)
            + &asking.url().map_or_else(String::new, |gate| at_the_gate(gate, &base_url))
    };
    output::print(&text)?;
    serving.await.context("the server ended unexpectedly")?;
    asking.ended().await?;
    operator.end().await;
    emulator.stop().await;
    Ok(())
}

/// Where the gate is unless somebody says so. Several emulators run side by side, each with an API on a port of its own.
fn beside(listen: SocketAddr) -> Listen {
    let port = if listen.port() == 8484 { 8485 } else { 0 };
    Listen::At(SocketAddr::from(([127, 0, 0, 1], port)))
}

fn introduction(api: &str, base_url: &str) -> String {
    format!(
        "Hallpass emulator on {api}: throw-away data, for tests only.\n\n  \
         export CLOUDFLARE_BASE_URL={base_url}\n"
    )
}

/// What to try at the gate: refused, accepted, disabled, refused.
fn at_the_gate(gate: &str, base_url: &str) -> String {
    let (account, token) = (published::ACCOUNT_ID, published::SERVICE_TOKEN_ID);
    let ask = format!(
        "curl -i {gate}/auth/nginx -H 'X-Original-Host: {}' -H 'X-Original-URI: /' -H 'X-Real-IP: 192.0.2.1'",
        published::APP_DOMAIN
    );
    let with_token = format!(
        "{ask} -H 'CF-Access-Client-Id: {}' -H 'CF-Access-Client-Secret: {}'",
        published::CLIENT_ID,
        published::CLIENT_SECRET
    );
    format!(
        "\nAsk the gate at {gate} as a proxy does: without a token it refuses, and with one it answers with an assertion\n\
         for the service. Once the token is disabled, it refuses again:\n\n  \
         {ask}\n\n  \
         {with_token}\n\n  \
         curl -X PUT {base_url}/accounts/{account}/access/service_tokens/{token} -H 'Authorization: Bearer {}' -d '{{\"enabled\": false}}'\n\n  \
         {with_token}\n",
        published::API_TOKEN
    )
}

fn example_introduction(api: &str, base_url: &str) -> String {
    let account = published::ACCOUNT_ID;
    let one = format!("{base_url}/accounts/{account}/access/service_tokens/{}", published::SERVICE_TOKEN_ID);
    let allowed = format!("-H 'Authorization: Bearer {}'", published::API_TOKEN);
    format!(
        "Hallpass emulator on {api}: throw-away data, published credentials, for tests only.\n\n\
         For the SDKs, Terraform and the snippets of the original's documentation:\n\n  \
         export CLOUDFLARE_BASE_URL={base_url}\n  \
         export CLOUDFLARE_API_TOKEN={}\n  \
         export CLOUDFLARE_ACCOUNT_ID={account}\n\n\
         Or with e-mail and key, which may do everything, such as hallpass protect and hallpass explain;\n\
         an API token would count before them:\n\n  \
         unset CLOUDFLARE_API_TOKEN\n  \
         export CLOUDFLARE_EMAIL={}\n  \
         export CLOUDFLARE_API_KEY={}\n\n\
         Try, in another terminal: refresh a token, let a year pass, see that it has expired, and refresh it again:\n\n  \
         curl -X POST {one}/refresh {allowed}\n\n  \
         curl {api}/dev/clock -H 'Content-Type: application/json' -d '{{\"advance\": \"8760h\"}}'\n\n  \
         curl {one} {allowed}\n\n  \
         curl -X POST {one}/refresh {allowed}\n",
        published::API_TOKEN,
        published::EMAIL,
        published::API_KEY,
    )
}
