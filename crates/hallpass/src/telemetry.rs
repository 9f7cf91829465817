//! Logs: for people on a terminal, JSON lines otherwise, always on standard error. Never a secret, a digest or a raw header.

use std::io::IsTerminal as _;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What is logged where nobody says otherwise.
pub const DEFAULT_FILTER: &str = "info,sqlx=warn";

/// The same for commands that ask a server, print, and end.
pub const VERB_FILTER: &str = "warn";

/// Starts logging; what is still queued is written when the guard is dropped. A log that cannot be written to loses lines rather
/// than holding up requests.
pub fn init(filter: &str) -> Result<WorkerGuard, String> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| format!("the log filter cannot be understood: {error}"))?;
    let (writer, guard) = NonBlockingBuilder::default().lossy(true).finish(std::io::stderr());
    let registry = tracing_subscriber::registry().with(filter);
    let result = if std::io::stderr().is_terminal() {
        registry.with(fmt::layer().with_target(false).with_writer(writer)).try_init()
    } else {
        registry.with(fmt::layer().json().flatten_event(true).with_writer(writer)).try_init()
    };
    result.map_err(|error| error.to_string())?;
    Ok(guard)
}
