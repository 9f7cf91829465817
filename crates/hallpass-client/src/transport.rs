//! One call: attempts, the reply, and what it means.

use std::time::Duration;

use hallpass_core::wire::envelope::ErrorObject;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::Serialize;

use crate::envelope::Around;
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
    pub(crate) body: Vec<u8>,
    /// Everything in the envelope but its result.
    pub(crate) around: Around,
}

impl Reply {
    /// The error that this is no reply of the API.
    pub(crate) fn unreadable(&self, detail: impl Into<String>) -> Error {
        let error = Error::new(ErrorKind::Protocol).with_detail(detail);
        error.with_reply(self.status, self.request_id.clone())
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
        let mut response = request.send().await.map_err(|error| no_reply(error, None))?;
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
                let mut failure = no_reply(error, Some("the reply ended early"));
                failure.error = failure.error.with_reply(status, request_id);
                failure
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

fn no_reply(error: reqwest::Error, detail: Option<&str>) -> Failure {
    let outcome = if error.is_connect() { Outcome::NotSent } else { Outcome::NoReply };
    let kind = if error.is_timeout() { ErrorKind::Timeout } else { ErrorKind::Connection };
    let mut shown = Error::new(kind).with_cause(error.without_url());
    if let Some(detail) = detail {
        shown = shown.with_detail(detail);
    }
    Failure { error: shown, outcome }
}

fn success(status: u16, request_id: Option<String>, body: Vec<u8>) -> Result<Reply, Failure> {
    let around = if body.is_empty() { Some(Around::default()) } else { Around::read(&body) };
    let reply = Reply { status, request_id, body, around: around.unwrap_or_default() };
    let failed = |error| Err(Failure { error, outcome: Outcome::Final });
    if !reply.body.is_empty() && reply.around.success.is_none() {
        return failed(reply.unreadable("the body has no envelope"));
    }
    if reply.around.success == Some(false) {
        let errors = reply.around.errors();
        let error = Error::new(ErrorKind::of_reply(status, first_code(&errors))).with_errors(errors);
        return failed(error.with_reply(status, reply.request_id));
    }
    Ok(reply)
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
