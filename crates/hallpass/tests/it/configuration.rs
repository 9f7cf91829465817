//! The configuration as the real binary understands it: what is refused and in which words, what counts before what, what a hangup
//! changes; and that its page, the unit file and the image say the same as the code.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hallpass::config::{Change, Form, SETTINGS, Setting};
use serde_json::{Value, json};

use crate::command_line::founded;
use crate::harness::{Engine, Place, Process, run};
use crate::inspect::Installation;

/// Runs the binary to its end with these variables and no others of its own.
fn hallpass(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallpass"));
    for setting in SETTINGS {
        command.env_remove(setting.variable);
    }
    let output = command.args(arguments).envs(variables.iter().copied()).stdin(Stdio::null()).output();
    let output = output.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn write(directory: &Path, text: &str) -> PathBuf {
    let file = directory.join("hallpass.toml");
    std::fs::write(&file, text).unwrap();
    file
}

/// What `--check-config` says of a file; the file's name and log lines are left out.
fn check(text: &str) -> (i32, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), text);
    let file = file.to_str().unwrap();
    let (status, out, error) = hallpass(&["serve", "--check-config", "--config", file], &[]);
    let said = error.lines().filter(|line| !line.starts_with('{')).collect::<Vec<_>>().join("\n");
    (status, (out + &said).trim_end().replace(file, "FILE"))
}

fn refused(text: &str) -> String {
    let (status, said) = check(text);
    assert_eq!(status, 2, "{said}");
    said
}

#[test]
fn a_good_file_is_good() {
    let everything = r#"
        [store]
        data = "/nonexistent/hallpass"
        [api]
        listen = "[::1]:0"
        insecure_http = false
        rate_limit = "off"
        service_token_quota = 1_000
        trusted_peers = ["10.0.0.1", "fd00::/8"]
        [tls]
        [log]
        filter = "debug"
    "#;
    for text in ["", "# nothing\n", "[api]\nrate_limit = 5", everything] {
        assert_eq!(check(text), (0, "configuration is good".to_owned()));
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_its_place() {
    let text = r#"lisen = "x"
threads = 4
[stor]
data = "x"
[api]
rate_limt = 5
service_token_quota = "many"
"#;
    insta::assert_snapshot!(refused(text), @r#"
    error: 5 things are wrong with the configuration:
      FILE:1:1: unknown key `lisen`; did you mean `listen` in [api]?
      FILE:2:1: unknown key `threads`; every key belongs to a section
      FILE:3:2: unknown section [stor]; did you mean [store]?
      FILE:6:1: unknown key `api.rate_limt`; did you mean `api.rate_limit`?
      FILE:7:23: api.service_token_quota must be a whole number
    "#);
    let text = r#"[api]
listen = "0.0.0.0:8484"
insecure_http = "yes"
rate_limit = 0
service_token_quota = -1
trusted_peers = ["10.0.0.1", "0.0.0.0/0"]
ready_file = ""
[tls]
cert = "x"
key = "/nonexistent/key.pem"
colour = "red"
[log]
filter = "=="
[door]
listen = "x"
"#;
    insta::assert_snapshot!(refused(text), @r#"
    error: 10 things are wrong with the configuration:
      FILE:3:17: api.insecure_http must be true or false, without quotes
      FILE:4:14: api.rate_limit must be a number of requests above zero, or off
      FILE:5:23: api.service_token_quota must be a whole number from 0 to 4294967295
      FILE:6:17: api.trusted_peers must not be everybody: name the proxies that speak for clients
      FILE:7:14: api.ready_file must name a file or directory
      FILE:9:1: unknown key `tls.cert`; did you mean `tls.certificate`?
      FILE:10:7: tls.key needs its certificate: name it by tls.certificate
      FILE:11:1: unknown key `tls.colour`; [tls] knows certificate, key
      FILE:13:10: log.filter must be a level, or a list like info,hallpass=debug: invalid filter directive
      FILE:14:2: unknown section [door]; there are [store], [api], [tls], [gate], [operator], [log]
    "#);
}

#[test]
fn what_is_no_toml_is_refused_without_showing_the_line() {
    let said = refused("[store]\ndatabase = \"postgres://u:hunter2@h/d\n[log]\nfilter = info\n");
    assert!(!said.contains("hunter2"), "{said}");
    insta::assert_snapshot!(said, @r#"
    error: 3 things are wrong with the configuration:
      FILE:2:12: store.database needs a server key file: name it by store.server_key_file
      FILE:2:37: invalid basic string, expected `"`
      FILE:4:10: invalid float, expected `inf`
    "#);
    insta::assert_snapshot!(refused("store = 1\n[api]\nlisten = 1\nlisten = 2\n"), @r#"
    error: 3 things are wrong with the configuration:
      FILE:1:1: `store` must be a section: write [store]
      FILE:3:10: api.listen must be a text in quotes
      FILE:4:1: duplicate key
    "#);
}

#[test]
fn settings_that_contradict_each_other_are_refused_by_the_names_that_they_were_given() {
    insta::assert_snapshot!(
        refused("[store]\ndata = \"x\"\ndatabase = \"postgres://u:hunter2@h/d\"\n[tls]\nkey = \"x\"\n"), @r#"
    error: 2 things are wrong with the configuration:
      FILE:3:12: store.database excludes store.data: the store is either embedded or in PostgreSQL
      FILE:5:7: tls.key needs its certificate: name it by tls.certificate
    "#);
    insta::assert_snapshot!(refused("[api]\nlisten = \"0.0.0.0:0\"\n"), @"error: listening on 0.0.0.0:0 would send credentials over the network in the clear; name a certificate and its key (--tls-certificate, --tls-key), put a TLS proxy in front of a loopback address, or say --insecure-http");
    let (status, _, error) = hallpass(
        &["serve", "--check-config", "--database", "mysql://u:hunter2@h/d"],
        &[("HALLPASS_DATA", "x")],
    );
    assert_eq!(status, 2);
    assert!(!error.contains("hunter2"), "{error}");
    insta::assert_snapshot!(error.trim_end(), @r#"
    error: 3 things are wrong with the configuration:
      --database must be a URL like postgres://user:password@host/name
      --database excludes HALLPASS_DATA: the store is either embedded or in PostgreSQL
      --database needs a server key file: name it by store.server_key_file
    "#);
}

#[test]
fn files_that_are_named_have_to_be_there_and_fit() {
    insta::assert_snapshot!(
        refused("[store]\nserver_key_file = \"/nonexistent/server.key\"\n[api]\nready_file = \"/nonexistent/ready\"\n[tls]\ncertificate = \"/nonexistent/cert.pem\"\nkey = \"/nonexistent/key.pem\"\n"),
        @r#"
    error: 3 things are wrong with the configuration:
      there is no server key at /nonexistent/server.key; make one with `(umask 077; openssl rand -hex 32 > /nonexistent/server.key)`, and keep a copy apart from the database
      cannot read /nonexistent/cert.pem: No such file or directory (os error 2)
      cannot write /nonexistent/ready: /nonexistent is no directory
    "#);
    let (status, _, error) =
        hallpass(&["serve", "--check-config", "--config", "/nonexistent/hallpass.toml"], &[]);
    assert_eq!(status, 2);
    insta::assert_snapshot!(error.trim_end(), @"error: cannot read /nonexistent/hallpass.toml: No such file or directory (os error 2)");
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("server.key");
    std::fs::write(&key, "no key").unwrap();
    let data = directory.path().to_str().unwrap();
    let (status, _, error) = hallpass(&["serve", "--check-config", "--data", data], &[]);
    assert!(status == 2 && error.contains("64 hex digits"), "{error}");
    std::fs::remove_file(&key).unwrap();
    std::fs::write(directory.path().join("hallpass.db"), "").unwrap();
    let (status, _, error) = hallpass(&["serve", "--check-config", "--data", data], &[]);
    assert!(status == 2 && error.contains("server.key is gone"), "{error}");
    let found: Vec<_> = std::fs::read_dir(data).unwrap().collect();
    assert_eq!(found.len(), 1, "a check makes nothing");
}

#[test]
fn a_file_with_a_database_that_everybody_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("server.key");
    std::fs::write(&key, "5a".repeat(32)).unwrap();
    let text = format!(
        "[store]\ndatabase = \"postgres://u:hunter2@h/d\"\nserver_key_file = \"{}\"\n",
        key.display()
    );
    let file = write(directory.path(), &text);
    for (mode, warned) in [(0o644, true), (0o640, false)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let (status, _, error) =
            hallpass(&["serve", "--check-config", "--config", file.to_str().unwrap()], &[]);
        assert_eq!(status, 0, "{error}");
        assert_eq!(error.contains("can be read by everybody: chmod 640"), warned, "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

/// A value that a setting refuses, as text.
fn bad(setting: &Setting) -> &'static str {
    match (setting.form, setting.key) {
        (Form::Text, "api.listen" | "gate.listen" | "operator.listen") => "nowhere",
        (Form::Text, "gate.max_staleness" | "gate.access_log_retention") => "soon",
        (Form::Text, "log.filter") => "==",
        (Form::Text, _) => "",
        _ => "maybe",
    }
}

/// A value that is taken, as text and in TOML.
fn good(setting: &Setting) -> (&'static str, &'static str) {
    match (setting.form, setting.key) {
        (Form::Text, "api.listen" | "gate.listen" | "operator.listen") => ("127.0.0.1:0", "\"127.0.0.1:0\""),
        (Form::Text, "gate.max_staleness") => ("7s", "\"7s\""),
        (Form::Text, "gate.access_log_retention") => ("48h", "\"48h\""),
        (Form::Text, "log.filter") => ("warn", "\"warn\""),
        (Form::Text, _) => ("here", "\"here\""),
        (Form::Secret, _) => ("postgres://h/d", "\"postgres://h/d\""),
        (Form::Number | Form::NumberOrText, _) => ("7", "7"),
        (Form::Switch, _) => ("true", "true"),
        (Form::List, _) => ("10.0.0.1,10.0.0.2", "[\"10.0.0.1\", \"10.0.0.2\"]"),
    }
}

/// Whether a setting is named by any of its three names: then it was refused.
fn refuses(
    setting: &Setting,
    flag: Option<&str>,
    variable: Option<&str>,
    file: Option<&str>,
) -> Option<&'static str> {
    let directory = tempfile::tempdir().unwrap();
    let text = file.map(|value| format!("[{}]\n{} = {value}\n", setting.section, setting.name));
    let file = write(directory.path(), &text.unwrap_or_default());
    let mut arguments = vec!["serve", "--check-config", "--config", file.to_str().unwrap()];
    let flag = flag.map(|value| format!("--{}={value}", setting.flag));
    arguments.extend(flag.as_deref());
    let variables: Vec<_> = variable.into_iter().map(|value| (setting.variable, value)).collect();
    let (_, _, error) = hallpass(&arguments, &variables);
    let rest = |name: &str| error.contains(&format!("{name} must "));
    let at_start = setting.key == "log.filter" && rest("the log filter");
    match () {
        () if rest(&format!("--{}", setting.flag)) => Some("flag"),
        () if rest(setting.variable) => Some("variable"),
        () if rest(setting.key) => Some("file"),
        () if at_start => Some(if flag.is_some() { "flag" } else { "variable" }),
        () => None,
    }
}

#[test]
fn a_flag_counts_before_a_variable_before_the_file_for_every_setting() {
    for setting in SETTINGS {
        let bad = bad(setting);
        let in_file = format!("\"{bad}\"");
        let in_file = Some(in_file.as_str());
        let (good, good_in_file) = good(setting);
        let (good, bad) = (Some(good), Some(bad));
        let key = setting.key;
        // A file has to be well-formed even where it is overruled.
        let overruled = match setting.form {
            Form::Text | Form::Secret | Form::NumberOrText => None,
            Form::Number | Form::Switch | Form::List => Some("file"),
        };
        assert_eq!(refuses(setting, bad, good, Some(good_in_file)), Some("flag"), "{key}");
        assert_eq!(refuses(setting, good, bad, in_file), overruled, "{key}");
        // An empty variable counts as not set.
        let empty = bad == Some("");
        let refused = if empty { None } else { Some("variable") };
        assert_eq!(refuses(setting, None, bad, Some(good_in_file)), refused, "{key}");
        assert_eq!(refuses(setting, None, good, in_file), overruled, "{key}");
        assert_eq!(refuses(setting, None, None, in_file), Some("file"), "{key}");
        assert_eq!(refuses(setting, None, None, Some(good_in_file)), None, "{key}");
    }
}

/// Waits until something holds.
async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An installation whose place is named by a file.
async fn configured(more: &str) -> (Installation, PathBuf, String) {
    let place = Place::new(Engine::Sqlite).await;
    let data = place.directory.path().join("data");
    let store = format!("[store]\ndata = \"{}\"\n", data.display());
    let file = write(place.directory.path(), &(store.clone() + more));
    let (status, out, error) =
        run(&["bootstrap", "--json", "--config", file.to_str().unwrap()].map(str::to_owned));
    assert_eq!((status, error.as_str()), (0, ""));
    (Installation::founded(place, &out), file, store)
}

fn serve(installation: &Installation, file: &Path) -> Process {
    let arguments = ["serve", "--config", file.to_str().unwrap()].map(str::to_owned);
    Process::start(installation.place.directory.path(), &arguments)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_changes_what_can_be_changed_and_a_bad_file_changes_nothing() {
    let (first, file, store) = configured("[api]\nrate_limit = 700\n").await;
    let process = serve(&first, &file);
    let token = first.token_actor(&process);
    let limit = || async {
        let reply = token.get(&first.tokens_path()).await;
        reply.headers["ratelimit-policy"].to_str().unwrap().to_owned()
    };
    let is = |n: u32| format!("\"default\";q={n};w=300");
    assert_eq!(limit().await, is(700));
    std::fs::write(&file, format!("{store}[api]\nrate_limit = 900\nservice_token_quota = 0\n")).unwrap();
    process.signal("HUP");
    until("the new limit", || async { limit().await == is(900) }).await;
    let made = token.post(&first.tokens_path(), json!({"name": "n"})).await;
    assert_eq!(made.status, 400, "the quota counts too: {}", made.text);

    std::fs::write(&file, format!("{store}[api]\nrate_limit = 5\nservice_token_quota = \"x\"\n")).unwrap();
    process.signal("HUP");
    until("the refusal", || async { process.log().contains("was not reloaded") }).await;
    assert!(process.log().contains("api.service_token_quota must be a whole number"), "{}", process.log());
    assert_eq!(limit().await, is(900));

    let text = format!("{store}[api]\ninsecure_http = true\nrate_limit = 800\n[log]\nfilter = \"warn\"\n");
    std::fs::write(&file, text).unwrap();
    process.signal("HUP");
    until("the new limit", || async { limit().await == is(800) }).await;
    until("the warning", || async { process.log().contains("when the server is started again") }).await;
    assert!(process.log().contains("api.insecure_http"), "{}", process.log());
    assert_eq!(token.post(&first.tokens_path(), json!({"name": "n"})).await.status, 201);
    assert!(!process.log().contains("\"status\":201"), "requests are no longer logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_supervisor_hears_of_readiness_once_requests_are_answered_and_of_the_end() {
    let first = founded(Place::new(Engine::Sqlite).await);
    let directory = first.place.directory.path();
    let (socket, ready) = (directory.join("notify"), directory.join("ready.json"));
    let supervisor = UnixDatagram::bind(&socket).unwrap();
    supervisor.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_hallpass"))
        .arg("serve")
        .args(first.place.arguments())
        .args(["--listen", "127.0.0.1:0", "--ready-file"])
        .arg(&ready)
        .env("HALLPASS_OPERATOR", "off")
        .env("HALLPASS_GATE", "off")
        .env("NOTIFY_SOCKET", &socket)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let hear = || {
        let mut message = [0; 1024];
        let length = supervisor.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    assert_eq!(hear().trim_end(), "READY=1");
    let addresses: Value = serde_json::from_str(&std::fs::read_to_string(&ready).unwrap()).unwrap();
    let api = addresses["api"].as_str().unwrap();
    assert_eq!(reqwest::get(format!("{api}/readyz")).await.unwrap().status(), 200);
    let signal = |name: &str| {
        let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    };
    signal("HUP");
    let reloading = hear();
    assert!(reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="), "{reloading}");
    assert_eq!(hear().trim_end(), "READY=1");
    signal("TERM");
    assert_eq!(hear().trim_end(), "STOPPING=1");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

fn document(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap()
}

/// The line of a setting in its page.
fn line(setting: &Setting) -> String {
    let Setting { key, variable, flag, value_name, default, meaning, .. } = setting;
    let flag = if setting.form == Form::Switch {
        format!("--{flag}")
    } else {
        format!("--{flag} {}", value_name.replace('|', "\\|"))
    };
    let default = if default.is_empty() { "none".to_owned() } else { format!("`{default}`") };
    let change = match setting.change {
        Change::AtReload => "reload",
        Change::AtStart => "start",
    };
    format!("| `{key}` | `{variable}` | `{flag}` | {default} | {change} | {meaning} |")
}

#[test]
fn the_help_shows_every_setting_and_its_default() {
    let (status, help, _) = hallpass(&["serve", "--help"], &[]);
    assert_eq!(status, 0);
    for setting in SETTINGS {
        let flag = format!("--{}", setting.flag);
        let line = help
            .lines()
            .find(|line| line.trim_start().starts_with(&flag))
            .unwrap_or_else(|| panic!("{flag}"));
        assert!(line.contains(setting.variable) && line.contains(setting.meaning), "{line}");
        assert!(
            setting.default.is_empty() || line.contains(&format!("[default: {}]", setting.default)),
            "{line}"
        );
    }
}

#[test]
fn the_page_has_every_setting_as_the_code_has_it_and_no_other() {
    let page = document("docs/configuration.md");
    let expected: Vec<_> = SETTINGS.iter().map(line).collect();
    let found: Vec<_> = page.lines().filter(|line| line.contains("` | `HALLPASS_")).collect();
    assert_eq!(found, expected, "docs/configuration.md should have:\n{}", expected.join("\n"));
}

#[test]
fn examples_in_the_page_are_good() {
    let page = document("docs/configuration.md");
    let blocks: Vec<_> =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let (_, said) = check(block);
        let wrong = ["unknown", "must", "needs", "excludes", "expected"];
        assert!(!wrong.iter().any(|word| said.contains(word)), "{block}\n{said}");
    }
}

#[test]
fn the_unit_file_starts_the_binary_with_arguments_that_it_takes() {
    let unit = document("deploy/hallpass.service");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let words: Vec<_> = start.split(' ').collect();
    assert_eq!(words, ["/usr/local/bin/hallpass", "serve", "--config", "/etc/hallpass/hallpass.toml"]);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/hallpass.toml");
    let (status, out, error) =
        hallpass(&["serve", "--config", example.to_str().unwrap(), "--check-config"], &[]);
    assert_eq!((status, out.trim_end()), (0, "configuration is good"), "{error}");
    assert!(unit.contains("Type=notify\n") && unit.contains("ExecReload=/bin/kill -HUP $MAINPID\n"));
}

#[test]
fn the_image_starts_the_binary_with_arguments_that_it_takes_and_trusts_nobody() {
    let image = document("deploy/Dockerfile");
    let last = image.rsplit("\nFROM ").next().unwrap();
    let words = |name: &str| -> Vec<String> {
        let line = last.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        serde_json::from_str(line).unwrap()
    };
    assert_eq!(words("ENTRYPOINT "), ["/usr/local/bin/hallpass"]);
    let command = words("CMD ");
    let mut arguments: Vec<_> = command.iter().map(String::as_str).collect();
    arguments.push("--check-config");
    let settings: Vec<_> =
        last.lines().filter_map(|line| line.strip_prefix("ENV ")?.split_once('=')).collect();
    let known = |name: &str| SETTINGS.iter().any(|setting| setting.variable == name);
    assert!(settings.iter().all(|(name, _)| known(name)), "{settings:?}");
    // It starts on every address, but not before somebody has said how credentials are kept off the network.
    let (status, _, error) = hallpass(&arguments, &settings);
    assert!(status == 2 && error.contains("--insecure-http"), "{error}");
    let insecure = [settings, vec![("HALLPASS_INSECURE_HTTP", "true")]].concat();
    let (status, _, error) = hallpass(&arguments, &insecure);
    assert_eq!(status, 0, "{error}");
    let user = last.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
    assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{user}");
    assert_eq!(trusting(&image), None);
}

/// The first line, unless it is off, that speaks of trust, in whichever spelling: that of a file, a variable or a flag.
fn trusting(text: &str) -> Option<&str> {
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.find(|line| line.to_ascii_lowercase().contains("trust"))
}

#[test]
fn nothing_that_is_shipped_lets_anybody_speak_for_clients_beyond_this_machine() {
    let trusts = |setting: &&Setting| setting.key.contains("trust");
    let settings: Vec<_> = SETTINGS.iter().filter(trusts).collect();
    assert!(settings.iter().any(|setting| setting.key == "gate.trust_everyone"));
    // Each of them would be found, however it is given.
    for Setting { name, flag, variable, .. } in settings {
        for line in [format!("{name} = x"), format!("ENV {variable}=x"), format!("CMD [\"--{flag}\"]")] {
            assert_eq!(trusting(&line), Some(line.as_str()));
            assert_eq!(trusting(&format!("# {line}")), None);
        }
    }
    for path in ["deploy/Dockerfile", "deploy/hallpass.toml", "deploy/hallpass.service"] {
        assert_eq!(trusting(&document(path)), None, "{path}");
    }
}

#[test]
fn what_would_be_ignored_or_could_not_be_read_again_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    // A mistyped `sslmode` would leave the server unverified; its value may be a password.
    for url in ["postgres://u@h/d?ssl_mode=verify-full", "postgres://u@h/d?passwd=hunter2"] {
        let (status, out, error) = hallpass(&["serve", "--check-config"], &[("HALLPASS_DATABASE", url)]);
        assert_eq!((status, out.as_str()), (2, ""), "{error}");
        assert!(error.contains("sslmode") && !error.contains("hunter2"), "{error}");
    }
    // A word that is no level would silence everything.
    let (status, _, error) = hallpass(&["serve", "--check-config", "--log", "inof"], &[]);
    assert_eq!(status, 2, "{error}");
    assert!(error.contains("no level"), "{error}");
    let pipe = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (status, _, error) = hallpass(&["serve", "--check-config", "--config", pipe.to_str().unwrap()], &[]);
    assert_eq!(status, 2, "{error}");
    assert!(error.contains("no regular file"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_does_not_answer_at_a_hangup_stops_neither_the_server_nor_its_end() {
    let (first, file, _) = configured("").await;
    let mut process = serve(&first, &file);
    std::fs::remove_file(&file).unwrap();
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    process.signal("HUP");
    until("the reload is refused", || async { process.log().contains("no regular file") }).await;
    assert_eq!(reqwest::get(format!("{}/healthz", process.api)).await.unwrap().status(), 200);
    process.signal("TERM");
    assert!(process.child.wait().unwrap().success());
}
