//! The command line.

mod bootstrap;
mod check;
mod dev;
mod exit_code;
mod operator;
mod output;
mod reload;
mod serve;
mod settings;

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::telemetry;
pub use exit_code::{Exit, Failure};
use settings::StoreArgs;

/// Self-hosted, Cloudflare-compatible Access service tokens.
#[derive(Debug, Parser)]
#[command(name = "hallpass", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What is logged on standard error: a level, or a list like `info,hallpass=debug`
    #[arg(long, global = true, env = "HALLPASS_LOG", default_value = telemetry::DEFAULT_FILTER, value_name = "FILTER", display_order = 900)]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the emulator: throw-away data, published credentials, a clock that can be moved
    Dev(dev::Dev),
    /// Run the server
    Serve(serve::Serve),
    /// Make the first account, zone, user and API token of an empty store, and show them once
    Bootstrap(bootstrap::Bootstrap),
}

/// Parses the command line, runs, and says how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let (_guard, log) = match telemetry::init(&cli.log) {
        Ok(logging) => logging,
        Err(error) => {
            output::complain(&format!("error: the log filter {error}"));
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
            Command::Serve(args) => serve::run(args, log).await,
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

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr().context("cannot tell the listener's address")?;
    Ok((listener, address))
}

/// Writes the addresses to the ready file, whole or not at all.
fn write_ready_file(
    file: Option<&Path>,
    api: &str,
    base_url: &str,
    operator: Option<&str>,
) -> Result<(), Failure> {
    let Some(file) = file else { return Ok(()) };
    let draft = file.with_extension("new");
    let mut addresses = json!({"api": api, "base_url": base_url});
    if let (Some(operator), Some(addresses)) = (operator, addresses.as_object_mut()) {
        addresses.insert("operator".to_owned(), operator.into());
    }
    let text = addresses.to_string();
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
}
