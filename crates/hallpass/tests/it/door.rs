//! A gate beside a test's server, and questions to it as proxies put them: byte by byte, over a connection of their own.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use hallpass::gate::{Gate, Settings, listener};
use hallpass_core::decision::Reason;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::harness::{TestServer, text};

pub(crate) const DIALECTS: [&str; 4] = ["nginx", "caddy", "traefik", "envoy"];

/// The headers that are on every pass.
pub(crate) const IDENTITY: [&str; 4] = [
    "cf-access-jwt-assertion",
    "cf-access-authenticated-user-email",
    "hallpass-client-id",
    "hallpass-token-name",
];

/// A gate with a listener of its own.
pub(crate) struct Door {
    pub(crate) gate: Gate,
    pub(crate) address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Door {
    pub(crate) async fn open(server: &TestServer) -> Self {
        Self::open_with(server, Settings::default()).await
    }

    pub(crate) async fn open_with(server: &TestServer, settings: Settings) -> Self {
        // A gate waits for them for a few seconds only, and a slow machine needs more.
        server.store.signing_keys().ensure(&server.world).await.unwrap();
        let gate = Gate::start(&server.store, &server.server_key, &server.world, settings).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let one = gate.clone();
        tokio::spawn(listener::serve(listener, move || one.clone(), async {
            let _ = stopped.await;
        }));
        Self { gate, address, _stop: stop }
    }

    pub(crate) fn ask(&self, question: &Question) -> Answer {
        send(self.address, &question.bytes())
    }

    pub(crate) fn get(&self, target: &str, host: &str) -> Answer {
        let head = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        send(self.address, head.as_bytes())
    }

    /// Status and reason of a refusal.
    pub(crate) fn refusal(&self, question: &Question) -> (u16, Reason) {
        let answer = self.ask(question);
        let reference =
            answer.headers.get("hallpass-ref").unwrap_or_else(|| panic!("no refusal: {answer:?}"));
        assert!(IDENTITY.iter().all(|name| !answer.headers.contains_key(*name)), "{answer:?}");
        (answer.status, self.gate.open(reference).unwrap().reason)
    }

    /// The headers of a pass.
    pub(crate) fn pass(&self, question: &Question) -> BTreeMap<String, String> {
        let answer = self.ask(question);
        let reason = answer.headers.get("hallpass-ref").and_then(|reference| self.gate.open(reference));
        assert_eq!((answer.status, reason), (200, None), "{} {answer:?}", question.dialect);
        assert_eq!(answer.body, "");
        assert!(IDENTITY.iter().all(|name| answer.headers.contains_key(*name)), "{answer:?}");
        answer.headers
    }
}

/// What came back: the names of headers in lower case, and no date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// Sends bytes as they are. No reply at all is status 0.
pub(crate) fn send(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let _ = stream.write_all(request);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let reply = String::from_utf8(bytes).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let mut headers = BTreeMap::new();
    for (name, value) in head.lines().skip(1).filter_map(|line| line.split_once(": ")) {
        assert!(headers.insert(name.to_ascii_lowercase(), value.to_owned()).is_none(), "{name} came twice");
    }
    headers.remove("date");
    Answer { status, headers, body: body.to_owned() }
}

/// What a proxy asks.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) dialect: &'static str,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

/// A client's request to a host and path, as a proxy asks about it.
pub(crate) fn question(dialect: &'static str, host: &str, path: &str) -> Question {
    let mut target = format!("/auth/{dialect}");
    let of = |names: [&str; 3]| names.map(str::to_owned).into_iter().zip([host, path, "192.0.2.7"]);
    let mut headers = match dialect {
        "nginx" => of(["x-original-host", "x-original-uri", "x-real-ip"]).collect::<Vec<_>>(),
        "envoy" => {
            target += path;
            of(["host", "", "x-forwarded-for"]).filter(|(name, _)| !name.is_empty()).collect()
        }
        _ => of(["x-forwarded-host", "x-forwarded-uri", "x-forwarded-for"]).collect(),
    };
    if dialect != "envoy" {
        headers.push(("host".to_owned(), "gate.internal"));
    }
    let headers = headers.into_iter().map(|(name, value)| (name, value.as_bytes().to_vec())).collect();
    Question { dialect, target, headers }
}

impl Question {
    /// The same with one more header.
    pub(crate) fn with(&self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        let mut question = self.clone();
        question.headers.push((name.to_owned(), value.into()));
        question
    }

    /// The same with another value for a header that is there.
    pub(crate) fn instead(&self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        let mut question = self.clone();
        question.headers.retain(|(given, _)| given != name);
        question.with(name, value)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("GET {} HTTP/1.1\r\n", self.target).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value.as_slice(), b"\r\n"].concat());
        }
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("connection")) {
            bytes.extend(b"connection: close\r\n");
        }
        bytes.extend(b"\r\n");
        bytes
    }
}

/// A service token's credential.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) id: String,
    pub(crate) client_id: String,
    pub(crate) secret: String,
}

/// How a credential is carried.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Carrier {
    Pair,
    Single,
}

pub(crate) const CARRIERS: [Carrier; 2] = [Carrier::Pair, Carrier::Single];

impl Pair {
    /// Makes a token in the server's first account.
    pub(crate) async fn make(server: &TestServer, body: Value) -> Self {
        Self::of(&server.make_service_token(&server.home, body).await)
    }

    /// Of a reply that has a secret.
    pub(crate) fn of(token: &Value) -> Self {
        let [id, client_id, secret] = ["id", "client_id", "client_secret"].map(|field| text(&token[field]));
        Self { id, client_id, secret }
    }

    /// The same client ID with another secret.
    pub(crate) fn but(&self, secret: &str) -> Self {
        Self { secret: secret.to_owned(), ..self.clone() }
    }

    /// A question that presents it.
    pub(crate) fn on(&self, question: &Question, carrier: Carrier) -> Question {
        let Self { client_id, secret, .. } = self;
        match carrier {
            Carrier::Pair => question
                .with("CF-Access-Client-Id", client_id.as_str())
                .with("CF-Access-Client-Secret", secret.as_str()),
            Carrier::Single => {
                let value = json!({"cf-access-client-id": client_id, "cf-access-client-secret": secret});
                question.with("Authorization", value.to_string())
            }
        }
    }
}

/// Protects a domain of the server's first account: any of its tokens passes, also with the single header `Authorization`. `more` is
/// merged into the application.
pub(crate) async fn protect(server: &TestServer, domain: &str, more: Value) -> Value {
    let mut app = json!({
        "type": "self_hosted", "domain": domain, "read_service_tokens_from_header": "Authorization",
        "policies": [{"name": "machines", "decision": "non_identity", "include": [{"any_valid_service_token": {}}]}],
    });
    app.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let apps = format!("{}/access/apps", server.home.account_path());
    server.key(&server.home).post(&apps, app).await.result(201)
}
