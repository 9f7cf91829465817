//! What the exit status says. Scripts may rely on it.

use std::process::ExitCode;

use crate::server_key::KeyError;
use crate::store::error::OpenError;

/// Why a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was asked.
    Done,
    /// It could not.
    Failed,
    /// It was asked wrongly.
    Usage,
    /// It had been done before.
    AlreadyDone,
    /// The store is empty: `hallpass bootstrap` comes first.
    NotBootstrapped,
    /// The server key is missing or does not fit the store, or the store is another kind's.
    DoesNotFit,
    /// There is no such object.
    NotFound,
    /// The server does not accept the credentials, or they may not do that.
    Refused,
    /// The server cannot be reached, or cannot answer now; the same command may work later.
    Unreachable,
}

/// The same for people, below the root's `--help`.
pub(super) const EXPLAINED: &str = "\
Exit codes:
  0  it did what it was asked
  1  it could not, or the question was answered with no; doctor: it found a problem
  2  it was asked wrongly, or there was no terminal to ask on
  3  on the store: it had been done before, or is there already
  4  on the store: it is empty
  5  the server key is missing or does not fit the store, or the store is the emulator's
  6  there is no such object
  7  the server refused the credentials, or they may not do that
  8  the server cannot be reached, or cannot answer now

Example:
  hallpass dev                             the emulator, to try things out
  hallpass token create deploy --help      what a verb can do";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::AlreadyDone => 3,
            Exit::NotBootstrapped => 4,
            Exit::DoesNotFit => 5,
            Exit::NotFound => 6,
            Exit::Refused => 7,
            Exit::Unreachable => 8,
        })
    }
}

/// A command that ended without doing what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{error:#}")]
pub struct Failure {
    pub(super) exit: Exit,
    pub(super) error: anyhow::Error,
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, error: anyhow::Error::msg(message.into()) }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { exit: Exit::Failed, error }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let exit = match &error {
            OpenError::WrongKey | OpenError::Emulator | OpenError::NotEmulator => Exit::DoesNotFit,
            OpenError::Database(_) | OpenError::Store(_) | OpenError::Io(..) | OpenError::Thread(_) => {
                Exit::Failed
            }
        };
        // Its text names its cause already.
        Self::new(exit, error.to_string())
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        Self::new(Exit::DoesNotFit, error.to_string())
    }
}
