//! What a handler takes from a request besides its caller: the path, the query, the body.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use hallpass_core::caller::{Caller, Grant, Scope};
use hallpass_core::id::{AccountId, ZoneId};
use hallpass_core::permission::Permission;
use hallpass_core::service_token::Attempt;
use hallpass_core::wire::body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::Value;

use super::Api;
use super::auth::Authenticated;
use super::error::ApiError;
use crate::store::Paging;

/// The largest body, in bytes.
const MOST_BYTES: usize = 1 << 20;
/// How much of a body that is too large is still read, so that its sender gets to see the refusal.
const MOST_DRAINED: usize = 16 << 20;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);
/// How long a refusal waits for the rest of a body that nobody wants.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// The default and the greatest size of a page (compatibility, D7).
const PER_PAGE: u64 = 1000;

/// The identifiers in a path, as text.
#[derive(Debug)]
pub(super) struct At {
    ids: Vec<(String, String)>,
    path: String,
}

impl<S: Send + Sync> FromRequestParts<S> for At {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = shown_path(parts.uri.path());
        // The rejection is bad UTF-8 behind percent signs.
        match Path::<Vec<(String, String)>>::from_request_parts(parts, state).await {
            Ok(Path(ids)) => Ok(Self { ids, path }),
            Err(_) => Err(ApiError::MalformedPathId(path)),
        }
    }
}

impl At {
    /// The identifier with this name in the route.
    pub(super) fn id<T: FromStr>(&self, name: &str) -> Result<T, ApiError> {
        let text = self.ids.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value);
        text.parse().map_err(|_| ApiError::MalformedPathId(self.path.clone()))
    }

    /// Whether the route has an identifier with this name.
    pub(super) fn names(&self, name: &str) -> bool {
        self.ids.iter().any(|(key, _)| key == name)
    }

    /// The account or zone that the path begins with. A zone that nobody has is one that the caller may not see.
    pub(super) fn scope(&self, api: &Api) -> Result<Scope, ApiError> {
        if self.names("zone_id") {
            let zone: ZoneId = self.id("zone_id")?;
            let known = api.store.callers().zone(zone).ok_or(ApiError::NotAllowed)?;
            Ok(Scope::Zone { zone, account: known.account_id })
        } else {
            Ok(Scope::Account(self.id::<AccountId>("account_id")?))
        }
    }
}

/// A path as an error shows it: not endless.
pub(super) fn shown_path(path: &str) -> String {
    path.chars().take(200).collect()
}

/// The parameters behind the question mark.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(pairs)) => Ok(Self(pairs)),
            Err(_) => Err(ApiError::invalid("", "the query cannot be read")),
        }
    }
}

impl Query {
    /// A parameter that may come once at most; an empty one was not given.
    pub(super) fn get(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (value, None) => Ok(value.filter(|value| !value.is_empty())),
            (_, Some(_)) => Err(ApiError::invalid(&format!("/{name}"), format!("{name} is given twice"))),
        }
    }

    /// The values of a parameter that may come several times; empty ones were not given.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let values = self.0.iter().filter(|(key, value)| key == name && !value.is_empty());
        values.map(|(_, value)| value.as_str()).collect()
    }

    /// The names of all parameters, each once.
    pub(super) fn names(&self) -> BTreeSet<&str> {
        self.0.iter().map(|(key, _)| key.as_str()).collect()
    }

    /// Which page is asked for. Zero means that it was not given; a page never holds more than 1000.
    pub(super) fn paging(&self) -> Result<Paging, ApiError> {
        let number = |name: &str| match self.get(name)?.map(str::parse::<u64>) {
            None | Some(Ok(0)) => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => {
                Err(ApiError::invalid(&format!("/{name}"), format!("{name} must be a whole number")))
            }
        };
        Ok(Paging {
            page: number("page")?.unwrap_or(1),
            per_page: number("per_page")?.unwrap_or(PER_PAGE).min(PER_PAGE),
        })
    }

    /// One of a few words.
    pub(super) fn word<T>(&self, name: &str, words: &[(&str, T)], default: T) -> Result<T, ApiError>
    where
        T: Copy,
    {
        let Some(given) = self.get(name)? else {
            return Ok(default);
        };
        let known = words.iter().find(|(word, _)| *word == given).map(|(_, value)| *value);
        known.ok_or_else(|| {
            let list: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            ApiError::invalid(&format!("/{name}"), format!("{name} must be one of: {}", list.join(", ")))
        })
    }
}

/// A request's body, until somebody reads it. The outermost layer looks after what nobody read.
#[derive(Debug, Clone)]
pub(super) struct Waiting(Arc<Mutex<Option<Body>>>);

impl Waiting {
    pub(super) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(Some(body))))
    }

    fn take(&self) -> Option<Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Reads and forgets what nobody wanted, within limits: a client that is still sending would not see the refusal.
    pub(super) async fn drain(&self) {
        if let Some(body) = self.take().filter(|body| !body.is_end_stream()) {
            let mut limited = Limited::new(body, MOST_DRAINED);
            let draining = async { while let Some(Ok(_)) = limited.frame().await {} };
            let _ = tokio::time::timeout(DRAIN_TIME, draining).await;
        }
    }
}

/// A body that was not read yet: permission is asked for first.
#[derive(Debug)]
pub(crate) struct Unread(Body);

impl<S: Send + Sync> FromRequest<S> for Unread {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        Ok(Self(request.extensions().get::<Waiting>().and_then(Waiting::take).unwrap_or_default()))
    }
}

impl Unread {
    /// Reads the body as JSON, whatever its content type says (compatibility, D17). An empty one is `null`.
    pub(crate) async fn json(self) -> Result<Value, ApiError> {
        let bytes = read_limited(self.0).await?;
        body::parse(&bytes).map_err(|error| vec![error].into())
    }

    /// Reads the body of somebody who has a permission, and still has it when the body has arrived.
    pub(super) async fn with_grant(
        self,
        api: &Api,
        caller: &Authenticated,
        permission: Permission,
        scope: Scope,
    ) -> Result<(Caller, Grant, Value), ApiError> {
        self.with_any_grant(api, caller, &[permission], scope).await
    }

    /// The same where each of several permissions is enough.
    pub(super) async fn with_any_grant(
        self,
        api: &Api,
        caller: &Authenticated,
        permissions: &[Permission],
        scope: Scope,
    ) -> Result<(Caller, Grant, Value), ApiError> {
        caller.grant_any(permissions, scope)?;
        let body = self.json().await?;
        let caller = caller.renewed(api)?;
        let grant = caller.grant_any(permissions, scope)?;
        Ok((caller, grant, body))
    }
}

async fn read_limited(body: Body) -> Result<Bytes, ApiError> {
    let mut limited = Limited::new(body, MOST_DRAINED);
    let read = async {
        let mut bytes = Vec::new();
        let mut too_large = false;
        while let Some(frame) = limited.frame().await {
            match frame {
                Ok(frame) => {
                    let data = frame.into_data().unwrap_or_default();
                    too_large = too_large || bytes.len() + data.len() > MOST_BYTES;
                    if !too_large {
                        bytes.extend_from_slice(&data);
                    }
                }
                Err(error) if error.is::<LengthLimitError>() => return Err(ApiError::BodyTooLarge),
                Err(_) => return Err(ApiError::invalid("", "the body ended early")),
            }
        }
        if too_large { Err(ApiError::BodyTooLarge) } else { Ok(Bytes::from(bytes)) }
    };
    let late = || ApiError::invalid("", "the body took longer than 30 seconds to arrive");
    tokio::time::timeout(BODY_TIME, read).await.unwrap_or_else(|_| Err(late()))
}

/// Whether a client says that it sends this request again (`X-Stainless-Retry-Count`; compatibility, D15).
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent(pub(super) Attempt);

impl<S: Send + Sync> FromRequestParts<S> for Sent {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let count = parts
            .headers
            .get("x-stainless-retry-count")
            .and_then(|count| count.to_str().ok()?.parse::<u32>().ok());
        Ok(Self(if count.unwrap_or(0) == 0 { Attempt::First } else { Attempt::Retry }))
    }
}
