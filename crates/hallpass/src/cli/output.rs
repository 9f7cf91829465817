//! What people and scripts read on standard output and standard error. Logs go elsewhere: `telemetry.rs`.

use std::io::{self, Write as _};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::Failure;

/// How long a complaint may take to be written.
const COMPLAINING_TIME: Duration = Duration::from_secs(2);

/// How a verb answers.
#[derive(Debug, Args)]
pub(super) struct Format {
    /// Print the API's result as one JSON document
    #[arg(long)]
    json: bool,
}

/// How a verb answers that makes a secret.
#[derive(Debug, Args)]
pub(super) struct SecretFormat {
    /// Print the API's result, with the secret in it, as one JSON document
    #[arg(long, conflicts_with = "secret_only")]
    json: bool,
    /// Print the secret and nothing else
    #[arg(long)]
    secret_only: bool,
}

impl Format {
    /// Prints a result: as JSON, or as the text made of it.
    pub(super) fn print<T: Serialize>(
        &self,
        result: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let text = if self.json { json(result)? } else { text() };
        match show(&text) {
            // Whoever reads has seen enough: `| head`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            shown => shown.context("cannot write to standard output")?,
        }
        Ok(())
    }
}

impl SecretFormat {
    /// Prints a result with its secret. `lost` says what to do where the secret could not be written.
    pub(super) fn print<T: Serialize>(
        &self,
        result: &T,
        secret: &str,
        text: impl FnOnce() -> String,
        lost: &'static str,
    ) -> Result<(), Failure> {
        let text = match (self.json, self.secret_only) {
            (true, _) => json(result)?,
            (false, true) => secret.to_owned(),
            (false, false) => text(),
        };
        show(&text).context(lost).context("cannot write the secret to standard output")?;
        Ok(())
    }
}

/// A result as one JSON document.
pub(super) fn json<T: Serialize>(result: &T) -> Result<String, Failure> {
    Ok(serde_json::to_string(result).context("cannot write JSON")?)
}

/// Writes a text and a line end to standard output, with its colours only where they are seen: on a terminal, and not against
/// the wish of `NO_COLOR`.
fn show(text: &str) -> io::Result<()> {
    let mut out = anstream::AutoStream::auto(io::stdout().lock());
    writeln!(out, "{text}").and_then(|()| out.flush())
}

/// Writes a text and a line end to standard output.
pub(super) fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush())
}

/// Writes a text and a line end to standard output, or says that it cannot.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    Ok(say(text).context("cannot write to standard output")?)
}

/// Writes a text and a line end to standard error; there is nowhere left to report a failure of that.
/// Where nobody takes what is written there, the process ends all the same.
pub(super) fn complain(text: &str) {
    let line = format!("{text}\n");
    let (done, written) = mpsc::channel();
    let writing = thread::Builder::new().spawn(move || {
        let _ = io::stderr().lock().write_all(line.as_bytes());
        let _ = done.send(());
    });
    if writing.is_ok() {
        let _ = written.recv_timeout(COMPLAINING_TIME);
    }
}
