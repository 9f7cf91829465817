//! Questions before something that cannot be undone.

use std::future::Future;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::Context as _;
use clap::Args;
use hallpass_client::Error;
use serde_json::json;

use super::called::Called;
use super::find::Named;
use super::output::Format;
use super::table::harmless;
use super::{Exit, Failure};

/// The flag of verbs that ask.
#[derive(Debug, Args)]
pub(super) struct Yes {
    /// Do it without asking; needed where there is no terminal to ask on
    #[arg(long, short)]
    yes: bool,
}

/// The flags of verbs that do something to one object, and ask before.
#[derive(Debug, Args)]
pub(super) struct Sure<One: Args> {
    #[command(flatten)]
    pub(super) yes: Yes,
    #[command(flatten)]
    pub(super) one: One,
}

impl Yes {
    /// Asks on the terminal whether to go on. What is asked ends with a question mark.
    pub(super) fn confirm(&self, question: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            let message =
                format!("there is no terminal to ask on; to answer this with yes, say --yes: {question}");
            return Err(Failure::new(Exit::Usage, message));
        }
        let mut terminal = io::stderr().lock();
        write!(terminal, "{question} [y/N] ").and_then(|()| terminal.flush()).context("cannot ask")?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
        if is_yes(&answer) { Ok(()) } else { Err(Failure::new(Exit::Failed, "nothing was changed")) }
    }
}

impl Yes {
    /// Deletes an object, if that is what is wanted, and says so. `deletion` is not begun before.
    pub(super) async fn delete<T: Named, D>(
        &self,
        called: &Called,
        format: &Format,
        object: &T,
        deletion: impl Future<Output = Result<D, Error>>,
    ) -> Result<(), Failure> {
        let (name, id) = (harmless(object.name()), object.id().to_string());
        self.confirm(&format!("Delete {name:?} ({id}) for good?"))?;
        called.ask(deletion).await?;
        format.print(&json!({"id": id}), || format!("Deleted the {} {name:?} ({id}).", T::KIND))
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        for answer in ["y\n", "Y", " yes \n", "YES\n"] {
            assert!(is_yes(answer), "{answer:?}");
        }
        for answer in ["", "\n", "n", "no", "yesterday", "ok"] {
            assert!(!is_yes(answer), "{answer:?}");
        }
    }
}
