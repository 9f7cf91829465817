//! The gate as proxies meet it: requests in, answers out.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::app::Audience;
use hallpass_core::decision::Reason;
use hallpass_core::policy::PolicyDecision;
use hallpass_core::rule::Rule;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::Value;

use super::check::Verdict;
use super::forward_auth::Dialect;
use super::place_tests::{
    DIALECTS, IDENTITY, LOOPBACK, Place, app, client_id, now, pair, question, request, with,
};
use super::{Settings, Trust, UNHEARD};
use crate::reference::Refusal;

#[tokio::test]
async fn a_live_token_passes_in_every_dialect_with_every_identity_header() {
    let place = Place::new().await;
    for dialect in DIALECTS {
        let reply = place.ask(&with(dialect, "grafana.example.com", &pair(1, "secret-1"))).await;
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
    for credential in [vec![], pair(1, "secret-1").to_vec(), pair(8, "nonsense").to_vec()] {
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
    let half = pair(1, "secret-1")[..1].to_vec();
    let cases = [
        (pair(8, "secret-8").to_vec(), Reason::Unknown),
        (pair(1, "secret-2").to_vec(), Reason::WrongSecret),
        (pair(2, "secret-2").to_vec(), Reason::Disabled),
        (pair(3, "secret-3").to_vec(), Reason::Expired),
        (half, Reason::Malformed),
        ([pair(1, "secret-1"), pair(1, "secret-1")].concat(), Reason::Malformed),
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
        let nowhere = place.ask(&with(dialect, "other.example.com", &pair(1, "secret-1"))).await;
        assert_eq!((nowhere.status, place.reason(&nowhere)), (403, Reason::NoApp));
        let elsewhere = place.ask(&with(dialect, "ci.example.com", &pair(1, "secret-1"))).await;
        assert_eq!((elsewhere.status, place.reason(&elsewhere)), (403, Reason::NotAllowed));
        assert!(nobody.headers.keys().all(|name| !IDENTITY.contains(&name.as_str())));
        assert_eq!(nobody.headers["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn each_dialect_wants_its_own_headers_exactly_once() {
    let place = Place::new().await;
    for dialect in DIALECTS {
        let good = with(dialect, "grafana.example.com", &pair(1, "secret-1"));
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
            let mut empty = good.clone();
            empty.headers.insert(*name, hyper::header::HeaderValue::from_static(" "));
            assert_eq!(place.ask(&empty).await.status, ambiguous, "{dialect} {name}");
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
    let asked = with("caddy", "grafana.example.com", &pair(1, "secret-1"));
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
async fn a_hundred_thousand_guesses_neither_lock_the_holder_out_nor_fill_the_memory() {
    const GUESSES: u64 = 100_000;
    const MOST_KEPT: u64 = 40_000;
    let place = Place::new().await;
    let peer: IpAddr = LOOPBACK.parse().unwrap();
    // However slow the machine is.
    place.gate.set(Settings { max_staleness: Duration::from_hours(1), ..Settings::default() });
    let right = with("caddy", "grafana.example.com", &pair(1, "secret-1"));
    let mut wrong = right.clone();
    let accesses = &place.gate.inner.accesses;
    let (left_out, known) = (accesses.left_out(), place.gate.inner.directory.load().len());
    // Nothing is awaited from here on, so that nothing is written meanwhile: all that is noted has to be kept, or left out.
    for guess in 0..GUESSES {
        wrong.headers.insert("cf-access-client-secret", format!("guess-{guess}").try_into().unwrap());
        let verdict = place.gate.check(Dialect::Caddy, peer, &wrong);
        let refused = matches!(&verdict, Verdict::Refused(401, Refusal { reason: Reason::WrongSecret, .. }));
        assert!(refused, "guess {guess}: {verdict:?}");
        if guess % 10 == 9 {
            let verdict = place.gate.check(Dialect::Caddy, peer, &right);
            assert!(matches!(verdict, Verdict::Passed(_)), "after guess {guess}: {verdict:?}");
        }
    }
    let left_out = accesses.left_out() - left_out;
    assert!((GUESSES - MOST_KEPT..GUESSES).contains(&left_out), "{left_out} of {GUESSES} are left out");
    assert_eq!(place.gate.inner.directory.load().len(), known);
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
async fn a_gate_that_missed_a_change_refuses_until_it_has_followed_again() {
    let place = Place::new().await;
    let bypass = question("envoy", "wiki.example.com", "/open", &[]);
    place.gate.inner.feed.miss();
    let reply = place.ask(&bypass).await;
    assert_eq!((reply.status, place.reason(&reply)), (503, Reason::Stale));
    assert_eq!(place.ask(&request("/readyz", &[])).await.status, 503);
    assert_eq!(place.gate.age(), None);
    place.gate.inner.follow().await.unwrap();
    assert_eq!(place.ask(&bypass).await.status, 200);
    assert_eq!(place.ask(&request("/readyz", &[])).await.status, 200);
}

#[tokio::test]
async fn a_clock_far_behind_the_store_and_a_missing_key_are_no_reason_to_guess() {
    let place = Place::new().await;
    let asked = with("traefik", "grafana.example.com", &pair(1, "secret-1"));
    place.gate.inner.newest.store(now().as_micros() + 5_000_000, Ordering::Release);
    assert_eq!(place.ask(&asked).await.status, 200);
    let ready = async || {
        let reply = place.ask(&request("/readyz", &[])).await;
        (reply.status, reply.body)
    };
    assert_eq!(ready().await.0, 200);
    place.gate.inner.newest.store(now().as_micros() + 5_000_001, Ordering::Release);
    let reply = place.ask(&asked).await;
    assert_eq!((reply.status, place.reason(&reply)), (503, Reason::Clock));
    let (status, why) = ready().await;
    assert!(status == 503 && why.contains("clock"), "{why}");
    place.gate.inner.newest.store(0, Ordering::Release);
    place.set_apps_without_keys();
    let reply = place.ask(&asked).await;
    assert_eq!((reply.status, place.reason(&reply)), (503, Reason::NoKey));
    let (status, why) = ready().await;
    assert!(status == 503 && why.contains("signing key"), "{why}");
    // Where nothing is protected, nothing has to be signed.
    place.gate.inner.snapshot.store(Arc::default());
    assert_eq!(ready().await.0, 200);
}

#[tokio::test]
async fn the_metrics_say_how_old_the_oldest_key_is_and_who_has_none() {
    let place = Place::new().await;
    let metric = |name: &str| {
        let mut registry = Registry::with_prefix("hallpass");
        place.gate.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")))?;
        line.rsplit_once(' ').map(|(_, value)| value.to_owned())
    };
    let (age, without) =
        ("hallpass_gate_signing_key_age_seconds", "hallpass_gate_accounts_without_signing_key");
    place.world.advance(3_600_000_000).unwrap();
    assert_eq!((metric(age).as_deref(), metric(without).as_deref()), (Some("3600"), Some("0")));
    place.world.advance(-7_200_000_000).unwrap();
    assert_eq!(metric(age).as_deref(), Some("0"), "a clock that was set back");
    place.set_apps_without_keys();
    assert_eq!((metric(age), metric(without).as_deref()), (None, Some("1")));
}

#[tokio::test]
async fn an_assertion_is_used_again_until_half_of_its_life_is_over_or_it_is_revoked() {
    let place = Place::new().await;
    let asked = with("nginx", "grafana.example.com", &pair(1, "secret-1"));
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
    let pair = pair(1, "secret-1");
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
    let mut tunnel = with("nginx", "grafana.example.com", &pair);
    tunnel.method = hyper::Method::CONNECT;
    assert_eq!(place.ask(&tunnel).await.status, 405);
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

#[tokio::test]
async fn a_change_is_known_at_the_gate_before_it_is_answered() {
    use crate::api::published;
    use crate::emulator::{Emulator, Reach};
    use crate::seed::{EXAMPLE, Seed};
    use tower::ServiceExt as _;

    let seed = Seed::parse(EXAMPLE).unwrap();
    let emulator = Emulator::start(seed, Reach::Loopback, Arc::from([]), None).await.unwrap();
    let (gate, router) = (emulator.gate(), emulator.router());
    let tokens = format!("/client/v4/accounts/{}/access/service_tokens", published::ACCOUNT_ID);
    let one = format!("{tokens}/{}", published::SERVICE_TOKEN_ID);
    let call = async |method: &str, path: &str, body: &'static str| {
        let request = hyper::Request::builder().method(method).uri(path).header("host", "localhost");
        let request = request.header("authorization", format!("Bearer {}", published::API_TOKEN));
        let answer =
            router.clone().oneshot(request.body(axum::body::Body::from(body)).unwrap()).await.unwrap();
        assert!(answer.status().is_success(), "{method} {path}: {}", answer.status());
        let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
        serde_json::from_slice::<Value>(&body).unwrap()
    };
    let id = published::CLIENT_ID.parse().unwrap();
    let known = || gate.inner.directory.load().find(&id);
    for _ in 0..5 {
        call("PUT", &one, r#"{"enabled": false}"#).await;
        assert!(!known().unwrap().enabled);
        call("PUT", &one, r#"{"enabled": true}"#).await;
        let before = known().unwrap();
        assert!(before.enabled);
        call(
            "POST",
            &format!("{one}/rotate"),
            r#"{"previous_client_secret_expires_at": "2999-01-01T00:00:00Z"}"#,
        )
        .await;
        let after = known().unwrap();
        assert!(
            after.current != before.current
                && after.previous.is_some_and(|(digest, _)| digest == before.current)
        );
    }
    let made = call("POST", &tokens, r#"{"name": "new", "duration": "1h"}"#).await;
    let other = made["result"]["client_id"].as_str().unwrap().parse().unwrap();
    let end = |id| gate.inner.directory.load().find(id).unwrap().expires_at.unwrap();
    let first = end(&other);
    // A token that has ended comes back to life at once, too.
    gate.inner.world.advance(7_200_000_000).unwrap();
    let refreshed = format!("{tokens}/{}/refresh", made["result"]["id"].as_str().unwrap());
    call("POST", &refreshed, "").await;
    assert!(end(&other) > first && end(&other) > gate.inner.world.now());
    call("DELETE", &one, "").await;
    assert!(known().is_none());
}
