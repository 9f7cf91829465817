//! The server that a verb calls, and what people read where a call fails.

use std::future::Future;

use futures_util::{Stream, TryStreamExt as _};
use hallpass_client::{BuildError, Client, Error, ErrorKind, Paging};

use super::target::{Settings, Target};
use super::{Exit, Failure};

/// Whole lists come in the largest pages.
pub(super) const LARGEST: Paging = Paging { page: None, per_page: Some(1000) };

/// Who is called.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) client: Client,
    base_url: String,
    /// The account that a variable names.
    pub(super) account: Option<String>,
}

impl Target {
    /// Makes ready to call. Nothing is sent yet.
    pub(super) fn call(&self) -> Result<Called, Failure> {
        let Settings { base_url, credentials, account, insecure_http } = self.settings()?;
        let mut builder = Client::builder(base_url.as_str())
            .credentials(credentials)
            .user_agent(concat!("hallpass/", env!("CARGO_PKG_VERSION")));
        if insecure_http {
            builder = builder.allow_plain_http();
        }
        let client = builder.build().map_err(|error| match error {
            BuildError::PlainHttp => {
                let message = format!(
                    "{base_url} is plain http to another machine, which would send the credentials over the network in the clear; \
                     use https, or say --insecure-http"
                );
                Failure::new(Exit::Usage, message)
            }
            BuildError::Http(_) => Failure::new(Exit::Failed, error.to_string()),
            other => Failure::new(Exit::Usage, other.to_string()),
        })?;
        Ok(Called { client, base_url: base_url.into(), account })
    }
}

impl Called {
    /// Waits for the reply to one call.
    pub(super) async fn ask<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
        call.await.map_err(|error| self.failed(&error))
    }

    /// Waits for a whole list.
    pub(super) async fn collect<T>(
        &self,
        list: impl Stream<Item = Result<T, Error>>,
    ) -> Result<Vec<T>, Failure> {
        self.ask(list.try_collect()).await
    }

    /// What went wrong, in one line, with what to do about it.
    pub(super) fn failed(&self, error: &Error) -> Failure {
        if error.kind() == ErrorKind::Connection && error.to_string().contains("invalid peer certificate") {
            let message = format!(
                "the certificate of {} is not trusted, and nothing was sent; the variable SSL_CERT_FILE names a file with other authorities",
                self.base_url
            );
            return Failure::new(Exit::Failed, message);
        }
        let hint = match error.kind() {
            ErrorKind::Unauthenticated => {
                "check the credentials, and whether they belong to this server".to_owned()
            }
            ErrorKind::Forbidden => {
                "look at the policies of the API token, and whether the account or zone is the right one"
                    .to_owned()
            }
            ErrorKind::NotFound => "does it belong to this account or zone?".to_owned(),
            ErrorKind::RateLimited => "wait, then try again".to_owned(),
            ErrorKind::Connection => format!("is the server running at {}?", self.base_url),
            ErrorKind::Timeout | ErrorKind::Server => {
                "before you repeat something that makes a secret, look whether it has happened".to_owned()
            }
            ErrorKind::Protocol => format!("is there a Hallpass server at {}?", self.base_url),
            _ => String::new(),
        };
        let separator = if hint.is_empty() { "" } else { "; " };
        Failure::new(exit(error), format!("{error}{separator}{hint}"))
    }
}

/// The exit code that fits an error.
fn exit(error: &Error) -> Exit {
    match error.kind() {
        ErrorKind::InvalidRequest => Exit::Usage,
        ErrorKind::Unauthenticated | ErrorKind::Forbidden => Exit::Refused,
        ErrorKind::NotFound => Exit::NotFound,
        ErrorKind::RateLimited | ErrorKind::Connection | ErrorKind::Timeout => Exit::Unreachable,
        ErrorKind::Server if error.status() == Some(503) => Exit::Unreachable,
        _ => Exit::Failed,
    }
}
