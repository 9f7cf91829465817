//! The verbs as the real binary against a running emulator: what they do, what they print for programs, and how they end.

use std::io::Write as _;
use std::ops::Deref;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use hallpass_core::time::Timestamp;
use serde_json::{Value, json};

use crate::harness::{Actor, Process, TestServer, text};

pub(crate) const ACCOUNT: &str = "023e105f4ecef8ad9ca31a8372d0c353";
const EXAMPLE: &str = "f174e90a-fafe-4643-bbbc-4a0ed4fc8415";
const EXAMPLE_NAME: &str = "CI/CD token";
const EXAMPLE_CLIENT_ID: &str = "88bf3b6d86161464f6509f7219099e57.access.example.com";
pub(crate) const API_TOKEN: &str = "Sn3lZJTBX6kkg7OdcBUAxOO963GEIyGQqnFTOFYY";
const EMAIL: &str = "user@example.com";
const API_KEY: &str = "144c9defac04969c7bfad8efaa8ea194";

/// Where the binary is run, and with which variables.
pub(crate) struct Shell {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) variables: Vec<(String, String)>,
}

/// A running emulator, and a shell that is meant for it.
pub(crate) struct Desk {
    pub(crate) process: Process,
    shell: Shell,
}

impl Deref for Desk {
    type Target = Shell;

    fn deref(&self) -> &Shell {
        &self.shell
    }
}

/// How a run of the binary ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) error: String,
}

impl Desk {
    /// With the example's API token, which may read and write service tokens.
    pub(crate) fn with_token() -> Self {
        Self::start(&[]).setting(&[("HALLPASS_API_TOKEN", API_TOKEN)])
    }

    /// With the example's e-mail address and key, which may do everything.
    pub(crate) fn with_key() -> Self {
        Self::start(&[]).setting(&[("HALLPASS_EMAIL", EMAIL), ("HALLPASS_API_KEY", API_KEY)])
    }

    /// The same on a store that begins with this.
    pub(crate) fn with_key_and_seed(seed: &Value) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let seed = write(&directory.path().join("seed.json"), &seed.to_string());
        Self::start(&["--seed", &seed]).setting(&[("HALLPASS_EMAIL", EMAIL), ("HALLPASS_API_KEY", API_KEY)])
    }

    fn start(more: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let arguments: Vec<_> = ["dev"].iter().chain(more).map(|argument| (*argument).to_owned()).collect();
        let process = Process::start(directory.path(), &arguments);
        let shell = Shell::calling(&process.base_url, directory);
        Self { process, shell }
    }

    /// The same with these variables set, and those set to nothing removed.
    pub(crate) fn setting(self, variables: &[(&str, &str)]) -> Self {
        Self { shell: self.shell.setting(variables), ..self }
    }

    /// Uses one of the emulator's switches.
    pub(crate) async fn switch(&self, name: &str, body: &Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(format!("{}/dev/{name}", self.process.api));
        let request = request.header("content-type", "application/json").body(body.to_string());
        assert!(request.send().await.unwrap().status().is_success());
    }

    /// Somebody who calls the same server without the command line.
    fn actor(&self) -> Actor {
        let headers = [("x-auth-email", EMAIL), ("x-auth-key", API_KEY)];
        Actor::new(self.process.base_url.clone(), &headers)
    }
}

impl Shell {
    fn calling(base_url: &str, directory: tempfile::TempDir) -> Self {
        Self { directory, variables: vec![("HALLPASS_BASE_URL".to_owned(), base_url.to_owned())] }
    }

    /// In a directory of its own, with the home account's user, who may do everything there.
    pub(crate) fn of_user(server: &TestServer) -> Self {
        let home = &server.home;
        Self::calling(&server.base_url(), tempfile::tempdir().unwrap())
            .setting(&[("HALLPASS_EMAIL", &home.email), ("HALLPASS_API_KEY", &home.key)])
    }

    /// The same with these variables set, and those set to nothing removed.
    pub(crate) fn setting(mut self, variables: &[(&str, &str)]) -> Self {
        for (name, value) in variables {
            self.variables.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.variables.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        self
    }

    /// The binary with its variables and no others.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hallpass"));
        command.args(arguments).env_clear().stdin(Stdio::null()).current_dir(self.directory.path());
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, &[])
    }

    /// The same with more variables, this once.
    pub(crate) fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
        Ran::of(self.command(arguments).envs(variables.iter().copied()).output().unwrap())
    }

    /// What a run prints that has to succeed, and to say nothing on standard error.
    pub(crate) fn out(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!((ran.status, ran.error.as_str()), (0, ""), "{arguments:?}: {ran:?}");
        assert!(!ran.out.contains('\u{1b}'), "colours where there is no terminal: {}", ran.out);
        ran.out
    }

    /// The same as one JSON document.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let out = self.out(&[arguments, &["--json"]].concat());
        assert_eq!(out.lines().count(), 1, "{out}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// How a run ends that has to fail: with this exit status, and nothing on standard output.
    pub(crate) fn refused(&self, arguments: &[&str], status: i32) -> String {
        let ran = self.run(arguments);
        assert_eq!((ran.status, ran.out.as_str()), (status, ""), "{arguments:?}: {ran:?}");
        assert!(ran.error.starts_with("error: "), "{ran:?}");
        ran.error
    }

    /// A run with something on its standard input.
    pub(crate) fn feed(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that is refused at once does not read.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Ran::of(child.wait_with_output().unwrap())
    }

    /// Writes a file, and gives its path.
    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        write(&self.directory.path().join(name), content)
    }
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { status: output.status.code().unwrap(), out: text(output.stdout), error: text(output.stderr) }
    }
}

fn tokens_path() -> String {
    format!("/accounts/{ACCOUNT}/access/service_tokens")
}

fn at(value: &Value) -> Timestamp {
    text(value).parse().unwrap()
}

fn write(file: &Path, content: &str) -> String {
    std::fs::write(file, content).unwrap();
    file.display().to_string()
}

#[tokio::test]
async fn a_service_token_can_be_led_through_its_life() {
    let desk = Desk::with_token();
    let made = desk.json(&["token", "create", "deploy", "--duration", "720h"]);
    let (id, client_id) = (text(&made["id"]), text(&made["client_id"]));
    assert!(text(&made["client_secret"]).starts_with("cfast_"));
    let stored = || async { desk.actor().get(&format!("{}/{id}", tokens_path())).await.result(200) };
    assert_eq!((&stored().await["name"], &stored().await["duration"]), (&json!("deploy"), &json!("720h")));

    let listed = desk.json(&["token", "list"]);
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(desk.json(&["token", "list", "--search", "epl"])[0]["id"], id.as_str());
    for wanted in [&id, "deploy", &client_id] {
        assert_eq!(desk.json(&["token", "get", wanted]), stored().await, "{wanted}");
    }

    desk.json(&["token", "update", "deploy", "--name", "deploy-2", "--duration", "forever"]);
    assert_eq!(
        (&stored().await["name"], &stored().await["duration"]),
        (&json!("deploy-2"), &json!("forever"))
    );
    desk.json(&["token", "update", &id, "--duration", "1h"]);
    let before = at(&stored().await["expires_at"]);
    assert!(at(&desk.json(&["token", "refresh", "deploy-2"])["expires_at"]) >= before);

    let rotated = desk.json(&["token", "rotate", "deploy-2", "--grace", "24h"]);
    assert!(rotated["client_secret"].is_string() && rotated["client_secret"] != made["client_secret"]);
    let grace = at(&rotated["previous_client_secret_expires_at"]).as_micros()
        - at(&rotated["updated_at"]).as_micros();
    let day = 24 * 3_600 * 1_000_000;
    assert!((grace - day).abs() <= 2_000_000, "{grace}");
    let end = "2027-01-01T00:00:00Z";
    desk.json(&["token", "update", "deploy-2", "--previous-secret-expires-at", end]);
    assert_eq!(stored().await["previous_client_secret_expires_at"], end);
    let rotated = desk.json(&["token", "rotate", "deploy-2", "--yes"]);
    assert_eq!(
        (&rotated["client_secret_version"], &stored().await["client_secret_version"]),
        (&json!(3), &json!(3))
    );

    assert_eq!(desk.json(&["token", "disable", "deploy-2"])["enabled"], false);
    assert_eq!(stored().await["enabled"], false);
    assert_eq!(desk.json(&["token", "enable", "deploy-2"])["enabled"], true);
    assert_eq!(stored().await["enabled"], true);

    assert_eq!(desk.json(&["token", "delete", "deploy-2", "--yes"])["id"], id.as_str());
    assert_eq!(desk.actor().get(&format!("{}/{id}", tokens_path())).await.status, 404);
}

#[tokio::test]
async fn an_api_token_can_be_led_through_its_life() {
    let desk = Desk::with_key();
    let made = desk.json(&[
        "api-token",
        "create",
        "refresher",
        "--permission",
        "Access: Service Tokens Write",
        "--permission",
        "91f7ce32fa614d73b7e1fc8f0e78582b",
        "--allow-from",
        "127.0.0.0/8",
        "--expires-on",
        "2999-01-01T00:00:00Z",
    ]);
    let id = text(&made["id"]);
    let stored = desk.actor().get(&format!("/accounts/{ACCOUNT}/tokens/{id}")).await.result(200);
    assert_eq!(stored["condition"]["request_ip"]["in"], json!(["127.0.0.0/8"]));
    assert_eq!(stored["expires_on"], "2999-01-01T00:00:00Z");
    assert_eq!(stored["policies"][0]["permission_groups"].as_array().unwrap().len(), 2);
    assert_eq!(desk.json(&["api-token", "get", "refresher"]), stored);
    assert_eq!(desk.json(&["api-token", "get", &id]), stored);
    assert_eq!(desk.json(&["api-token", "list"])[0], stored);
    assert_eq!(desk.json(&["api-token", "list", "--user"])[0]["name"], "Service tokens");
    let groups = desk.json(&["api-token", "permissions"]);
    assert!(groups.as_array().unwrap().iter().any(|group| group["name"] == "Access: Service Tokens Read"));

    // What `get --json` shows of the policies can be handed on as a file.
    let file = write(&desk.directory.path().join("policies.json"), &stored["policies"].to_string());
    let copy = desk.json(&["api-token", "create", "copy", "--policies", &file]);
    assert_eq!(copy["policies"][0]["permission_groups"], stored["policies"][0]["permission_groups"]);

    let token = [("HALLPASS_API_TOKEN", text(&made["value"]))];
    let with_it =
        |secret: &str, arguments: &[&str]| desk.run_with(arguments, &[("HALLPASS_API_TOKEN", secret)]).status;
    assert_eq!(with_it(&token[0].1, &["api-token", "verify"]), 0);
    assert_eq!(with_it(&token[0].1, &["token", "list"]), 0);
    let rolled = desk.json(&["api-token", "roll", "refresher", "--yes"]);
    assert_eq!(with_it(&token[0].1, &["api-token", "verify"]), 7);
    assert_eq!(with_it(&text(&rolled), &["api-token", "verify", "--account", ACCOUNT]), 0);
    assert_eq!(with_it(API_TOKEN, &["api-token", "verify", "--user"]), 0);

    assert_eq!(desk.json(&["api-token", "delete", "refresher", "--yes"]), json!({"id": id}));
    assert_eq!(with_it(&text(&rolled), &["api-token", "verify"]), 7);
}

#[tokio::test]
async fn a_grace_that_is_over_by_the_servers_clock_is_told() {
    let desk = Desk::with_token();
    let ran = desk.run(&["token", "rotate", EXAMPLE, "--grace", "24h"]);
    assert_eq!((ran.status, ran.error.as_str()), (0, ""), "{ran:?}");
    desk.switch("clock", &json!({"advance": "48h"})).await;
    let ran = desk.run(&["token", "rotate", EXAMPLE, "--grace", "24h"]);
    assert!(ran.status == 0 && ran.error.starts_with("warning: "), "{ran:?}");
    let ran = desk.run(&["token", "rotate", EXAMPLE, "--grace", "72h"]);
    assert_eq!((ran.status, ran.error.as_str()), (0, ""), "{ran:?}");
}

#[test]
fn the_directory_shows_what_the_credential_reaches() {
    let desk = Desk::with_key();
    assert_eq!(desk.json(&["account", "list"])[0]["id"], ACCOUNT);
    assert_eq!(desk.json(&["zone", "list"])[0]["name"], "example.com");
    assert_eq!(desk.json(&["user", "get"])["email"], EMAIL);
}

#[test]
fn a_secret_alone_can_be_piped() {
    let desk = Desk::with_key();
    let group = "Access: Service Tokens Read";
    for (arguments, prefix) in [
        (&["token", "create", "deploy", "--secret-only"][..], "cfast_"),
        (&["token", "rotate", "deploy", "--yes", "--secret-only"], "cfast_"),
        (&["api-token", "create", "reader", "--permission", group, "--secret-only"], "cfat_"),
        (&["api-token", "roll", "reader", "--yes", "--secret-only"], "cfat_"),
    ] {
        let out = desk.out(arguments);
        let secret = out.strip_suffix('\n').unwrap();
        assert!(
            secret.starts_with(prefix)
                && secret.chars().all(|symbol| symbol.is_ascii_alphanumeric() || symbol == '_')
        );
        // Shown once: no later verb shows it again.
        for later in
            [&["token", "list", "--json"][..], &["token", "get", "deploy"], &["api-token", "list", "--json"]]
        {
            assert!(!desk.out(later).contains(secret));
        }
    }
    // The last one works.
    let file = write(
        &desk.directory.path().join("token"),
        &desk.out(&["api-token", "roll", "reader", "--yes", "--secret-only"]),
    );
    assert_eq!(desk.run(&["token", "list", "--api-token-file", &file]).status, 0);
    let ran = desk.run(&["token", "create", "x", "--json", "--secret-only"]);
    assert_eq!(ran.status, 2, "{ran:?}");
}

#[test]
fn what_cannot_be_undone_is_not_done_without_a_yes() {
    let desk = Desk::with_key();
    desk.json(&["api-token", "create", "reader", "--permission", "Access: Service Tokens Read"]);
    let before = (desk.json(&["token", "list"]), desk.json(&["api-token", "list"]));
    for arguments in [
        &["token", "delete", EXAMPLE][..],
        &["token", "rotate", EXAMPLE],
        &["api-token", "roll", "reader"],
        &["api-token", "delete", "reader"],
    ] {
        let error = desk.refused(arguments, 2);
        assert!(error.contains("--yes"), "{error}");
    }
    assert_eq!((desk.json(&["token", "list"]), desk.json(&["api-token", "list"])), before);
}

#[test]
fn names_are_taken_where_they_are_clear() {
    let desk = Desk::with_token();
    for wanted in [EXAMPLE, EXAMPLE_NAME, EXAMPLE_CLIENT_ID] {
        assert_eq!(desk.json(&["token", "get", wanted])["id"], EXAMPLE);
    }
    let twins: Vec<_> = (0..2).map(|_| text(&desk.json(&["token", "create", "twin"])["id"])).collect();
    for arguments in [
        &["token", "get", "twin"][..],
        &["token", "refresh", "twin"],
        &["token", "rotate", "twin", "--yes"],
        &["token", "disable", "twin"],
        &["token", "delete", "twin", "--yes"],
    ] {
        let error = desk.refused(arguments, 2);
        assert!(twins.iter().all(|id| error.contains(id)), "{error}");
    }
    assert_eq!(desk.json(&["token", "get", &twins[0]])["client_secret_version"], 1);
    let error = desk.refused(&["token", "get", "CI/CD tokens"], 6);
    assert!(error.contains("did you mean \"CI/CD token\"?"), "{error}");
    desk.refused(&["token", "get", "nothing like it"], 6);
    desk.refused(&["token", "get", "f174e90a-fafe-4643-bbbc-4a0ed4fc8416"], 6);

    for account in [ACCOUNT, "Example"] {
        assert_eq!(desk.json(&["token", "list", "--account", account]).as_array().unwrap().len(), 3);
    }
    let error = desk.refused(&["token", "list", "--account", "Exmaple"], 6);
    assert!(error.contains("did you mean \"Example\"?"), "{error}");
    // A zone's tokens are those that were made there.
    assert_eq!(desk.json(&["token", "list", "--zone", "example.com"]), json!([]));
    let made = desk.json(&["token", "create", "zoned", "--zone", "example.com"]);
    for zone in ["example.com", ACCOUNT] {
        assert_eq!(desk.json(&["token", "list", "--zone", zone])[0]["id"], made["id"]);
    }
    desk.refused(&["token", "list", "--zone", "example.org"], 6);
}

#[test]
fn of_two_accounts_one_has_to_be_named() {
    let other = "5a".repeat(16);
    let seed = json!({
        "accounts": [{"id": ACCOUNT, "name": "Example"}, {"id": other, "name": "Other"}],
        "users": [{"id": "7c5dae5552338874e5053f2534d2767a", "email": EMAIL, "api_key": API_KEY, "accounts": [ACCOUNT, other]}],
    });
    let desk = Desk::with_key_and_seed(&seed);
    let error = desk.refused(&["token", "list"], 2);
    assert!(error.contains("--account") && error.contains(&other) && error.contains("Example"), "{error}");
    desk.json(&["token", "create", "theirs", "--account", "Other"]);
    assert_eq!(desk.json(&["token", "list", "--account", ACCOUNT]), json!([]));
    let ran = desk.run_with(&["token", "list", "--json"], &[("HALLPASS_ACCOUNT_ID", &other)]);
    assert!(ran.status == 0 && ran.out.contains("theirs"), "{ran:?}");
    // The flag counts before the variable.
    let ran = desk
        .run_with(&["token", "list", "--json", "--account", "Example"], &[("HALLPASS_ACCOUNT_ID", &other)]);
    assert_eq!((ran.status, ran.out.as_str()), (0, "[]\n"), "{ran:?}");
}

#[test]
fn each_kind_of_failure_has_its_exit_code() {
    let desk = Desk::with_token();
    // 2: asked wrongly, by the rules of the command line or of the server.
    for arguments in [
        &["token", "create", ""][..],
        &["token", "create", "n", "--duration", "1d"],
        &["token", "update", EXAMPLE],
        &["token", "update", EXAMPLE, "--previous-secret-expires-at", "soon"],
        &["token", "rotate", EXAMPLE, "--grace", "forever"],
        &["token", "list", "--account", "Example", "--zone", "example.com"],
        &["token", "list", "--base-url", "http://127.0.0.1:8484/elsewhere"],
        &["token", "list", "--base-url", "http://192.0.2.1/client/v4"],
        &["token", "list", "--api-token-file", "/nonexistent"],
        &["token", "list", "--api-token", "x"],
        &["api-token", "create", "n"],
        &["api-token", "create", "n", "--policies", "/nonexistent"],
        &["token"],
    ] {
        let ran = desk.run(arguments);
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{arguments:?}: {ran:?}");
    }
    // 6: there is no such thing.
    desk.refused(&["token", "get", "nothing"], 6);
    // 7: not with this credential, or with none that counts.
    let error = desk.refused(&["api-token", "list"], 7);
    assert!(error.contains("10000") && error.contains("request "), "{error}");
    let ran = desk.run_with(&["token", "list"], &[("HALLPASS_API_TOKEN", "unknown")]);
    assert!(ran.status == 7 && ran.error.contains("9109"), "{ran:?}");
    // 8: nobody answers.
    let error = desk.refused(&["token", "list", "--base-url", "http://127.0.0.1:1"], 8);
    assert!(error.contains("is the server running"), "{error}");
}

#[tokio::test]
async fn a_server_that_fails_is_told_from_one_that_is_busy() {
    let desk = Desk::with_token();
    for (status, exit) in [(500, 1), (429, 8)] {
        desk.switch("faults", &json!({"status": status, "times": 3, "retry_after": 0})).await;
        let error = desk.refused(&["token", "list", "--account", ACCOUNT], exit);
        assert!(error.contains(&format!("HTTP {status}")), "{error}");
        assert_eq!(desk.run(&["token", "list"]).status, 0, "all forced replies were used up");
    }
}

#[test]
fn the_originals_variables_count_only_with_the_originals_base_url() {
    let desk = Desk::start(&[]);
    let url = desk.process.base_url.clone();
    let desk = desk.setting(&[("HALLPASS_BASE_URL", "")]);
    let (token, account) = (("CLOUDFLARE_API_TOKEN", API_TOKEN), ("CLOUDFLARE_ACCOUNT_ID", ACCOUNT));
    let cloudflare = ("CLOUDFLARE_BASE_URL", url.as_str());
    let hallpass = ("HALLPASS_BASE_URL", url.as_str());
    let key = [("CLOUDFLARE_EMAIL", EMAIL), ("CLOUDFLARE_API_KEY", API_KEY)];
    for (variables, status) in [
        (&[cloudflare, token, account][..], 0),
        (&[cloudflare, token], 0),
        (&[cloudflare, key[0], key[1]], 0),
        // They would go to a server that they do not belong to.
        (&[token, account], 2),
        (&[hallpass, token, account], 2),
        (&[hallpass, cloudflare, token], 2),
        // Two servers are meant.
        (&[cloudflare, token, ("HALLPASS_API_TOKEN", API_TOKEN)], 2),
        // Hallpass's own, beside an account of the original's that is not asked.
        (&[hallpass, ("HALLPASS_API_TOKEN", API_TOKEN), ("CLOUDFLARE_ACCOUNT_ID", "0123")], 0),
        // The original itself.
        (&[("CLOUDFLARE_BASE_URL", "https://api.cloudflare.com/client/v4"), token], 2),
        // Nothing at all.
        (&[], 2),
    ] {
        let ran = desk.run_with(&["token", "list"], variables);
        assert_eq!(ran.status, status, "{variables:?}: {ran:?}");
        assert!(!ran.error.contains(API_TOKEN), "{ran:?}");
    }
    let ran = desk.run_with(&["token", "list", "--base-url", &url], &[token]);
    assert_eq!(ran.status, 2, "{ran:?}");
    assert!(ran.error.contains("CLOUDFLARE_BASE_URL") && ran.error.contains("HALLPASS_API_TOKEN"), "{ran:?}");
    // The server's name alone is enough.
    let ran = desk
        .run_with(&["token", "list", "--base-url", &desk.process.api], &[("HALLPASS_API_TOKEN", API_TOKEN)]);
    assert_eq!(ran.status, 0, "{ran:?}");
}

#[test]
fn the_audit_log_says_who_did_what() {
    let desk = Desk::with_key();
    let made = desk.json(&["token", "create", "deploy"]);
    let id = text(&made["id"]);
    desk.out(&["token", "refresh", "deploy"]);
    let log = desk.json(&["audit", "--resource", &id]);
    let actions: Vec<_> =
        log.as_array().unwrap().iter().map(|entry| text(&entry["action"]["description"])).collect();
    assert_eq!(actions, ["service_token.refresh", "service_token.create"], "the newest first");
    let shown = desk.out(&["audit", "--resource", &id, "--actor", EMAIL, "--most", "1"]);
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines.len(), 2, "{shown}");
    assert!(
        lines[0].starts_with("WHEN") && lines[1].contains("just now") && lines[1].contains(EMAIL),
        "{shown}"
    );
    assert_eq!(desk.json(&["audit", "--actor", "nobody@example.com"]), serde_json::json!([]));
    assert_eq!(
        desk.json(&["audit", "--since", "2020-01-01", "--before", "2020-01-02"]),
        serde_json::json!([])
    );
    assert!(!desk.out(&["audit", "--json"]).contains(&text(&made["client_secret"])));
    desk.refused(&["audit", "--last", "0s"], 2);
    desk.refused(&["audit", "--since", "yesterday"], 2);
    // The example's API token may not read it.
    let desk =
        desk.setting(&[("HALLPASS_EMAIL", ""), ("HALLPASS_API_KEY", ""), ("HALLPASS_API_TOKEN", API_TOKEN)]);
    let error = desk.refused(&["audit"], 7);
    assert!(error.contains("10000"), "{error}");
}

#[test]
fn a_client_id_means_its_holder_whatever_others_are_called() {
    let desk = Desk::with_token();
    let victim = desk.json(&["token", "create", "victim"]);
    let client_id = text(&victim["client_id"]);
    let decoy = desk.json(&["token", "create", &client_id]);
    assert_eq!(desk.json(&["token", "get", &client_id])["id"], victim["id"]);
    desk.out(&["token", "delete", &client_id, "--yes"]);
    desk.refused(&["token", "get", "victim"], 6);
    assert_eq!(desk.json(&["token", "get", &text(&decoy["id"])])["id"], decoy["id"]);
    // A name that looks like an id is a name where no token has that id.
    let odd = "11111111-2222-4333-8444-555555555555";
    let made = desk.json(&["token", "create", odd]);
    assert_eq!(desk.json(&["token", "get", odd])["id"], made["id"]);
}
