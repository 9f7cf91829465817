//! Logs: for people on a terminal, JSON lines otherwise, always on standard error. Never a secret, a digest or a raw header.

use std::io::{BufWriter, IsTerminal as _};
use std::panic::{self, PanicHookInfo};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt};

/// What is logged where nobody says otherwise.
pub const DEFAULT_FILTER: &str = "info,sqlx=warn";
/// The same for commands that ask a server, print, and end.
pub const VERB_FILTER: &str = "warn,rustls_platform_verifier=off";
/// How many lines wait for standard error at most: about ten megabytes, and some seconds at full load.
const MOST_LINES: usize = 32_768;
/// How long the end of the process waits for the lines that are left.
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// The log of the running process.
#[derive(Debug, Clone)]
pub struct Log {
    filter: Handle<EnvFilter, Registry>,
    left_out: ErrorCounter,
}

impl Log {
    /// Logs by this filter from now on.
    pub fn set(&self, text: &str) -> Result<(), String> {
        self.filter.reload(filter(text)?).map_err(|error| error.to_string())
    }

    /// How many lines were not written, because nobody took those before them.
    pub fn left_out(&self) -> u64 {
        self.left_out.dropped_lines().try_into().unwrap_or(u64::MAX)
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

/// Writes what is still queued when it is dropped, if that takes no longer than a moment.
#[derive(Debug)]
pub struct Flush(Option<WorkerGuard>);

impl Drop for Flush {
    fn drop(&mut self) {
        let Some(guard) = self.0.take() else { return };
        let (done, flushed) = mpsc::channel();
        // On a thread of its own: where nobody reads, the library complains on standard output, and may wait there for ever.
        let flushing = thread::Builder::new().spawn(move || {
            drop(guard);
            let _ = done.send(());
        });
        if flushing.is_ok() {
            let _ = flushed.recv_timeout(FLUSH_TIME);
        }
    }
}

/// Starts logging; what is still queued is written when the guard is dropped. A log that cannot be written to loses lines rather
/// than holding up requests, and panics are lines of it: written to standard error by themselves, they would wait there.
pub fn init(text: &str) -> Result<(Flush, Log), String> {
    let (filter, handle) = reload::Layer::new(filter(text)?);
    // Lines that queued up are written together, and at the end of the queue at once.
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(MOST_LINES)
        .finish(BufWriter::new(std::io::stderr()));
    let left_out = writer.error_counter();
    let registry = tracing_subscriber::registry().with(filter);
    let result = if std::io::stderr().is_terminal() {
        registry.with(fmt::layer().with_target(false).with_writer(writer)).try_init()
    } else {
        registry.with(fmt::layer().json().flatten_event(true).with_writer(writer)).try_init()
    };
    result.map_err(|error| error.to_string())?;
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        // Where the filter lets no error through, a panic must still leave a trace.
        if tracing::enabled!(tracing::Level::ERROR) { log_panic(panic) } else { usual(panic) }
    }));
    Ok((Flush(Some(guard)), Log { filter: handle, left_out }))
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or("no message");
    tracing::error!(place, "panicked: {message}");
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_a_line_of_the_log() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::registry()
            .with(fmt::layer().json().flatten_event(true).with_writer(move || writer.clone()));
        let usual = panic::take_hook();
        panic::set_hook(Box::new(log_panic));
        let done =
            tracing::subscriber::with_default(subscriber, || panic::catch_unwind(|| panic!("a fault")));
        panic::set_hook(usual);
        assert!(done.is_err());
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("panicked: a fault") && text.contains("telemetry.rs:"), "{text}");
    }
}
