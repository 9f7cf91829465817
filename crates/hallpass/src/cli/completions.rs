//! `hallpass completions`: what a shell needs to complete a command line.

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Failure, output};

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hallpass completions bash > ~/.local/share/bash-completion/completions/hallpass"
)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hallpass", &mut script);
    let script = String::from_utf8(script).context("the script is no text")?;
    output::print(script.trim_end())
}
