//! The gate's listener: HTTP/1 on bare hyper, one answer for each request, bodies unread.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use tokio::net::TcpListener;

use super::Gate;
use super::assertion::Identity;
use super::check::Verdict;
use super::forward_auth::Dialect;
use super::refusal;
use crate::reference::Refusal;
use crate::serve::{self, Transport};

const REFERENCE: HeaderName = HeaderName::from_static("hallpass-ref");
/// Where assertions' keys are published.
const CERTS: &str = "/cdn-cgi/access/certs";
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

type Answer = Response<Full<Bytes>>;

/// Answers until `stop` is done, then lets running requests finish. `gate` is the gate of the moment.
pub async fn serve(
    listener: TcpListener,
    gate: impl Fn() -> Gate + Send + Sync + 'static,
    stop: impl Future<Output = ()>,
) {
    let gate = Arc::new(gate);
    let service = move |peer: SocketAddr| {
        let gate = Arc::clone(&gate);
        service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (parts, _) = request.into_parts();
            std::future::ready(Ok::<_, Infallible>(answer_safely(&*gate, peer.ip(), &parts)))
        })
    };
    serve::serve_with(Transport::Plain, listener, service, stop).await;
}

/// A panic is no answer, and certainly no permission.
pub(super) fn answer_safely(gate: impl FnOnce() -> Gate, peer: IpAddr, request: &Parts) -> Answer {
    safely(|| answer(&gate(), peer, request))
}

fn safely(answer: impl FnOnce() -> Answer) -> Answer {
    std::panic::catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| {
        tracing::error!("a check panicked; the request is refused");
        plain(StatusCode::INTERNAL_SERVER_ERROR, refusal::body(500))
    })
}

fn answer(gate: &Gate, peer: IpAddr, request: &Parts) -> Answer {
    if request.method == Method::CONNECT {
        // A 2xx would promise a tunnel.
        return plain(StatusCode::METHOD_NOT_ALLOWED, "The gate makes no tunnels.\n");
    }
    let path = request.uri.path();
    if let Some(dialect) = Dialect::of(path) {
        return match gate.check(dialect, peer, request) {
            Verdict::Passed(identity) => pass(identity),
            Verdict::Refused(status, refusal) => refuse(gate, dialect.status(status), &refusal),
        };
    }
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return nothing_here();
    }
    match path {
        CERTS => certs(gate, peer, request).unwrap_or_else(nothing_here),
        "/healthz" => plain(StatusCode::OK, "ok\n"),
        "/readyz" => match gate.unready() {
            None => plain(StatusCode::OK, "ok\n"),
            Some(reason) => plain(StatusCode::SERVICE_UNAVAILABLE, refusal::unready(reason)),
        },
        _ => nothing_here(),
    }
}

fn pass(identity: Identity) -> Answer {
    let mut answer = Answer::default();
    *answer.headers_mut() = identity.into_headers();
    answer
}

fn refuse(gate: &Gate, status: u16, refusal: &Refusal) -> Answer {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let mut answer = plain(code, refusal::body(status));
    // Base64 is always a header's value.
    if let Ok(reference) = HeaderValue::try_from(gate.reference(refusal)) {
        answer.headers_mut().insert(REFERENCE, reference);
    }
    answer
}

fn certs(gate: &Gate, peer: IpAddr, request: &Parts) -> Option<Answer> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let host = hosts.next().filter(|_| hosts.next().is_none())?;
    let mut answer = Response::new(Full::from(gate.published(host.as_bytes(), peer)?));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    Some(answer)
}

fn nothing_here() -> Answer {
    plain(
        StatusCode::NOT_FOUND,
        "There is nothing here. Proxies ask at /auth/nginx, /auth/caddy or /auth/traefik, or at /auth/envoy with the request's path behind it.\n",
    )
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, TEXT);
    headers.insert(CACHE_CONTROL, NO_STORE);
    answer
}

#[cfg(test)]
mod tests {
    use super::super::assertion::{ASSERTION, CLIENT_ID, EMAIL, TOKEN_NAME};
    use super::*;

    #[test]
    fn a_panic_is_answered_500_without_an_identity() {
        let answer = safely(|| panic!("a check panics"));
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(
            [ASSERTION, EMAIL, CLIENT_ID, TOKEN_NAME].iter().all(|name| !answer.headers().contains_key(name))
        );
    }
}
