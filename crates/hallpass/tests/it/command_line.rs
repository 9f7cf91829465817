//! The command line as the real binary: what `bootstrap` makes, what `serve` refuses to start on, and the exit status of each.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use hallpass::server_key::ServerKey;
use hallpass::store::{Durability, Location, Purpose, Store, key_file, make_directory};
use hallpass::world::World;
use hallpass_core::api_token::{ApiToken, Effect, GroupReference, Owner, Policy, Status};
use hallpass_core::caller::{Grant, Scope, SystemReason};
use hallpass_core::resource::{Resource, Which};
use hallpass_core::secret::{ClientSecret, SecretKind};
use hallpass_core::service_token::Name;
use serde_json::{Value, json};

use crate::harness::{Actor, Engine, Place, Process, SERVICE_TOKENS_READ, run, text};
use crate::inspect::Installation;

/// Runs a test on a place of each engine.
macro_rules! both_places {
    ($name:ident, $body:expr) => {
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                let place = $crate::harness::Place::new($crate::harness::Engine::Sqlite).await;
                ($body)(place).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs PostgreSQL: ./test brings one and runs this"]
            async fn postgres() {
                let place = $crate::harness::Place::new($crate::harness::Engine::Postgres).await;
                ($body)(place).await;
            }
        }
    };
}
pub(crate) use both_places;

/// The arguments for a command on a place.
pub(crate) fn on(place: &Place, command: &str, more: &[&str]) -> Vec<String> {
    let mut arguments = vec![command.to_owned()];
    arguments.extend(place.arguments());
    arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
    arguments
}

/// Bootstraps a place.
pub(crate) fn founded(place: Place) -> Installation {
    let (status, out, error) = run(&on(&place, "bootstrap", &["--json"]));
    assert_eq!((status, error.as_str()), (0, ""));
    Installation::founded(place, &out)
}

pub(crate) fn serve(place: &Place, more: &[&str]) -> Process {
    Process::start(place.directory.path(), &on(place, "serve", more))
}

/// Opens the place's store beside the binary, under the binary's key.
async fn open(place: &Place, purpose: Purpose) -> Store {
    let world = World::machine();
    let key = match &place.location {
        Location::Directory(directory) => {
            make_directory(directory).unwrap();
            let file = key_file(directory);
            ServerKey::read(&file).unwrap_or_else(|_| ServerKey::create(&file, &world).unwrap())
        }
        Location::Postgres(_) => ServerKey::read(place.arguments()[3].as_ref()).unwrap(),
    };
    Store::open(&place.location, &key, purpose, Durability::Full, &world).await.unwrap()
}

both_places!(what_bootstrap_makes_works_with_serve, |place: Place| async move {
    let (status, out, error) = run(&on(&place, "bootstrap", &["--json"]));
    assert_eq!((status, error.as_str()), (0, ""));
    let printed: Value = serde_json::from_str(&out).unwrap();
    let mut keys: Vec<_> = printed.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["account_id", "api_key", "api_token", "email", "zone_id"]);
    let first = Installation::founded(place, &out);
    assert!(first.api_key.starts_with("cfk_") && first.api_token.starts_with("cfat_"));
    let process = serve(&first.place, &[]);
    let (key, token) = (first.key_actor(&process), first.token_actor(&process));
    for actor in [&key, &token] {
        assert_eq!(actor.get("/accounts").await.result(200)[0]["id"], first.account_id.as_str());
        assert_eq!(actor.get("/zones").await.result(200)[0]["id"], first.zone_id.as_str());
        let made = actor.post(&first.tokens_path(), json!({"name": "n"})).await.result(201);
        let one = format!("{}/{}", first.tokens_path(), text(&made["id"]));
        actor.post(&format!("{one}/refresh"), json!({})).await.result(200);
        actor.delete(&one).await.result(200);
    }
    assert_eq!(key.get("/user").await.result(200)["email"], first.email.as_str());
    // The token is all-powerful on its account: it can hand on everything that opens something there.
    let tokens = format!("/accounts/{}/tokens", first.account_id);
    let own = token.get(&tokens).await.result(200)[0].clone();
    let body = json!({"name": "copy", "policies": own["policies"]});
    let copy = token.post(&tokens, body).await.result(200);
    assert_eq!(
        Installation::bearer(&process, &text(&copy["value"])).get(&first.tokens_path()).await.status,
        200
    );
});

both_places!(bootstrap_happens_once_and_says_how_to_add_more, |place: Place| async move {
    let (status, out, error) = run(&on(
        &place,
        "bootstrap",
        &["--email", "Ada@Example.org", "--zone", "example.org", "--account-name", "Ada's"],
    ));
    assert_eq!((status, error.as_str()), (0, ""));
    for shown in ["ada@example.org", "cfk_", "cfat_", "hallpass serve"] {
        assert!(out.contains(shown), "{out}");
    }
    for more in [&["--json"][..], &[], &["--email", "other@example.org"]] {
        let (status, out, error) = run(&on(&place, "bootstrap", more));
        assert_eq!((status, out.as_str()), (3, ""), "{error}");
        assert!(error.contains("bootstrapped already") && error.contains("/tokens"), "{error}");
    }
    let process = serve(&place, &[]);
    let key = out.split_whitespace().find(|word| word.starts_with("cfk_")).unwrap();
    let actor =
        Actor::new(process.base_url.clone(), &[("x-auth-email", "ada@example.org"), ("x-auth-key", key)]);
    let accounts = actor.get("/accounts").await.result(200);
    assert_eq!((accounts.as_array().unwrap().len(), &accounts[0]["name"]), (1, &json!("Ada's")));
    assert_eq!(actor.get("/zones").await.result(200)[0]["name"], "example.org");
});

both_places!(of_two_bootstraps_at_once_one_wins, |place: Place| async move {
    let started: Vec<_> = (0..4)
        .map(|_| {
            Command::new(env!("CARGO_BIN_EXE_hallpass"))
                .env("HALLPASS_OPERATOR", "off")
                .env("HALLPASS_GATE", "off")
                .args(on(&place, "bootstrap", &["--json"]))
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut first = None;
    for child in started {
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => assert!(first.replace(output.stdout).is_none(), "two won"),
            code => assert_eq!(code, Some(3), "{error}"),
        }
    }
    let first = Installation::founded(place, &String::from_utf8(first.unwrap()).unwrap());
    let process = serve(&first.place, &[]);
    assert_eq!(first.key_actor(&process).get("/accounts").await.result(200).as_array().unwrap().len(), 1);
    assert_eq!(first.token_actor(&process).get(&first.tokens_path()).await.status, 200);
});

both_places!(an_empty_store_is_not_served_where_nobody_can_read_its_credentials, |place: Place| async move {
    for _ in 0..2 {
        let (status, out, error) = run(&on(&place, "serve", &["--listen", "127.0.0.1:0"]));
        assert_eq!((status, out.as_str()), (4, ""), "{error}");
        assert!(error.contains("hallpass bootstrap"), "{error}");
        assert!(!error.contains("postgres://"), "the URL may hold a password: {error}");
    }
    let first = founded(place);
    serve(&first.place, &[]);
});

both_places!(a_key_that_does_not_fit_or_is_gone_is_refused, |place: Place| async move {
    let first = founded(place);
    let file = match &first.place.location {
        Location::Directory(directory) => key_file(directory),
        Location::Postgres(_) => first.place.arguments()[3].clone().into(),
    };
    let good = std::fs::read(&file).unwrap();
    let refused = |message: &str| {
        for command in ["serve", "bootstrap"] {
            let more: &[&str] = if command == "serve" { &["--listen", "127.0.0.1:0"] } else { &[] };
            let mut arguments = vec![command.to_owned()];
            // Not by `Place::arguments`, which would make the missing file again.
            arguments.extend(match &first.place.location {
                Location::Directory(directory) => vec!["--data".to_owned(), directory.display().to_string()],
                Location::Postgres(url) => vec![
                    "--database".to_owned(),
                    url.clone(),
                    "--server-key-file".to_owned(),
                    file.display().to_string(),
                ],
            });
            arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
            let (status, out, error) = run(&arguments);
            assert_eq!((status, out.as_str()), (5, ""), "{command}: {error}");
            assert!(error.contains(message), "{command}: {error}");
        }
    };
    std::fs::write(&file, "a5".repeat(32)).unwrap();
    refused("does not fit this store");
    std::fs::write(&file, "not a key").unwrap();
    refused("64 hex digits");
    std::fs::remove_file(&file).unwrap();
    refused("server.key");
    assert!(!file.exists(), "a new key was made beside an existing store");
    std::fs::write(&file, good).unwrap();
    assert_eq!(first.token_actor(&serve(&first.place, &[])).get(&first.tokens_path()).await.status, 200);
});

both_places!(the_emulators_store_is_never_served, |place: Place| async move {
    open(&place, Purpose::Emulator).await.close().await;
    for (command, more) in [("serve", &["--listen", "127.0.0.1:0"][..]), ("bootstrap", &[])] {
        let (status, out, error) = run(&on(&place, command, more));
        assert_eq!((status, out.as_str()), (5, ""), "{error}");
        assert!(error.contains("hallpass dev"), "{error}");
    }
});

both_places!(published_credentials_are_never_accepted_even_if_stored, |place: Place| async move {
    let first = founded(place);
    let store = open(&first.place, Purpose::Service).await;
    let account = first.account_id.parse().unwrap();
    let world = World::machine();
    let published = "Sn3lZJTBX6kkg7OdcBUAxOO963GEIyGQqnFTOFYY";
    for secret in [
        published,
        "bdd31cbc4dec990953e39163fbbb194c93313ca9f0a6e420346af9d326b1d2a5",
        "144c9defac04969c7bfad8efaa8ea194",
        "control",
    ] {
        let now = world.now();
        let policy = Policy {
            id: world.token_policy_id(),
            effect: Effect::Allow,
            groups: vec![GroupReference { id: SERVICE_TOKENS_READ.parse().unwrap(), meta: None }],
            reach: vec![Resource::Account(Which::One(account))],
            resources: json!({format!("com.cloudflare.api.account.{account}"): "*"})
                .as_object()
                .unwrap()
                .clone(),
        };
        let token = ApiToken {
            id: world.api_token_id(),
            owner: Owner::Account(account),
            name: Name::parse(secret).unwrap(),
            status: Status::Active,
            policies: vec![policy].into(),
            condition: None,
            not_before: None,
            expires_on: None,
            issued_on: now,
            modified_on: now,
        };
        let digest = store.digest(SecretKind::AccountApiToken, "", &ClientSecret::presented(secret));
        let grant = Grant::system(SystemReason::Seed, Scope::Account(account), world.request_id());
        store.api_tokens().create(&grant, token, digest, now).await.unwrap();
    }
    store.close().await;
    let process = serve(&first.place, &[]);
    let stored = first.token_actor(&process).get(&format!("/accounts/{account}/tokens")).await.result(200);
    assert_eq!(stored.as_array().unwrap().len(), 5);
    assert_eq!(Installation::bearer(&process, "control").get(&first.tokens_path()).await.status, 200);
    for token in stored
        .as_array()
        .unwrap()
        .iter()
        .filter(|token| token["name"] != "Bootstrap" && token["name"] != "control")
    {
        let bearer = Installation::bearer(&process, &text(&token["name"]));
        assert_eq!(bearer.get(&first.tokens_path()).await.refusal(), (403, 9109));
        let verify = format!("/accounts/{account}/tokens/verify");
        assert_eq!(bearer.get(&verify).await.refusal(), (401, 1000));
    }
});

#[tokio::test]
async fn what_makes_no_sense_ends_with_2_and_makes_nothing() {
    let place = Place::new(Engine::Sqlite).await;
    let data = place.directory.path().join("data");
    let arguments = |command: &str, more: &[&str]| on(&place, command, more);
    for arguments in [
        arguments("serve", &["--listen", "0.0.0.0:0"]),
        arguments("serve", &["--listen", "[::]:0"]),
        arguments("serve", &["--listen", "192.0.2.1:8484"]),
    ] {
        let (status, _, error) = run(&arguments);
        assert_eq!(status, 2, "{error}");
        assert!(error.contains("--insecure-http"), "{error}");
    }
    for arguments in [
        arguments("serve", &["--rate-limit", "0"]),
        arguments("serve", &["--rate-limit", "many"]),
        arguments("serve", &["--trusted-peer", "0.0.0.0/0"]),
        arguments("serve", &["--trusted-peer", "proxy"]),
        arguments("serve", &["--listen", "nowhere"]),
        arguments("serve", &["--log", "=="]),
        arguments("bootstrap", &["--email", "nobody"]),
        arguments("serve", &["--database", "postgres://localhost/x"]),
        arguments("nothing", &[]),
        vec!["serve".into(), "--database".into(), "postgres://localhost/x".into()],
        vec![],
    ] {
        let (status, out, _) = run(&arguments);
        assert_eq!((status, out.as_str()), (2, ""), "{arguments:?}");
    }
    assert!(!data.exists(), "a store was made");
}

#[tokio::test]
async fn an_embedded_store_and_its_key_are_their_owners_alone() {
    let place = Place::new(Engine::Sqlite).await;
    let data = place.directory.path().join("data");
    let first = founded(place);
    let _process = serve(&first.place, &[]);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        names.push(path.file_name().unwrap().to_owned());
    }
    for name in ["server.key", "hallpass.db", "hallpass.db-wal"] {
        assert!(names.iter().any(|found| found == name), "{names:?}");
    }
    let key = std::fs::read_to_string(data.join("server.key")).unwrap();
    assert!(key.trim().len() == 64 && key.trim().bytes().all(|digit| digit.is_ascii_hexdigit()));
}

#[tokio::test]
async fn a_clean_stop_leaves_one_file() {
    for _ in 0..5 {
        let first = founded(Place::new(Engine::Sqlite).await);
        let data = first.place.directory.path().join("data");
        let mut names: Vec<_> = std::fs::read_dir(&data)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["hallpass.db", "hallpass.lock", "server.key"]);
    }
}

#[tokio::test]
#[ignore = "needs script, of util-linux, for a terminal: ./test runs this"]
async fn on_a_terminal_an_empty_store_is_bootstrapped_and_served() {
    let place = Place::new(Engine::Sqlite).await;
    let (ready, seen) = (place.directory.path().join("ready.json"), place.directory.path().join("seen.txt"));
    let process = place.directory.path().join("process");
    let mut words = vec![format!("echo $$ > {}; exec", process.display())];
    words.push(env!("CARGO_BIN_EXE_hallpass").to_owned());
    words.extend(on(&place, "serve", &["--listen", "127.0.0.1:0", "--ready-file"]));
    words.push(ready.display().to_string());
    let mut script = Command::new("script")
        .args(["-qefc", &words.join(" "), "/dev/null"])
        .env("HALLPASS_OPERATOR", "off")
        .env("HALLPASS_GATE", "off")
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&seen).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while !ready.exists() {
        assert!(std::time::Instant::now() < deadline, "{}", std::fs::read_to_string(&seen).unwrap());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let seen = std::fs::read_to_string(&seen).unwrap();
    let secret = |prefix: &str| seen.split_whitespace().find(|word| word.starts_with(prefix)).unwrap();
    let ready: Value = serde_json::from_str(&std::fs::read_to_string(&ready).unwrap()).unwrap();
    let key = [("x-auth-email", "admin@example.com"), ("x-auth-key", secret("cfk_"))];
    let bearer = format!("Bearer {}", secret("cfat_"));
    for headers in [&key[..], &[("authorization", bearer.as_str())]] {
        let accounts = Actor::new(text(&ready["base_url"]), headers).get("/accounts").await.result(200);
        assert_eq!(accounts[0]["name"], "Main account");
    }
    // The end of the terminal would be a hangup, on which the server reloads and goes on.
    let process = std::fs::read_to_string(&process).unwrap();
    assert!(Command::new("kill").args(["-TERM", process.trim()]).status().unwrap().success());
    assert!(script.wait().unwrap().success());
}
