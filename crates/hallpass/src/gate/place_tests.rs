//! A gate whose directory and snapshot are made by hand, and questions to it as proxies put them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use hallpass_core::app::{App, Audience, Pattern};
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
use serde_json::Map;

use super::listener::answer_safely;
use super::snapshot::Snapshot;
use super::{Gate, Settings};
use crate::server_key::ServerKey;
use crate::signing_keys::{KeySet, KeyState, NewKey, StoredKey, WrapKey};
use crate::store::gate_feed::{GateToken, Guards};
use crate::store::{Durability, Location, Purpose, Store};
use crate::world::World;

pub(super) const ACCOUNT: [u8; 16] = [7; 16];
pub(super) const LOOPBACK: &str = "127.0.0.1";
pub(super) const IDENTITY: [&str; 4] = [
    "cf-access-jwt-assertion",
    "cf-access-authenticated-user-email",
    "hallpass-client-id",
    "hallpass-token-name",
];

/// A gate with three tokens (1 lives, 2 is disabled, 3 has expired) and three applications.
pub(super) struct Place {
    _directory: tempfile::TempDir,
    _store: Store,
    pub(super) world: World,
    key: ServerKey,
    pub(super) gate: Gate,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

pub(super) fn now() -> Timestamp {
    "2027-01-01T00:00:00Z".parse().unwrap()
}

pub(super) fn app(n: u8, pattern: &str, decision: PolicyDecision, rule: Rule) -> Arc<App> {
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

pub(super) fn client_id(n: u8) -> ClientId {
    ClientId::random([n; 16])
}

impl Place {
    pub(super) async fn new() -> Self {
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

    pub(super) fn set_token(&self, n: u8, change: impl FnOnce(&mut KnownServiceToken)) {
        let id = ServiceTokenId::from_bytes([n; 16]);
        let secret = ClientSecret::presented(&format!("secret-{n}"));
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

    pub(super) fn set_apps(&self, apps: Vec<Arc<App>>) {
        let account_id = AccountId::from_bytes(ACCOUNT);
        let organization = organization(account_id, "acme.example.com");
        let old = self.gate.inner.snapshot.load();
        let keys = old.signer(account_id).map(|(_, keys)| keys.clone());
        let guards = Guards {
            apps: apps.into_iter().map(Arc::unwrap_or_clone).collect(),
            organizations: vec![organization],
            keys: HashMap::from([(account_id, keys.unwrap_or_else(|| key_set(account_id)))]),
            ..Guards::default()
        };
        self.gate.inner.snapshot.store(Arc::new(Snapshot::from(guards)));
    }

    /// The same applications, as if nobody could sign for them.
    pub(super) fn set_apps_without_keys(&self) {
        let apps = self.gate.inner.snapshot.load().apps.apps().map(|app| (**app).clone()).collect();
        self.gate.inner.snapshot.store(Arc::new(Snapshot::from(Guards { apps, ..Guards::default() })));
    }

    pub(super) async fn ask_from(&self, peer: &str, request: &Parts) -> Reply {
        let peer: IpAddr = peer.parse().unwrap();
        let answer = answer_safely(|| self.gate.clone(), peer, request);
        let status = answer.status().as_u16();
        let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap().to_owned();
        let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        Reply { status, headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub(super) async fn ask(&self, request: &Parts) -> Reply {
        self.ask_from(LOOPBACK, request).await
    }

    /// What a refusal's reference stands for.
    pub(super) fn reason(&self, reply: &Reply) -> Reason {
        self.gate.open(&reply.headers["hallpass-ref"]).unwrap().reason
    }
}

pub(super) fn request(target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

pub(super) const DIALECTS: [&str; 4] = ["nginx", "caddy", "traefik", "envoy"];

/// A question in a dialect, as its proxy puts it, with the client's own headers behind.
pub(super) fn question(dialect: &str, host: &str, path: &str, more: &[(&str, &str)]) -> Parts {
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

pub(super) fn pair(n: u8, secret: &str) -> [(String, String); 2] {
    [
        ("cf-access-client-id".to_owned(), client_id(n).to_string()),
        ("cf-access-client-secret".to_owned(), secret.to_owned()),
    ]
}

pub(super) fn with(dialect: &str, host: &str, credential: &[(String, String)]) -> Parts {
    let credential: Vec<_> = credential.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    question(dialect, host, "/", &credential)
}

pub(super) fn organization(account_id: AccountId, auth_domain: &str) -> Organization {
    Organization {
        account_id,
        auth_domain: auth_domain.to_owned(),
        name: "Acme".to_owned(),
        inactivity: None,
        body: Map::new(),
        created_at: now(),
        updated_at: now(),
    }
}

pub(super) fn key_set(account: AccountId) -> KeySet {
    let world = World::standing(now());
    let wrap = WrapKey::new(&ServerKey::random(&world));
    let NewKey { kid, wrapped, modulus, certificate } = NewKey::make(account, &wrap, &world).unwrap();
    let signs_since = Some(now());
    let key = StoredKey {
        kid,
        state: KeyState::Current,
        wrapped: Some(wrapped),
        modulus,
        certificate,
        signs_since,
    };
    KeySet::open(&wrap, account, &[key]).unwrap()
}
