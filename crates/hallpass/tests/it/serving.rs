//! `hallpass serve` as the real binary, running: health, rate limits, logs, and an end that loses no request.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::command_line::{both_places, founded, serve};
use crate::harness::{Actor, Place, Process, Reply, text};
use crate::inspect::Installation;
use crate::raw::{self, send};

fn address(process: &Process) -> SocketAddr {
    process.api.strip_prefix("http://").unwrap().parse().unwrap()
}

/// Waits until a log holds something: lines are written in the background.
fn wait_for_log(process: &Process, holds: impl Fn(&str) -> bool) -> String {
    for _ in 0..500 {
        let log = process.log();
        if holds(&log) {
            return log;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("the log does not hold it: {}", process.log());
}

both_places!(
    health_needs_no_credentials_and_the_emulators_switches_do_not_exist,
    |place: Place| async move {
        let first = founded(place);
        let process = serve(&first.place, &[]);
        for (path, status) in [("/healthz", "ok"), ("/readyz", "ready")] {
            let reply = send(address(&process), "GET", path, &[], b"");
            assert_eq!((reply.status, &reply.body()["result"]), (200, &json!({"status": status})));
        }
        for (method, path) in
            [("GET", "/dev/clock"), ("POST", "/dev/clock"), ("POST", "/dev/reset"), ("POST", "/dev/faults")]
        {
            let json = [("content-type", "application/json")];
            let reply = send(address(&process), method, path, &json, b"{}");
            assert_eq!(reply.refusal(), (404, vec![7003, 7000]), "{method} {path}");
        }
    }
);

/// `Ratelimit`, `Ratelimit-Policy` and `Retry-After` of a reply.
fn limits(reply: &Reply) -> [Option<String>; 3] {
    ["ratelimit", "ratelimit-policy", "retry-after"].map(|name| {
        let value = reply.headers.get(name)?;
        Some(value.to_str().unwrap().to_owned())
    })
}

both_places!(a_credential_that_asks_too_often_is_told_when_to_come_back, |place: Place| async move {
    let first = founded(place);
    let process = serve(&first.place, &["--rate-limit", "3"]);
    let (key, token) = (first.key_actor(&process), first.token_actor(&process));
    for left in [2, 1, 0] {
        let reply = token.post(&first.tokens_path(), json!({"name": "n"})).await;
        assert_eq!(reply.status, 201);
        let [state, policy, retry] = limits(&reply);
        let state = state.unwrap();
        assert!(state.starts_with(&format!("\"default\";r={left};t=")), "{state}");
        assert_eq!((policy.as_deref(), retry), (Some("\"default\";q=3;w=300"), None));
    }
    let reply = token.post(&first.tokens_path(), json!({"name": "n"})).await;
    assert_eq!(reply.refusal(), (429, 971));
    let [state, policy, retry] = limits(&reply);
    assert!(state.unwrap().starts_with("\"default\";r=0;t="));
    assert_eq!(policy.as_deref(), Some("\"default\";q=3;w=300"));
    let seconds: u64 = retry.unwrap().parse().unwrap();
    assert!((1..=300).contains(&seconds), "{seconds}");
    // Another credential has its own count, and what was refused was not done.
    let list = key.get(&first.tokens_path()).await.result(200);
    assert_eq!(list.as_array().unwrap().len(), 3);
    // However the address is written, it is the same user's key.
    let loud = Actor::new(
        process.base_url.clone(),
        &[("x-auth-email", &first.email.to_uppercase()), ("x-auth-key", &first.api_key)],
    );
    assert_eq!(loud.get("/user").await.status, 200);
    assert_eq!(key.get("/user").await.status, 200);
    assert_eq!(loud.get("/user").await.refusal(), (429, 971));
});

both_places!(failures_are_counted_apart_and_lock_nobody_out, |place: Place| async move {
    let first = founded(place);
    let process = serve(&first.place, &["--rate-limit", "3"]);
    for n in 0..5 {
        let reply = Installation::bearer(&process, &format!("guess{n}")).get("/accounts").await;
        assert_eq!(reply.refusal(), if n < 3 { (403, 9109) } else { (429, 971) }, "{n}");
        assert_eq!(reply.headers.get("retry-after").is_some(), n >= 3);
    }
    let wrong = Actor::new(
        process.base_url.clone(),
        &[("x-auth-email", "nobody@example.com"), ("x-auth-key", "guess")],
    );
    assert_eq!(wrong.get("/accounts").await.refusal(), (429, 971), "another kind of guess");
    assert_eq!(first.token_actor(&process).get("/accounts").await.status, 200);
    // Nobody and malformed are no attempts at anything.
    let nobody = Actor::new(process.base_url.clone(), &[]);
    assert_eq!(nobody.get("/accounts").await.refusal(), (400, 9106));
});

both_places!(the_limit_is_1200_by_default_and_can_be_off, |place: Place| async move {
    let first = founded(place);
    let process = serve(&first.place, &[]);
    let [state, policy, retry] = limits(&first.token_actor(&process).get("/accounts").await);
    assert_eq!(state.as_deref(), Some("\"default\";r=1199;t=300"));
    assert_eq!((policy.as_deref(), retry), (Some("\"default\";q=1200;w=300"), None));
    drop(process);
    let process = serve(&first.place, &["--rate-limit", "off"]);
    let found = limits(&first.token_actor(&process).get("/accounts").await);
    assert_eq!(found, [None, None, None]);
});

both_places!(logs_are_json_lines_with_the_request_id_and_without_a_secret, |place: Place| async move {
    let first = founded(place);
    let process = serve(&first.place, &["--log", "debug"]);
    let (key, token) = (first.key_actor(&process), first.token_actor(&process));
    let made = token.post(&first.tokens_path(), json!({"name": "canary-name"})).await;
    let id = made.headers["x-request-id"].to_str().unwrap().to_owned();
    let made = made.result(201);
    let one = format!("{}/{}", first.tokens_path(), text(&made["id"]));
    let rotated = key.post(&format!("{one}/rotate"), json!({})).await.result(200);
    let guess = Installation::bearer(&process, "canary-guess").get(&one).await;
    let refused = guess.headers["x-request-id"].to_str().unwrap().to_owned();
    let malformed = key.send("POST", &first.tokens_path(), Some(b"{\"canary-body\"".to_vec())).await;
    let last = malformed.headers["x-request-id"].to_str().unwrap().to_owned();
    let log = wait_for_log(&process, |log| log.contains(&last));
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    let of = |id: &str| lines.iter().find(|line| line["request.id"] == id).unwrap();
    let line = of(&id);
    assert_eq!((&line["status"], &line["method"]), (&json!(201), &json!("POST")));
    assert!(text(&line["caller"]).starts_with("account_token:"), "{line}");
    assert_eq!(line["route"], "/client/v4/accounts/{account_id}/access/service_tokens");
    assert_eq!((&of(&refused)["status"], &of(&refused)["caller"]), (&json!(403), &json!("-")));
    for secret in [
        first.api_token,
        first.api_key,
        text(&made["client_secret"]),
        text(&rotated["client_secret"]),
        "canary-guess".to_owned(),
        "canary-body".to_owned(),
    ] {
        assert!(!log.contains(&secret), "the log holds {secret}");
        assert!(!log.contains(&secret[secret.len() - 10..]), "the log holds a part of {secret}");
    }
});

both_places!(a_running_request_is_finished_after_sigterm, |place: Place| async move {
    let first = founded(place);
    let mut process = serve(&first.place, &[]);
    let address = address(&process);
    let body = br#"{"name":"made while stopping"}"#;
    let head = format!(
        "POST /client/v4{} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        first.tokens_path(),
        first.api_token,
        body.len()
    );
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    // The server says that it is reading: so the request is running.
    let mut more = [0; 25];
    stream.read_exact(&mut more).unwrap();
    assert_eq!(&more, b"HTTP/1.1 100 Continue\r\n\r\n");
    // An idle connection does not hold it up.
    let _idle = TcpStream::connect(address).unwrap();
    process.signal("TERM");
    wait_for_log(&process, |log| log.contains("stopping"));
    stream.write_all(body).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let reply = raw::read(&bytes);
    assert_eq!(reply.status, 201, "{}", reply.text);
    assert!(process.child.wait().unwrap().success(), "{}", process.log());
    assert!(TcpStream::connect(address).is_err(), "it still listens");
    let process = serve(&first.place, &[]);
    let list = first.token_actor(&process).get(&first.tokens_path()).await.result(200);
    assert_eq!(list[0]["name"], "made while stopping");
});

both_places!(it_listens_beyond_loopback_only_when_told_that_this_is_insecure, |place: Place| async move {
    let first = founded(place);
    // The harness asks for a free port on loopback; a shell replaces that.
    let arguments = first.place.arguments().join("' '");
    let script = format!(
        "exec {} serve '{arguments}' --listen 0.0.0.0:0 --insecure-http --ready-file \"$3\"",
        env!("CARGO_BIN_EXE_hallpass")
    );
    let shell = std::path::Path::new("/bin/sh");
    let process = Process::start_program(shell, first.place.directory.path(), &["-c".to_owned(), script]);
    assert!(process.api.starts_with("http://127.0.0.1:"), "{}", process.api);
    assert_eq!(first.token_actor(&process).get("/accounts").await.status, 200);
});
