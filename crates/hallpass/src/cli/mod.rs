//! The command line.

mod access_log;
mod api_token;
mod api_token_text;
mod app;
mod app_text;
mod ask;
mod audit;
mod body;
mod bootstrap;
mod called;
mod certs;
mod check;
mod completions;
mod dev;
mod directory;
mod doctor;
mod exit_code;
mod explain;
mod find;
mod gate;
mod group;
mod import;
mod key;
mod local;
mod openapi;
mod operator;
mod organization;
mod output;
mod policy;
mod policy_text;
mod protect;
mod reload;
mod rule;
mod serve;
mod settings;
mod table;
mod target;
mod token;
mod token_text;
mod when;

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use hallpass_core::app::Pattern;
use hallpass_core::service_token::Name;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::api::BASE;
use crate::telemetry::{self, Log};
pub use exit_code::{Exit, Failure};
use settings::StoreArgs;

/// Self-hosted, Cloudflare-compatible Access service tokens.
#[derive(Debug, Parser)]
#[command(name = "hallpass", version, propagate_version = true, arg_required_else_help = true, after_help = exit_code::EXPLAINED)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What is logged on standard error: a level, or a list like `info,hallpass=debug` [default: info,sqlx=warn] [for verbs: warn]
    #[arg(long, global = true, env = "HALLPASS_LOG", value_name = "FILTER")]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the emulator: throw-away data, published credentials, a clock that can be moved
    #[command(after_help = "Example:\n  hallpass dev --listen 127.0.0.1:0 --ready-file ready.json")]
    Dev(dev::Dev),
    /// Run the server
    #[command(after_help = "Example:\n  hallpass serve --config /etc/hallpass/hallpass.toml --check-config")]
    Serve(serve::Serve),
    /// Make the first account, zone, user and API token of an empty store, and show them once
    #[command(after_help = "Example:\n  hallpass bootstrap --email ada@example.org --zone example.org")]
    Bootstrap(bootstrap::Bootstrap),
    Token(token::Token),
    ApiToken(api_token::ApiToken),
    App(app::App),
    Policy(policy::Policy),
    Group(group::Group),
    Organization(organization::Organization),
    Key(key::Key),
    Account(directory::Account),
    Zone(directory::Zone),
    User(directory::User),
    Audit(audit::Audit),
    Protect(protect::Protect),
    AccessLog(access_log::AccessLog),
    Explain(explain::Explain),
    Certs(certs::Certs),
    /// Say what is wrong with a store and its server, and what to do about it; changes nothing
    #[command(after_help = "Example:\n  hallpass doctor --config /etc/hallpass/hallpass.toml")]
    Doctor(doctor::Doctor),
    /// Print the description of the API: OpenAPI 3.1, as JSON
    #[command(after_help = "Example:\n  hallpass openapi > openapi.json")]
    Openapi,
    /// Print what a shell needs to complete command lines
    Completions(completions::Completions),
}

/// What a command needs around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It works on a store: many threads, and a log of what happens.
    Server,
    /// It asks a server, prints, and ends: one thread, and no log but of trouble.
    Verb,
}

impl Command {
    fn role(&self) -> Role {
        match self {
            Self::Dev(_) | Self::Serve(_) | Self::Bootstrap(_) => Role::Server,
            Self::Token(_)
            | Self::ApiToken(_)
            | Self::App(_)
            | Self::Policy(_)
            | Self::Group(_)
            | Self::Organization(_)
            | Self::Key(_)
            | Self::Account(_)
            | Self::Zone(_)
            | Self::User(_)
            | Self::Audit(_)
            | Self::Protect(_)
            | Self::AccessLog(_)
            | Self::Explain(_)
            | Self::Certs(_)
            | Self::Doctor(_)
            | Self::Openapi
            | Self::Completions(_) => Role::Verb,
        }
    }

    async fn run(self, log: Log) -> Result<(), Failure> {
        match self {
            Self::Dev(args) => dev::run(args, log).await,
            Self::Serve(args) => serve::run(args, log).await,
            Self::Bootstrap(args) => bootstrap::run(args).await,
            Self::Token(args) => token::run(args).await,
            Self::ApiToken(args) => api_token::run(args).await,
            Self::App(args) => app::run(args).await,
            Self::Policy(args) => policy::run(args).await,
            Self::Group(args) => group::run(args).await,
            Self::Organization(args) => organization::run(args).await,
            Self::Key(args) => key::run(args).await,
            Self::Account(args) => directory::run_account(args).await,
            Self::Zone(args) => directory::run_zone(args).await,
            Self::User(args) => directory::run_user(args).await,
            Self::Audit(args) => audit::run(args).await,
            Self::Protect(args) => protect::run(args).await,
            Self::AccessLog(args) => access_log::run(args).await,
            Self::Explain(args) => explain::run(args).await,
            Self::Certs(args) => certs::run(args).await,
            Self::Doctor(args) => doctor::run(args).await,
            Self::Openapi => openapi::run(),
            Self::Completions(args) => completions::run(&args),
        }
    }
}

/// Parses the command line, runs, and says how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let (filter, mut runtime) = match cli.command.role() {
        Role::Server => (telemetry::DEFAULT_FILTER, Builder::new_multi_thread()),
        Role::Verb => (telemetry::VERB_FILTER, Builder::new_current_thread()),
    };
    let (_flush, log) = match telemetry::init(cli.log.as_deref().unwrap_or(filter)) {
        Ok(logging) => logging,
        Err(error) => {
            output::complain(&format!("error: the log filter {error}"));
            return Exit::Usage.into();
        }
    };
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::complain(&format!("error: cannot start: {error}"));
            return Exit::Failed.into();
        }
    };
    let done = runtime.block_on(cli.command.run(log));
    // A file or an address that never answers, on a thread of its own, is not waited for.
    runtime.shutdown_background();
    match done {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            output::complain(&format!("error: {failure}"));
            failure.exit.into()
        }
    }
}

/// The name of an object, by the rule that the API has for it.
fn parse_name(text: &str) -> Result<String, String> {
    Name::parse(text).map(|name| name.as_str().to_owned()).map_err(|error| error.to_string())
}

/// A host, with or without a path.
fn parse_pattern(text: &str) -> Result<Pattern, String> {
    Pattern::parse(text).map_err(|error| error.to_string())
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr().context("cannot tell the listener's address")?;
    Ok((listener, address))
}

/// Where the listeners are, as URLs.
#[derive(Debug, Default)]
struct Addresses<'a> {
    api: Option<&'a str>,
    operator: Option<&'a str>,
    gate: Option<&'a str>,
}

/// Writes the addresses to the ready file, whole or not at all.
fn write_ready_file(file: Option<&Path>, addresses: &Addresses<'_>) -> Result<(), Failure> {
    let Some(file) = file else { return Ok(()) };
    let draft = file.with_extension("new");
    let base_url = addresses.api.map(|api| format!("{api}{BASE}"));
    let named = [
        ("api", addresses.api),
        ("base_url", base_url.as_deref()),
        ("operator", addresses.operator),
        ("gate", addresses.gate),
    ];
    let known = named.into_iter().filter_map(|(name, url)| Some((name.to_owned(), url?.into())));
    let text = Value::Object(known.collect()).to_string();
    let written = std::fs::write(&draft, text + "\n").and_then(|()| std::fs::rename(&draft, file));
    written.with_context(|| format!("cannot write {}", file.display()))?;
    Ok(())
}

/// Is done when the process is asked to stop, for everyone who clones it.
#[derive(Debug, Clone)]
struct Stopping(watch::Receiver<()>);

impl Stopping {
    /// What waits for `stop`.
    fn when(stop: impl Future<Output = ()> + Send + 'static) -> Self {
        let (sender, receiver) = watch::channel(());
        tokio::spawn(async move {
            stop.await;
            drop(sender);
        });
        Self(receiver)
    }

    async fn asked(mut self) {
        // Nothing is ever sent: the sender's end is the sign.
        let _ = self.0.changed().await;
    }
}

/// Is done when the process is asked to stop.
fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: no new connections, running requests are finished");
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definitions_fit_together() {
        Cli::command().debug_assert();
    }
}
