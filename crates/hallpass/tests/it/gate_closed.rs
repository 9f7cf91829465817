//! What the gate cannot know it does not guess: without its store, its keys or a clock that goes forward, it answers 503. And what
//! it cannot tell anybody, because nobody reads its log, it does not wait for.

use std::io::{PipeReader, PipeWriter, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use hallpass::gate::{Settings, listener};
use hallpass::store::{Location, database_file};
use hallpass_core::decision::Reason;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use serde_json::json;
use tokio::net::TcpListener;

use crate::door::{Carrier, DIALECTS, Door, IDENTITY, Pair, protect, question, send};
use crate::harness::{Engine, Process, TestServer, both_engines, text};
use crate::inspect::{Database, Installation};
use crate::relay::{Line, Relay};

both_engines!(
    a_gate_whose_store_does_not_answer_refuses_once_it_is_too_old,
    |server: TestServer| async move {
        protect(&server, "grafana.example.com", json!({})).await;
        let open = json!([{"name": "open", "decision": "bypass", "include": [{"everyone": {}}]}]);
        protect(&server, "open.example.com", json!({"policies": open})).await;
        let pair = Pair::make(&server, json!({"name": "ci"})).await;
        let settings = Settings { max_staleness: Duration::from_secs(1), ..Settings::default() };
        let door = Door::open_with(&server, settings).await;
        let asked = pair.on(&question("caddy", "grafana.example.com", "/"), Carrier::Pair);
        door.pass(&asked);
        let mut other = Database::open(&server.place.location).await;
        other.execute("ALTER TABLE revision RENAME TO hidden").await;
        wait_for(&door, 503);
        for dialect in DIALECTS {
            let asked = pair.on(&question(dialect, "grafana.example.com", "/"), Carrier::Pair);
            assert_eq!(door.refusal(&asked), (503, Reason::Stale), "{dialect}");
            let open = question(dialect, "open.example.com", "/");
            assert_eq!(door.refusal(&open), (503, Reason::Stale), "{dialect}: not even a bypass");
        }
        assert_eq!(door.get("/healthz", "gate").status, 200);
        other.execute("ALTER TABLE hidden RENAME TO revision").await;
        wait_for(&door, 200);
        door.pass(&asked);
    }
);

fn wait_for(door: &Door, status: u16) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while door.get("/readyz", "gate").status != status {
        assert!(Instant::now() < deadline, "the gate is not {status} in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An application, a bypass and a token, at a gate that believes itself for so long.
async fn doors(server: &TestServer, seconds: u64) -> (Door, Pair) {
    protect(server, "grafana.example.com", json!({})).await;
    let open = json!([{"name": "open", "decision": "bypass", "include": [{"everyone": {}}]}]);
    protect(server, "open.example.com", json!({"policies": open})).await;
    let pair = Pair::make(server, json!({"name": "ci"})).await;
    let max_staleness = Duration::from_secs(seconds);
    let door = Door::open_with(server, Settings { max_staleness, ..Settings::default() }).await;
    door.pass(&pair.on(&question("caddy", "grafana.example.com", "/"), Carrier::Pair));
    (door, pair)
}

/// Waits until the gate says that it is not ready; then it refuses everybody.
fn refuses_everybody(door: &Door, pair: &Pair, reason: Reason, words: &str) {
    wait_for(door, 503);
    let ready = door.get("/readyz", "gate");
    assert!(ready.body.contains(words), "{ready:?}");
    for dialect in DIALECTS {
        let asked = pair.on(&question(dialect, "grafana.example.com", "/"), Carrier::Pair);
        assert_eq!(door.refusal(&asked), (503, reason), "{dialect}");
        let open = question(dialect, "open.example.com", "/");
        assert_eq!(door.refusal(&open), (503, reason), "{dialect}: not even a bypass");
    }
    assert_eq!(door.get("/healthz", "gate").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_whose_stores_file_is_gone_or_another_one_refuses_once_it_is_too_old() {
    let server = TestServer::start(Engine::Sqlite).await;
    let (door, pair) = doors(&server, 2).await;
    let Location::Directory(directory) = &server.place.location else { unreachable!() };
    let (file, away) = (database_file(directory), directory.join("away"));
    std::fs::rename(&file, &away).unwrap();
    // Nothing is acknowledged that nobody would find again.
    let (key, tokens) = (server.key(&server.home), server.home.tokens_path());
    assert_eq!(key.post(&tokens, json!({"name": "lost"})).await.status, 503);
    // SQLite itself would go on reading the file without a name.
    refuses_everybody(&door, &pair, Reason::Stale, "has not heard from the store");
    let asked = pair.on(&question("caddy", "grafana.example.com", "/"), Carrier::Pair);
    std::fs::rename(&away, &file).unwrap();
    wait_for(&door, 200);
    door.pass(&asked);
    // A backup that somebody puts in its place is not what is open.
    let copy = directory.join("copy");
    std::fs::copy(&file, &copy).unwrap();
    std::fs::rename(&copy, &file).unwrap();
    refuses_everybody(&door, &pair, Reason::Stale, "has not heard from the store");
    // The API goes the same way.
    let deadline = Instant::now() + Duration::from_mins(1);
    while key.get(&tokens).await.status != 503 {
        assert!(Instant::now() < deadline, "the API goes on");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: ./test brings one and runs this"]
async fn a_gate_whose_database_is_stopped_or_silent_refuses_once_it_is_too_old() {
    let (server, relay) = Relay::server().await;
    let (door, pair) = doors(&server, 2).await;
    let asked = pair.on(&question("caddy", "grafana.example.com", "/"), Carrier::Pair);
    for line in [Line::Down, Line::Silent] {
        relay.set(line);
        refuses_everybody(&door, &pair, Reason::Stale, "has not heard from the store");
        relay.set(Line::Open);
        wait_for(&door, 200);
        door.pass(&asked);
    }
}

both_engines!(a_gate_whose_signing_key_does_not_open_lets_nobody_in, |server: TestServer| async move {
    let (door, pair) = doors(&server, 60).await;
    assert_eq!(door.get("/readyz", "gate").status, 200);
    let (ours, theirs) = (server.home.account, server.abroad.account);
    let mut database = Database::open(&server.place.location).await;
    // The other account's private half in the place of ours.
    let sql = format!(
        "UPDATE signing_keys SET wrapped = (SELECT k.wrapped FROM signing_keys k WHERE k.account_id = '{theirs}' \
         AND k.state = 'current') WHERE account_id = '{ours}' AND state = 'current'"
    );
    database.execute(&sql).await;
    // Any change of an application is followed by reading the keys, too.
    let app = protect(&server, "wiki.example.com", json!({})).await;
    for dialect in DIALECTS {
        let asked = pair.on(&question(dialect, "grafana.example.com", "/"), Carrier::Pair);
        assert_eq!(door.refusal(&asked), (503, Reason::NoKey), "{dialect}");
    }
    let ready = door.get("/readyz", "gate");
    assert!(ready.status == 503 && ready.body.contains("signing key"), "{ready:?}");
    // A rotation makes a key that opens.
    let rotate = format!("{}/access/keys/rotate", server.home.account_path());
    server.key(&server.home).post(&rotate, json!({})).await.result(200);
    assert_eq!(door.get("/readyz", "gate").status, 200);
    door.pass(&pair.on(&question("caddy", text(&app["domain"]).as_str(), "/"), Carrier::Pair));
});

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_panics_in_a_check_answers_500_and_goes_on() {
    let server = TestServer::start(Engine::Sqlite).await;
    let (door, pair) = doors(&server, 60).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (gate, faults) = (door.gate.clone(), Arc::new(AtomicU32::new(4)));
    let left = Arc::clone(&faults);
    // Whoever asks for the gate does so for each check, as a part of it.
    let asked_for = move || {
        let fails = left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        assert!(!fails, "a fault in a check");
        gate.clone()
    };
    tokio::spawn(listener::serve(listener, asked_for, std::future::pending()));
    for dialect in DIALECTS {
        let asked = pair.on(&question(dialect, "grafana.example.com", "/"), Carrier::Pair);
        let answer = send(address, &asked.bytes());
        assert_eq!(answer.status, 500, "{dialect}");
        assert!(IDENTITY.iter().all(|name| !answer.headers.contains_key(*name)), "{answer:?}");
    }
    assert_eq!(faults.load(SeqCst), 0);
    for dialect in DIALECTS {
        let asked = pair.on(&question(dialect, "grafana.example.com", "/"), Carrier::Pair);
        assert_eq!(send(address, &asked.bytes()).status, 200, "{dialect}");
    }
}

/// The end of a pipe that takes nothing more, and the one where nobody reads.
fn stuck_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    for size in [4_096, 1] {
        while writer.write(&vec![b'\n'; size]).is_ok() {}
    }
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_log_nobody_reads_answers_rightly_and_counts_what_it_leaves_out() {
    let first = Installation::new(Engine::Sqlite).await;
    let mut arguments = first.arguments();
    arguments.extend(["--operator", "127.0.0.1:0", "--log", "debug"].map(str::to_owned));
    let (unread, log) = stuck_pipe();
    let sinks = [log.try_clone().unwrap().into(), log.into()];
    let mut process = Process::start_unlogged(first.place.directory.path(), &arguments, sinks);
    let key = first.key_actor(&process);
    let access = format!("/accounts/{}/access", first.account_id);
    let policy =
        json!({"name": "p", "decision": "non_identity", "include": [{"any_valid_service_token": {}}]});
    let app = json!({"type": "self_hosted", "domain": "grafana.example.com", "policies": [policy]});
    key.post(&format!("{access}/apps"), app).await.result(201);
    let tokens = first.tokens_path();
    let pair = Pair::of(&key.post(&tokens, json!({"name": "ci"})).await.result(201));
    let gate: SocketAddr = process.gate.as_ref().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
    let asked = question("nginx", "grafana.example.com", "/");
    let good = pair.on(&asked, Carrier::Pair).bytes();
    // The account's keys are made beside the start, which takes a slow machine some seconds.
    let deadline = Instant::now() + Duration::from_mins(2);
    while send(gate, &good).status == 503 {
        assert!(Instant::now() < deadline, "there are no keys");
        std::thread::sleep(Duration::from_millis(100));
    }
    let operator = process.operator.clone().unwrap();
    let left_out = async || {
        let metrics = reqwest::get(format!("{operator}/metrics")).await.unwrap().text().await.unwrap();
        let line = metrics.lines().find(|line| line.starts_with("hallpass_log_lines_left_out_total "));
        line.unwrap().rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()
    };
    // Requests that each leave a line, until nothing more goes into the queue, and beyond.
    let mut ambiguous = b"GET /auth/caddy HTTP/1.1\r\nhost: gate\r\n\r\n".repeat(999);
    ambiguous.extend(b"GET /auth/caddy HTTP/1.1\r\nhost: gate\r\nconnection: close\r\n\r\n");
    let deadline = Instant::now() + Duration::from_mins(4);
    while left_out().await == 0 {
        assert!(Instant::now() < deadline, "the log's queue is never full");
        let answers = send(gate, &ambiguous);
        assert_eq!((answers.status, answers.body.matches("HTTP/1.1 400 ").count()), (400, 999));
    }
    let wrong = pair.but("wrong");
    for n in 0..50 {
        assert_eq!(send(gate, &good).status, 200);
        assert_eq!(send(gate, &wrong.on(&asked, Carrier::Pair).bytes()).status, 401);
        assert_eq!(send(gate, &asked.bytes()).status, 403);
        key.post(&tokens, json!({"name": format!("more {n}")})).await.result(201);
    }
    let one = format!("{tokens}/{}", pair.id);
    key.put(&one, json!({"enabled": false})).await.result(200);
    assert_eq!(send(gate, &good).status, 401, "a revocation is heard");
    // And it ends when it is told to.
    process.signal("TERM");
    let deadline = Instant::now() + Duration::from_mins(1);
    while process.child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(unread);
}

both_engines!(a_gate_without_signing_keys_lets_nobody_in, |server: TestServer| async move {
    let app = protect(&server, "grafana.example.com", json!({})).await;
    let pair = Pair::make(&server, json!({"name": "ci"})).await;
    let door = Door::open(&server).await;
    let asked = pair.on(&question("nginx", "grafana.example.com", "/"), Carrier::Pair);
    door.pass(&asked);
    Database::open(&server.place.location).await.execute("DELETE FROM signing_keys").await;
    // Any change of an application is followed by reading the keys, too.
    let path = format!("{}/access/apps/{}/revoke_tokens", server.home.account_path(), text(&app["id"]));
    server.key(&server.home).post(&path, json!({})).await.result(202);
    for dialect in DIALECTS {
        let asked = pair.on(&question(dialect, "grafana.example.com", "/"), Carrier::Pair);
        assert_eq!(door.refusal(&asked), (503, Reason::NoKey), "{dialect}");
    }
});

both_engines!(a_gate_whose_clock_was_set_back_refuses, |server: TestServer| async move {
    server.advance("1h");
    protect(&server, "grafana.example.com", json!({})).await;
    let pair = Pair::make(&server, json!({"name": "ci"})).await;
    let door = Door::open(&server).await;
    let asked = pair.on(&question("envoy", "grafana.example.com", "/"), Carrier::Pair);
    door.pass(&asked);
    server.advance("-5s");
    door.pass(&asked);
    server.advance("-1us");
    for dialect in DIALECTS {
        let asked = pair.on(&question(dialect, "grafana.example.com", "/"), Carrier::Pair);
        assert_eq!(door.refusal(&asked), (503, Reason::Clock), "{dialect}");
    }
    // What is written with that clock makes it no better, nor does a gate that begins with it.
    server.make_service_token(&server.home, json!({"name": "of the past"})).await;
    let again = Door::open(&server).await;
    assert_eq!(again.refusal(&asked), (503, Reason::Clock));
    server.advance("1us");
    door.pass(&asked);
    again.pass(&asked);
});
