//! The gate of the real binary: where it is, what it answers while nothing is protected, and that it can be left out.

use serde_json::Value;

use crate::harness::Process;

async fn get(url: String, headers: &[(&str, &str)]) -> (u16, reqwest::header::HeaderMap, String) {
    let mut request = reqwest::Client::new().get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.headers().clone(), response.text().await.unwrap())
}

#[tokio::test]
async fn an_emulators_gate_lets_nobody_in_where_nothing_is_presented_or_protected() {
    let directory = tempfile::tempdir().unwrap();
    let emulator = Process::start(directory.path(), &["dev".to_owned()]);
    let gate = emulator.gate.clone().unwrap();
    assert_eq!(get(format!("{gate}/healthz"), &[]).await.0, 200);
    assert_eq!(get(format!("{gate}/readyz"), &[]).await.0, 200);
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
    assert_eq!(get(format!("{gate}/auth/nginx"), &[]).await.0, 403);
    let (_, _, metrics) = get(format!("{}/metrics", emulator.operator.as_ref().unwrap()), &[]).await;
    assert!(metrics.contains("hallpass_gate_decisions_total{verdict=\"ambiguous\"} 1"), "{metrics}");
    assert!(metrics.contains("hallpass_gate_directory_tokens 1"), "{metrics}");
    assert!(metrics.contains("hallpass_gate_directory_age_seconds "), "{metrics}");
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
