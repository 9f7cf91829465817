//! What `hallpass dev` prints can be pasted: the gate refuses, lets the published token in, and refuses it once it is disabled.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::harness::{Actor, Process};

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

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs curl, see ./test"]
async fn the_lines_that_dev_prints_are_refused_accepted_and_refused_again_and_a_reset_begins_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (process, printed) = start(directory.path());
    let gate = process.gate.clone().unwrap();
    let asking = printed.split_once("Ask the gate").unwrap().1;
    let lines: Vec<_> = asking.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(lines.len(), 4, "{printed}");
    assert!(lines.iter().all(|line| !line.contains('…')) && lines[0].contains(&gate));
    let switches = Actor::new(format!("{}/dev", process.api), &[]);
    for _ in 0..2 {
        let (status, text) = paste(lines[0]);
        assert_eq!((status, text.contains("cf-access-jwt-assertion")), (403, false), "{text}");
        let (status, text) = paste(lines[1]);
        assert_eq!((status, text.contains("cf-access-jwt-assertion: ey")), (200, true), "{text}");
        assert!(text.contains("hallpass-token-name: CI/CD%20token"), "{text}");
        assert_eq!(paste(lines[2]).0, 200);
        let (status, text) = paste(lines[3]);
        assert_eq!((status, text.contains("cf-access-jwt-assertion")), (401, false), "{text}");
        switches.post("/reset", json!({})).await.result(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_application_has_the_published_ids_after_every_reset() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path(), &["dev".to_owned()]);
    let key = [("x-auth-email", "user@example.com"), ("x-auth-key", "144c9defac04969c7bfad8efaa8ea194")];
    let key = Actor::new(process.base_url.clone(), &key);
    let apps = "/accounts/023e105f4ecef8ad9ca31a8372d0c353/access/apps";
    let switches = Actor::new(format!("{}/dev", process.api), &[]);
    for _ in 0..2 {
        let list = key.get(apps).await.result(200);
        assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
        let app = &list[0];
        assert_eq!(app["id"], "3b7d2c5e-8a41-4f06-9d1c-6e5f0a9b4c72");
        assert_eq!(app["aud"], "737646a56ab1df6ec9bddc7e5ca84eaf3b0768850f3ffb5d74f1534911fe3893");
        assert_eq!((&app["domain"], &app["name"]), (&json!("app.example.com"), &json!("Example")));
        assert!(app.get("account_id").is_none(), "{app}");
        assert_eq!(app["policies"][0]["include"], json!([{"any_valid_service_token": {}}]));
        let path = format!("{apps}/{}", app["id"].as_str().unwrap());
        key.delete(&path).await.result(202);
        assert_eq!(key.get(apps).await.result(200), json!([]));
        switches.post("/reset", json!({})).await.result(200);
    }
}
