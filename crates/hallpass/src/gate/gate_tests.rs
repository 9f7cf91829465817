//! The gate as proxies meet it: requests in, answers out, over a directory and a snapshot that are made by hand.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::app::{App, AppIndex, Audience, Pattern};
use hallpass_core::client_id::ClientId;
use hallpass_core::decision::{KnownServiceToken, Reason};
use hallpass_core::id::{AccountId, AppId, PolicyId, ServiceTokenId};
use hallpass_core::organization::Organization;
use hallpass_core::policy::{AttachedPolicy, Policy, PolicyDecision};
use hallpass_core::rule::{Rule, Rules};
use hallpass_core::secret::{ClientSecret, SecretDigest, SecretKind};
use hallpass_core::service_token::Name;
use hallpass_core::time::Timestamp;
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::http::request::Parts;
use serde_json::{Map, Value};

use super::listener::answer_safely;
use super::snapshot::Snapshot;
use super::{Gate, Settings, Trust, UNHEARD};
use crate::server_key::ServerKey;
use crate::signing_keys::KeySet;
use crate::store::gate_feed::GateToken;
use crate::store::{Durability, Location, Purpose, Store};
use crate::world::World;

const ACCOUNT: [u8; 16] = [7; 16];
const LOOPBACK: &str = "127.0.0.1";
const IDENTITY: [&str; 4] = [
    "cf-access-jwt-assertion",
    "cf-access-authenticated-user-email",
    "hallpass-client-id",
    "hallpass-token-name",
];

/// A gate with three tokens (1 lives, 2 is disabled, 3 has expired) and three applications.
struct Place {
    _directory: tempfile::TempDir,
    _store: Store,
    world: World,
    key: ServerKey,
    gate: Gate,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reply {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

fn now() -> Timestamp {
    "2027-01-01T00:00:00Z".parse().unwrap()
}

fn app(n: u8, pattern: &str, decision: PolicyDecision, rule: Rule) -> Arc<App> {
    let account_id = AccountId::from_bytes(ACCOUNT);
    let policy = Policy {
        id: PolicyId::from_bytes([n; 16]),
        account_id,
        zone_id: None,
        app_id: None,
        name: Name::parse("policy").unwrap(),
        decision,
        rules: Rules { include: vec![rule], ..Rules::default() },
        body: Map::new(),
        created_at: now(),
        updated_at: now(),
    };
    Arc::new(App {
        id: AppId::from_bytes([n; 16]),
        account_id,
        zone_id: None,
        name: Name::parse("app").unwrap(),
        aud: Audience::random([n; 32]),
        patterns: vec![Pattern::parse(pattern).unwrap()],
        session_seconds: 3_600,
        credential_header: None,
        service_auth_401: false,
        revoked_before: None,
        policies: vec![AttachedPolicy { precedence: 1, policy: Arc::new(policy) }],
        body: Map::new(),
        created_at: now(),
        updated_at: now(),
    })
}

fn client_id(n: u8) -> ClientId {
    ClientId::random([n; 16])
}

impl Place {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let world = World::standing(now());
        let key = ServerKey::random(&world);
        let location = Location::Directory(directory.path().to_owned());
        let store =
            Store::open(&location, &key, Purpose::Emulator, Durability::NoneForTests, &world).await.unwrap();
        let gate = Gate::start(&store, &key, &world, Settings::default()).await.unwrap();
        gate.inner.following.get().unwrap().abort();
        let place = Self { _directory: directory, _store: store, world, key, gate };
        for n in 1..=3 {
            place.set_token(n, |token| {
                token.enabled = n != 2;
                token.expires_at = (n == 3).then(now);
            });
        }
        place.set_apps(vec![
            app(1, "grafana.example.com", PolicyDecision::NonIdentity, Rule::AnyValidServiceToken),
            app(2, "wiki.example.com/open", PolicyDecision::Bypass, Rule::Everyone),
            app(
                3,
                "ci.example.com",
                PolicyDecision::NonIdentity,
                Rule::ServiceToken(ServiceTokenId::from_bytes([9; 16])),
            ),
        ]);
        place
    }

    fn set_token(&self, n: u8, change: impl FnOnce(&mut KnownServiceToken)) {
        let id = ServiceTokenId::from_bytes([n; 16]);
        let secret = ClientSecret::presented(&format!("secret {n}"));
        let mut known = KnownServiceToken {
            id,
            account_id: AccountId::from_bytes(ACCOUNT),
            name: "build é 100%".into(),
            enabled: true,
            expires_at: None,
            current: SecretDigest::new(
                &self.key.digest_key(),
                SecretKind::ServiceToken,
                &id.to_string(),
                &secret,
            ),
            previous: None,
        };
        change(&mut known);
        self.gate.inner.directory.load().set(GateToken { client_id: client_id(n), known });
    }

    fn set_apps(&self, apps: Vec<Arc<App>>) {
        let account_id = AccountId::from_bytes(ACCOUNT);
        let organization = Organization {
            account_id,
            auth_domain: "acme.example.com".to_owned(),
            name: "Acme".to_owned(),
            inactivity: None,
            body: Map::new(),
            created_at: now(),
            updated_at: now(),
        };
        let old = self.gate.inner.snapshot.swap(Arc::default());
        let keys = match Arc::try_unwrap(old) {
            Ok(old) if !old.keys.is_empty() => old.keys,
            _ => HashMap::from([(account_id, KeySet::generate().unwrap())]),
        };
        self.gate.inner.snapshot.store(Arc::new(Snapshot {
            apps: AppIndex::new(apps),
            groups: HashMap::new(),
            organizations: HashMap::from([(account_id, organization)]),
            keys,
        }));
    }

    async fn ask_from(&self, peer: &str, request: &Parts) -> Reply {
        let peer: IpAddr = peer.parse().unwrap();
        let answer = answer_safely(&self.gate, peer, request);
        let status = answer.status().as_u16();
        let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap().to_owned();
        let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        Reply { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    async fn ask(&self, request: &Parts) -> Reply {
        self.ask_from(LOOPBACK, request).await
    }

    /// What a refusal's reference stands for.
    fn reason(&self, reply: &Reply) -> Reason {
        self.gate.open(&reply.headers["hallpass-ref"]).unwrap().reason
    }
}

fn request(target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

const DIALECTS: [&str; 4] = ["nginx", "caddy", "traefik", "envoy"];

/// A question in a dialect, as its proxy puts it, with the client's own headers behind.
fn question(dialect: &str, host: &str, path: &str, more: &[(&str, &str)]) -> Parts {
    let (target, mut headers) = match dialect {
        "nginx" => (
            "/auth/nginx".to_owned(),
            vec![
                ("x-original-host", host),
                ("x-original-uri", path),
                ("x-original-method", "GET"),
                ("x-real-ip", "192.0.2.1"),
            ],
        ),
        "envoy" => (format!("/auth/envoy{path}"), vec![("host", host), ("x-forwarded-for", "192.0.2.1")]),
        dialect => (
            format!("/auth/{dialect}"),
            vec![
                ("x-forwarded-host", host),
                ("x-forwarded-uri", path),
                ("x-forwarded-method", "GET"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-for", "192.0.2.1"),
            ],
        ),
    };
    headers.extend(more);
    request(&target, &headers)
}

fn pair(n: u8, secret: &str) -> [(String, String); 2] {
    [
        ("cf-access-client-id".to_owned(), client_id(n).to_string()),
        ("cf-access-client-secret".to_owned(), secret.to_owned()),
    ]
}

fn with(dialect: &str, host: &str, credential: &[(String, String)]) -> Parts {
    let credential: Vec<_> = credential.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    question(dialect, host, "/", &credential)
}

#[tokio::test]
async fn a_live_token_passes_in_every_dialect_with_every_identity_header() {
    let place = Place::new().await;
    for dialect in DIALECTS {
        let reply = place.ask(&with(dialect, "grafana.example.com", &pair(1, "secret 1"))).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, ""), "{dialect}");
        assert_eq!(reply.headers["hallpass-client-id"], client_id(1).to_string());
        assert_eq!(reply.headers["hallpass-token-name"], "build%20%C3%A9%20100%25");
        assert_eq!(reply.headers["cf-access-authenticated-user-email"], "");
        let claims = reply.headers["cf-access-jwt-assertion"].split('.').nth(1).unwrap();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        assert_eq!(claims["iss"], "https://acme.example.com");
        assert_eq!(claims["aud"][0], Audience::random([1; 32]).as_str());
        assert_eq!(
            (&claims["common_name"], &claims["sub"]),
            (&Value::from(client_id(1).to_string()), &Value::from(""))
        );
    }
}

#[tokio::test]
async fn a_bypass_lets_everybody_in_and_every_identity_header_arrives_empty() {
    let place = Place::new().await;
    for credential in [vec![], pair(1, "secret 1").to_vec(), pair(8, "nonsense").to_vec()] {
        let credential: Vec<_> =
            credential.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let reply = place.ask(&question("caddy", "wiki.example.com", "/open/door", &credential)).await;
        assert_eq!(reply.status, 200);
        assert!(IDENTITY.iter().all(|name| reply.headers[*name].is_empty()));
    }
}

#[tokio::test]
async fn refusals_of_credentials_differ_in_nothing_but_their_reference() {
    let place = Place::new().await;
    let half = pair(1, "secret 1")[..1].to_vec();
    let cases = [
        (pair(8, "secret 8").to_vec(), Reason::Unknown),
        (pair(1, "secret 2").to_vec(), Reason::WrongSecret),
        (pair(2, "secret 2").to_vec(), Reason::Disabled),
        (pair(3, "secret 3").to_vec(), Reason::Expired),
        (half, Reason::Malformed),
        ([pair(1, "secret 1"), pair(1, "secret 1")].concat(), Reason::Malformed),
    ];
    for dialect in DIALECTS {
        let mut first = None;
        for (credential, reason) in &cases {
            let mut reply = place.ask(&with(dialect, "grafana.example.com", credential)).await;
            assert_eq!((reply.status, place.reason(&reply)), (401, *reason), "{dialect}");
            let reference = reply.headers.insert("hallpass-ref".to_owned(), String::new()).unwrap();
            assert_eq!(&(reply.clone(), reference.len()), first.get_or_insert((reply, reference.len())));
        }
    }
}

#[tokio::test]
async fn the_other_refusals_have_their_own_status() {
    let place = Place::new().await;
    for dialect in DIALECTS {
        let nobody = place.ask(&with(dialect, "grafana.example.com", &[])).await;
        assert_eq!((nobody.status, place.reason(&nobody)), (403, Reason::NoCredential));
        let nowhere = place.ask(&with(dialect, "other.example.com", &pair(1, "secret 1"))).await;
        assert_eq!((nowhere.status, place.reason(&nowhere)), (403, Reason::NoApp));
        let elsewhere = place.ask(&with(dialect, "ci.example.com", &pair(1, "secret 1"))).await;
        assert_eq!((elsewhere.status, place.reason(&elsewhere)), (403, Reason::NotAllowed));
        assert!(nobody.headers.keys().all(|name| !IDENTITY.contains(&name.as_str())));
        assert_eq!(nobody.headers["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn each_dialect_wants_its_own_headers_exactly_once() {
    let place = Place::new().await;
    for dialect in DIALECTS {
        let good = with(dialect, "grafana.example.com", &pair(1, "secret 1"));
        let (ambiguous, own) = match dialect {
            "nginx" => (403, &["x-original-host", "x-original-uri", "x-real-ip"][..]),
            "envoy" => (400, &["host", "x-forwarded-for"][..]),
            _ => (400, &["x-forwarded-host", "x-forwarded-uri", "x-forwarded-for"][..]),
        };
        for name in own {
            let mut without = good.clone();
            without.headers.remove(*name);
            let reply = place.ask(&without).await;
            assert_eq!(
                (reply.status, place.reason(&reply)),
                (ambiguous, Reason::Ambiguous),
                "{dialect} {name}"
            );
            let mut twice = good.clone();
            let value = twice.headers[*name].clone();
            twice.headers.append(*name, value);
            assert_eq!(place.ask(&twice).await.status, ambiguous, "{dialect} {name}");
            let mut odd = good.clone();
            odd.headers.insert(*name, hyper::header::HeaderValue::from_bytes(b"\xff\xfe").unwrap());
            assert_eq!(place.ask(&odd).await.status, ambiguous, "{dialect} {name}");
        }
    }
}

#[tokio::test]
async fn headers_of_other_proxies_and_other_spellings_have_no_effect() {
    let place = Place::new().await;
    let foreign = [
        ("x-original-host", "wiki.example.com"),
        ("x-original-uri", "/open"),
        ("x-forwarded-host", "wiki.example.com"),
        ("x-forwarded-uri", "/open"),
        ("x_forwarded_host", "wiki.example.com"),
        ("x.forwarded.uri", "/open"),
        ("forwarded", "host=wiki.example.com"),
        ("x-original-url", "/open"),
        ("x-rewrite-url", "/open"),
        ("x-forwarded-prefix", "/open"),
        ("user-agent", "kube-probe/1.30"),
        ("cf_access_client_id", "x"),
    ];
    for dialect in DIALECTS {
        let mut asked = with(dialect, "grafana.example.com", &[]);
        for (name, value) in foreign {
            if !asked.headers.contains_key(name) {
                asked.headers.insert(name, value.parse().unwrap());
            }
        }
        let reply = place.ask(&asked).await;
        assert_eq!((reply.status, place.reason(&reply)), (403, Reason::NoCredential), "{dialect}");
    }
}

#[tokio::test]
async fn only_trusted_peers_are_answered() {
    let place = Place::new().await;
    let asked = with("caddy", "grafana.example.com", &pair(1, "secret 1"));
    for (peer, status) in [
        ("127.0.0.1", 200),
        ("127.9.9.9", 200),
        ("::1", 200),
        ("::ffff:127.0.0.1", 200),
        ("10.0.0.1", 403),
        ("2001:db8::1", 403),
    ] {
        assert_eq!(place.ask_from(peer, &asked).await.status, status, "{peer}");
    }
    let refused = place.ask_from("10.0.0.1", &asked).await;
    assert_eq!(place.reason(&refused), Reason::Untrusted);
    let settings = |trust| Settings { trust, ..Settings::default() };
    place.gate.set(settings(Trust::Peers(vec!["10.0.0.0/8".parse().unwrap()])));
    assert_eq!(place.ask_from("10.0.0.1", &asked).await.status, 200);
    assert_eq!(place.ask_from(LOOPBACK, &asked).await.status, 403);
    place.gate.set(settings(Trust::Everyone(Vec::new())));
    assert_eq!(place.ask_from("203.0.113.9", &asked).await.status, 200);
}

#[tokio::test]
async fn a_gate_that_has_not_heard_for_too_long_refuses_even_what_needs_no_credential() {
    let place = Place::new().await;
    let bypass = question("envoy", "wiki.example.com", "/open", &[]);
    assert_eq!(place.ask(&bypass).await.status, 200);
    let long_ago = Settings { max_staleness: Duration::ZERO, ..Settings::default() };
    place.gate.set(long_ago);
    tokio::task::yield_now().await;
    let reply = place.ask(&bypass).await;
    assert_eq!((reply.status, place.reason(&reply)), (503, Reason::Stale));
    assert_eq!(place.ask(&request("/readyz", &[])).await.status, 503);
    // Moving the clock that everybody sees changes nothing about that.
    place.gate.set(Settings::default());
    place.world.advance(86_400_000_000).unwrap();
    assert_eq!(place.ask(&bypass).await.status, 200);
    place.gate.inner.heard.store(UNHEARD, Ordering::Release);
    assert_eq!(place.ask(&bypass).await.status, 503);
    assert_eq!(place.ask(&request("/healthz", &[])).await.status, 200);
}

#[tokio::test]
async fn a_clock_far_behind_the_store_and_a_missing_key_are_no_reason_to_guess() {
    let place = Place::new().await;
    let asked = with("traefik", "grafana.example.com", &pair(1, "secret 1"));
    place.gate.inner.newest.store(now().as_micros() + 5_000_000, Ordering::Release);
    assert_eq!(place.ask(&asked).await.status, 200);
    place.gate.inner.newest.store(now().as_micros() + 5_000_001, Ordering::Release);
    let reply = place.ask(&asked).await;
    assert_eq!((reply.status, place.reason(&reply)), (503, Reason::Clock));
    place.gate.inner.newest.store(0, Ordering::Release);
    let apps = place.gate.inner.snapshot.load().apps.apps().cloned().collect::<Vec<_>>();
    place.gate.inner.snapshot.store(Arc::new(Snapshot { apps: AppIndex::new(apps), ..Snapshot::default() }));
    let reply = place.ask(&asked).await;
    assert_eq!((reply.status, place.reason(&reply)), (503, Reason::NoKey));
}

#[tokio::test]
async fn an_assertion_is_used_again_until_half_of_its_life_is_over_or_it_is_revoked() {
    let place = Place::new().await;
    let asked = with("nginx", "grafana.example.com", &pair(1, "secret 1"));
    let assertion = async || place.ask(&asked).await.headers["cf-access-jwt-assertion"].clone();
    let first = assertion().await;
    place.world.advance(1_800_000_000).unwrap();
    assert_eq!(assertion().await, first);
    place.world.advance(1).unwrap();
    let second = assertion().await;
    assert_ne!(second, first);
    place.world.advance(10_000_000).unwrap();
    let mut revoked =
        (*app(1, "grafana.example.com", PolicyDecision::NonIdentity, Rule::AnyValidServiceToken)).clone();
    revoked.revoked_before = Some(place.world.now());
    place.set_apps(vec![Arc::new(revoked)]);
    assert_ne!(assertion().await, second);
    // And nothing that is kept helps a token that may not pass any more.
    place.set_token(1, |token| token.enabled = false);
    assert_eq!(place.ask(&asked).await.status, 401);
}

#[tokio::test]
async fn no_other_path_is_ever_a_yes() {
    let place = Place::new().await;
    let pair = pair(1, "secret 1");
    for target in [
        "/",
        "/auth",
        "/auth/",
        "/auth/nginx/",
        "/auth/nginx/x",
        "/auth/envoy",
        "/auth/envoyx",
        "/auth/apache",
        "/AUTH/nginx",
        "/cdn-cgi/access/certs/",
        "/cdn-cgi/access/get-identity",
        "/ping",
        "/metrics",
        "//auth/nginx",
    ] {
        let mut asked = with("nginx", "grafana.example.com", &pair);
        asked.uri = target.parse().unwrap();
        assert_eq!(place.ask(&asked).await.status, 404, "{target}");
    }
    let mut absolute = with("envoy", "grafana.example.com", &pair);
    absolute.uri = "http://wiki.example.com/auth/envoy/open".parse().unwrap();
    assert_eq!(place.ask(&absolute).await.status, 400);
}

#[tokio::test]
async fn keys_are_published_for_the_auth_domain_and_the_hosts_of_applications() {
    let place = Place::new().await;
    let certs = |host| request("/cdn-cgi/access/certs", &[("host", host)]);
    for host in [
        "acme.example.com",
        "ACME.example.com:8485",
        "grafana.example.com",
        "wiki.example.com",
        "anything.test",
    ] {
        let reply = place.ask(&certs(host)).await;
        assert_eq!(
            (reply.status, reply.headers["content-type"].as_str()),
            (200, "application/json"),
            "{host}"
        );
        assert!(reply.body.contains("\"keys\""));
    }
    // From everywhere: they are no secret.
    assert_eq!(place.ask_from("203.0.113.9", &certs("acme.example.com")).await.status, 200);
    assert_eq!(place.ask(&request("/cdn-cgi/access/certs", &[])).await.status, 404);
}
