//! The gate: whom it lets in, and that the very next check after an answer of the API knows of it. And the gate of the real binary:
//! where it is, what it answers while nothing is protected, and that it can be left out.

use base64::Engine as _;
use hallpass::store::gate_feed::GateToken;
use hallpass_core::decision::{KnownServiceToken, Reason};
use serde_json::{Value, json};

use crate::command_line::{both_places, founded};
use crate::door::{CARRIERS, Carrier, DIALECTS, Door, IDENTITY, Pair, protect, question, send};
use crate::harness::{Actor, Engine, Place, Process, TestServer, both_engines, text};
use crate::inspect::Installation;

async fn get(url: String, headers: &[(&str, &str)]) -> (u16, reqwest::header::HeaderMap, String) {
    let mut request = reqwest::Client::new().get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.headers().clone(), response.text().await.unwrap())
}

/// Waits until the gate has the keys of its accounts, which a slow machine makes in some seconds, or by and by.
async fn ready(gate: &str) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(2);
    while get(format!("{gate}/readyz"), &[]).await.0 != 200 {
        assert!(std::time::Instant::now() < deadline, "the gate is not ready in time");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn an_emulators_gate_lets_nobody_in_where_nothing_is_presented_or_protected() {
    let directory = tempfile::tempdir().unwrap();
    let emulator = Process::start(directory.path(), &["dev".to_owned()]);
    let gate = emulator.gate.clone().unwrap();
    assert_eq!(get(format!("{gate}/healthz"), &[]).await.0, 200);
    ready(&gate).await;
    assert_eq!(get(format!("{gate}/client/v4/user"), &[]).await.0, 404);
    let asked =
        [("x-forwarded-host", "app.example.com"), ("x-forwarded-uri", "/"), ("x-forwarded-for", "192.0.2.1")];
    let elsewhere = [("x-forwarded-host", "other.example.com"), asked[1], asked[2]];
    assert_eq!(get(format!("{gate}/auth/caddy"), &elsewhere).await.0, 403);
    let (status, headers, _) = get(format!("{gate}/auth/caddy"), &asked).await;
    assert_eq!(status, 403);
    assert_eq!(headers["cache-control"], "no-store");
    assert!(headers["hallpass-ref"].len() > 80);
    // The same question without what the proxy must say: nginx understands no 400.
    assert_eq!(get(format!("{gate}/auth/caddy"), &asked[1..]).await.0, 400);
    assert_eq!(get(format!("{gate}/auth/nginx"), &[]).await.0, 403);
}

#[tokio::test]
async fn the_operator_sees_what_the_gate_decides() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["dev", "--operator", "127.0.0.1:0"].map(str::to_owned);
    let emulator = Process::start(directory.path(), &arguments);
    let gate = emulator.gate.clone().unwrap();
    ready(&gate).await;
    assert_eq!(get(format!("{gate}/auth/nginx"), &[]).await.0, 403);
    let (_, _, metrics) = get(format!("{}/metrics", emulator.operator.as_ref().unwrap()), &[]).await;
    assert!(metrics.contains("hallpass_gate_decisions_total{verdict=\"ambiguous\"} 1"), "{metrics}");
    assert!(metrics.contains("hallpass_gate_directory_tokens 1"), "{metrics}");
    assert!(metrics.contains("hallpass_gate_directory_age_seconds "), "{metrics}");
    assert!(metrics.contains("hallpass_gate_signing_key_age_seconds "), "{metrics}");
    assert!(metrics.contains("hallpass_gate_accounts_without_signing_key 0"), "{metrics}");
}

#[test]
fn the_gate_can_be_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let emulator = Process::start(directory.path(), &["dev", "--no-gate"].map(str::to_owned));
    assert_eq!(emulator.gate, None);
    let ready = std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().path());
    let ready = ready.filter(|path| path.extension().is_some_and(|end| end == "json")).collect::<Vec<_>>();
    let ready: Value = serde_json::from_slice(&std::fs::read(&ready[0]).unwrap()).unwrap();
    assert!(ready.get("gate").is_none() && ready.get("api").is_some());
}

/// Asks in every dialect and with every carrier.
fn everywhere(door: &Door, pair: &Pair, expected: Result<(), Reason>, what: &str) {
    for dialect in DIALECTS {
        for carrier in CARRIERS {
            let asked = pair.on(&question(dialect, "grafana.example.com", "/d/1?x=2"), carrier);
            match expected {
                Ok(()) => assert_eq!(door.pass(&asked)["hallpass-client-id"], pair.client_id),
                Err(reason) => {
                    assert_eq!(door.refusal(&asked), (401, reason), "{what}: {dialect} {carrier:?}");
                }
            }
        }
    }
}

both_engines!(what_ends_a_credential_ends_it_at_the_very_next_check, |server: TestServer| async move {
    protect(&server, "grafana.example.com", json!({})).await;
    let door = Door::open(&server).await;
    let (key, tokens) = (server.key(&server.home), server.home.tokens_path());
    let rotated = async |pair: &Pair, body: Value| {
        Pair::of(&key.post(&format!("{tokens}/{}/rotate", pair.id), body).await.result(200))
    };
    let put = async |pair: &Pair, body: Value| {
        key.put(&format!("{tokens}/{}", pair.id), body).await.result(200);
    };

    let live = Pair::make(&server, json!({"name": "live"})).await;
    everywhere(&door, &live, Ok(()), "live");

    let disabled = Pair::make(&server, json!({"name": "disabled"})).await;
    everywhere(&door, &disabled, Ok(()), "not yet disabled");
    put(&disabled, json!({"enabled": false})).await;
    everywhere(&door, &disabled, Err(Reason::Disabled), "disabled");
    put(&disabled, json!({"enabled": true})).await;
    everywhere(&door, &disabled, Ok(()), "enabled again");

    let deleted = Pair::make(&server, json!({"name": "deleted"})).await;
    everywhere(&door, &deleted, Ok(()), "not yet deleted");
    key.delete(&format!("{tokens}/{}", deleted.id)).await.result(200);
    everywhere(&door, &deleted, Err(Reason::Unknown), "deleted");

    let old = Pair::make(&server, json!({"name": "rotated"})).await;
    everywhere(&door, &old, Ok(()), "not yet rotated");
    let new = rotated(&old, json!({})).await;
    everywhere(&door, &old, Err(Reason::WrongSecret), "rotated out");
    everywhere(&door, &new, Ok(()), "rotated in");

    let old = Pair::make(&server, json!({"name": "grace"})).await;
    let until = json!({"previous_client_secret_expires_at": "2026-06-01T13:00:00Z"});
    let new = rotated(&old, until).await;
    everywhere(&door, &old, Ok(()), "the previous one in its grace");
    everywhere(&door, &new, Ok(()), "the current one beside it");
    put(&new, json!({"enabled": false})).await;
    everywhere(&door, &old, Err(Reason::Disabled), "the previous one of a disabled token");
    put(&new, json!({"enabled": true})).await;
    let short = Pair::make(&server, json!({"name": "expires", "duration": "1h"})).await;
    everywhere(&door, &short, Ok(()), "not yet expired");
    server.advance("1h0.75s");
    everywhere(&door, &short, Err(Reason::Expired), "expired");
    everywhere(&door, &old, Err(Reason::WrongSecret), "the previous one after its grace");
    everywhere(&door, &new, Ok(()), "the current one after that");
    key.post(&format!("{tokens}/{}/refresh", short.id), json!({})).await.result(200);
    everywhere(&door, &short, Ok(()), "refreshed");

    // A grace that is ended by hand ends at once, too.
    let newest = rotated(&new, json!({"previous_client_secret_expires_at": "2026-06-02T00:00:00Z"})).await;
    everywhere(&door, &new, Ok(()), "in its grace");
    put(&newest, json!({"previous_client_secret_expires_at": "2026-06-01T00:00:00Z"})).await;
    everywhere(&door, &new, Err(Reason::WrongSecret), "its grace was ended");
    everywhere(&door, &newest, Ok(()), "and the current one stays");
});

both_engines!(
    refusals_of_credentials_are_the_same_bytes_but_for_their_reference,
    |server: TestServer| async move {
        protect(&server, "grafana.example.com", json!({})).await;
        let door = Door::open(&server).await;
        let (key, tokens) = (server.key(&server.home), server.home.tokens_path());
        let live = Pair::make(&server, json!({"name": "live"})).await;
        let disabled = Pair::make(&server, json!({"name": "n".repeat(300), "enabled": false})).await;
        key.put(&format!("{tokens}/{}", disabled.id), json!({"enabled": false})).await.result(200);
        let expired = Pair::make(&server, json!({"name": "expired", "duration": "1s"})).await;
        let foreign = Pair::of(&server.make_service_token(&server.abroad, json!({"name": "theirs"})).await);
        server.advance("1m");
        let unknown = Pair { client_id: format!("{}.access", "0".repeat(32)), ..live.clone() };
        for dialect in DIALECTS {
            let asked = question(dialect, "grafana.example.com", "/");
            let both = |pair: &Pair| pair.on(&asked, Carrier::Pair);
            let cases = [
                (both(&unknown), Reason::Unknown),
                (both(&foreign), Reason::Unknown),
                (both(&live.but("wrong")), Reason::WrongSecret),
                (both(&disabled), Reason::Disabled),
                (both(&expired), Reason::Expired),
                (live.on(&both(&live), Carrier::Pair), Reason::Malformed),
                (live.on(&both(&live), Carrier::Single), Reason::Malformed),
                (asked.with("cf-access-client-id", live.client_id.as_str()), Reason::Malformed),
                (asked.with("authorization", "{\"cf-access-client-id\":"), Reason::Malformed),
            ];
            let mut first = None;
            for (question, reason) in cases {
                assert_eq!(door.refusal(&question), (401, reason), "{dialect}");
                let mut answer = door.ask(&question);
                let reference = answer.headers.insert("hallpass-ref".to_owned(), String::new()).unwrap();
                let seen = (answer, reference.len());
                assert_eq!(&seen, first.get_or_insert(seen.clone()), "{dialect} {reason:?}");
            }
        }
    }
);

both_engines!(what_is_changed_counts_at_the_next_request, |server: TestServer| async move {
    let (key, base) = (server.key(&server.home), format!("{}/access", server.home.account_path()));
    let pair = Pair::make(&server, json!({"name": "ci"})).await;
    let rule = json!({"service_token": {"token_id": pair.id}});
    let nobody = json!({"ip": {"ip": "203.0.113.9/32"}});
    let group = json!({"name": "machines", "include": [rule]});
    let group = text(&key.post(&format!("{base}/groups"), group).await.result(201)["id"]);
    let policy = |include: Value| json!({"name": "p", "decision": "non_identity", "include": [include]});
    let of_group = json!({"group": {"id": group}});
    let shared =
        text(&key.post(&format!("{base}/policies"), policy(of_group.clone())).await.result(201)["id"]);
    let app = protect(&server, "grafana.example.com", json!({"policies": [shared]})).await;
    let app = format!("{base}/apps/{}", text(&app["id"]));
    let door = Door::open(&server).await;
    let asked = pair.on(&question("caddy", "grafana.example.com", "/"), Carrier::Pair);
    let assertion = || door.pass(&asked)["cf-access-jwt-assertion"].clone();
    let first = assertion();

    let of = |include: &Value| json!({"name": "machines", "include": [include]});
    key.put(&format!("{base}/groups/{group}"), of(&nobody)).await.result(200);
    assert_eq!(door.refusal(&asked), (403, Reason::NotAllowed), "another group");
    key.put(&format!("{base}/groups/{group}"), of(&rule)).await.result(200);
    assert_eq!(assertion(), first);
    key.put(&format!("{base}/policies/{shared}"), policy(nobody)).await.result(200);
    assert_eq!(door.refusal(&asked), (403, Reason::NotAllowed), "another policy");
    key.put(&format!("{base}/policies/{shared}"), policy(of_group)).await.result(200);
    assert_eq!(assertion(), first);

    // Revoked assertions are not handed out again.
    server.advance("10s");
    assert_eq!(assertion(), first);
    key.post(&format!("{app}/revoke_tokens"), json!({})).await.result(202);
    let second = assertion();
    assert_eq!(claims(&second)["iat"].as_i64().unwrap(), claims(&first)["iat"].as_i64().unwrap() + 10);

    // Somebody else's token passes nowhere here, and ours at none of their doors.
    let theirs = Pair::of(&server.make_service_token(&server.abroad, json!({"name": "theirs"})).await);
    let unasked = question("caddy", "grafana.example.com", "/");
    assert_eq!(door.refusal(&theirs.on(&unasked, Carrier::Pair)), (401, Reason::Unknown));

    key.delete(&app).await.result(202);
    assert_eq!(door.refusal(&asked), (403, Reason::NoApp), "deleted");
});

fn claims(assertion: &str) -> Value {
    let part = assertion.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

both_engines!(who_presents_nothing_and_who_passes_unasked, |server: TestServer| async move {
    protect(&server, "grafana.example.com", json!({})).await;
    protect(&server, "api.example.com", json!({"service_auth_401_redirect": true})).await;
    let open = json!([{"name": "open", "decision": "bypass", "include": [{"everyone": {}}]}]);
    protect(&server, "grafana.example.com/public", json!({"policies": open})).await;
    let pair = Pair::make(&server, json!({"name": "build é 100%"})).await;
    let door = Door::open(&server).await;
    for dialect in DIALECTS {
        let nothing = question(dialect, "grafana.example.com", "/");
        assert_eq!(door.refusal(&nothing), (403, Reason::NoCredential));
        let redirected = question(dialect, "api.example.com", "/");
        assert_eq!(door.refusal(&redirected), (401, Reason::NoCredential));
        let nowhere = pair.on(&question(dialect, "other.example.com", "/"), Carrier::Pair);
        assert_eq!(door.refusal(&nowhere), (403, Reason::NoApp));
        let passed = door.pass(&pair.on(&nothing, Carrier::Pair));
        assert_eq!(passed["hallpass-token-name"], "build%20%C3%A9%20100%25");
        assert_eq!(passed["cf-access-authenticated-user-email"], "");
        let open = question(dialect, "grafana.example.com", "/public/logo.png");
        for asked in
            [open.clone(), pair.on(&open, Carrier::Pair), pair.but("wrong").on(&open, Carrier::Single)]
        {
            let passed = door.pass(&asked);
            assert!(IDENTITY.iter().all(|name| passed[*name].is_empty()), "{passed:?}");
        }
    }
});

#[tokio::test]
async fn a_peer_that_is_not_trusted_is_refused_and_the_log_names_the_setting() {
    let first = Installation::new(Engine::Sqlite).await;
    let mut arguments = first.arguments();
    arguments.extend(["--gate-trusted-peer", "10.0.0.0/8"].map(str::to_owned));
    let server = Process::start(first.place.directory.path(), &arguments);
    let address = server.gate.as_ref().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
    for dialect in DIALECTS {
        assert_eq!(send(address, &question(dialect, "grafana.example.com", "/").bytes()).status, 403);
    }
    // Lines are written beside the answers.
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while !server.log().contains("gate.trusted_peers") {
        assert!(std::time::Instant::now() < deadline, "{}", server.log());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

both_places!(an_imported_pair_opens_the_door, |place: Place| async move {
    let first = founded(place);
    let (client_id, secret) = (
        "88bf3b6d86161464f6509f7219099e57.access",
        "bdd31cbc4dec990953e39163fbbb194c93313ca9f0a6e420346af9d326b1d2a5",
    );
    let file = first.place.directory.path().join("secret");
    std::fs::write(&file, secret).unwrap();
    let mut import = std::process::Command::new(env!("CARGO_BIN_EXE_hallpass"));
    import.args(["token", "import"]).args(first.place.arguments()).stdin(std::fs::File::open(&file).unwrap());
    let import = import.args(["--client-id", client_id, "--secret-stdin", "--name", "CI"]).output().unwrap();
    assert!(import.status.success(), "{import:?}");
    let server = first.serve();
    let app = json!({
        "type": "self_hosted", "domain": "grafana.example.com", "read_service_tokens_from_header": "Authorization",
        "policies": [{"name": "p", "decision": "non_identity", "include": [{"any_valid_service_token": {}}]}],
    });
    let key = [("x-auth-email", first.email.as_str()), ("x-auth-key", first.api_key.as_str())];
    let apps = format!("/accounts/{}/access/apps", first.account_id);
    Actor::new(server.base_url.clone(), &key).post(&apps, app).await.result(201);
    let address = server.gate.as_ref().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
    let pair = Pair { id: String::new(), client_id: client_id.to_owned(), secret: secret.to_owned() };
    // The account's keys are made beside the start, which takes a slow machine some seconds.
    let asked = pair.on(&question("caddy", "grafana.example.com", "/"), Carrier::Pair).bytes();
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while send(address, &asked).status == 503 {
        assert!(std::time::Instant::now() < deadline, "there are no keys");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    for dialect in DIALECTS {
        for carrier in CARRIERS {
            let asked = question(dialect, "grafana.example.com", "/");
            let passed = send(address, &pair.on(&asked, carrier).bytes());
            assert_eq!((passed.status, passed.headers["hallpass-client-id"].as_str()), (200, client_id));
            assert_eq!(send(address, &pair.but("other").on(&asked, carrier).bytes()).status, 401);
        }
    }
});

both_engines!(the_gate_reads_the_same_of_a_token_whole_and_as_a_change, |server: TestServer| async move {
    let (key, tokens) = (server.key(&server.home), server.home.tokens_path());
    for n in 0..6 {
        let made = key.post(&tokens, json!({"name": format!("token {n}")})).await.result(201);
        let path = format!("{tokens}/{}", text(&made["id"]));
        match n {
            0 | 3 => key.put(&path, json!({"enabled": false})).await.result(200),
            1 | 4 => {
                let grace = json!({"client_secret_version": 2, "previous_client_secret_expires_at": "2026-07-01T00:00:00Z"});
                key.put(&path, grace).await.result(200)
            }
            5 => key.send("DELETE", &path, None).await.result(200),
            _ => made,
        };
    }
    // A debug output has no digest in it.
    let shown = |token: &GateToken| {
        let KnownServiceToken { current, previous, .. } = &token.known;
        let previous = previous.map(|(digest, until)| (*digest.as_bytes(), until));
        (format!("{token:?}"), *current.as_bytes(), previous)
    };
    let feed = server.store.gate_feed(&server.server_key);
    let mut whole = Vec::new();
    feed.everything(|token| whole.push(shown(&token))).await.unwrap();
    let news = feed.changes(0).await.unwrap();
    let mut changed: Vec<_> = news.tokens.iter().map(shown).collect();
    whole.sort();
    changed.sort();
    assert_eq!(whole, changed);
    assert_eq!((whole.len(), news.gone.len()), (5, 1));
    assert_eq!(whole.iter().filter(|(_, _, previous)| previous.is_some()).count(), 2);
});
