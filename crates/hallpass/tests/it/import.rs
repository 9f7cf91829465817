//! `hallpass token import`, as the real binary beside a running server: the pair that a client has elsewhere is the pair that
//! Hallpass keeps a digest of, all of a file is imported or nothing, and no secret is written anywhere.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::command_line::{both_places, founded, on, serve};
use crate::harness::{Engine, Place, run, text};
use crate::inspect::{Database, digest};

const ID: &str = "88bf3b6d86161464f6509f7219099e57.access";
const NEW_SECRET: &str = "cfast_EqN8f9vx3sKOSY4mwCMCbZYb02L4OvfAkacLAqTZ63a435a7";
const OLD_SECRET: &str = "bdd31cbc4dec990953e39163fbbb194c93313ca9f0a6e420346af9d326b1d2a5";

/// Runs the binary with something on its standard input: exit status, standard output, standard error.
fn feed(arguments: &[String], input: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_hallpass"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that is refused at once does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn import(place: &Place, more: &[&str]) -> Vec<String> {
    let mut arguments = vec!["token".to_owned()];
    arguments.extend(on(place, "import", more));
    arguments
}

/// Imports one token, and says what was printed.
fn import_one(place: &Place, client_id: &str, secret: &str, more: &[&str]) -> (i32, String, String) {
    let mut arguments = import(place, &["--client-id", client_id, "--secret-stdin"]);
    arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
    let done = feed(&arguments, &format!("{secret}\n"));
    assert!(!done.1.contains(secret) && !done.2.contains(secret), "{done:?}");
    done
}

/// A client ID whose 32 digits are this number's.
fn client_id(n: usize) -> String {
    format!("{n:032x}.access")
}

fn file(place: &Place, name: &str, content: &str) -> String {
    let path = place.directory.path().join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

both_places!(an_imported_pair_counts_and_a_running_server_takes_it_up, |place: Place| async move {
    let first = founded(place);
    let process = first.serve();
    let actor = first.token_actor(&process);
    for (id, secret) in
        [(ID, NEW_SECRET), ("f3c9ff02a1b94d7fbd3c26c1c9d4f2aa.access.example.com", OLD_SECRET)]
    {
        let (status, out, error) =
            import_one(&first.place, id, secret, &["--name", "CI", "--duration", "720h", "--json"]);
        assert_eq!((status, error.as_str()), (0, ""));
        let printed: Value = serde_json::from_str(&out).unwrap();
        let token = printed["tokens"][0].clone();
        assert_eq!((printed["dry_run"].clone(), token["client_id"].clone()), (json!(false), json!(id)));
        assert!(token.get("client_secret").is_none());
        let token_id = text(&token["id"]);

        let mut database = Database::open(&first.place.location).await;
        let stored = database.digests().await[&token_id].clone();
        assert_eq!(stored.current, Some(digest(&first.server_key(), &token_id, secret)));
        assert_eq!(stored.previous, None);
        let revision = database.revision().await;
        let row = database.audit().await.pop().unwrap();
        assert_eq!((row.action.as_str(), &row.object_id), ("service_token.import", &token_id));
        let detail: Value = serde_json::from_str(&row.detail).unwrap();
        assert_eq!(
            detail,
            json!({"client_id": id, "name": "CI", "duration": "720h", "enabled": true, "expires_at": token["expires_at"]})
        );
        let sql = format!("SELECT actor, actor_id FROM audit WHERE revision = {revision}");
        let by = database.rows::<(String, String)>(&sql).await;
        assert_eq!(by, [("system".to_owned(), "import".to_owned())]);

        // The server that was running all the time lists, refreshes and rotates it like any other.
        let listed = actor.get(&first.tokens_path()).await.result(200);
        let listed = listed.as_array().unwrap().iter().find(|token| token["client_id"] == id).cloned();
        assert_eq!(listed.unwrap(), token);
        let one = format!("{}/{token_id}", first.tokens_path());
        let refreshed = actor.post(&format!("{one}/refresh"), json!({})).await.result(200);
        assert!(text(&refreshed["expires_at"]) >= text(&token["expires_at"]));
        let after = database.digests().await[&token_id].clone();
        assert_eq!(after, stored, "a refresh touches no digest");
        let rotated = actor.post(&format!("{one}/rotate"), json!({})).await.result(200);
        let after = database.digests().await[&token_id].clone();
        assert_eq!(after.previous, stored.current);
        assert_eq!(
            after.current,
            Some(digest(&first.server_key(), &token_id, &text(&rotated["client_secret"])))
        );
        assert_eq!(rotated["client_id"], id);
        assert!(!process.log().contains(secret));
    }
});

both_places!(a_client_id_is_imported_once, |place: Place| async move {
    let first = founded(place);
    let (status, out, error) = import_one(&first.place, ID, NEW_SECRET, &["--name", "the first", "--json"]);
    assert_eq!((status, error.as_str()), (0, ""));
    let id = text(&serde_json::from_str::<Value>(&out).unwrap()["tokens"][0]["id"]);
    let mut database = Database::open(&first.place.location).await;
    let before = (database.revision().await, database.digests().await);
    // A suffix does not make it another one: it is found by its 32 digits.
    for client_id in [ID.to_owned(), format!("{ID}.example.com")] {
        let (status, out, error) = import_one(&first.place, &client_id, OLD_SECRET, &["--name", "second"]);
        assert_eq!((status, out.as_str()), (3, ""), "{error}");
        assert!(error.contains(&id) && error.contains("the first") && error.contains("already"), "{error}");
    }
    assert_eq!((database.revision().await, database.digests().await), before);
    // One that Hallpass issued is as taken as one that was imported.
    let process = first.serve();
    let made =
        first.token_actor(&process).post(&first.tokens_path(), json!({"name": "own"})).await.result(201);
    let (status, _, error) = import_one(&first.place, &text(&made["client_id"]), NEW_SECRET, &[]);
    assert_eq!(status, 3, "{error}");
});

both_places!(of_two_imports_of_one_client_id_at_once_one_wins, |place: Place| async move {
    let first = founded(place);
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let started: Vec<_> = [NEW_SECRET, OLD_SECRET, NEW_SECRET, OLD_SECRET]
            .map(|secret| scope.spawn(|| import_one(&first.place, ID, secret, &[]).0))
            .into();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 0).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 3).count(), 3, "{statuses:?}");
    let mut database = Database::open(&first.place.location).await;
    assert_eq!(database.digests().await.len(), 1);
    database.revision().await;
});

both_places!(a_file_is_imported_whole, |place: Place| async move {
    const MANY: usize = 150;
    let first = founded(place);
    let mut rows = vec!["client_id,client_secret,name,duration,enabled,expires_at".to_owned()];
    for n in 0..MANY {
        rows.push(format!("{},{n:064x},\"number {n}, of many\",,{},", client_id(n), n % 2 == 0));
    }
    let csv = rows.join("\r\n");
    let csv = file(&first.place, "tokens.csv", &csv);
    let (status, out, error) = run(&import(&first.place, &["--file", &csv, "--json"]));
    assert_eq!((status, error.as_str()), (0, ""));
    let printed: Value = serde_json::from_str(&out).unwrap();
    let tokens = printed["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), MANY);
    let mut database = Database::open(&first.place.location).await;
    database.revision().await;
    let digests = database.digests().await;
    for (n, token) in tokens.iter().enumerate() {
        let id = text(&token["id"]);
        assert_eq!(
            (token["client_id"].clone(), token["enabled"].clone()),
            (json!(client_id(n)), json!(n % 2 == 0))
        );
        assert_eq!(digests[&id].current, Some(digest(&first.server_key(), &id, &format!("{n:064x}"))));
    }

    let jsonl = [
        json!({"client_id": client_id(1000), "client_secret": NEW_SECRET, "duration": "forever"}),
        json!({"client_id": client_id(1001), "client_secret": OLD_SECRET, "expires_at": "2020-01-01T00:00:00Z", "enabled": null}),
    ];
    let jsonl = file(&first.place, "tokens.jsonl", &jsonl.map(|line| line.to_string() + "\n").concat());
    let (status, out, error) = run(&import(&first.place, &["--file", &jsonl, "--zone", "example.com"]));
    assert_eq!((status, error.as_str()), (0, ""));
    assert!(out.starts_with("Imported 2 service tokens into account Main account"), "{out}");
    assert!(!out.contains(NEW_SECRET) && !out.contains(OLD_SECRET), "{out}");
    let process = first.serve();
    let of_zone = format!("/zones/{}/access/service_tokens", first.zone_id);
    let listed = first.token_actor(&process).get(&of_zone).await.result(200);
    let mut expiries: Vec<_> =
        listed.as_array().unwrap().iter().map(|token| text(&token["expires_at"])).collect();
    expiries.sort();
    assert_eq!(expiries, ["2020-01-01T00:00:00Z", "2999-12-31T23:59:59Z"]);
});

both_places!(a_file_with_a_bad_line_imports_nothing_and_all_of_them_are_named, |place: Place| async move {
    let first = founded(place);
    assert_eq!(import_one(&first.place, ID, NEW_SECRET, &["--name", "there already"]).0, 0);
    let mut database = Database::open(&first.place.location).await;
    let before = (database.revision().await, database.digests().await);
    let good = client_id(7);
    let csv = file(
        &first.place,
        "tokens.csv",
        &format!(
            "client_id,client_secret,duration,expires_at\n\
             {good},{OLD_SECRET},,\n\
             {good}.example.com,{OLD_SECRET},,\n\
             {},hunter2hunter2,,\n\
             {},{OLD_SECRET},2d,tomorrow\n\
             {ID},{OLD_SECRET},,\n\
             {},{OLD_SECRET},forever,2027-01-01T00:00:00Z\n",
            client_id(8),
            client_id(9),
            client_id(10),
        ),
    );
    let (status, out, error) = run(&import(&first.place, &["--file", &csv]));
    assert_eq!((status, out.as_str()), (2, ""), "{error}");
    for said in [
        "line 3: has the client ID of line 2",
        "line 4: client_secret: ",
        "line 5: duration must be",
        "line 5: expires_at: ",
        "line 6: client ID 88bf3b6d86161464f6509f7219099e57.access belongs to service token",
        "there already",
        "line 7: a token that is good forever does not expire",
    ] {
        assert!(error.contains(said), "{said}: {error}");
    }
    for kept in [OLD_SECRET, "hunter2", "tomorrow", "line 2: "] {
        assert!(!error.contains(kept), "{kept}: {error}");
    }
    assert_eq!((database.revision().await, database.digests().await), before);

    // A file whose only fault is what is there already has its own exit code.
    let taken =
        file(&first.place, "taken.jsonl", &json!({"client_id": ID, "client_secret": OLD_SECRET}).to_string());
    assert_eq!(run(&import(&first.place, &["--file", &taken])).0, 3);
    // Nor does a look at everything import anything.
    let fine = file(&first.place, "fine.csv", &format!("client_id,client_secret\n{good},{OLD_SECRET}\n"));
    let (status, out, error) = run(&import(&first.place, &["--file", &fine, "--dry-run"]));
    assert_eq!((status, error.as_str()), (0, ""));
    assert!(out.contains("would import 1 service token") && out.contains(&good), "{out}");
    assert_eq!((database.revision().await, database.digests().await), before);
});

#[tokio::test]
async fn the_account_has_to_be_named_where_there_are_several() {
    let first = founded(Place::new(Engine::Sqlite).await);
    let mut arguments = vec!["account".to_owned()];
    arguments.extend(on(&first.place, "add", &["--name", "Second", "--json"]));
    let (status, out, error) = run(&arguments);
    assert_eq!(status, 0, "{error}");
    let second = text(&serde_json::from_str::<Value>(&out).unwrap()["account_id"]);
    let (status, _, error) = import_one(&first.place, ID, NEW_SECRET, &[]);
    assert_eq!(status, 2, "{error}");
    assert!(error.contains("--account") && error.contains("Second") && error.contains(&second), "{error}");
    assert_eq!(import_one(&first.place, ID, NEW_SECRET, &["--account", "Third"]).0, 2);
    // The zone of one account is none of the other's.
    let elsewhere = ["--account", "Second", "--zone", "example.com"];
    assert_eq!(import_one(&first.place, ID, NEW_SECRET, &elsewhere).0, 2);
    let (status, out, error) = import_one(&first.place, ID, NEW_SECRET, &["--account", "Second", "--json"]);
    assert_eq!(status, 0, "{error}");
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["account_id"], second.as_str());
    let (status, _, error) = import_one(&first.place, &client_id(1), OLD_SECRET, &["--account", &second]);
    assert_eq!(status, 0, "{error}");
    // The first account's token sees nothing of it.
    let process = serve(&first.place, &[]);
    assert_eq!(first.token_actor(&process).get(&first.tokens_path()).await.result(200), json!([]));
}

#[tokio::test]
async fn what_was_not_issued_anywhere_is_not_imported() {
    let first = founded(Place::new(Engine::Sqlite).await);
    for (id, secret) in [
        (ID, ""),
        (ID, "hunter2hunter2"),
        (ID, &NEW_SECRET[..53]),
        (ID, &OLD_SECRET.to_uppercase()),
        (ID, &NEW_SECRET.replace("435a7", "435a8")),
        (&ID.to_uppercase(), NEW_SECRET),
        ("88bf3b6d86161464f6509f7219099e57", NEW_SECRET),
    ] {
        let mut arguments = import(&first.place, &["--secret-stdin", "--client-id", id]);
        arguments.push("--json".to_owned());
        let (status, out, error) = feed(&arguments, secret);
        assert_eq!((status, out.as_str()), (2, ""), "{error}");
        assert!(secret.is_empty() || !error.contains(secret), "{error}");
    }
    let (status, _, error) = import_one(&first.place, ID, NEW_SECRET, &["--name", " ", "--duration", "0s"]);
    assert_eq!(status, 2);
    assert!(error.contains("name must not be empty") && error.contains("greater than zero"), "{error}");
    for more in [
        &[][..],
        &["--client-id", ID],
        &["--secret-stdin"],
        &["--client-id", ID, "--secret-stdin", "--file", "x.csv"],
        &["--file", "x.csv", "--name", "n"],
        &["--file", "x.txt"],
        &["--client-id", ID, "--secret", NEW_SECRET],
    ] {
        assert_eq!(run(&import(&first.place, more)).0, 2, "{more:?}");
    }
    assert_eq!(run(&import(&first.place, &["--file", "nowhere.csv"])).0, 1);
    let empty = file(&first.place, "empty.csv", "client_id,client_secret\n\n");
    assert_eq!(run(&import(&first.place, &["--file", &empty])).0, 2);
    let process = first.serve();
    assert_eq!(first.token_actor(&process).get(&first.tokens_path()).await.result(200), json!([]));
}

#[tokio::test]
async fn where_there_is_no_store_none_is_made() {
    let place = Place::new(Engine::Sqlite).await;
    let (status, out, error) = import_one(&place, ID, NEW_SECRET, &[]);
    assert_eq!((status, out.as_str()), (4, ""), "{error}");
    assert!(error.contains("hallpass bootstrap"), "{error}");
    assert!(!place.directory.path().join("data").exists());
    // And one that is not bootstrapped yet has no account to import into.
    assert_eq!(run(&on(&place, "serve", &["--listen", "127.0.0.1:0"])).0, 4);
    assert_eq!(import_one(&place, ID, NEW_SECRET, &[]).0, 4);
}

both_places!(an_imported_secret_is_stored_nowhere, |place: Place| async move {
    let first = founded(place);
    let process = first.serve();
    assert_eq!(import_one(&first.place, ID, NEW_SECRET, &["--name", "canary"]).0, 0);
    first.token_actor(&process).get(&first.tokens_path()).await.result(200);
    let mut database = Database::open(&first.place.location).await;
    let found = database
        .number(&format!(
            "SELECT COUNT(*) FROM audit WHERE detail LIKE '%{NEW_SECRET}%' OR object_id LIKE '%{NEW_SECRET}%'"
        ))
        .await;
    assert_eq!(found, 0);
    assert!(!process.log().contains(NEW_SECRET));
    for entry in std::fs::read_dir(first.place.directory.path()).unwrap() {
        let path = entry.unwrap().path();
        let files = if path.is_dir() {
            std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
        } else {
            vec![path]
        };
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            let holds = bytes.windows(NEW_SECRET.len()).any(|window| window == NEW_SECRET.as_bytes());
            assert!(!holds, "{}", file.display());
        }
    }
});
