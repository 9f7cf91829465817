//! Forward-auth: how each proxy asks whether a request may pass, and what it is told.
//!
//! The path names the dialect, and each dialect reads its own proxy's headers alone, each of which must be there exactly once:
//!
//! | Path | Host | Target | Client |
//! |---|---|---|---|
//! | `/auth/nginx` | `X-Original-Host` | `X-Original-URI` | `X-Real-IP` |
//! | `/auth/caddy`, `/auth/traefik` | `X-Forwarded-Host` | `X-Forwarded-Uri` | `X-Forwarded-For` |
//! | `/auth/envoy` | `Host` | what follows in the path | `X-Forwarded-For` |
//!
//! Methods and schemes decide nothing; where a dialect has a header for one, it may still not come twice.

use std::net::IpAddr;

use hallpass_core::request::{Ambiguous, CanonicalRequest, client_address};
use hyper::header::{HOST, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use ipnet::IpNet;

/// Whose way of asking it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// nginx: `auth_request`.
    Nginx,
    /// Caddy: `forward_auth`.
    Caddy,
    /// Traefik: `ForwardAuth`.
    Traefik,
    /// Envoy: `ext_authz` over HTTP.
    Envoy,
}

/// Why it is unclear what a proxy asks about. Nothing of the request is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unclear {
    /// A header is not there.
    #[error("the proxy does not send {0}")]
    Missing(&'static str),
    /// A header is there more than once.
    #[error("{0} came more than once")]
    Repeated(&'static str),
    /// The client's address is none.
    #[error("X-Real-IP is no address")]
    Address,
    /// The request that it is about has more than one reading.
    #[error(transparent)]
    Ambiguous(#[from] Ambiguous),
}

// Statics, so that a request's headers are looked up without reading these names again.
static HOST_ASKED: HeaderName = HOST;
static ORIGINAL_HOST: HeaderName = HeaderName::from_static("x-original-host");
static ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
static ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
static REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
static FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const ENVOY: &str = "/auth/envoy";

impl Dialect {
    /// The dialect of a path of ours; `None` for any other.
    pub(super) fn of(path: &str) -> Option<Self> {
        match path {
            "/auth/nginx" => Some(Self::Nginx),
            "/auth/caddy" => Some(Self::Caddy),
            "/auth/traefik" => Some(Self::Traefik),
            _ => path.strip_prefix(ENVOY).filter(|rest| rest.starts_with('/')).map(|_| Self::Envoy),
        }
    }

    /// What a request of this dialect asks about.
    pub(super) fn read(
        self,
        request: &Parts,
        peer: IpAddr,
        trusted: &[IpNet],
    ) -> Result<CanonicalRequest, Unclear> {
        let headers = &request.headers;
        let (host, target, client) = match self {
            Self::Nginx => {
                at_most_once(headers, &ORIGINAL_METHOD)?;
                let client = std::str::from_utf8(once(headers, &REAL_IP)?).ok();
                let client = client.and_then(|text| text.parse::<IpAddr>().ok()).ok_or(Unclear::Address)?;
                (once(headers, &ORIGINAL_HOST)?, once(headers, &ORIGINAL_URI)?, client.to_canonical())
            }
            Self::Caddy | Self::Traefik => {
                at_most_once(headers, &FORWARDED_METHOD)?;
                at_most_once(headers, &FORWARDED_PROTO)?;
                let client = client_address(peer, &[once(headers, &FORWARDED_FOR)?], trusted)?;
                (once(headers, &FORWARDED_HOST)?, once(headers, &FORWARDED_URI)?, client)
            }
            Self::Envoy => {
                // A target in absolute form would name a second host.
                if request.uri.authority().is_some() {
                    return Err(Unclear::Repeated("host"));
                }
                let client = client_address(peer, &[once(headers, &FORWARDED_FOR)?], trusted)?;
                let target = request.uri.path_and_query().map_or("", |target| target.as_str());
                (
                    once(headers, &HOST_ASKED)?,
                    target.strip_prefix(ENVOY).unwrap_or_default().as_bytes(),
                    client,
                )
            }
        };
        Ok(CanonicalRequest::new(host, target, client)?)
    }

    /// The status that this proxy understands. nginx takes all but 2xx, 401 and 403 for an error of its own.
    pub(super) fn status(self, status: u16) -> u16 {
        if self == Self::Nginx && status == 400 { 403 } else { status }
    }
}

fn once<'h>(headers: &'h HeaderMap, name: &'static HeaderName) -> Result<&'h [u8], Unclear> {
    let value = at_most_once(headers, name)?.filter(|value| !value.trim_ascii().is_empty());
    value.ok_or(Unclear::Missing(name.as_str()))
}

fn at_most_once<'h>(headers: &'h HeaderMap, name: &'static HeaderName) -> Result<Option<&'h [u8]>, Unclear> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(hyper::header::HeaderValue::as_bytes);
    if values.next().is_some() { Err(Unclear::Repeated(name.as_str())) } else { Ok(value) }
}
