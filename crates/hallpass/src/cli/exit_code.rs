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
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::AlreadyDone => 3,
            Exit::NotBootstrapped => 4,
            Exit::DoesNotFit => 5,
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
