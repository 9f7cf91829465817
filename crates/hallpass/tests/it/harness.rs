//! A server per test, on a store of its own, with a clock that stands still; actors to call it; the real binary where a process
//! is wanted.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::inspect::Database;
use hallpass::api::rate_limit::RateLimits;
use hallpass::api::{self, Api};
use hallpass::live::Live;
use hallpass::reference::References;
use hallpass::serve;
use hallpass::server_key::ServerKey;
use hallpass::store::accounts::{Account, Membership, User, Zone};
use hallpass::store::{Durability, Founding, Location, Purpose, Store};
use hallpass::world::World;
use hallpass_core::caller::{Grant, Scope, SystemReason};
use hallpass_core::id::{AccountId, UserId, ZoneId};
use hallpass_core::secret::ClientSecret;
use hallpass_core::time::Timestamp;
use ipnet::IpNet;
use serde_json::{Value, json};
use sqlx::Connection as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Permission groups, by their fixed ids.
pub(crate) const SERVICE_TOKENS_READ: &str = "91f7ce32fa614d73b7e1fc8f0e78582b";
pub(crate) const SERVICE_TOKENS_WRITE: &str = "a1c0fec57cf94af79479a6d827fa518c";
pub(crate) const ACCOUNT_TOKENS_READ: &str = "eb56a6953c034b9d97dd838155666f06";
pub(crate) const ACCOUNT_TOKENS_WRITE: &str = "5bc3f8b21c554832afc660159ab75fa4";
pub(crate) const USER_TOKENS_WRITE: &str = "686d18d5ac6c441c867cbf6771e58a0a";
pub(crate) const ORGANIZATIONS_READ: &str = "26bc23f853634eb4bff59983b9064fde";
pub(crate) const ORGANIZATIONS_WRITE: &str = "bfe0d8686a584fa680f4c53b5eb0de6d";
pub(crate) const AUDIT_LOGS_READ: &str = "b05b28e839c54467a7d6cba5d3abb5a3";
pub(crate) const DNS_READ: &str = "82e64a83756745bbbb1c9c2701bf816b";

/// When every test begins: not on a whole second, so that rounding shows.
pub(crate) const START: &str = "2026-06-01T12:00:00.25Z";

/// Runs a test on both engines: `both_engines!(name, |server: TestServer| async move { … });`
macro_rules! both_engines {
    ($(#[$doc:meta])* $name:ident, $body:expr) => {
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                let server = $crate::harness::TestServer::start($crate::harness::Engine::Sqlite).await;
                ($body)(server).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs PostgreSQL: ./test brings one and runs this"]
            async fn postgres() {
                let server = $crate::harness::TestServer::start($crate::harness::Engine::Postgres).await;
                ($body)(server).await;
            }
        }
    };
}
pub(crate) use both_engines;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// A place for a store: a directory of its own, or a database of its own.
pub(crate) struct Place {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) location: Location,
}

impl Place {
    pub(crate) async fn new(engine: Engine) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let location = match engine {
            Engine::Sqlite => Location::Directory(directory.path().join("data")),
            Engine::Postgres => Location::Postgres(new_database().await),
        };
        Self { directory, location }
    }

    /// The arguments by which the binary finds this place; for PostgreSQL a key file is made.
    pub(crate) fn arguments(&self) -> Vec<String> {
        match &self.location {
            Location::Directory(directory) => vec!["--data".to_owned(), directory.display().to_string()],
            Location::Postgres(url) => {
                let key = self.directory.path().join("server.key");
                if !key.exists() {
                    std::fs::write(&key, "5a".repeat(32)).unwrap();
                    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
                }
                let key = key.display().to_string();
                vec!["--database".to_owned(), url.clone(), "--server-key-file".to_owned(), key]
            }
        }
    }
}

/// The throw-away cluster's address. `./test` sets it.
pub(crate) fn postgres_url() -> String {
    std::env::var("HALLPASS_TEST_POSTGRES_URL")
        .expect("HALLPASS_TEST_POSTGRES_URL is not set; ./test sets it")
}

async fn new_database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("hallpass_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let url = postgres_url();
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut connection)
        .await
        .unwrap();
    let (server, _) = url.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}

/// A server in this process, with two accounts that have nothing to do with each other.
pub(crate) struct TestServer {
    pub(crate) engine: Engine,
    pub(crate) place: Place,
    pub(crate) store: Store,
    pub(crate) world: World,
    pub(crate) address: SocketAddr,
    pub(crate) home: Realm,
    pub(crate) abroad: Realm,
    pub(crate) server_key: ServerKey,
    /// A connection of the test's own, kept from one look to the next.
    window: tokio::sync::Mutex<Option<Database>>,
    stop: Option<oneshot::Sender<()>>,
}

/// An account with its zone, and a user who is its only member.
#[derive(Debug, Clone)]
pub(crate) struct Realm {
    pub(crate) account: AccountId,
    pub(crate) zone: ZoneId,
    pub(crate) user: UserId,
    pub(crate) email: String,
    pub(crate) key: String,
}

impl Realm {
    fn new(n: u8) -> Self {
        Self {
            account: AccountId::from_bytes([n; 16]),
            zone: ZoneId::from_bytes([n + 0x10; 16]),
            user: UserId::from_bytes([n + 0x20; 16]),
            email: format!("user{n}@example.com"),
            key: format!("canarykey{n}").repeat(4),
        }
    }

    /// `/accounts/{id}`
    pub(crate) fn account_path(&self) -> String {
        format!("/accounts/{}", self.account)
    }

    /// `/zones/{id}`
    pub(crate) fn zone_path(&self) -> String {
        format!("/zones/{}", self.zone)
    }

    /// `/accounts/{id}/access/service_tokens`
    pub(crate) fn tokens_path(&self) -> String {
        format!("{}/access/service_tokens", self.account_path())
    }

    /// `{"com.cloudflare.api.account.<id>": "*"}`
    pub(crate) fn resources(&self) -> Value {
        json!({format!("com.cloudflare.api.account.{}", self.account): "*"})
    }
}

/// How a test's server differs from the usual one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) rate_limit: Option<u32>,
    pub(crate) service_token_quota: Option<u32>,
    pub(crate) trusted_peers: Vec<IpNet>,
}

impl TestServer {
    pub(crate) async fn start(engine: Engine) -> Self {
        Self::start_with(engine, Options::default()).await
    }

    pub(crate) async fn start_with(engine: Engine, options: Options) -> Self {
        Self::start_at(Place::new(engine).await, engine, options, Durability::Full).await
    }

    /// The same in a given place; `durability` is for the tests of durability itself.
    pub(crate) async fn start_at(
        place: Place,
        engine: Engine,
        options: Options,
        durability: Durability,
    ) -> Self {
        let world = World::standing(START.parse().unwrap());
        let key = ServerKey::random(&world);
        let store = Store::open(&place.location, &key, Purpose::Service, durability, &world).await.unwrap();
        let (home, abroad) = (Realm::new(1), Realm::new(2));
        found(&store, &world, &[&home, &abroad]).await;
        let api = Api {
            store: store.clone(),
            world: world.clone(),
            purpose: Purpose::Service,
            limits: Arc::new(RateLimits::new(options.rate_limit)),
            service_token_quota: options.service_token_quota.into(),
            trusted_peers: Live::new(options.trusted_peers.into()),
            references: Arc::new(References::new(&key)),
            requests: api::Requests::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(serve::serve(listener, api::router(api), async {
            let _ = stopped.await;
        }));
        Self {
            engine,
            place,
            store,
            world,
            address,
            home,
            abroad,
            server_key: key,
            window: tokio::sync::Mutex::default(),
            stop: Some(stop),
        }
    }

    /// The base URL, as an SDK is given it.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/client/v4", self.address)
    }

    /// Nobody: no credentials at all.
    pub(crate) fn nobody(&self) -> Actor {
        Actor::new(self.base_url(), &[])
    }

    /// The user of an account, with e-mail and key.
    pub(crate) fn key(&self, realm: &Realm) -> Actor {
        Actor::new(self.base_url(), &[("x-auth-email", &realm.email), ("x-auth-key", &realm.key)])
    }

    /// Somebody with a bearer token.
    pub(crate) fn bearer(&self, token: &str) -> Actor {
        Actor::new(self.base_url(), &[("authorization", &format!("Bearer {token}"))])
    }

    /// A new API token of the realm's account with these groups on it.
    pub(crate) async fn account_token(&self, realm: &Realm, groups: &[&str]) -> Actor {
        self.bearer(&self.make_account_token(realm, groups, json!({})).await.1)
    }

    /// Makes an API token of the realm's account; `more` is merged into the body. Gives its id and its secret.
    pub(crate) async fn make_account_token(
        &self,
        realm: &Realm,
        groups: &[&str],
        more: Value,
    ) -> (String, String) {
        let mut body = json!({"name": "token", "policies": [allow(groups, realm.resources())]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = self.key(realm).post(&format!("{}/tokens", realm.account_path()), body).await.result(200);
        (text(&made["id"]), text(&made["value"]))
    }

    /// Makes a service token in the realm's account.
    pub(crate) async fn make_service_token(&self, realm: &Realm, body: Value) -> Value {
        self.key(realm).post(&realm.tokens_path(), body).await.result(201)
    }

    /// Moves the clock, by Go's durations. The directory of callers counts by this clock how old it is: it is given the time to
    /// hear from the store again.
    pub(crate) fn advance(&self, duration: &str) {
        let duration = hallpass_core::validity::GoDuration::parse(duration).unwrap();
        self.world.advance(duration.as_nanos() / 1_000).unwrap();
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.world.now()
    }

    /// The revision: how many changes the store has seen.
    pub(crate) async fn revision(&self) -> i64 {
        let mut window = self.window.lock().await;
        if window.is_none() {
            *window = Some(Database::open(&self.place.location).await);
        }
        window.as_mut().unwrap().rows::<(i64,)>("SELECT n FROM revision").await[0].0
    }

    /// Ends the server and its store: everything that was accepted is on disk.
    pub(crate) async fn stop(mut self) -> Place {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        self.store.close().await;
        self.place
    }
}

async fn found(store: &Store, world: &World, realms: &[&Realm]) {
    let now = world.now();
    let mut founding = Founding::default();
    for realm in realms {
        let Realm { account, zone, user, email, key } = (*realm).clone();
        founding.accounts.push(Account { id: account, name: format!("Account of {email}"), created_at: now });
        founding.zones.push(Zone {
            id: zone,
            account_id: account,
            name: format!("{user}.example"),
            created_at: now,
        });
        founding.users.push((User { id: user, email, created_at: now }, ClientSecret::presented(&key)));
        founding.memberships.push(Membership {
            id: world.membership_id(),
            user_id: user,
            account_id: account,
        });
    }
    let grant = Grant::system(SystemReason::Bootstrap, Scope::Account(AccountId::NIL), world.request_id());
    store.found(&grant, founding, now).await.unwrap();
}

/// `{"effect": "allow", …}`
pub(crate) fn allow(groups: &[&str], resources: Value) -> Value {
    let groups: Vec<_> = groups.iter().map(|id| json!({"id": id})).collect();
    let mut policy = json!({"effect": "allow", "permission_groups": groups});
    policy["resources"] = resources;
    policy
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

/// Somebody who calls.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    client: reqwest::Client,
    base_url: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Actor {
    pub(crate) fn new(base_url: String, headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { client, base_url, headers }
    }

    /// The same with one more header.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut actor = self.clone();
        actor.headers.push((name.to_owned(), value.to_owned()));
        actor
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send("POST", path, Some(body.to_string().into_bytes())).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.send("PUT", path, Some(body.to_string().into_bytes())).await
    }

    /// Any request; `path` begins behind `/client/v4`. Fails the test where the reply is not in the envelope.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<Vec<u8>>) -> Reply {
        self.try_send(method, path, body).await.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// The same, where the connection may break.
    pub(crate) async fn try_send(
        &self,
        method: &str,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> reqwest::Result<Reply> {
        let mut request = self.client.request(method.parse().unwrap(), format!("{}{path}", self.base_url));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body: Value =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{method} {path}: no JSON: {text:?}"));
        let reply = Reply { status, headers, text, body };
        let url = format!("{}{path}", self.base_url);
        let target = url.splitn(4, '/').nth(3).map(|target| format!("/{target}")).unwrap_or_default();
        crate::description::check(method, &target, status, &reply.body);
        // The one reply outside of the envelope.
        if reply.body["openapi"].is_null() {
            reply.assert_enveloped();
        }
        Ok(reply)
    }
}

impl Reply {
    /// The result of a reply with this status.
    pub(crate) fn result(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.body["result"].clone()
    }

    /// The codes of the errors.
    pub(crate) fn codes(&self) -> Vec<u64> {
        self.body["errors"].as_array().unwrap().iter().map(|error| error["code"].as_u64().unwrap()).collect()
    }

    /// The pointers of the errors.
    pub(crate) fn pointers(&self) -> Vec<String> {
        let errors = self.body["errors"].as_array().unwrap().iter();
        errors.map(|error| text(&error["source"]["pointer"])).collect()
    }

    /// Status and first code: `(403, 10000)`.
    pub(crate) fn refusal(&self) -> (u16, u64) {
        assert_eq!(self.body["success"], false, "{}", self.text);
        (self.status, self.codes()[0])
    }

    fn assert_enveloped(&self) {
        let body = self.body.as_object().unwrap();
        let success = body["success"].as_bool().unwrap();
        assert_eq!(success, self.status < 300, "{}", self.text);
        assert_eq!(success, body["errors"].as_array().unwrap().is_empty(), "{}", self.text);
        assert!(body["messages"].is_array(), "{}", self.text);
        assert!(success || body["result"].is_null(), "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/json");
        assert_eq!(self.headers["x-request-id"].len(), 32);
        assert!(crate::raw::is_compact(&self.text), "{}", self.text);
    }
}

/// The real binary, running.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) api: String,
    pub(crate) base_url: String,
    /// Where its operator's listener is, if it has one.
    pub(crate) operator: Option<String>,
    /// Where its gate is, if it has one.
    pub(crate) gate: Option<String>,
    log: PathBuf,
}

impl Process {
    /// Runs `hallpass` with these arguments plus a free port and a ready file, and waits until it answers.
    pub(crate) fn start(directory: &Path, arguments: &[String]) -> Self {
        Self::start_program(Path::new(env!("CARGO_BIN_EXE_hallpass")), directory, arguments)
    }

    pub(crate) fn start_program(program: &Path, directory: &Path, arguments: &[String]) -> Self {
        let log = |file: &Path| [Stdio::null(), std::fs::File::create(file).unwrap().into()];
        Self::start_into(program, directory, arguments, log)
    }

    /// Runs `hallpass` with a standard output and a standard error of the test's own, so that nothing is known of its log.
    pub(crate) fn start_unlogged(directory: &Path, arguments: &[String], sinks: [Stdio; 2]) -> Self {
        Self::start_into(Path::new(env!("CARGO_BIN_EXE_hallpass")), directory, arguments, |log| {
            std::fs::write(log, "").unwrap();
            sinks
        })
    }

    /// `sinks` makes standard output and standard error, for a log in this file.
    fn start_into(
        program: &Path,
        directory: &Path,
        arguments: &[String],
        sinks: impl FnOnce(&Path) -> [Stdio; 2],
    ) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let (ready, log) = (directory.join(format!("ready{n}.json")), directory.join(format!("log{n}.txt")));
        let [out, error] = sinks(&log);
        let child = Command::new(program)
            .env("HALLPASS_OPERATOR", "off")
            .env("HALLPASS_GATE", "127.0.0.1:0")
            .args(arguments)
            .args(["--listen", "127.0.0.1:0", "--ready-file"])
            .arg(&ready)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(error)
            .spawn()
            .unwrap();
        let mut process =
            Self { child, api: String::new(), base_url: String::new(), operator: None, gate: None, log };
        let deadline = Instant::now() + Duration::from_mins(1);
        let text = loop {
            if let Ok(text) = std::fs::read_to_string(&ready) {
                break text;
            }
            if let Some(status) = process.child.try_wait().unwrap() {
                panic!("hallpass ended with {status}: {}", process.log());
            }
            assert!(Instant::now() < deadline, "hallpass did not start: {}", process.log());
            std::thread::sleep(Duration::from_millis(5));
        };
        let ready: Value = serde_json::from_str(&text).unwrap();
        // Without an API there is neither.
        [process.api, process.base_url] =
            ["api", "base_url"].map(|key| ready[key].as_str().unwrap_or_default().to_owned());
        process.operator = ready["operator"].as_str().map(str::to_owned);
        process.gate = ready["gate"].as_str().map(str::to_owned);
        process
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Sends a signal by name: `TERM`, `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the binary to its end: exit status, standard output, standard error.
pub(crate) fn run(arguments: &[String]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_hallpass"))
        .env("HALLPASS_OPERATOR", "off")
        .env("HALLPASS_GATE", "off")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}
