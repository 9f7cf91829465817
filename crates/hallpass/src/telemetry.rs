//! Logs: for people on a terminal, JSON lines otherwise, always on standard error. Never a secret, a digest or a raw header.

use std::io::{BufWriter, IsTerminal as _};

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt};

/// What is logged where nobody says otherwise.
pub const DEFAULT_FILTER: &str = "info,sqlx=warn";
/// The same for commands that ask a server, print, and end.
pub const VERB_FILTER: &str = "warn,rustls_platform_verifier=off";

/// What is logged, which can be changed while the process runs.
#[derive(Debug, Clone)]
pub struct LogFilter(Handle<EnvFilter, Registry>);

impl LogFilter {
    /// Logs by this filter from now on.
    pub fn set(&self, text: &str) -> Result<(), String> {
        self.0.reload(filter(text)?).map_err(|error| error.to_string())
    }
}

/// Understands a filter.
pub fn filter(text: &str) -> Result<EnvFilter, String> {
    // A word that is no level would be taken for the only target to be logged.
    let plain = text.split(',').map(str::trim).filter(|part| !part.contains(['=', '[', ']']));
    if plain.clone().any(|word| !word.is_empty() && word.parse::<LevelFilter>().is_err()) {
        return Err(
            "must be a level, or a list like info,hallpass=debug: a word in it is no level".to_owned()
        );
    }
    EnvFilter::try_new(text)
        .map_err(|error| format!("must be a level, or a list like info,hallpass=debug: {error}"))
}

/// Starts logging; what is still queued is written when the guard is dropped. A log that cannot be written to loses lines rather
/// than holding up requests.
pub fn init(text: &str) -> Result<(WorkerGuard, LogFilter), String> {
    let (filter, handle) = reload::Layer::new(filter(text)?);
    // Lines that queued up are written together, and at the end of the queue at once.
    let (writer, guard) = NonBlockingBuilder::default().lossy(true).finish(BufWriter::new(std::io::stderr()));
    let registry = tracing_subscriber::registry().with(filter);
    let result = if std::io::stderr().is_terminal() {
        registry.with(fmt::layer().with_target(false).with_writer(writer)).try_init()
    } else {
        registry.with(fmt::layer().json().flatten_event(true).with_writer(writer)).try_init()
    };
    result.map_err(|error| error.to_string())?;
    Ok((guard, LogFilter(handle)))
}
