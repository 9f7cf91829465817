//! What people and scripts read on standard output and standard error. Logs go elsewhere: `telemetry.rs`.

use std::io::{self, Write as _};

/// Writes a text and a line end to standard output.
pub(super) fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush())
}

/// Writes a text and a line end to standard error; there is nowhere left to report a failure of that.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
