//! Flaws that others had published, tried on the gate: each test is named after its flaw, and `docs/threat-model.md` says which is
//! which. `guarded.example.com` wants a token, `guarded.example.com/public` and `open.example.com` want none.

use hallpass_core::decision::Reason;
use serde_json::json;

use crate::door::{CARRIERS, Carrier, DIALECTS, Door, IDENTITY, Pair, Question, protect, question, send};
use crate::harness::{Engine, TestServer};

struct Guarded {
    server: TestServer,
    door: Door,
    pair: Pair,
}

impl Guarded {
    async fn new() -> Self {
        let server = TestServer::start(Engine::Sqlite).await;
        let open =
            json!({"policies": [{"name": "open", "decision": "bypass", "include": [{"everyone": {}}]}]});
        protect(&server, "guarded.example.com", json!({})).await;
        protect(&server, "guarded.example.com/public", open.clone()).await;
        protect(&server, "open.example.com", open).await;
        let pair = Pair::make(&server, json!({"name": "ci"})).await;
        let door = Door::open(&server).await;
        for dialect in DIALECTS {
            door.pass(&question(dialect, "guarded.example.com", "/public"));
            door.pass(&pair.on(&question(dialect, "guarded.example.com", "/"), Carrier::Pair));
        }
        Self { server, door, pair }
    }

    /// Whatever it is, it does not pass, and nothing of an identity is in the answer.
    fn refused(&self, asked: &Question) {
        let answer = self.door.ask(asked);
        let refused = [0, 400, 401, 403, 431].contains(&answer.status);
        assert!(
            refused && IDENTITY.iter().all(|name| !answer.headers.contains_key(*name)),
            "{asked:?} {answer:?}"
        );
    }
}

fn guarded(dialect: &'static str) -> Question {
    question(dialect, "guarded.example.com", "/admin")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_checks_user_agent_is_no_credential() {
    let place = Guarded::new().await;
    let agents =
        ["GoogleHC/1.0", "kube-probe/1.30", "ELB-HealthChecker/2.0", "Envoy/HC", "Consul Health Check"];
    for dialect in DIALECTS {
        for agent in agents {
            let asked = guarded(dialect).with("user-agent", agent);
            assert_eq!(place.door.refusal(&asked), (403, Reason::NoCredential));
        }
        for path in ["/ping", "/ready", "/healthz", "/readyz", "/robots.txt", "/oauth2/auth"] {
            let asked = question(dialect, "guarded.example.com", path);
            assert_eq!(place.door.refusal(&asked), (403, Reason::NoCredential), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_forwarded_headers_do_not_choose_what_is_judged() {
    let place = Guarded::new().await;
    let own = |asked: &Question, name: &str| asked.headers.iter().any(|(given, _)| given == name);
    for dialect in DIALECTS {
        for (plain, value) in [
            ("x-original-host", "open.example.com"),
            ("x-original-uri", "/public"),
            ("x-original-url", "/public"),
            ("x-rewrite-url", "/public"),
            ("x-forwarded-host", "open.example.com"),
            ("x-forwarded-uri", "/public"),
            ("x-forwarded-prefix", "/public"),
            ("x-forwarded-server", "open.example.com"),
            ("x-envoy-original-path", "/public"),
            ("forwarded", "host=open.example.com"),
        ] {
            let spellings = [
                plain.to_owned(),
                plain.replace('-', "_"),
                plain.replace('-', "."),
                plain.replacen('-', "_", 1),
            ];
            for name in spellings {
                let asked = guarded(dialect).with(&name, value);
                if own(&guarded(dialect), &name) {
                    // The dialect's own header twice is ambiguous.
                    assert_eq!(place.door.refusal(&asked).1, Reason::Ambiguous, "{dialect} {name}");
                } else {
                    assert_eq!(place.door.refusal(&asked), (403, Reason::NoCredential), "{dialect} {name}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_in_another_spelling_of_its_headers_is_none() {
    let place = Guarded::new().await;
    for dialect in DIALECTS {
        for separator in ["_", "."] {
            let names =
                ["cf-access-client-id", "cf-access-client-secret"].map(|name| name.replace('-', separator));
            let asked = guarded(dialect)
                .with(&names[0], place.pair.client_id.as_str())
                .with(&names[1], place.pair.secret.as_str());
            assert_eq!(place.door.refusal(&asked), (403, Reason::NoCredential), "{dialect} {names:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn query_and_fragment_are_not_part_of_the_path() {
    let place = Guarded::new().await;
    for dialect in DIALECTS {
        for path in [
            "/private?x=/public",
            "/?/public",
            "/admin?../public",
            "/admin#/public",
            "/admin%23/public",
            "/admin%3f/public",
        ] {
            place.refused(&question(dialect, "guarded.example.com", path));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dots_slashes_and_path_parameters_do_not_beat_a_rule() {
    let place = Guarded::new().await;
    for dialect in DIALECTS {
        for path in [
            "/public/../admin",
            "/public/..",
            "/public/%2e%2e/admin",
            "/public/%2E%2e%2fadmin",
            "/public/..%2fadmin",
            "/public/..;/admin",
            "/public;/../admin",
            "/public%2f..%2fadmin",
            "/public/..\\admin",
            "/public/%252e%252e/admin",
            "//public/../admin",
            "/publicity",
            "/PUBLIC",
        ] {
            place.refused(&question(dialect, "guarded.example.com", path));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn capital_letters_ports_and_trailing_dots_do_not_choose_another_rule() {
    let place = Guarded::new().await;
    for dialect in DIALECTS {
        for host in [
            "GUARDED.example.COM",
            "guarded.example.com:443",
            "guarded.example.com.",
            "Guarded.Example.Com.:8443",
        ] {
            let asked = question(dialect, host, "/admin");
            let (status, reason) = place.door.refusal(&asked);
            assert!(
                (status, reason) == (403, Reason::NoCredential) || reason == Reason::Ambiguous,
                "{dialect} {host}: {status} {reason:?}"
            );
        }
        for host in [
            "guarded.example.com@open.example.com",
            "open.example.com/guarded.example.com",
            "open.example.com,guarded.example.com",
            "guarded.example.com open.example.com",
            "",
        ] {
            place.refused(&question(dialect, host, "/admin"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_connection_names_is_no_less_there() {
    let place = Guarded::new().await;
    for dialect in DIALECTS {
        for (name, _) in guarded(dialect).headers {
            let asked = guarded(dialect).with("Connection", format!("close, {name}"));
            assert_eq!(place.door.refusal(&asked).1, Reason::NoCredential, "{dialect} {name}");
        }
        let passed = place.pair.on(&guarded(dialect), Carrier::Pair);
        let named = format!("close, {}", IDENTITY.join(", "));
        assert_eq!(
            place.door.pass(&passed.with("connection", named))["hallpass-client-id"],
            place.pair.client_id
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_pass_sets_every_identity_header_whatever_the_client_sent() {
    let place = Guarded::new().await;
    for dialect in DIALECTS {
        let spoofed = |mut asked: Question| {
            for name in IDENTITY {
                asked = asked.with(name, "admin").with(&name.replace('-', "_"), "admin");
            }
            asked
        };
        let open = place.door.pass(&spoofed(question(dialect, "guarded.example.com", "/public")));
        assert!(IDENTITY.iter().all(|name| open[*name].is_empty()), "{open:?}");
        let passed = place.door.pass(&spoofed(place.pair.on(&guarded(dialect), Carrier::Pair)));
        assert_eq!(passed["hallpass-client-id"], place.pair.client_id);
        assert!(passed.values().all(|value| value != "admin"), "{passed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_credential_is_never_let_through() {
    let place = Guarded::new().await;
    let (id, secret) = (place.pair.client_id.as_bytes(), place.pair.secret.as_bytes());
    let mut odd: Vec<(Vec<u8>, Vec<u8>)> = (0x80..=0xff_u8)
        .chain([0, 1, 7, 9, 10, 11, 12, 13, 0x7f])
        .flat_map(|byte| {
            [([id, &[byte, b'x']].concat(), secret.to_vec()), (id.to_vec(), [secret, &[byte, b'x']].concat())]
        })
        .collect();
    odd.extend([
        (Vec::new(), Vec::new()),
        (id.to_vec(), Vec::new()),
        (id.to_ascii_uppercase(), secret.to_vec()),
        (id.to_vec(), [secret, secret].concat()),
        (id.to_vec(), vec![b'a'; 9_000]),
    ]);
    for (id, secret) in &odd {
        let asked = guarded("caddy");
        place.refused(
            &asked.with("cf-access-client-id", id.clone()).with("cf-access-client-secret", secret.clone()),
        );
    }
    for value in [
        "{",
        "{}",
        "{\"cf-access-client-id\":1}",
        "{\"a\":{\"a\":{\"a\":{}}}}",
        "{\"cf-access-client-id\":\"\\u0041\"}",
        "[]",
        "null",
        "\"\"",
    ] {
        for dialect in DIALECTS {
            place.refused(&guarded(dialect).with("authorization", value));
        }
    }
}

/// No letters that names, paths, addresses and credentials are made of.
fn odd_bytes() -> impl Iterator<Item = u8> {
    (0x80..=0xff).step_by(9).chain([0, 1, 0x0b, 0x7f, b' ', b'\\', b'%', b'\t'])
}

/// A value with an odd byte before it, in it and behind it: whether it is in it, which it is, and what comes of it.
fn oddly(value: &[u8]) -> Vec<(bool, u8, Vec<u8>)> {
    let places = [0, value.len() / 2, value.len()];
    let odd = places.into_iter().flat_map(|at| odd_bytes().map(move |byte| (at, byte)));
    let odd = odd.map(|(at, byte)| {
        let (before, behind) = value.split_at(at);
        let inside = !before.is_empty() && !behind.is_empty();
        (inside, byte, [before, &[byte], behind].concat())
    });
    odd.collect()
}

/// Requests that are each a yes: by a credential in either carrier, and where none is needed.
fn yes(place: &Guarded, dialect: &'static str) -> [Question; 3] {
    let [pair, single] = CARRIERS.map(|carrier| place.pair.on(&guarded(dialect), carrier));
    let yes = [pair, single, question(dialect, "guarded.example.com", "/public")];
    for asked in &yes {
        place.door.pass(asked);
    }
    yes
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_byte_in_any_header_or_path_is_never_a_yes() {
    let place = Guarded::new().await;
    for dialect in DIALECTS {
        for asked in yes(&place, dialect) {
            for (name, value) in &asked.headers {
                for (inside, byte, odd) in oddly(value) {
                    let odd = asked.instead(name, odd);
                    // Blanks and tabs around a value are no part of it, says HTTP.
                    let around = !inside && matches!(byte, b' ' | b'\t');
                    // Nobody reads the name of the gate itself; but no header at all has a control character, a tab excepted.
                    let unread = value == b"gate.internal" && (byte == b'\t' || !byte.is_ascii_control());
                    if around || unread {
                        place.door.pass(&odd);
                    } else {
                        place.refused(&odd);
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_byte_in_the_path_that_envoy_asks_with_is_never_a_yes() {
    let place = Guarded::new().await;
    for asked in yes(&place, "envoy") {
        let end = "GET ".len() + asked.target.len();
        for at in [end - 3, end] {
            for byte in odd_bytes() {
                let mut odd = asked.bytes();
                odd.insert(at, byte);
                let answer = send(place.door.address, &odd);
                assert!([0, 400].contains(&answer.status), "{at} {byte:#x}: {asked:?} {answer:?}");
                assert!(IDENTITY.iter().all(|name| !answer.headers.contains_key(*name)), "{answer:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarded_address_is_believed_from_the_right_only() {
    let place = Guarded::new().await;
    let rule =
        json!([{"name": "office", "decision": "bypass", "include": [{"ip": {"ip": "198.51.100.7/32"}}]}]);
    protect(&place.server, "office.example.com", json!({"policies": rule})).await;
    for dialect in ["caddy", "traefik", "envoy"] {
        let asked =
            |chain: &str| question(dialect, "office.example.com", "/").instead("x-forwarded-for", chain);
        place.door.pass(&asked("198.51.100.7"));
        place.door.pass(&asked("192.0.2.1, 198.51.100.7"));
        place.refused(&asked("198.51.100.7, 192.0.2.1"));
        place.refused(&asked("198.51.100.7, nonsense"));
        place.refused(&asked("192.0.2.1").with("x-real-ip", "198.51.100.7"));
        place.refused(&asked("192.0.2.1").with("true-client-ip", "198.51.100.7"));
        place.refused(&asked("192.0.2.1").with("cf-connecting-ip", "198.51.100.7"));
    }
    let nginx = question("nginx", "office.example.com", "/");
    place.door.pass(&nginx.instead("x-real-ip", "198.51.100.7"));
    place.refused(&nginx.with("x-forwarded-for", "198.51.100.7"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_for_one_application_is_none_for_another() {
    let place = Guarded::new().await;
    let other = Pair::make(&place.server, json!({"name": "other"})).await;
    let only = json!([{"name": "one", "decision": "non_identity", "include": [{"service_token": {"token_id": other.id}}]}]);
    protect(&place.server, "other.example.com", json!({"policies": only})).await;
    let assertion = |pair: &Pair, host| {
        place.door.pass(&pair.on(&question("traefik", host, "/"), Carrier::Pair))["cf-access-jwt-assertion"]
            .clone()
    };
    for carrier in CARRIERS {
        let asked = place.pair.on(&question("traefik", "other.example.com", "/"), carrier);
        assert_eq!(place.door.refusal(&asked), (403, Reason::NotAllowed));
    }
    assert_ne!(assertion(&other, "other.example.com"), assertion(&other, "guarded.example.com"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_is_no_credential() {
    let place = Guarded::new().await;
    let passed = place.door.pass(&place.pair.on(&guarded("nginx"), Carrier::Pair));
    let assertion = &passed["cf-access-jwt-assertion"];
    for dialect in DIALECTS {
        for (name, value) in [
            ("cf-access-jwt-assertion", assertion.clone()),
            ("cf-access-token", assertion.clone()),
            ("authorization", format!("Bearer {assertion}")),
            ("cookie", format!("CF_Authorization={assertion}")),
        ] {
            let asked = guarded(dialect).with(name, value);
            assert_eq!(place.door.refusal(&asked), (403, Reason::NoCredential), "{dialect} {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_refusal_repeats_what_was_sent() {
    let place = Guarded::new().await;
    for dialect in DIALECTS {
        let asked =
            place.pair.but("canary-secret").on(&guarded(dialect), Carrier::Pair).with("x-canary", "canary");
        let answer = format!("{:?}", place.door.ask(&asked));
        assert!(!answer.contains("canary") && !answer.contains(&place.pair.client_id), "{answer}");
    }
}
