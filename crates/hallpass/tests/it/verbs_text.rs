//! What people read of the verbs: help, tables, secrets and errors as they are printed; and that the documented examples run.
//!
//! The snapshots lie beside this file. `INSTA_UPDATE=always cargo test -p hallpass --test it verbs_text` writes them anew; read the
//! difference before you keep it.

use std::process::Command;

use insta::{Settings, assert_snapshot};

use crate::verbs::{Desk, Ran};

/// The groups of verbs, and the verbs in them.
const VERBS: [(&str, &[&str]); 10] = [
    (
        "token",
        &[
            "create", "list", "get", "uses", "update", "refresh", "rotate", "enable", "disable", "delete",
            "import",
        ],
    ),
    ("api-token", &["create", "list", "get", "verify", "roll", "delete", "permissions"]),
    ("app", &["create", "list", "get", "update", "delete", "revoke-tokens"]),
    ("policy", &["create", "list", "get", "update", "delete", "make-reusable"]),
    ("group", &["create", "list", "get", "update", "delete"]),
    ("organization", &["get", "update", "inactive-tokens"]),
    ("key", &["get", "update", "rotate"]),
    ("account", &["list", "add"]),
    ("zone", &["list", "add"]),
    ("user", &["get", "add"]),
];

/// What differs from run to run is blotted out.
fn settings() -> Settings {
    let mut settings = Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for (pattern, blot) in [
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[time]"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[uuid]"),
        (r"cf(ast|at|ut)_[0-9A-Za-z]{48}", "cf${1}_[secret]"),
        (r"\b[0-9a-f]{32}\b", "[hex]"),
        (r"\b[0-9a-f]{64}\b", "[long hex]"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:[port]"),
    ] {
        settings.add_filter(pattern, blot);
    }
    settings
}

/// One run after another, as a terminal would show them, with their exit status.
fn session(desk: &Desk, runs: &[&[&str]]) -> String {
    let shown = runs.iter().map(|arguments| {
        let Ran { status, out, error } = desk.run(arguments);
        let ending = if status == 0 { String::new() } else { format!("[exit status {status}]\n") };
        format!("$ hallpass {}\n{out}{error}{ending}", arguments.join(" "))
    });
    shown.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_people_read_of_service_tokens() {
    let desk = Desk::with_token();
    let text = session(
        &desk,
        &[
            &["token", "list"],
            &["token", "create", "deploy", "--duration", "720h"],
            &["token", "get", "deploy"],
            &["token", "rotate", "deploy", "--grace", "24h"],
            &["token", "disable", "deploy"],
            &["token", "list"],
            &["token", "delete", "deploy", "--yes"],
            &["token", "list", "--zone", "example.com"],
        ],
    );
    settings().bind(|| assert_snapshot!("service_tokens", text));
}

#[test]
fn what_people_read_of_api_tokens_and_of_the_directory() {
    let desk = Desk::with_key();
    let text = session(
        &desk,
        &[
            &["api-token", "create", "refresher", "--permission", "Access: Service Tokens Write"],
            &["api-token", "list"],
            &["api-token", "get", "refresher"],
            &["api-token", "roll", "refresher", "--yes"],
            &["api-token", "delete", "refresher", "--yes"],
            &["account", "list"],
            &["zone", "list"],
            &["user", "get"],
        ],
    );
    settings().bind(|| assert_snapshot!("api_tokens", text));
}

#[tokio::test]
async fn what_people_read_of_applications_and_what_belongs_to_them() {
    let desk = Desk::with_key();
    let app = session(
        &desk,
        &[
            &["group", "create", "office", "--include", "ip=192.0.2.0/24", "--exclude", "ip=192.0.2.66"],
            &["policy", "create", "machines", "--include", "service_token=CI/CD token"],
            &["app", "create", "wiki", "--domain", "wiki.example.com", "--domain", "docs.example.com/api"],
            &[
                "policy",
                "create",
                "own",
                "--app",
                "wiki",
                "--include",
                "everyone",
                "--require",
                "group=office",
            ],
            &["app", "update", "wiki", "--add-policy", "machines", "--service-auth-401-redirect", "true"],
            &["app", "list"],
            &["policy", "list"],
            &["policy", "list", "--app", "wiki"],
            &["policy", "get", "own", "--app", "wiki"],
            &["group", "list"],
            &["policy", "make-reusable", "own", "--app", "wiki"],
            &["app", "revoke-tokens", "wiki"],
            &["app", "delete", "wiki", "--yes"],
            &["policy", "delete", "machines", "--yes"],
        ],
    );
    let wrong = session(
        &desk,
        &[
            &["policy", "create", "n", "--include", "nobody"],
            &["policy", "create", "n"],
            &["group", "update", "office", "--exclude", "none", "--exclude", "everyone"],
            &["group", "delete", "office"],
            &["group", "delete", "office", "--yes"],
            &["app", "update", "Example", "--remove-policy", "Any service token"],
            &["policy", "list", "--zone", "example.com"],
            &["app", "create", "--body", "missing.json"],
        ],
    );
    let rule = ["organization", "update", "--service-token-inactivity", "disable"];
    let account = session(
        &desk,
        &[
            &["organization", "get"],
            &[&rule[..], &["--inactivity-threshold-days", "90"]].concat(),
            &["organization", "inactive-tokens"],
            &["key", "get"],
            &["key", "update", "--key-rotation-interval-days", "30"],
            &["key", "rotate"],
        ],
    );
    desk.switch("clock", &serde_json::json!({"advance": "2400h"})).await;
    let later = session(&desk, &[&["organization", "inactive-tokens"]]);
    settings().bind(|| assert_snapshot!("access", [app, wrong, account, later].join("\n")));
}

#[test]
fn what_people_read_where_something_is_wrong() {
    let desk = Desk::with_token();
    desk.json(&["token", "create", "twin"]);
    desk.json(&["token", "create", "twin"]);
    let text = session(
        &desk,
        &[
            &["token", "get", "twin"],
            &["token", "get", "twon"],
            &["token", "get", "f174e90a-fafe-4643-bbbc-4a0ed4fc8416"],
            &["token", "delete", "CI/CD token"],
            &["token", "rotate", "CI/CD token"],
            &["token", "create", "n", "--duration", "30d"],
            &["api-token", "list"],
            &["token", "list", "--account", "Exampel"],
            &["token", "list", "--base-url", "http://127.0.0.1:1"],
            &["token", "list", "--base-url", "http://192.0.2.1"],
            &["token", "list", "--base-url", "https://hallpass.example.com/api"],
            &["token", "list", "--api-token-file", "missing.txt"],
        ],
    );
    let desk = desk.setting(&[("HALLPASS_API_TOKEN", "wrong")]);
    let wrong = session(&desk, &[&["token", "list"], &["api-token", "verify"]]);
    let desk = desk.setting(&[("HALLPASS_API_TOKEN", ""), ("HALLPASS_EMAIL", "user@example.com")]);
    let half = session(&desk, &[&["token", "list"]]);
    let desk = desk.setting(&[("HALLPASS_EMAIL", ""), ("CLOUDFLARE_API_TOKEN", "production")]);
    let none = session(&desk, &[&["token", "list"]]);
    settings().bind(|| assert_snapshot!("errors", [text, wrong, half, none].join("\n")));
}

#[test]
fn every_verb_explains_itself_with_an_example() {
    let help = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_hallpass"))
            .args(arguments)
            .arg("--help")
            .env_clear()
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let root = help(&[]);
    let mut texts = vec![root.clone()];
    for (group, verbs) in VERBS {
        assert!(root.contains(&format!("\n  {group}")), "{root}");
        let of_group = help(&[group]);
        for verb in verbs {
            assert!(of_group.contains(&format!("\n  {verb}")), "{of_group}");
            let text = help(&[group, verb]);
            assert!(text.contains(&format!("Example:\n  hallpass {group} {verb}")), "{text}");
            texts.push(text);
        }
        let listed = of_group.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
        // Each verb and `help`.
        assert_eq!(listed.lines().count(), verbs.len() + 1, "{of_group}");
    }
    for command in [
        "dev",
        "serve",
        "bootstrap",
        "doctor",
        "openapi",
        "audit",
        "certs",
        "completions",
        "protect",
        "access-log",
        "explain",
    ] {
        let text = help(&[command]);
        assert!(text.contains(&format!("Example:\n  hallpass {command}")), "{text}");
    }
    settings().bind(|| assert_snapshot!("help", texts.join("\n--------\n\n")));
}

#[test]
fn completions_are_there_for_the_usual_shells() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_hallpass")).args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success()
                && ["rotate", "api-token", "make-reusable", "inactive-tokens"]
                    .iter()
                    .all(|verb| script.contains(verb)),
            "{shell}"
        );
    }
}

/// The lines behind `$ ` of all `console` blocks, in their order: they are one session.
fn examples(document: &str) -> Vec<String> {
    let mut in_console = false;
    let mut lines = Vec::new();
    for line in document.lines() {
        if line.starts_with("```") {
            in_console = line == "```console";
        } else if in_console && let Some(command) = line.strip_prefix("$ ") {
            lines.push(command.to_owned());
        }
    }
    lines
}

#[test]
fn the_documented_examples_run() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/command-line.md");
    let examples = examples(&std::fs::read_to_string(document).unwrap());
    assert!(examples.len() > 15, "{examples:#?}");
    for (group, verbs) in VERBS {
        for verb in verbs {
            let wanted = format!("hallpass {group} {verb}");
            assert!(examples.iter().any(|line| line.contains(&wanted)), "there is no example of {wanted}");
        }
    }
    let desk = Desk::with_token().setting(&[("HALLPASS_API_TOKEN", ""), ("HALLPASS_BASE_URL", "")]);
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_hallpass"));
    let path = format!("{}:/usr/bin:/bin", binary.parent().unwrap().display());
    // Each line has to end with 0, and the variables that one sets count for the next.
    let script = examples
        .iter()
        .map(|line| line.replace("http://127.0.0.1:8484", &desk.process.api))
        .map(|line| format!("{line}\nended=$?; [ $ended = 0 ] || {{ echo \"ended with $ended: $(cat <<'END'\n{line}\nEND\n)\" >&2; exit 1; }}\n"));
    let output = Command::new("sh")
        .args(["-c", &script.collect::<String>()])
        .env_clear()
        .env("PATH", path)
        .env("HOME", desk.directory.path())
        .current_dir(desk.directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_lines_of_console_blocks_are_found() {
    let document = "```console\n$ one\nnot this\n$ two\n```\n```\n$ nor this\n```\n";
    assert_eq!(examples(document), ["one", "two"]);
}

/// The lines of all code blocks that call something with curl and leave nothing to fill in, but for those that ask a proxy.
fn curl_lines(document: &str) -> Vec<String> {
    let mut in_block = false;
    let mut lines = Vec::new();
    for line in document.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if in_block
            && line.starts_with("curl ")
            && !line.contains(['…', '$'])
            && !line.contains("127.0.0.1:8080")
        {
            lines.push(line.to_owned());
        }
    }
    lines
}

#[test]
#[ignore = "needs curl, see ./test"]
fn the_curl_lines_of_the_documents_run() {
    for (document, at_least) in [("README.md", 4), ("docs/emulator.md", 6)] {
        let path = format!("{}/../../{document}", env!("CARGO_MANIFEST_DIR"));
        let lines = curl_lines(&std::fs::read_to_string(path).unwrap());
        assert!(lines.len() >= at_least, "{document}: {lines:#?}");
        // One after the other on one emulator, as a reader would send them.
        let desk = Desk::with_token();
        for line in lines {
            let sent = line.replace("http://127.0.0.1:8484", &desk.process.api);
            if let Some((_, rest)) = sent.split_once("http://127.0.0.1:8485") {
                // The gate's answers are in no envelope, and some are meant to be refusals.
                let gate = desk.process.gate.as_deref().unwrap();
                let sent = format!("curl --silent --include {gate}{rest}");
                let output = Command::new("sh").args(["-c", &sent]).output().unwrap();
                let said = String::from_utf8_lossy(&output.stdout).to_lowercase();
                assert!(
                    said.contains("hallpass-ref: ") || said.contains("cf-access-jwt-assertion: ey"),
                    "{line}: {said}"
                );
                continue;
            }
            let sent = sent.replacen("curl ", "curl --silent --show-error --fail-with-body ", 1);
            let output = Command::new("sh").args(["-c", &sent]).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success() && said.contains("\"success\":true"),
                "{document}: {line}: {said}"
            );
        }
    }
}
