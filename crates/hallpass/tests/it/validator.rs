//! Assertions as a stock validator of Rust checks them: the `jsonwebtoken` crate, with its default rules and the published keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::time::Timestamp;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde_json::{Value, json};

use crate::door::{Carrier, Door, Pair, protect, question};
use crate::harness::{TestServer, both_engines, text};

const HOST: &str = "grafana.example.com";

/// What a service behind the gate would check by: its application's audience, and who issues.
struct Service {
    server: TestServer,
    door: Door,
    pair: Pair,
    audience: String,
    issuer: String,
}

impl Service {
    /// The validator looks at the machine's clock, so the gate's stands there too, or so many hours before.
    async fn behind(server: TestServer, hours_ago: i64) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let now = i64::try_from(now.as_micros()).unwrap() - hours_ago * 3_600_000_000;
        server.world.set(Timestamp::from_micros(now).unwrap()).unwrap();
        let app = protect(&server, HOST, json!({})).await;
        let pair = Pair::make(&server, json!({"name": "ci"})).await;
        let organization = format!("{}/access/organizations", server.home.account_path());
        let organization = server.key(&server.home).get(&organization).await.result(200);
        let issuer = format!("https://{}", text(&organization["auth_domain"]));
        let door = Door::open(&server).await;
        Self { server, door, pair, audience: text(&app["aud"]), issuer }
    }

    fn assertion(&self) -> String {
        let asked = self.pair.on(&question("nginx", HOST, "/"), Carrier::Pair);
        self.door.pass(&asked)["cf-access-jwt-assertion"].clone()
    }

    fn keys(&self) -> JwkSet {
        let published = self.door.get("/cdn-cgi/access/certs", HOST);
        assert_eq!(published.status, 200);
        serde_json::from_str(&published.body).unwrap()
    }

    fn rules(&self) -> Validation {
        let mut rules = Validation::new(Algorithm::RS256);
        rules.set_audience(&[&self.audience]);
        rules.set_issuer(&[&self.issuer]);
        rules
    }

    /// What the validator makes of it, by the keys that are published now.
    fn check(&self, assertion: &str) -> Result<Value, Error> {
        check(&self.keys(), assertion, &self.rules())
    }
}

fn check(keys: &JwkSet, assertion: &str, rules: &Validation) -> Result<Value, Error> {
    let header = decode_header(assertion)?;
    let key = header.kid.as_deref().and_then(|kid| keys.find(kid)).ok_or(ErrorKind::InvalidKeyFormat)?;
    Ok(decode::<Value>(assertion, &DecodingKey::from_jwk(key)?, rules)?.claims)
}

fn parts(assertion: &str) -> [&str; 3] {
    assertion.split('.').collect::<Vec<_>>().try_into().unwrap()
}

both_engines!(
    what_the_gate_signs_is_accepted_by_default_rules_before_and_after_a_rotation,
    |server: TestServer| async move {
        let service = Service::behind(server, 0).await;
        let (before, keys) = (service.assertion(), service.keys());
        let claims = service.check(&before).unwrap();
        assert_eq!(claims["common_name"], service.pair.client_id);
        let mut stricter = service.rules();
        stricter.validate_nbf = true;
        stricter.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        check(&keys, &before, &stricter).unwrap();

        let rotate = format!("{}/access/keys/rotate", service.server.home.account_path());
        service.server.key(&service.server.home).post(&rotate, json!({})).await.result(200);
        let after = service.assertion();
        let kid = |assertion: &str| decode_header(assertion).unwrap().kid.unwrap();
        assert_ne!(kid(&after), kid(&before));
        service.check(&after).unwrap();
        service.check(&before).unwrap();
        // And for whoever has not fetched the keys again.
        check(&keys, &after, &service.rules()).unwrap();
    }
);

both_engines!(what_was_changed_on_the_way_is_accepted_by_nobody, |server: TestServer| async move {
    let service = Service::behind(server, 0).await;
    let good = service.assertion();
    let [header, payload, signature] = parts(&good);
    let refused = |assertion: &str| service.check(assertion).expect_err("it is accepted").into_kind();

    let claims = URL_SAFE_NO_PAD.decode(payload).unwrap();
    for at in 0..claims.len() {
        let mut changed = claims.clone();
        changed[at] ^= 1;
        let changed = format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(changed));
        assert_eq!(refused(&changed), ErrorKind::InvalidSignature, "bit 0 of byte {at}");
    }
    let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    for at in [0, bytes.len() / 2, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let changed = format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(changed));
        assert_eq!(refused(&changed), ErrorKind::InvalidSignature, "byte {at} of the signature");
    }
    assert_eq!(refused(&format!("{header}.{payload}.")), ErrorKind::InvalidSignature);

    let kid = decode_header(&good).unwrap().kid.unwrap();
    for alg in ["none", "None", "NONE", ""] {
        let unsigned = URL_SAFE_NO_PAD.encode(json!({"alg": alg, "kid": kid, "typ": "JWT"}).to_string());
        for signature in ["", signature] {
            refused(&format!("{unsigned}.{payload}.{signature}"));
        }
    }
    // The public key as the secret of a symmetric signature, in each form in which somebody may have it.
    let published: Value =
        serde_json::from_str(&service.door.get("/cdn-cgi/access/certs", HOST).body).unwrap();
    let key = published["keys"].as_array().unwrap().iter().find(|key| key["kid"] == json!(kid)).unwrap();
    let (modulus, pem) = (text(&key["n"]), text(&published["public_cert"]["cert"]));
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    for secret in [pem.as_bytes(), modulus.as_bytes(), &URL_SAFE_NO_PAD.decode(&modulus).unwrap()] {
        let header = Header { kid: Some(kid.clone()), ..Header::new(Algorithm::HS256) };
        let forged = encode(&header, &claims, &EncodingKey::from_secret(secret)).unwrap();
        assert_eq!(refused(&forged), ErrorKind::InvalidAlgorithm);
    }
    // Right as it is, and meant for somebody else.
    let keys = service.keys();
    let mut elsewhere = service.rules();
    elsewhere.set_audience(&["0".repeat(64)]);
    assert_eq!(*check(&keys, &good, &elsewhere).unwrap_err().kind(), ErrorKind::InvalidAudience);
    let mut other = service.rules();
    other.set_issuer(&["https://other.example.com"]);
    assert_eq!(*check(&keys, &good, &other).unwrap_err().kind(), ErrorKind::InvalidIssuer);
    // Another account's key signs for nobody here.
    let theirs = service.server.store.signing_keys().load().await.unwrap();
    let foreign = theirs[&service.server.abroad.account].sign(&claims).unwrap();
    assert_eq!(refused(&foreign), ErrorKind::InvalidKeyFormat, "its key is not among ours");
    service.check(&good).unwrap();
});

both_engines!(what_has_expired_is_accepted_by_nobody, |server: TestServer| async move {
    // A session lasts a day.
    let service = Service::behind(server, 48).await;
    let old = service.assertion();
    assert_eq!(*service.check(&old).unwrap_err().kind(), ErrorKind::ExpiredSignature);
    service.server.advance("48h");
    let new = service.assertion();
    assert_ne!(new, old, "it is not handed out again");
    service.check(&new).unwrap();
    assert_eq!(*service.check(&old).unwrap_err().kind(), ErrorKind::ExpiredSignature);
});
