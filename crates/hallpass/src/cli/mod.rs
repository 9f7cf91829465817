//! The command line.

mod bootstrap;
mod dev;
mod exit_code;
mod openapi;
mod output;
mod serve;

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use hallpass_core::api_token::WrittenNetwork;
use ipnet::IpNet;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::server_key::{KeyError, ServerKey};
use crate::store::{self, Durability, Location, Purpose, Store};
use crate::telemetry;
use crate::world::World;
pub use exit_code::{Exit, Failure};

/// Self-hosted, Cloudflare-compatible Access service tokens.
#[derive(Debug, Parser)]
#[command(name = "hallpass", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What is logged on standard error: a level, or a list like `info,hallpass=debug`
    #[arg(long, global = true, env = "HALLPASS_LOG", default_value = telemetry::DEFAULT_FILTER, value_name = "FILTER")]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the emulator: throw-away data, published credentials, a clock that can be moved
    Dev(dev::Dev),
    /// Run the server
    Serve(serve::Serve),
    /// Print the description of the API: OpenAPI 3.1, as JSON
    Openapi,
    /// Make the first account, zone, user and API token of an empty store, and show them once
    Bootstrap(bootstrap::Bootstrap),
}

/// Where the store is.
#[derive(Debug, Args)]
struct StoreArgs {
    /// Directory of the embedded store
    #[arg(
        long,
        env = "HALLPASS_DATA",
        value_name = "DIR",
        default_value = "hallpass-data",
        conflicts_with = "database"
    )]
    data: PathBuf,
    /// PostgreSQL database instead of the embedded store
    #[arg(
        long,
        env = "HALLPASS_DATABASE",
        value_name = "URL",
        hide_env_values = true,
        requires = "server_key_file",
        value_parser = parse_database
    )]
    database: Option<String>,
    /// File with the server key, 64 hex digits; the embedded store has its own beside it unless this is given
    #[arg(long, env = "HALLPASS_SERVER_KEY_FILE", value_name = "FILE")]
    server_key_file: Option<PathBuf>,
}

/// What the API allows to whom.
#[derive(Debug, Args)]
struct LimitArgs {
    /// Requests per 5 minutes and credential, and failed attempts per client address; or `off`
    #[arg(long, env = "HALLPASS_RATE_LIMIT", value_name = "N|off", value_parser = parse_rate_limit)]
    rate_limit: Option<RateLimit>,
    /// Address or network of a proxy whose X-Forwarded-For says who the client is (repeat, or separate by commas)
    #[arg(long, env = "HALLPASS_TRUSTED_PEERS", value_name = "CIDR", value_delimiter = ',', value_parser = parse_peer)]
    trusted_peer: Vec<IpNet>,
    /// File that gets the addresses as JSON once the server answers
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy)]
enum RateLimit {
    Off,
    To(u32),
}

impl RateLimit {
    fn number(self) -> Option<u32> {
        match self {
            Self::Off => None,
            Self::To(number) => Some(number),
        }
    }
}

fn parse_rate_limit(text: &str) -> Result<RateLimit, String> {
    match text.parse() {
        _ if text == "off" => Ok(RateLimit::Off),
        Ok(number) if number > 0 => Ok(RateLimit::To(number)),
        _ => Err("must be a number of requests above zero, or off".to_owned()),
    }
}

fn parse_database(text: &str) -> Result<String, String> {
    if ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
        Ok(text.to_owned())
    } else {
        Err("must begin with postgres://".to_owned())
    }
}

fn parse_peer(text: &str) -> Result<IpNet, String> {
    let network = WrittenNetwork::parse(text).map(|written| written.network());
    match network {
        Some(network) if network.prefix_len() == 0 => {
            Err("everybody may not speak for a client: name the proxies".to_owned())
        }
        Some(network) => Ok(network),
        None => Err("must be an IP address or a network in CIDR notation".to_owned()),
    }
}

/// Parses the command line, runs, and says how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let _guard = match telemetry::init(&cli.log) {
        Ok(guard) => guard,
        Err(error) => {
            output::complain(&format!("error: {error}"));
            return Exit::Usage.into();
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::complain(&format!("error: cannot start: {error}"));
            return Exit::Failed.into();
        }
    };
    let done = runtime.block_on(async {
        match cli.command {
            Command::Dev(args) => dev::run(args).await,
            Command::Serve(args) => serve::run(args).await,
            Command::Openapi => openapi::run(),
            Command::Bootstrap(args) => bootstrap::run(args).await,
        }
    });
    match done {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            output::complain(&format!("error: {failure}"));
            failure.exit.into()
        }
    }
}

impl StoreArgs {
    async fn open(&self, world: &World) -> Result<Store, Failure> {
        let (location, key) = match &self.database {
            Some(url) => {
                let file = self.server_key_file.as_deref().unwrap_or_else(|| Path::new("server.key"));
                (Location::Postgres(url.clone()), ServerKey::read(file)?)
            }
            None => (Location::Directory(self.data.clone()), self.embedded_key(world)?),
        };
        Ok(Store::open(&location, &key, Purpose::Service, Durability::Full, world).await?)
    }

    /// The key beside the embedded store, or the one that was named. It is made where there is no store yet, and never after:
    /// a new key would not fit.
    fn embedded_key(&self, world: &World) -> Result<ServerKey, Failure> {
        if let Some(file) = &self.server_key_file {
            return Ok(ServerKey::read(file)?);
        }
        let file = store::key_file(&self.data);
        // Looked at before the key: another process may be making both, the key first.
        let has_store = store::exists(&self.data);
        match ServerKey::read(&file) {
            Err(KeyError::Missing(_)) if has_store => Err(Failure::new(
                Exit::DoesNotFit,
                format!(
                    "{} is gone, and the store in {} cannot be used without it: restore it from a backup",
                    file.display(),
                    self.data.display()
                ),
            )),
            Err(KeyError::Missing(_)) => {
                store::make_directory(&self.data)?;
                Ok(ServerKey::create(&file, world)?)
            }
            result => Ok(result?),
        }
    }

    /// The arguments with which another command reaches the same store.
    fn describe(&self) -> String {
        match (&self.database, &self.server_key_file) {
            (Some(_), Some(file)) => format!("--database … --server-key-file {}", file.display()),
            (Some(_), None) => "--database …".to_owned(),
            (None, Some(file)) => {
                format!("--data {} --server-key-file {}", self.data.display(), file.display())
            }
            (None, None) => format!("--data {}", self.data.display()),
        }
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr().context("cannot tell the listener's address")?;
    Ok((listener, address))
}

/// Writes the addresses to the ready file, whole or not at all.
fn write_ready_file(file: Option<&Path>, api: &str, base_url: &str) -> Result<(), Failure> {
    let Some(file) = file else { return Ok(()) };
    let draft = file.with_extension("new");
    let text = json!({"api": api, "base_url": base_url}).to_string();
    let written = std::fs::write(&draft, text + "\n").and_then(|()| std::fs::rename(&draft, file));
    written.with_context(|| format!("cannot write {}", file.display()))?;
    Ok(())
}

/// Is done when the process is asked to stop.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
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

    #[test]
    fn everybody_is_never_a_trusted_peer() {
        assert!(
            parse_peer("0.0.0.0/0").is_err() && parse_peer("::/0").is_err() && parse_peer("proxy").is_err()
        );
        assert_eq!(parse_peer("10.0.0.1").unwrap().to_string(), "10.0.0.1/32");
        assert_eq!(parse_peer("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
    }

    #[test]
    fn a_rate_limit_is_a_number_above_zero_or_off() {
        assert!(
            parse_rate_limit("0").is_err()
                && parse_rate_limit("-1").is_err()
                && parse_rate_limit("Off").is_err()
        );
        assert_eq!(parse_rate_limit("5").unwrap().number(), Some(5));
        assert_eq!(parse_rate_limit("off").unwrap().number(), None);
    }
}
