//! Secrets are canaries at the gate, too, where they arrive with every request: after they were presented in every dialect and in
//! every carrier, rightly and wrongly, they are looked for in a log that leaves nothing out, in metrics, answers and the store. So
//! are assertions: each is in the answers that hand it out, and nowhere else.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::canary::{Watch, end, no_http};
use crate::door::{CARRIERS, Carrier, DIALECTS, IDENTITY, Pair, Question, question, send};
use crate::harness::{Actor, Engine, Process};
use crate::inspect::Installation;

/// Wants a token.
const HOST: &str = "grafana.example.com";
/// Wants none.
const OPEN: &str = "open.example.com";
/// What the last question is about: once it is in the access log, those before it are.
const LAST: &str = "last.example.com";

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_that_the_gate_was_shown_is_found_anywhere_on_sqlite() {
    canary(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: ./test brings one and runs this"]
async fn no_secret_that_the_gate_was_shown_is_found_anywhere_on_postgres() {
    canary(Engine::Postgres).await;
}

async fn canary(engine: Engine) {
    let installation = Installation::new(engine).await;
    let mut arguments = installation.arguments();
    arguments.extend(["--log", "trace", "--operator", "127.0.0.1:0"].map(str::to_owned));
    let mut process = Process::start(installation.place.directory.path(), &arguments);
    let key = installation.key_actor(&process);
    let mut watch = Watch::default();
    watch.secrets.extend([installation.api_key.clone(), installation.api_token.clone()]);
    let service_auth =
        json!({"name": "p", "decision": "non_identity", "include": [{"any_valid_service_token": {}}]});
    let bypass = json!({"name": "p", "decision": "bypass", "include": [{"everyone": {}}]});
    for (domain, policy) in [(HOST, &service_auth), (LAST, &service_auth), (OPEN, &bypass)] {
        let app = json!({"type": "self_hosted", "domain": domain, "policies": [policy],
            "read_service_tokens_from_header": "Authorization"});
        key.post(&format!("/accounts/{}/access/apps", installation.account_id), app).await.result(201);
    }
    let credentials = Credentials::make(&installation, &key, &mut watch).await;
    let gate = process.gate.clone().unwrap();
    for secret in &watch.secrets {
        no_http(&gate, secret);
    }
    let address = gate.strip_prefix("http://").unwrap().parse().unwrap();
    ask_everything(&mut Asking { gate: address, watch: &mut watch }, &credentials);
    assert!(watch.secrets.iter().any(|secret| secret.starts_with("assertion_")));
    written(&installation, &key, &mut watch).await;

    let operator = process.operator.clone().unwrap();
    let metrics = reqwest::get(format!("{operator}/metrics")).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("hallpass_log_lines_left_out_total 0\n"), "the log is whole: {metrics}");
    for verdict in [
        "allowed",
        "bypassed",
        "no_credential",
        "malformed",
        "unknown",
        "wrong_secret",
        "disabled",
        "no_app",
        "ambiguous",
    ] {
        let counted = format!("hallpass_gate_decisions_total{{verdict=\"{verdict}\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(&counted));
        assert!(count.is_some_and(|count| count != "0"), "{verdict}: {metrics}");
    }
    watch.replies.push(("the metrics".to_owned(), metrics));

    // Once while it runs, and once with all that its end leaves behind.
    let dump = watch.search(&installation, &process).await;
    assert!(dump.contains("wrong_secret"), "the dump has the access log: {dump}");
    end(&mut process);
    assert_heard(&process.log());
    watch.search(&installation, &process).await;
}

/// The log is one in which requests at the gate leave lines: those that every proxy put ambiguously, and those that were no HTTP.
fn assert_heard(log: &str) {
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let has = |target: &str, message: &str, dialect: &Value| {
        lines
            .iter()
            .any(|line| line["target"] == target && line["message"] == message && line["dialect"] == *dialect)
    };
    for dialect in ["Nginx", "Caddy", "Traefik", "Envoy"] {
        let heard = has("hallpass::gate::check", "an ambiguous request is refused", &json!(dialect));
        assert!(heard, "nothing of {dialect}: {log}");
    }
    assert!(has("hallpass::serve", "connection ended", &Value::Null), "{log}");
}

/// Credentials that open the door, and credentials that do not.
struct Credentials {
    right: [Pair; 3],
    wrong: Vec<Pair>,
}

impl Credentials {
    async fn make(installation: &Installation, key: &Actor, watch: &mut Watch) -> Self {
        let tokens = installation.tokens_path();
        let [live, before, old, disabled, deleted] = [
            make(watch, key, &tokens, json!({"name": "live"})).await,
            make(watch, key, &tokens, json!({"name": "grace"})).await,
            make(watch, key, &tokens, json!({"name": "rotated"})).await,
            make(watch, key, &tokens, json!({"name": "disabled"})).await,
            make(watch, key, &tokens, json!({"name": "deleted"})).await,
        ];
        let grace = json!({"previous_client_secret_expires_at": "2100-01-01T00:00:00Z"});
        let after = make(watch, key, &format!("{tokens}/{}/rotate", before.id), grace).await;
        make(watch, key, &format!("{tokens}/{}/rotate", old.id), json!({})).await;
        for (method, pair) in [("PUT", &disabled), ("DELETE", &deleted)] {
            let body = json!({"enabled": false});
            let reply = watch.send(key, method, &format!("{tokens}/{}", pair.id), body).await;
            assert_eq!(reply["success"], true, "{reply}");
        }
        let guess = format!("wrong_{}", "c4nary".repeat(8));
        watch.secrets.insert(guess.clone());
        let nobody = Pair { client_id: format!("{}.access", "0".repeat(32)), ..live.clone() };
        // The last is a secret of another kind.
        let wrong = vec![live.but(&guess), nobody, old, disabled, deleted, live.but(&installation.api_token)];
        Self { right: [live, before, after], wrong }
    }
}

/// Makes or rotates a token.
async fn make(watch: &mut Watch, key: &Actor, path: &str, body: Value) -> Pair {
    Pair::of(&watch.send(key, "POST", path, body).await["result"])
}

/// Whoever asks the gate, and keeps what it answers.
struct Asking<'w> {
    gate: SocketAddr,
    watch: &'w mut Watch,
}

impl Asking<'_> {
    fn ask(&mut self, question: &Question) -> u16 {
        self.ask_raw(question.dialect, &question.bytes())
    }

    /// Gives the status. An assertion that the answer is there to hand out becomes one to look for.
    fn ask_raw(&mut self, dialect: &str, request: &[u8]) -> u16 {
        let mut answer = send(self.gate, request);
        if let Some(assertion) = answer.headers.remove(IDENTITY[0]) {
            assert_eq!(answer.status, 200, "{answer:?}");
            // Claims and signature; after a bypass there are none.
            let parts = assertion.split('.').skip(1);
            self.watch.secrets.extend(parts.map(|part| format!("assertion_{part}")));
        }
        self.watch.replies.push((format!("an answer to {dialect}"), format!("{answer:?}")));
        answer.status
    }
}

fn ask_everything(asking: &mut Asking<'_>, Credentials { right, wrong }: &Credentials) {
    // The account's keys are made beside the start, which takes a slow machine some seconds.
    let deadline = Instant::now() + Duration::from_mins(2);
    while asking.ask(&right[0].on(&question("caddy", HOST, "/"), Carrier::Pair)) == 503 {
        assert!(Instant::now() < deadline, "there are no keys");
        std::thread::sleep(Duration::from_millis(100));
    }
    for dialect in DIALECTS {
        let (asked, open) = (question(dialect, HOST, "/d/1?x=2"), question(dialect, OPEN, "/"));
        let ambiguous = if dialect == "nginx" { 403 } else { 400 };
        for carrier in CARRIERS {
            for pair in right {
                assert_eq!(asking.ask(&pair.on(&asked, carrier)), 200, "{dialect} {carrier:?}");
                assert_eq!(asking.ask(&pair.on(&open, carrier)), 200, "{dialect} {carrier:?}");
                for path in ["/a/../b", "/a;b", "/%zz"] {
                    let unclear = pair.on(&question(dialect, HOST, path), carrier);
                    assert_eq!(asking.ask(&unclear), ambiguous, "{dialect} {carrier:?} {path}");
                }
                let nowhere = pair.on(&question(dialect, "nowhere.example.com", "/"), carrier);
                assert_eq!(asking.ask(&nowhere), 403, "{dialect} {carrier:?}");
            }
            for pair in wrong {
                assert_eq!(asking.ask(&pair.on(&asked, carrier)), 401, "{dialect} {carrier:?}");
                assert_eq!(asking.ask(&pair.on(&open, carrier)), 200, "{dialect} {carrier:?}");
            }
        }
        let [live, ..] = right;
        for malformed in malformed(live, &asked) {
            assert_eq!(asking.ask(&malformed), 401, "{malformed:?}");
        }
        for pair in [live, &wrong[0], &wrong[wrong.len() - 1]] {
            for misplaced in misplaced(dialect, &pair.secret) {
                let status = asking.ask(&misplaced);
                assert!((400..500).contains(&status), "{status} {misplaced:?}");
            }
        }
        let get = String::from_utf8(live.on(&asked, Carrier::Pair).bytes()).unwrap();
        let head = get.strip_prefix("GET").unwrap().strip_suffix("\r\n").unwrap();
        let (length, secret) = (live.secret.len(), &live.secret);
        let post = format!("POST{head}content-length: {length}\r\n\r\n{secret}");
        assert_eq!(asking.ask_raw(dialect, post.as_bytes()), 200, "{dialect}");
    }
    let last = question("caddy", LAST, "/");
    assert_eq!(asking.ask(&wrong[0].on(&last, Carrier::Pair)), 401);
}

/// What cannot be a credential, and has one in it.
fn malformed(pair: &Pair, asked: &Question) -> Vec<Question> {
    let (id, secret) = (pair.client_id.as_str(), pair.secret.as_str());
    let both = pair.on(asked, Carrier::Pair);
    let mut malformed = vec![
        asked.with("cf-access-client-id", id),
        asked.with("cf-access-client-secret", secret),
        asked.with("cf-access-client-id", secret).with("cf-access-client-secret", id),
        asked
            .with("cf-access-client-id", id)
            .with("cf-access-client-secret", [secret.as_bytes(), b"\xe9"].concat()),
        pair.on(&both, Carrier::Pair),
        pair.on(&both, Carrier::Single),
    ];
    for carrier in CARRIERS {
        malformed.push(pair.but(&format!("{secret} x")).on(asked, carrier));
        malformed.push(pair.but(&secret.repeat(5)).on(asked, carrier));
    }
    for json in [
        format!("{{\"cf-access-client-id\":\"{id}\",\"cf-access-client-secret\":\"{secret}\""),
        format!("{{\"cf-access-client-id\":\"{id}\",\"cf-access-client-secret\":\"{secret}\",\"x\":1}}"),
        format!("{{\"CF-Access-Client-Id\":\"{id}\",\"cf-access-client-secret\":\"{secret}\"}}"),
        format!("{{\"cf-access-client-id\":\"{id}\",\"cf-access-client-secret\":[\"{secret}\"]}}"),
        format!("{{\"{secret}\":\"{secret}\"}}"),
    ] {
        malformed.push(asked.with("authorization", json));
    }
    malformed
}

/// A secret wherever it does not belong.
fn misplaced(dialect: &'static str, secret: &str) -> Vec<Question> {
    let asked = question(dialect, HOST, "/");
    let mut misplaced = vec![
        question(dialect, HOST, &format!("/{secret}?x={secret}")),
        question(dialect, HOST, &format!("/a/../{secret}")),
        question(dialect, HOST, &format!("/%zz{secret}")),
        question(dialect, &format!("{secret}.example.com"), "/"),
        question(dialect, &format!("{secret}@{HOST}"), "/"),
        asked.with("authorization", format!("Bearer {secret}")),
        Question { target: format!("/{secret}"), ..asked.clone() },
    ];
    for (name, _) in &asked.headers {
        misplaced.push(asked.instead(name, secret));
        misplaced.push(asked.with(name, secret));
    }
    for name in [
        "user-agent",
        "cookie",
        "referer",
        "forwarded",
        "traceparent",
        "x-request-id",
        "cf-access-token",
        "cf_access_client_secret",
    ] {
        misplaced.push(asked.with(name, secret));
    }
    misplaced
}

/// Waits until all that was asked is in the access log, which is written every five seconds.
async fn written(installation: &Installation, key: &Actor, watch: &mut Watch) {
    let refusals = "access/logs/access_requests?allowed=false&per_page=1000";
    let path = format!("/accounts/{}/{refusals}", installation.account_id);
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let log = watch.send(key, "GET", &path, "").await;
        if log["result"].as_array().unwrap().iter().any(|row| row["app_domain"] == LAST) {
            return;
        }
        assert!(Instant::now() < deadline, "the access log is not written");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
