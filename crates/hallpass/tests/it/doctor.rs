//! `hallpass doctor`, as the real binary: every finding on a state that was made for it, on a stopped store and beside a running
//! server, and never a byte written.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use hallpass::store::{Location, database_file, key_file};
use serde_json::{Value, json};

use crate::command_line::{both_places, founded, on, serve};
use crate::harness::{Engine, Place, SERVICE_TOKENS_READ, allow, run, text};
use crate::inspect::{Database, Installation};

/// What doctor printed as JSON, with its exit status.
struct Visit {
    status: i32,
    report: Value,
}

/// An address on which nobody listens.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn visit(place: &Place, more: &[&str]) -> Visit {
    let address = free_address();
    let listen = if more.contains(&"--listen") { vec![] } else { vec!["--listen", &address] };
    let (status, out, error) = run(&on(place, "doctor", &[more, &listen, &["--json"]].concat()));
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{status} {out} {error}"));
    let problems = report["summary"]["problems"].as_u64().unwrap();
    assert_eq!(status, i32::from(problems > 0), "{report:#}");
    Visit { status, report }
}

impl Visit {
    /// What was found of this severity.
    fn found(&self, severity: &str) -> Vec<String> {
        let findings = self.report["findings"].as_array().unwrap().iter();
        let of = findings.filter(|finding| finding["severity"] == severity);
        of.map(|finding| format!("{}: {}", text(&finding["check"]), text(&finding["what"]))).collect()
    }

    /// There is one such finding that says this, with what to do about it.
    fn says(&self, severity: &str, what: &str) {
        let findings = self.report["findings"].as_array().unwrap().iter();
        let of = findings.filter(|finding| finding["severity"] == severity);
        let found: Vec<_> = of.filter(|finding| text(&finding["what"]).contains(what)).collect();
        assert_eq!(found.len(), 1, "{severity} {what}: {:#}", self.report);
        assert!(severity == "ok" || !text(&found[0]["what_to_do"]).is_empty());
    }

    fn is_clean(&self) {
        assert_eq!((self.status, self.found("problem")), (0, vec![]), "{:#}", self.report);
    }
}

fn data(place: &Place) -> PathBuf {
    place.directory.path().join("data")
}

/// Every file of a directory: its mode, when it was changed, and its content.
fn snapshot(directory: &Path) -> BTreeMap<String, (u32, std::time::SystemTime, Vec<u8>)> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let read = |entry: fs::DirEntry| {
        let its = entry.metadata().unwrap();
        let content = fs::read(entry.path()).unwrap();
        let name = entry.file_name().into_string().unwrap();
        (name, (its.permissions().mode(), its.modified().unwrap(), content))
    };
    entries.map(read).collect()
}

async fn execute(place: &Place, sql: &str) {
    let mut database = Database::open(&place.location).await;
    database.execute(sql).await;
    if let Database::Sqlite(connection) = database {
        sqlx::Connection::close(connection).await.unwrap();
    }
}

both_places!(a_fresh_store_has_no_problem_and_is_told_of_its_first_token, |place: Place| async move {
    let first = founded(place);
    let visit = visit(&first.place, &[]);
    visit.is_clean();
    visit.says("warning", "holds every permission of its owner");
    for what in [
        "can be read",
        "the schema is the one",
        "the server key fits",
        "nothing later",
        "each change has its audit row",
        "is free",
    ] {
        visit.says("ok", what);
    }
    let address = free_address();
    let (status, out, error) = run(&on(&first.place, "doctor", &["--listen", &address]));
    assert_eq!((status, error.as_str()), (0, ""));
    let last = out.lines().last().unwrap();
    assert!(last.starts_with("0 problems, 1 warning, 0 notes, ") && last.ends_with(" ok"), "{out}");
    assert!(
        out.lines().any(|line| line.starts_with("WARNING  API tokens     API token \"Bootstrap\" (")),
        "{out}"
    );
    assert!(out.contains("\n                        -> make a token for each purpose"), "{out}");
    for secret in [&first.api_key, &first.api_token] {
        assert!(!out.contains(secret.as_str()));
    }
});

#[tokio::test]
async fn it_writes_nothing_to_a_stopped_store_nor_after_a_crash() {
    let first = founded(Place::new(Engine::Sqlite).await);
    let data = data(&first.place);
    let before = snapshot(&data);
    assert!(!before.contains_key("hallpass.db-wal"));
    visit(&first.place, &[]).is_clean();
    assert!(snapshot(&data) == before, "a stopped store was changed: {:?}", snapshot(&data).keys());

    let process = first.serve();
    let token = first.token_actor(&process);
    token.post(&first.tokens_path(), json!({"name": "in the log", "duration": "48h"})).await.result(201);
    process.kill();
    let before = snapshot(&data);
    assert!(before.contains_key("hallpass.db-wal"));
    let visit = visit(&first.place, &[]);
    visit.is_clean();
    // What only the log holds is seen.
    visit.says("warning", "\"in the log\"");
    assert!(snapshot(&data) == before, "a store was changed after a crash");
}

#[tokio::test]
async fn a_log_without_its_index_is_said_and_left_alone() {
    let first = founded(Place::new(Engine::Sqlite).await);
    let process = first.serve();
    first.token_actor(&process).post(&first.tokens_path(), json!({"name": "n"})).await.result(201);
    process.kill();
    let data = data(&first.place);
    fs::remove_file(data.join("hallpass.db-shm")).unwrap();
    let before = snapshot(&data);
    visit(&first.place, &[]).says("warning", "a log (-wal) without its index (-shm)");
    assert!(snapshot(&data) == before);
}

both_places!(it_looks_on_beside_a_running_server, |place: Place| async move {
    let first = founded(place);
    let process = first.serve();
    let address = process.api.strip_prefix("http://").unwrap();
    // A key's use is not written down, so that the server writes nothing of its own either.
    let key = first.key_actor(&process);
    key.post(&first.tokens_path(), json!({"name": "n", "duration": "200h"})).await.result(201);
    let look = |place: &Place| match &place.location {
        Location::Directory(directory) => {
            let mut files = snapshot(directory);
            // The server's own readers mark in there how far they have come.
            files.remove("hallpass.db-shm");
            files
        }
        Location::Postgres(_) => BTreeMap::new(),
    };
    let before = look(&first.place);
    for _ in 0..3 {
        let visit = visit(&first.place, &["--listen", address]);
        visit.is_clean();
        visit.says("ok", "a Hallpass server answers on");
        visit.says("note", "service token \"n\"");
    }
    assert!(look(&first.place) == before, "the store was changed");
    key.post(&first.tokens_path(), json!({"name": "m"})).await.result(201);
    Database::open(&first.place.location).await.revision().await;
});

#[tokio::test]
async fn files_that_others_can_read_are_named() {
    let first = founded(Place::new(Engine::Sqlite).await);
    let data = data(&first.place);
    let chmod = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    visit(&first.place, &[]).says("ok", "open to their owner alone");
    chmod(&data, 0o755);
    let open = visit(&first.place, &[]);
    open.is_clean();
    open.says("warning", "has mode 0755: others may look into it");
    chmod(&database_file(&data), 0o644);
    chmod(&key_file(&data), 0o640);
    let open = visit(&first.place, &[]);
    open.says("problem", "hallpass.db has mode 0644");
    open.says("problem", "others may read the server key");
    assert_eq!(open.found("problem").len(), 2);
}

both_places!(a_key_that_is_missing_malformed_or_anothers_is_a_problem, |place: Place| async move {
    let first = founded(place);
    let file = match &first.place.location {
        Location::Directory(directory) => key_file(directory),
        Location::Postgres(_) => first.file("server.key"),
    };
    let key = fs::read_to_string(&file).unwrap();
    for (content, what) in
        [("7b".repeat(32), "does not fit this store"), ("hunter2".to_owned(), "is not a server key")]
    {
        fs::write(&file, &content).unwrap();
        let visit = visit(&first.place, &[]);
        visit.says("problem", what);
        let report = visit.report.to_string();
        assert!(!report.contains(&content) && !report.contains(key.trim()), "{report}");
    }
    fs::rename(&file, file.with_extension("away")).unwrap();
    let arguments: Vec<_> = first.place.arguments();
    if let Location::Directory(_) = &first.place.location {
        visit(&first.place, &[]).says("problem", "there is no server key at");
    } else {
        let elsewhere = file.with_extension("nowhere").display().to_string();
        let (status, out, _) = run(&[
            "doctor".to_owned(),
            "--database".to_owned(),
            arguments[1].clone(),
            "--server-key-file".to_owned(),
            elsewhere,
            "--listen".to_owned(),
            free_address(),
        ]);
        assert!(status == 1 && out.contains("there is no server key at"), "{out}");
        return;
    }
    assert!(!file.exists(), "doctor made a key");
});

both_places!(a_store_that_has_seen_the_future_is_a_problem, |place: Place| async move {
    let first = founded(place);
    // 2100-01-01
    execute(&first.place, "UPDATE audit SET at = 4102444800000000 WHERE revision = 1").await;
    visit(&first.place, &[]).says("problem", "the store has seen 2100-01-01T00:00:00Z");
});

both_places!(another_schema_is_said_with_its_direction, |place: Place| async move {
    let first = founded(place);
    let quoted = match &first.place.location {
        Location::Directory(_) => "X'00'",
        Location::Postgres(_) => "'\\x00'",
    };
    let insert = format!(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', TRUE, {quoted}, 0)"
    );
    execute(&first.place, &insert).await;
    let newer = visit(&first.place, &[]);
    newer.says("problem", "newer than this version");
    execute(&first.place, "DELETE FROM _sqlx_migrations WHERE version = 9999").await;
    visit(&first.place, &[]).is_clean();
    execute(&first.place, &format!("UPDATE _sqlx_migrations SET checksum = {quoted} WHERE version = 1"))
        .await;
    visit(&first.place, &[]).says("problem", "is another one than this version's");
    execute(&first.place, "DELETE FROM _sqlx_migrations").await;
    let older = visit(&first.place, &[]);
    older.is_clean();
    older.says("warning", "older than this version");
    execute(&first.place, "DROP TABLE _sqlx_migrations").await;
    visit(&first.place, &[]).says("problem", "no tables of Hallpass's");
});

both_places!(records_that_do_not_agree_are_a_problem, |place: Place| async move {
    let first = founded(place);
    execute(&first.place, "DELETE FROM digests WHERE kind = 'user'").await;
    visit(&first.place, &[]).says("problem", "1 tokens or users have no digest");
    execute(&first.place, "DELETE FROM api_tokens").await;
    visit(&first.place, &[]).says("problem", "1 digests belong to no token and no user");
    execute(&first.place, "DELETE FROM audit WHERE revision = 2").await;
    visit(&first.place, &[]).says("problem", "revision, audit and changes do not agree");
});

both_places!(expiries_that_are_near_are_listed_and_expired_tokens_counted, |place: Place| async move {
    let first = founded(place);
    let process = first.serve();
    let actor = first.token_actor(&process);
    for (name, duration) in [
        ("tomorrow", "30h"),
        ("in ten days", "250h"),
        ("far", "8760h"),
        ("for good", "forever"),
        ("over", "1h"),
    ] {
        actor.post(&first.tokens_path(), json!({"name": name, "duration": duration})).await.result(201);
    }
    let off = json!({"name": "off", "duration": "30h", "enabled": false});
    actor.post(&first.tokens_path(), off).await.result(201);
    execute(&first.place, "UPDATE service_tokens SET expires_at = 1 WHERE name = 'over'").await;
    let visit = visit(&first.place, &[]);
    visit.is_clean();
    visit.says("warning", "service token \"tomorrow\"");
    visit.says("note", "service token \"in ten days\"");
    visit.says("note", "1 service token has expired");
    visit.says("ok", "no use of a service token is recorded");
    let report = visit.report.to_string();
    assert!(
        !report.contains("far") && !report.contains("for good") && !report.contains("\\\"off"),
        "{report}"
    );
});

both_places!(tokens_that_nobody_uses_are_counted_once_use_is_recorded, |place: Place| async move {
    let first = founded(place);
    let process = first.serve();
    let actor = first.token_actor(&process);
    for name in ["used", "idle"] {
        actor.post(&first.tokens_path(), json!({"name": name, "duration": "forever"})).await.result(201);
    }
    execute(&first.place, "UPDATE service_tokens SET created_at = 1").await;
    let day = 86_400_000_000_i64;
    let now = hallpass::world::World::machine().now().as_micros();
    execute(
        &first.place,
        &format!("INSERT INTO activity (kind, owner_id, last_seen_at) SELECT 'service_token', id, {} FROM service_tokens WHERE name = 'used'", now - day),
    )
    .await;
    visit(&first.place, &[]).says("note", "1 service token has not been seen for 90 days");
});

both_places!(api_tokens_with_more_than_they_need_are_named, |place: Place| async move {
    let first = founded(place);
    let process = first.serve();
    let key = first.key_actor(&process);
    let tokens = format!("/accounts/{}/tokens", first.account_id);
    let one = json!({format!("com.cloudflare.api.account.{}", first.account_id): "*"});
    let later = "2090-01-01T00:00:00Z";
    for (name, resources, more) in [
        ("narrow", one.clone(), json!({"expires_on": later})),
        ("everywhere", json!({"com.cloudflare.api.account.*": "*"}), json!({"expires_on": later})),
        ("endless", one.clone(), json!({})),
        ("idle", one.clone(), json!({"expires_on": later})),
        ("off", one, json!({"expires_on": "2020-01-01T00:00:00Z"})),
    ] {
        let mut body = json!({"name": name, "policies": [allow(&[SERVICE_TOKENS_READ], resources)]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        key.post(&tokens, body).await.result(200);
    }
    execute(&first.place, "UPDATE api_tokens SET issued_on = 1 WHERE name = 'idle'").await;
    let visit = visit(&first.place, &[]);
    visit.is_clean();
    visit.says("warning", "reaches all of its owner's accounts");
    visit.says("note", "\"endless\"");
    visit.says("note", "is older than 90 days, and was never used");
    visit.says("warning", "\"Bootstrap\"");
    let report = visit.report.to_string();
    assert!(!report.contains("narrow") && !report.contains("\\\"off"), "{report}");
});

both_places!(
    policies_that_no_machine_can_satisfy_are_named_with_their_applications,
    |place: Place| async move {
        let first = founded(place);
        let process = first.serve();
        let key = first.key_actor(&process);
        let access = format!("/accounts/{}/access", first.account_id);
        let (person, any) =
            (json!({"email": {"email": "ada@example.org"}}), json!({"any_valid_service_token": {}}));
        let people = json!({"name": "people", "include": [person]});
        let people = key.post(&format!("{access}/groups"), people).await.result(201);
        let people = json!({"group": {"id": people["id"]}});
        let make_app = async |name: &str, policies: Value| {
            let domain = format!("{name}.example.com");
            let app = json!({"type": "self_hosted", "name": name, "domain": domain, "policies": policies});
            key.post(&format!("{access}/apps"), app).await.result(201)
        };
        let fine = json!([
            {"name": "any", "decision": "non_identity", "include": [person, any], "exclude": [people]},
            {"name": "everybody", "decision": "bypass", "include": [{"everyone": {}}]},
            {"name": "visitors", "decision": "allow", "include": [person]},
            {"name": "nobody", "decision": "deny", "include": [people]},
        ]);
        make_app("open", fine).await;
        let visited = visit(&first.place, &[]);
        visited.is_clean();
        visited.says("ok", "no Service Auth or Bypass policy asks for what no machine can satisfy");
        assert!(!visited.found("warning").iter().any(|what| what.contains("no machine")));

        let shut = json!([
            {"name": "of people", "decision": "non_identity", "include": [person]},
            {"name": "with posture", "decision": "non_identity", "include": [any], "require": [{"device_posture": {}}]},
            {"name": "of a group", "decision": "non_identity", "include": [people]},
            {"name": "by token", "decision": "bypass", "include": [any]},
            {"name": "after all", "decision": "non_identity", "include": [any, people]},
        ]);
        let shut = make_app("shut", shut).await;
        let unused = json!({"name": "unused", "decision": "non_identity", "include": []});
        key.post(&format!("{access}/policies"), unused).await.result(201);
        let visited = visit(&first.place, &[]);
        visited.is_clean();
        for (name, policy) in
            [("of people", 0_usize), ("with posture", 1), ("of a group", 2), ("by token", 3)]
        {
            let what = format!(
                "policy {name:?} ({}) of account {} can be satisfied by no machine; application \"shut\" ({}) uses it",
                text(&shut["policies"][policy]["id"]),
                first.account_id,
                text(&shut["id"]),
            );
            visited.says("warning", &what);
        }
        visited.says("note", "can be satisfied by no machine; no application uses it");
        let of_policies =
            |severity| visited.found(severity).iter().filter(|what| what.starts_with("policies: ")).count();
        assert_eq!((of_policies("warning"), of_policies("note"), of_policies("ok")), (4, 1, 0));
        assert!(!visited.report.to_string().contains("ada@example.org"));
    }
);

both_places!(
    signing_keys_that_do_not_open_or_are_missing_are_said_with_their_account,
    |place: Place| async move {
        let first = founded(place);
        visit(&first.place, &[]).says("ok", "no application needs a signing key yet");
        let process = first.serve();
        let app = json!({"type": "self_hosted", "name": "n", "domain": "app.example.com", "policies": []});
        let apps = format!("/accounts/{}/access/apps", first.account_id);
        first.key_actor(&process).post(&apps, app).await.result(201);
        // Nobody makes new keys meanwhile.
        process.kill();
        let visited = visit(&first.place, &[]);
        visited.is_clean();
        visited.says("ok", "2 signing keys looked at: each opens under the server key");

        let file = match &first.place.location {
            Location::Directory(directory) => key_file(directory),
            Location::Postgres(_) => first.file("server.key"),
        };
        let right = fs::read_to_string(&file).unwrap();
        fs::write(&file, "7b".repeat(32)).unwrap();
        let foreign = visit(&first.place, &[]);
        foreign.says("ok", "without the right server key, none was opened");
        assert_eq!(foreign.found("problem").len(), 1, "{:#}", foreign.report);
        fs::write(&file, right).unwrap();

        let mut database = Database::open(&first.place.location).await;
        let sql = "SELECT kid, modulus FROM signing_keys ORDER BY state";
        let keys = database.rows::<(String, String)>(sql).await;
        let [(current, modulus), (next, _)] = keys.as_slice() else { panic!("{keys:?}") };
        if let Database::Sqlite(connection) = database {
            sqlx::Connection::close(connection).await.unwrap();
        }
        let of_account = format!("of account {} does not open", first.account_id);
        // Another key's private half.
        let exchange = "UPDATE signing_keys SET wrapped = (SELECT k.wrapped FROM signing_keys k WHERE k.state = 'current') \
                        WHERE state = 'next'";
        execute(&first.place, exchange).await;
        let visited = visit(&first.place, &[]);
        visited.is_clean();
        visited.says("warning", &format!("the next signing key {next} {of_account}"));
        // Another key's public half.
        let exchange = "UPDATE signing_keys SET modulus = 'AQAB' WHERE state = 'current'";
        execute(&first.place, exchange).await;
        let visited = visit(&first.place, &[]);
        visited.says("problem", &format!("the signing key {current} {of_account}"));
        assert_eq!(visited.found("problem").len(), 1);
        assert!(!visited.report.to_string().contains(modulus.as_str()));

        let account = format!("account {} has applications", first.account_id);
        execute(&first.place, "DELETE FROM signing_keys WHERE state = 'current'").await;
        visit(&first.place, &[]).says("problem", &format!("{account}, and of its signing keys none signs"));
        execute(&first.place, "DELETE FROM signing_keys").await;
        let visited = visit(&first.place, &[]);
        visited.is_clean();
        visited.says("warning", &format!("{account} and no signing key"));
    }
);

#[tokio::test]
async fn who_has_the_address_is_told() {
    let first = founded(Place::new(Engine::Sqlite).await);
    for (reply, severity, what) in [
        (&b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}"[..], "problem", "another program answers on"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "warning", "does not answer plain HTTP"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 1024];
            assert!(stream.read(&mut asked).unwrap() > 0);
            stream.write_all(reply).unwrap();
        });
        visit(&first.place, &["--listen", &address]).says(severity, what);
        serving.join().unwrap();
    }
    // Somebody who sends a little now and then, and never ends.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        while stream.write_all(b"H").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
    });
    visit(&first.place, &["--listen", &address]).says("warning", "does not answer plain HTTP");
    // An address that is not this machine's.
    let elsewhere = ["--insecure-http", "--listen", "192.0.2.1:1"];
    visit(&first.place, &elsewhere).says("problem", "none can listen there");
    visit(&first.place, &elsewhere[1..]).says("problem", "192.0.2.1:1 would send credentials");
}

#[tokio::test]
async fn a_server_that_is_not_ready_is_a_problem() {
    let first = founded(Place::new(Engine::Sqlite).await);
    let process = serve(&first.place, &[]);
    // The store is pulled away from under it.
    let mut database = Database::open(&first.place.location).await;
    database.execute("ALTER TABLE revision RENAME TO elsewhere").await;
    let address = process.api.strip_prefix("http://").unwrap();
    visit(&first.place, &["--listen", address]).says("problem", "is not ready");
}

#[tokio::test]
async fn a_store_that_is_absent_empty_the_emulators_or_damaged_is_said_and_none_is_made() {
    let place = Place::new(Engine::Sqlite).await;
    let data = data(&place);
    let absent = visit(&place, &[]);
    absent.says("problem", "there is no store in");
    assert_eq!(absent.found("problem").len(), 1);
    assert!(!data.exists(), "doctor made a store");

    assert_eq!(run(&on(&place, "serve", &["--listen", "127.0.0.1:0"])).0, 4);
    let empty = visit(&place, &[]);
    empty.is_clean();
    empty.says("warning", "it has no account yet");

    let first = founded(place);
    execute(&first.place, "UPDATE meta SET value = 'emulator' WHERE key = 'purpose'").await;
    visit(&first.place, &[]).says("problem", "its credentials are published");

    let file = database_file(&data);
    let whole = fs::read(&file).unwrap();
    // All but the first pages, which say what is where.
    let mut torn = whole.clone();
    let half = torn.len() / 2;
    torn[half..].fill(0x5a);
    fs::write(&file, &torn).unwrap();
    visit(&first.place, &[]).says("problem", "damaged");
    fs::write(&file, b"this is no database, but a text that is long enough").unwrap();
    visit(&first.place, &[]).says("problem", "is no database");
    // A backup by VACUUM INTO has no write-ahead log.
    let mut restored = whole;
    restored[18..20].fill(1);
    fs::write(&file, &restored).unwrap();
    visit(&first.place, &[]).says("note", "does not keep a write-ahead log");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: ./test brings one and runs this"]
async fn postgres_that_is_unreachable_or_does_not_sync_is_said_and_no_password_is() {
    let first: Installation = founded(Place::new(Engine::Postgres).await);
    let Location::Postgres(url) = &first.place.location else { panic!() };
    let visit_of = |url: &str| {
        let key = first.file("server.key").display().to_string();
        let (status, out, error) = run(&[
            "doctor".to_owned(),
            "--json".to_owned(),
            "--database".to_owned(),
            url.to_owned(),
            "--server-key-file".to_owned(),
            key,
            "--listen".to_owned(),
            free_address(),
        ]);
        assert!(!out.contains("hunter2") && !error.contains("hunter2"), "{out} {error}");
        Visit { status, report: serde_json::from_str(&out).unwrap() }
    };
    let nobody = free_address();
    for unreachable in [
        format!("postgres://hallpass:hunter2@{nobody}/hallpass"),
        format!("{}_nowhere", url.replace("postgres@", "postgres:hunter2@")),
    ] {
        let visit = visit_of(&unreachable);
        assert_eq!(visit.status, 1);
        visit.says("problem", "the store cannot be read");
    }
    let before = visit_of(url);
    before.is_clean();
    before.says("ok", "fsync = on");
    let (_, name) = url.rsplit_once('/').unwrap();
    execute(&first.place, &format!("ALTER DATABASE {name} SET synchronous_commit = off")).await;
    visit_of(url).says("note", "synchronous_commit = off");
    // A database that Hallpass has never seen gets no tables.
    let other = Place::new(Engine::Postgres).await;
    visit(&other, &[]).says("problem", "no tables of Hallpass's");
    assert_eq!(
        Database::open(&other.location)
            .await
            .number("SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'")
            .await,
        0
    );
}
