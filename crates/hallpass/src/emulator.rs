//! The emulator behind `hallpass dev`: a throw-away store with a known state, a clock that can be moved, faults on demand.
//!
//! Its switches live under `/dev`, check the Host header and want `application/json`, so that no web page can reach them. None of
//! this is part of `hallpass serve`.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use hallpass_core::time::Timestamp;
use hallpass_core::validity::GoDuration;
use hallpass_core::wire::body::{self, Fields, InvalidField};
use http_body_util::{BodyExt as _, Limited};
use ipnet::IpNet;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::api::extract::Unread;
use crate::api::rate_limit::RateLimits;
use crate::api::{self, Api, ApiError, BASE, Outermost, Requests};
use crate::gate::{self, Gate};
use crate::operator::Watched;
use crate::reference::References;
use crate::seed::{Seed, SeedError};
use crate::server_key::ServerKey;
use crate::store::error::{OpenError, StoreError, WriteError};
use crate::store::signing_keys::FirstKeys;
use crate::store::{Durability, Location, Purpose, Store};
use crate::tasks::{ACCESS_LOG_RETENTION, Tasks};
use crate::world::World;

/// The emulator. Cheap to clone; clones share one state.
#[derive(Debug, Clone)]
pub struct Emulator {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    beginning: Beginning,
    /// The signing keys of the first state, and of every one that a reset makes.
    keys: FirstKeys,
    reach: Reach,
    current: RwLock<Current>,
    faults: Mutex<VecDeque<Fault>>,
    /// Resets take turns.
    resetting: tokio::sync::Mutex<()>,
}

/// What every state begins with. The server key stays, because signing keys that go from one store into the next are encrypted
/// under it.
#[derive(Debug)]
struct Beginning {
    world: World,
    key: ServerKey,
    seed: Seed,
    trusted_peers: Arc<[IpNet]>,
    limit: Option<u32>,
}

/// From where the emulator may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// From this machine, by its loopback names.
    Loopback,
    /// From elsewhere too, by address or by a name without dots, such as a service container has. A web page's name has dots.
    Remote,
}

/// The store of the moment, and the routes on it.
#[derive(Debug)]
struct Current {
    api: Api,
    gate: Gate,
    router: Router,
    tasks: Tasks,
    directory: tempfile::TempDir,
}

/// A reply that is forced upon the next request.
#[derive(Debug, Clone, Copy)]
enum Fault {
    TooManyRequests { retry_after_seconds: u64 },
    Internal,
}

/// Why the emulator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// No temporary directory.
    #[error("cannot make a temporary directory: {0}")]
    Directory(#[from] std::io::Error),
    /// No store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The seed cannot be planted.
    #[error("the seed cannot be stored: {0}")]
    Seed(#[from] SeedError),
    /// The gate cannot read what was stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The signing keys of the start cannot be stored.
    #[error("the signing keys of the start cannot be stored in a new state: {0}")]
    Keys(#[from] WriteError),
}

impl Emulator {
    /// Makes a store in a temporary directory and seeds it.
    pub async fn start(
        seed: Seed,
        reach: Reach,
        trusted_peers: Arc<[IpNet]>,
        limit: Option<u32>,
    ) -> Result<Self, EmulatorError> {
        let world = World::movable();
        let key = ServerKey::random(&world);
        let beginning = Beginning { world, key, seed, trusted_peers, limit };
        let current = beginning.begin(&FirstKeys::default()).await?;
        // Before anybody can call: these are the keys of the start.
        let keys = current.api.store.signing_keys().for_another_store().await?;
        let inner = Inner {
            beginning,
            keys,
            reach,
            current: RwLock::new(current),
            faults: Mutex::default(),
            resetting: tokio::sync::Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The routes: the emulator's own, and behind them the management API.
    pub fn router(&self) -> Router {
        let outermost =
            Outermost { world: self.inner.beginning.world.clone(), requests: Requests::default() };
        let own = Router::new()
            .route("/dev/clock", get(read_clock).post(move_clock))
            .route("/dev/reset", post(reset))
            .route("/dev/faults", post(add_faults))
            .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
            .layer(middleware::from_fn_with_state(self.clone(), guard))
            .layer(middleware::from_fn_with_state(outermost, api::envelope));
        own.fallback(delegate).with_state(self.clone())
    }

    /// The API of the moment: a reset exchanges it.
    pub fn api(&self) -> Api {
        self.inner.current.read().unwrap_or_else(PoisonError::into_inner).api.clone()
    }

    /// The gate of the moment. It has the same clock, but how old its knowledge is, it measures by the machine's.
    pub fn gate(&self) -> Gate {
        self.inner.current.read().unwrap_or_else(PoisonError::into_inner).gate.clone()
    }

    /// What the operator is shown of the moment.
    pub fn watched(&self) -> Watched {
        let current = self.inner.current.read().unwrap_or_else(PoisonError::into_inner);
        Watched { api: current.api.clone(), gate: Some(current.gate.clone()) }
    }

    /// Ends it, and removes what it stored.
    pub async fn stop(self) {
        if let Some(inner) = Arc::into_inner(self.inner) {
            let current = inner.current.into_inner().unwrap_or_else(PoisonError::into_inner);
            current.end().await;
        }
    }

    fn current_router(&self) -> Router {
        self.inner.current.read().unwrap_or_else(PoisonError::into_inner).router.clone()
    }

    fn next_fault(&self) -> Option<Fault> {
        self.inner.faults.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl Current {
    async fn end(self) {
        let Self { api, gate, router, tasks, directory } = self;
        drop((router, tasks));
        gate.stop().await;
        drop(gate);
        api.store.close().await;
        if let Err(error) = directory.close() {
            tracing::warn!(%error, "could not remove the emulator's directory");
        }
    }
}

impl Beginning {
    /// Makes a state: the seed in a fresh store. Accounts that have no key in `keys` get new ones, which takes its time.
    async fn begin(&self, keys: &FirstKeys) -> Result<Current, EmulatorError> {
        let Self { world, key, seed, trusted_peers, limit } = self;
        let directory = tempfile::Builder::new().prefix("hallpass-dev-").tempdir()?;
        let location = Location::Directory(directory.path().to_owned());
        let store = Store::open(&location, key, Purpose::Emulator, Durability::Full, world).await?;
        seed.plant(&store, world).await?;
        store.signing_keys().begin_with(keys, world).await?;
        let gate = Gate::start(&store, key, world, gate::Settings::default()).await?;
        let tasks = Tasks::start(&store, world, ACCESS_LOG_RETENTION);
        let api = Api {
            store,
            world: world.clone(),
            purpose: Purpose::Emulator,
            limits: Arc::new(RateLimits::new(*limit)),
            service_token_quota: None.into(),
            trusted_peers: Arc::clone(trusted_peers).into(),
            references: Arc::new(References::new(key)),
            requests: Requests::default(),
        };
        Ok(Current { router: api::router(api.clone()), api, gate, tasks, directory })
    }
}

async fn read_clock(State(emulator): State<Emulator>) -> Response {
    api::ok(json!({"now": emulator.inner.beginning.world.now()}))
}

/// `{"advance": "8760h"}` or `{"set": "2027-01-01T00:00:00Z"}`. A clock that was moved goes on from there.
async fn move_clock(State(emulator): State<Emulator>, body: Unread) -> Result<Response, ApiError> {
    enum Move {
        By(GoDuration),
        To(Timestamp),
    }
    let body = body.json().await?;
    let mut fields = Fields::of_body(&body)?;
    let advance = fields.parsed("advance", GoDuration::parse).map(Move::By);
    let set = fields.parsed("set", str::parse).map(Move::To);
    let asked = match (advance, set) {
        (Some(asked), None) | (None, Some(asked)) => Some(asked),
        _ => {
            fields.refuse_all(vec![InvalidField {
                pointer: String::new(),
                message: "say either {\"advance\": \"8760h\"} or {\"set\": \"2027-01-01T00:00:00Z\"}"
                    .to_owned(),
            }]);
            None
        }
    };
    let world = &emulator.inner.beginning.world;
    let (moved, pointer) = match fields.finish(asked)? {
        Move::By(duration) => (world.advance(duration.as_nanos() / 1_000), "/advance"),
        Move::To(time) => (world.set(time), "/set"),
    };
    let refused = |rule: crate::world::OutOfRange| {
        ApiError::Invalid(vec![InvalidField { pointer: pointer.to_owned(), message: rule.to_string() }])
    };
    Ok(api::ok(json!({"now": moved.map_err(refused)?})))
}

/// Back to the seeded state and the real clock. Requests that are running end on the state that they began with. Signing keys stay:
/// services remember those that they have fetched, and making others would take a good part of a second.
async fn reset(State(emulator): State<Emulator>) -> Result<Response, ApiError> {
    let inner = &emulator.inner;
    let _turn = inner.resetting.lock().await;
    inner.beginning.world.reset();
    inner.faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let fresh = inner.beginning.begin(&inner.keys).await;
    let fresh = fresh.map_err(|error| ApiError::Internal(error.to_string()))?;
    let old = {
        let mut current = inner.current.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, fresh)
    };
    tokio::spawn(old.end());
    Ok(api::ok(json!({"now": inner.beginning.world.now()})))
}

/// `{"status": 500}` or `{"status": 429}`, with `times` (1) and, for a 429, `retry_after` in seconds (1): what the next replies
/// of the API are.
async fn add_faults(State(emulator): State<Emulator>, body: Unread) -> Result<Response, ApiError> {
    const MOST: u32 = 1_000;
    let body = body.json().await?;
    let mut fields = Fields::of_body(&body)?;
    let retry_after = fields.whole_number("retry_after", 0..=3_600).unwrap_or(1);
    let times = fields.whole_number("times", 0..=MOST).unwrap_or(1);
    let fault = match fields.whole_number("status", 0..=599) {
        Some(429) => Some(Fault::TooManyRequests { retry_after_seconds: retry_after.into() }),
        Some(500) => Some(Fault::Internal),
        _ => {
            fields.refuse("status", "status must be 429 or 500");
            None
        }
    };
    let fault = fields.finish(fault)?;
    let mut faults = emulator.inner.faults.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..times {
        faults.push_back(fault);
    }
    faults.truncate(MOST as usize);
    Ok(api::ok(json!({"pending": faults.len()})))
}

/// Everything that is not the emulator's own: a forced fault if one is due, else the API.
async fn delegate(State(emulator): State<Emulator>, request: Request) -> Response {
    let is_api = request.uri().path().starts_with(BASE);
    match is_api.then(|| emulator.next_fault()).flatten() {
        Some(fault) => forced(&emulator, fault, request).await,
        None => emulator.current_router().oneshot(request).await.into_response(),
    }
}

/// Answers with a fault inside the envelope, marked for retries as the real route would be.
async fn forced(emulator: &Emulator, fault: Fault, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let repeatable = may_be_repeated(&parts.method, parts.uri.path(), body).await;
    let answer = move || async move {
        match fault {
            Fault::TooManyRequests { retry_after_seconds } => ApiError::RateLimited { retry_after_seconds },
            Fault::Internal => ApiError::Internal("a fault that was asked for".to_owned()),
        }
    };
    let outermost =
        Outermost { world: emulator.inner.beginning.world.clone(), requests: emulator.api().requests };
    let envelope = middleware::from_fn_with_state(outermost, api::envelope);
    let router: Router = Router::new().fallback(answer).layer(envelope);
    let mut response = router.oneshot(Request::from_parts(parts, Body::empty())).await.into_response();
    if response.status().is_server_error() && !repeatable {
        response.headers_mut().insert(api::SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    response
}

/// Finds the route that the request would have had, and whether it may be sent again. An update may, unless it names a version.
async fn may_be_repeated(method: &Method, path: &str, body: Body) -> bool {
    let fits = |pattern: &str| {
        let (pattern, path) = (pattern.split('/'), path.split('/'));
        pattern.clone().count() == path.clone().count()
            && pattern.zip(path).all(|(part, given)| part.starts_with('{') || part == given)
    };
    let route = api::routes().into_iter().find(|route| route.method == *method && fits(&route.path));
    let Some(route) = route.filter(|route| api::must_not_be_repeated(method, &route.path)) else {
        return true;
    };
    route.path.ends_with("/{service_token_id}")
        && read(body).await.is_ok_and(|body| body.get("client_secret_version").is_none_or(Value::is_null))
}

async fn read(body: Body) -> Result<Value, ApiError> {
    let read = Limited::new(body, 1 << 20).collect().await.map_err(|_| ApiError::BodyTooLarge)?;
    body::parse(&read.to_bytes()).map_err(|error| ApiError::Invalid(vec![error]))
}

/// Lets nobody in whom a web page could have sent: by name (a page's own name may point at this machine), or by content type
/// (a page cannot send JSON elsewhere without asking first, and is not answered when it asks).
async fn guard(State(emulator): State<Emulator>, request: Request, next: middleware::Next) -> Response {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).filter(|_| hosts.next().is_none());
    if !host.is_some_and(|host| is_acceptable_host(host, emulator.inner.reach)) {
        return refuse(
            "/host",
            "the Host header must be a loopback name or address; with --allow-remote also another address or a name without dots",
        );
    }
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_json = content_type.is_some_and(|value| {
        value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    if *request.method() != Method::GET && !is_json {
        return refuse("/content-type", "the Content-Type header must be application/json");
    }
    next.run(request).await
}

fn refuse(pointer: &str, message: &str) -> Response {
    ApiError::Invalid(vec![InvalidField { pointer: pointer.to_owned(), message: message.to_owned() }])
        .into_response()
}

fn is_acceptable_host(host: &str, reach: Reach) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let address =
        name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name).parse::<IpAddr>();
    let name = name.to_ascii_lowercase();
    match (address, reach) {
        (Ok(address), Reach::Loopback) => address.to_canonical().is_loopback(),
        (Ok(_), Reach::Remote) => true,
        (Err(_), _) if name == "localhost" || name.ends_with(".localhost") => true,
        (Err(_), Reach::Loopback) => false,
        (Err(_), Reach::Remote) => {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        }
    }
}

/// Whether an address may be listened on.
pub fn may_listen(address: SocketAddr, reach: Reach) -> bool {
    reach == Reach::Remote || address.ip().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_web_pages_own_name_is_never_acceptable() {
        for host in [
            "localhost",
            "localhost:8484",
            "127.0.0.1:8484",
            "127.9.9.9",
            "[::1]:8484",
            "api.localhost:1",
            "LOCALHOST",
        ] {
            assert!(is_acceptable_host(host, Reach::Loopback), "{host}");
            assert!(is_acceptable_host(host, Reach::Remote), "{host}");
        }
        for host in [
            "",
            ":8484",
            "example.com",
            "example.com:8484",
            "127.0.0.1.example.com",
            "localhost.example.com",
            "evil.com:80@localhost",
        ] {
            assert!(!is_acceptable_host(host, Reach::Loopback), "{host}");
            assert!(!is_acceptable_host(host, Reach::Remote), "{host}");
        }
        for host in ["hallpass:8484", "hallpass", "172.17.0.2:8484"] {
            assert!(!is_acceptable_host(host, Reach::Loopback), "{host}");
            assert!(is_acceptable_host(host, Reach::Remote), "{host}");
        }
    }
}
