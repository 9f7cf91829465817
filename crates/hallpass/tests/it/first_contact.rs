//! What `hallpass dev` prints can be pasted, from top to bottom: the published token expires and is refreshed, the gate refuses
//! who shows none, lets it in, and refuses it once it is disabled.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::door::{Carrier, Pair, question, send};
use crate::harness::{Actor, Process, text};
use crate::signing_keys::is_signed_by;

const ACCOUNT: &str = "/accounts/023e105f4ecef8ad9ca31a8372d0c353";

/// The first user of an emulator.
fn key(process: &Process) -> Actor {
    let headers = [("x-auth-email", "user@example.com"), ("x-auth-key", "144c9defac04969c7bfad8efaa8ea194")];
    Actor::new(process.base_url.clone(), &headers)
}

/// Runs the emulator, and gives what it prints, too.
fn start(directory: &Path) -> (Process, String) {
    let printed = directory.join("printed.txt");
    let script = format!("exec {} \"$@\" > {}", env!("CARGO_BIN_EXE_hallpass"), printed.display());
    let process = Process::start_program(
        Path::new("/bin/sh"),
        directory,
        &["-c", &script, "sh", "dev"].map(str::to_owned),
    );
    // It prints right after the ready file is written.
    for _ in 0..500 {
        let text = std::fs::read_to_string(&printed).unwrap();
        if text.contains("/auth/nginx") && text.ends_with('\n') {
            return (process, text);
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("it printed no way to ask the gate");
}

/// Status and whole text of what a line gets.
fn paste(line: &str) -> (u16, String) {
    let sent = Command::new("sh")
        .args(["-c", &line.replacen("curl ", "curl --silent --include ", 1)])
        .output()
        .unwrap();
    let text = String::from_utf8(sent.stdout).unwrap();
    (text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0), text)
}

/// When the service token ends that a reply shows.
fn expiry(text: &str) -> String {
    let body: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    body["result"]["expires_at"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs curl, see ./test"]
async fn the_lines_that_dev_prints_do_what_they_say_in_their_order_and_again_after_a_reset() {
    let directory = tempfile::tempdir().unwrap();
    let (process, printed) = start(directory.path());
    let gate = process.gate.clone().unwrap();
    let lines: Vec<_> = printed.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect();
    assert!(lines.iter().all(|line| !line.contains('…')) && lines[4].contains(&gate), "{printed}");
    let switches = Actor::new(format!("{}/dev", process.api), &[]);
    for _ in 0..2 {
        let (statuses, texts): (Vec<_>, Vec<_>) = lines.iter().map(|line| paste(line)).unzip();
        assert_eq!(statuses, [200, 200, 200, 200, 403, 200, 200, 401], "{texts:#?}");
        let expiries: Vec<_> = [0, 2, 3].map(|line: usize| expiry(&texts[line])).into();
        assert!(expiries[0] == expiries[1] && expiries[1] < expiries[2], "{expiries:?}");
        let asserted: Vec<_> =
            texts.iter().map(|text| text.contains("cf-access-jwt-assertion: ey")).collect();
        assert_eq!(asserted, [false, false, false, false, false, true, false, false]);
        assert!(texts[5].contains("hallpass-token-name: CI/CD%20token"), "{}", texts[5]);
        switches.post("/reset", json!({})).await.result(200);
    }
}

#[test]
fn all_settings_that_dev_prints_may_be_pasted_and_then_everything_is_allowed() {
    let directory = tempfile::tempdir().unwrap();
    let (_process, printed) = start(directory.path());
    let is_setting = |line: &&str| line.starts_with("export ") || line.starts_with("unset ");
    let settings: Vec<_> = printed.lines().map(str::trim).filter(is_setting).collect();
    assert_eq!(settings.len(), 6, "{printed}");
    for verb in ["token list", "app list", "explain --host app.example.com"] {
        let script = format!("{}\n{} {verb}", settings.join("\n"), env!("CARGO_BIN_EXE_hallpass"));
        let ran = Command::new("/bin/sh").args(["-c", &script]).env_clear().output().unwrap();
        assert!(ran.status.success(), "{verb}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_application_has_the_published_ids_after_every_reset() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path(), &["dev".to_owned()]);
    let key = key(&process);
    let apps = format!("{ACCOUNT}/access/apps");
    let switches = Actor::new(format!("{}/dev", process.api), &[]);
    for _ in 0..2 {
        let list = key.get(&apps).await.result(200);
        assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
        let app = &list[0];
        assert_eq!(app["id"], "3b7d2c5e-8a41-4f06-9d1c-6e5f0a9b4c72");
        assert_eq!(app["aud"], "737646a56ab1df6ec9bddc7e5ca84eaf3b0768850f3ffb5d74f1534911fe3893");
        assert_eq!((&app["domain"], &app["name"]), (&json!("app.example.com"), &json!("Example")));
        assert!(app.get("account_id").is_none(), "{app}");
        assert_eq!(app["policies"][0]["include"], json!([{"any_valid_service_token": {}}]));
        let path = format!("{apps}/{}", app["id"].as_str().unwrap());
        key.delete(&path).await.result(202);
        assert_eq!(key.get(&apps).await.result(200), json!([]));
        switches.post("/reset", json!({})).await.result(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_fetched_the_keys_once_checks_what_passes_after_every_reset() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path(), &["dev".to_owned()]);
    let gate = process.gate.as_ref().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
    let (key, switches) = (key(&process), Actor::new(format!("{}/dev", process.api), &[]));
    let certs = || {
        let asked =
            "GET /cdn-cgi/access/certs HTTP/1.1\r\nhost: app.example.com\r\nconnection: close\r\n\r\n";
        send(gate, asked.as_bytes()).body
    };
    let pass = |pair: &Pair| {
        let answer = send(gate, &pair.on(&question("nginx", "app.example.com", "/"), Carrier::Pair).bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.headers["cf-access-jwt-assertion"].clone()
    };
    // Every key that was made for the state of the moment.
    let made = async || {
        let log = format!("{ACCOUNT}/logs/audit?since=2020-01-01&before=2899-01-01");
        let entries = key.get(&log).await.result(200);
        let entries = entries.as_array().unwrap().iter();
        let made = entries.filter(|entry| entry["action"]["description"] == "signing_key.create");
        made.map(|entry| text(&entry["resource"]["id"])).collect::<BTreeSet<_>>()
    };
    let example = Pair {
        id: "f174e90a-fafe-4643-bbbc-4a0ed4fc8415".to_owned(),
        client_id: "88bf3b6d86161464f6509f7219099e57.access.example.com".to_owned(),
        secret: "bdd31cbc4dec990953e39163fbbb194c93313ca9f0a6e420346af9d326b1d2a5".to_owned(),
    };
    let fetched = certs();
    let keys: Value = serde_json::from_str(&fetched).unwrap();
    let kids = keys["keys"].as_array().unwrap().iter().map(|key| text(&key["kid"])).collect::<BTreeSet<_>>();
    assert!(is_signed_by(&keys, &pass(&example)));
    assert_eq!(made().await, kids);
    for _ in 0..2 {
        // Two rotations would make keys sign that nobody has fetched.
        for _ in 0..2 {
            key.post(&format!("{ACCOUNT}/access/keys/rotate"), json!({})).await.result(200);
        }
        assert!(!is_signed_by(&keys, &pass(&example)));
        switches.post("/reset", json!({})).await.result(200);
        assert_eq!((certs(), made().await), (fetched.clone(), kids.clone()));
        assert!(is_signed_by(&keys, &pass(&example)));
        let path = format!("{ACCOUNT}/access/service_tokens");
        let fresh = Pair::of(&key.post(&path, json!({"name": "made after the reset"})).await.result(201));
        assert!(is_signed_by(&keys, &pass(&fresh)));
    }
}
