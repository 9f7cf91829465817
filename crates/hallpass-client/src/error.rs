//! What can go wrong with a call.

use std::fmt;
use std::time::Duration;

use hallpass_core::wire::envelope::ErrorObject;

/// The longest message that an error shows, in characters.
const MOST_SHOWN: usize = 400;

/// What sort of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request says something that cannot be.
    InvalidRequest,
    /// No credentials, or none that count.
    Unauthenticated,
    /// The caller may not do that.
    Forbidden,
    /// There is no such thing, or not for this caller.
    NotFound,
    /// Something else stands against it: a token that is still referred to cannot be deleted.
    Conflict,
    /// Too many requests; see [`Error::retry_after`].
    RateLimited,
    /// The server failed.
    Server,
    /// No connection, or one that broke.
    Connection,
    /// No reply in time.
    Timeout,
    /// What came back is no reply of this API: a redirect, a page, a body that is too long.
    Protocol,
}

impl ErrorKind {
    fn text(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid request",
            Self::Unauthenticated => "not authenticated",
            Self::Forbidden => "not allowed",
            Self::NotFound => "not found",
            Self::Conflict => "conflict",
            Self::RateLimited => "too many requests",
            Self::Server => "the server failed",
            Self::Connection => "no connection",
            Self::Timeout => "no reply in time",
            Self::Protocol => "not a reply of this API",
        }
    }

    /// Judges by status, and by the first code where the status says too little.
    pub(crate) fn of_reply(status: u16, code: Option<u32>) -> Self {
        match (status, code) {
            (_, Some(971 | 10429)) | (429, _) => Self::RateLimited,
            (500.., _) => Self::Server,
            (408, _) => Self::Timeout,
            (401, _) => Self::Unauthenticated,
            // Missing or malformed headers come with 400, unknown credentials with 403. The original says 9109 also of a token that
            // may not do something.
            (_, Some(6003 | 9103 | 9106 | 9107 | 9109)) => Self::Unauthenticated,
            (403, _) | (_, Some(10000)) => Self::Forbidden,
            (404 | 410, _) => Self::NotFound,
            // 12132 is a conflict, 12139 a token in use.
            (409, _) | (_, Some(12132 | 12139)) => Self::Conflict,
            (400..=499, _) => Self::InvalidRequest,
            _ => Self::Protocol,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A call failed. `Display` is one line for people, and shows no credential.
#[derive(Debug)]
pub struct Error(Box<Failed>);

#[derive(Debug)]
struct Failed {
    kind: ErrorKind,
    status: Option<u16>,
    errors: Vec<ErrorObject>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
    detail: Option<String>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// What sort of failure it was.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The reply's HTTP status; `None` where there was no reply.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// What the server says was wrong: numbers, messages, pointers into the body, what they come from. Empty where the reply was
    /// none of this API's.
    pub fn errors(&self) -> &[ErrorObject] {
        &self.0.errors
    }

    /// By which name the server knows this request.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// How long the server asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Failed {
            kind,
            status: None,
            errors: Vec::new(),
            request_id: None,
            retry_after: None,
            detail: None,
            cause: None,
        }))
    }

    pub(crate) fn with_reply(mut self, status: u16, request_id: Option<String>) -> Self {
        self.0.status = Some(status);
        self.0.request_id = request_id;
        self
    }

    pub(crate) fn with_errors(mut self, errors: Vec<ErrorObject>) -> Self {
        self.0.errors = errors;
        self
    }

    pub(crate) fn with_retry_after(mut self, pause: Option<Duration>) -> Self {
        self.0.retry_after = pause;
        self
    }

    pub(crate) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    pub(crate) fn with_cause(mut self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.cause = Some(Box::new(cause));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.kind.text())?;
        let mut said: Vec<String> = self.0.errors.iter().map(said).collect();
        said.extend(self.0.detail.clone());
        if !said.is_empty() {
            write!(f, ": {}", said.join("; "))?;
        }
        let mut facts = Vec::new();
        facts.extend(self.0.status.map(|status| format!("HTTP {status}")));
        let code = self.0.errors.first().map(|error| error.code).filter(|code| *code != 0);
        facts.extend(code.map(|code| format!("code {code}")));
        facts.extend(self.0.request_id.as_deref().map(|id| format!("request {}", one_line(id))));
        if facts.is_empty() { Ok(()) } else { write!(f, " ({})", facts.join(", ")) }
    }
}

fn said(error: &ErrorObject) -> String {
    let mut text = one_line(&error.message);
    // An empty pointer is the whole body's.
    if let Some(source) = error.source.as_ref().filter(|source| !source.pointer.is_empty()) {
        text = format!("{}: {text}", one_line(&source.pointer));
    }
    for chained in &error.error_chain {
        text = format!("{text}: {} ({})", one_line(&chained.message), chained.code);
    }
    text
}

/// What a stranger wrote, as a line of a terminal can bear it.
fn one_line(text: &str) -> String {
    text.chars().take(MOST_SHOWN).map(|symbol| if symbol.is_control() { ' ' } else { symbol }).collect()
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as _)
    }
}
