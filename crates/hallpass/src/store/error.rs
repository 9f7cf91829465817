//! What can go wrong in the store. Absence is no error: it is an `Option`. No error here ever becomes a 404.

use hallpass_core::wire::body::InvalidField;

/// The store could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or is busy. Nothing was written.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The connection was lost while a commit was under way: nobody knows whether it was written.
    #[error("the store was lost during a commit, its outcome is unknown: {0}")]
    UnknownOutcome(String),
    /// It holds something that Hallpass never wrote.
    #[error("the store is corrupt: {0}")]
    Corrupt(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) | sqlx::Error::Decode(_) => {
                Self::Corrupt(error.to_string())
            }
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<rusqlite::types::FromSqlError> for StoreError {
    fn from(error: rusqlite::types::FromSqlError) -> Self {
        Self::Corrupt(error.to_string())
    }
}

/// Why a write was refused. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The object is not there, or not where the grant reaches.
    #[error("there is no such object")]
    Absent,
    /// A rule of the object forbids it.
    #[error(transparent)]
    Invalid(#[from] hallpass_core::service_token::Invalid),
    /// Another object stands in the way.
    #[error("its identifier is taken, or an object that it names does not exist")]
    Conflict,
    /// The account has as many service tokens as it may have.
    #[error("the account has reached its quota of {0} service tokens")]
    Quota(u32),
    /// A field breaks a rule that only the store can know.
    #[error("{}", .0.message)]
    Field(InvalidField),
    /// The application through which the object is asked for is not there, or not where the grant reaches.
    #[error("there is no such application")]
    AbsentApp,
    /// Another application has this host and path.
    #[error("{0}")]
    PatternTaken(String),
    /// These policies and groups refer to the service token.
    #[error("cannot delete service token because it is used by {0}")]
    ServiceTokenInUse(String),
    /// What was sent, or what would come of it, breaks these rules.
    #[error("{}", .0.first().map_or("a rule is broken", |field| field.message.as_str()))]
    Fields(Vec<InvalidField>),
    /// Another organization issues by this name, or another account's application is there.
    #[error("auth_domain belongs to another account")]
    AuthDomainTaken,
    /// The object is no longer what the caller has seen.
    #[error("the object has changed in the meantime")]
    Changed,
}

/// How a write failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// It was refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database said no.
    #[error("cannot open the store: {0}")]
    Database(#[from] sqlx::Error),
    /// The server key is not the one that this store was made with.
    #[error(
        "the server key does not fit this store: it was made with another one. Give the key file that belongs to it; without that key its secrets cannot be checked"
    )]
    WrongKey,
    /// The emulator's store, whose credentials everybody knows.
    #[error("this store was made by `hallpass dev`: its credentials are published, and it cannot be served")]
    Emulator,
    /// A real store, which the emulator must not touch.
    #[error("this store was not made by `hallpass dev`")]
    NotEmulator,
    /// What was read makes no sense.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory or a file in it cannot be used.
    #[error("cannot use {}: {}", .0.display(), .1)]
    Io(std::path::PathBuf, std::io::Error),
    /// There is no thread for the writer.
    #[error("cannot start the writer's thread: {0}")]
    Thread(std::io::Error),
}
