//! Parse, run, exit code.

use std::process::ExitCode;

/// Under load, a fifth of the time went to the system's allocator (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hallpass::cli::main()
}
