//! One call: attempts, the reply, and what it means.

use std::time::Duration;

use hallpass_core::wire::envelope::ErrorObject;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::envelope::{self, Around};
use crate::error::{Error, ErrorKind};
use crate::jitter;
use crate::retry::{self, Outcome, Repeat};

/// The longest reply, in bytes.
const MOST_BYTES: usize = 16 << 20;
/// Says, from the first retry on, which one it is. A server that has just rotated can tell a repetition by it.
const RETRY_COUNT: HeaderName = HeaderName::from_static("x-stainless-retry-count");

/// What is sent.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    repeat: Repeat,
}

impl Call {
    fn new(method: Method, path: String, repeat: Repeat) -> Self {
        Self { method, path, query: Vec::new(), body: None, repeat }
    }

    /// Reads something.
    pub(crate) fn get(path: String) -> Self {
        Self::new(Method::GET, path, Repeat::Harmless)
    }

    /// Does something; `repeat` says what doing it twice would mean.
    pub(crate) fn post(path: String, repeat: Repeat) -> Self {
        Self::new(Method::POST, path, repeat)
    }

    /// Replaces something; `repeat` says what doing it twice would mean.
    pub(crate) fn put(path: String, repeat: Repeat) -> Self {
        Self::new(Method::PUT, path, repeat)
    }

    /// Changes a part of something; `repeat` says what doing it twice would mean.
    pub(crate) fn patch(path: String, repeat: Repeat) -> Self {
        Self::new(Method::PATCH, path, repeat)
    }

    /// Deletes something.
    pub(crate) fn delete(path: String) -> Self {
        Self::new(Method::DELETE, path, Repeat::Harmless)
    }

    /// With these parameters.
    pub(crate) fn with_query(self, query: Vec<(&'static str, String)>) -> Self {
        Self { query, ..self }
    }

    /// With this body.
    pub(crate) fn with_json<T: Serialize>(self, body: &T) -> Result<Self, Error> {
        match serde_json::to_vec(body) {
            Ok(body) => Ok(Self { body: Some(body), ..self }),
            Err(_) => {
                Err(Error::new(ErrorKind::InvalidRequest).with_detail("the body cannot be written as JSON"))
            }
        }
    }
}

/// A success, not read yet.
#[derive(Debug)]
pub(crate) struct Reply {
    status: u16,
    request_id: Option<String>,
    /// The bytes; none, where the server had nothing to say.
    body: Vec<u8>,
    /// Everything in the envelope but its result.
    pub(crate) around: Around,
}

impl Reply {
    /// What was asked for.
    pub(crate) fn result<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let read = if self.body.is_empty() {
            Err("the body is empty".to_owned())
        } else {
            envelope::read_result(&self.body).map_err(|path| format!("{path} is not as expected"))
        };
        read.map_err(|detail| {
            let error = Error::new(ErrorKind::Protocol).with_detail(detail);
            error.with_reply(self.status, self.request_id.clone())
        })
    }
}

/// A failed attempt.
struct Failure {
    error: Error,
    outcome: Outcome,
}

/// How calls travel.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) http: reqwest::Client,
    /// Without a slash at its end.
    pub(crate) base_url: Url,
    pub(crate) credentials: HeaderMap,
    pub(crate) timeout: Duration,
    pub(crate) max_retries: u32,
}

impl Transport {
    /// Sends a call, again where that is safe and may help.
    pub(crate) async fn send(&self, call: &Call) -> Result<Reply, Error> {
        let mut retries = 0;
        let mut may_have_acted = false;
        loop {
            // Where a repetition is costly, and nothing can have been done yet, this is not the repetition of anything.
            let announced = retries > 0 && (call.repeat == Repeat::Harmless || may_have_acted);
            let Failure { error, outcome } = match self.attempt(call, announced.then_some(retries)).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            may_have_acted = may_have_acted || outcome.may_have_acted();
            if retries >= self.max_retries || !outcome.allows_retry(call.repeat) {
                return Err(error);
            }
            let Some(pause) = retry::pause(retries + 1, error.retry_after(), jitter::draw()) else {
                return Err(error);
            };
            tokio::time::sleep(pause).await;
            retries += 1;
        }
    }

    async fn attempt(&self, call: &Call, retry: Option<u32>) -> Result<Reply, Failure> {
        let mut request =
            self.http.request(call.method.clone(), self.url(call)).headers(self.credentials.clone());
        request = request.timeout(self.timeout);
        if let Some(number) = retry {
            request = request.header(RETRY_COUNT, number);
        }
        if let Some(body) = &call.body {
            let json = HeaderValue::from_static("application/json");
            request = request.header(CONTENT_TYPE, json).body(body.clone());
        }
        let mut response = request.send().await.map_err(no_reply)?;
        let status = response.status().as_u16();
        let request_id = request_id(response.headers());
        let read = read_body(&mut response).await;
        if (200..300).contains(&status) {
            let body = read.map_err(|broken| broken.at(status, request_id.clone()))?;
            success(status, request_id, body)
        } else {
            // Whatever the body is, the status says what happened.
            let body = read.unwrap_or_default();
            Err(refusal(status, request_id, response.headers(), &body))
        }
    }

    fn url(&self, call: &Call) -> Url {
        let mut url = self.base_url.clone();
        url.set_path(&format!("{}{}", self.base_url.path().trim_end_matches('/'), call.path));
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        url
    }
}

/// Why a body could not be read.
enum Broken {
    TooLong,
    Cut(reqwest::Error),
}

impl Broken {
    fn at(self, status: u16, request_id: Option<String>) -> Failure {
        match self {
            Self::Cut(error) => {
                let Failure { error, outcome } = no_reply(error);
                Failure { error: error.with_reply(status, request_id), outcome }
            }
            Self::TooLong => {
                let error = Error::new(ErrorKind::Protocol).with_detail("the reply is longer than 16 MiB");
                Failure { error: error.with_reply(status, request_id), outcome: Outcome::Final }
            }
        }
    }
}

async fn read_body(response: &mut reqwest::Response) -> Result<Vec<u8>, Broken> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Broken::Cut)? {
        if body.len() + chunk.len() > MOST_BYTES {
            return Err(Broken::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// No reply, or only the beginning of one.
fn no_reply(error: reqwest::Error) -> Failure {
    let outcome = if error.is_connect() { Outcome::NotSent } else { Outcome::NoReply };
    let (kind, detail) = match (error.is_timeout(), outcome) {
        (true, Outcome::NotSent) => (ErrorKind::Timeout, "no connection".to_owned()),
        (true, _) => (ErrorKind::Timeout, "the server may have acted, or not".to_owned()),
        (false, _) => (ErrorKind::Connection, deepest(&error)),
    };
    Failure { error: Error::new(kind).with_detail(detail).with_cause(error.without_url()), outcome }
}

/// What an error says at the end of its chain of causes: there it is the system's own word.
fn deepest(mut error: &dyn std::error::Error) -> String {
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

fn success(status: u16, request_id: Option<String>, body: Vec<u8>) -> Result<Reply, Failure> {
    let around = if body.is_empty() { Some(Around::default()) } else { Around::read(&body) };
    let failed = |error: Error, id| Failure { error: error.with_reply(status, id), outcome: Outcome::Final };
    let Some(around) = around else {
        let error = Error::new(ErrorKind::Protocol).with_detail("the body is no JSON object");
        return Err(failed(error, request_id));
    };
    let errors = around.errors();
    if !around.success.unwrap_or(errors.is_empty()) {
        let error = Error::new(ErrorKind::of_reply(status, first_code(&errors)));
        return Err(failed(error.with_errors(errors), request_id));
    }
    Ok(Reply { status, request_id, body, around })
}

fn refusal(status: u16, request_id: Option<String>, headers: &HeaderMap, body: &[u8]) -> Failure {
    let errors = Around::read(body).map(|around| around.errors()).unwrap_or_default();
    let error = if (300..400).contains(&status) {
        Error::new(ErrorKind::Protocol).with_detail("a redirect, which is never followed with credentials")
    } else {
        let error = Error::new(ErrorKind::of_reply(status, first_code(&errors)));
        if errors.is_empty() { error.with_detail("the reply does not say why") } else { error }
    };
    let word = headers.get("x-should-retry").and_then(|word| word.to_str().ok());
    let should_retry = match word {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => None,
    };
    let error = error.with_errors(errors).with_retry_after(retry::asked(headers));
    Failure {
        error: error.with_reply(status, request_id),
        outcome: Outcome::Refused { status, should_retry },
    }
}

fn first_code(errors: &[ErrorObject]) -> Option<u32> {
    errors.first().map(|error| error.code)
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-request-id").or_else(|| headers.get("cf-ray"))?;
    id.to_str().ok().map(str::to_owned)
}
