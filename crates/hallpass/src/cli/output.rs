//! What people and scripts read on standard output and standard error. Logs go elsewhere: `telemetry.rs`.

use std::io::{self, Write as _};

/// Writes a text and a line end to standard output. Whoever closed it does not want to read on.
pub(super) fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes a text and a line end to standard error; there is nowhere left to report a failure of that.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
