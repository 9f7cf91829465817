//! `hallpass account add`, `zone add`, `user add`, as the real binary beside a running server, which follows without a restart.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::command_line::{both_places, founded, on};
use crate::harness::{Actor, Engine, Place, Process, run, text};
use crate::inspect::Database;

/// Runs `hallpass <noun> add` with `--json`.
fn add(place: &Place, noun: &str, more: &[&str]) -> (i32, Value, String) {
    let (status, out, error) = add_for_people(place, noun, &[more, &["--json"]].concat());
    (status, serde_json::from_str(&out).unwrap_or_default(), error)
}

fn add_for_people(place: &Place, noun: &str, more: &[&str]) -> (i32, String, String) {
    let mut arguments = vec![noun.to_owned()];
    arguments.extend(on(place, "add", more));
    run(&arguments)
}

fn added(place: &Place, noun: &str, more: &[&str]) -> Value {
    let (status, printed, error) = add(place, noun, more);
    assert_eq!((status, error.as_str()), (0, ""));
    printed
}

fn key_actor(process: &Process, user: &Value) -> Actor {
    let headers = [("x-auth-email", text(&user["email"])), ("x-auth-key", text(&user["api_key"]))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    Actor::new(process.base_url.clone(), &headers)
}

/// What a list shows under a field, once it has so many elements: a server follows within a second.
async fn followed(actor: &Actor, path: &str, field: &str, count: usize) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let reply = actor.get(path).await;
        let found: Vec<_> = match reply.body["result"].as_array() {
            Some(list) if reply.status == 200 => list.iter().map(|one| text(&one[field])).collect(),
            _ => Vec::new(),
        };
        if found.len() == count {
            return found;
        }
        assert!(Instant::now() < deadline, "{path} shows {found:?}: {}", reply.text);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

both_places!(a_running_server_takes_up_what_is_added, |place: Place| async move {
    let first = founded(place);
    let process = first.serve();
    let admin = first.key_actor(&process);

    let account = added(&first.place, "account", &["--name", "Ada's", "--member", &first.email]);
    let account_id = text(&account["account_id"]);
    assert_eq!(account["members"], json!([first.email]));
    assert!(followed(&admin, "/accounts", "id", 2).await.contains(&account_id));

    let zone = added(&first.place, "zone", &["--account", "Ada's", "--name", "Example.ORG"]);
    assert_eq!((zone["name"].clone(), zone["account_id"].clone()), (json!("example.org"), json!(account_id)));
    assert!(followed(&admin, "/zones", "name", 2).await.contains(&"example.org".to_owned()));

    let user = added(&first.place, "user", &["--email", "Ada@example.org", "--account", &account_id]);
    assert_eq!(
        (user["email"].clone(), user["accounts"].clone()),
        (json!("ada@example.org"), json!([account_id]))
    );
    let ada = key_actor(&process, &user);
    assert_eq!(followed(&ada, "/accounts", "id", 1).await, std::slice::from_ref(&account_id));
    let tokens = format!("/accounts/{account_id}/access/service_tokens");
    ada.post(&tokens, json!({"name": "hers"})).await.result(201);
    ada.get(&format!("/zones/{}/access/service_tokens", text(&zone["zone_id"]))).await.result(200);
    // What is not hers stays closed to her, and the other way round.
    assert_eq!(ada.get(&first.tokens_path()).await.status, 403);
    assert_eq!(first.token_actor(&process).get(&tokens).await.status, 403);

    let mut database = Database::open(&first.place.location).await;
    database.revision().await;
    let sql = "SELECT action, actor_id, account_id FROM audit WHERE actor = 'system' AND actor_id NOT IN ('bootstrap', 'key_rotation') ORDER BY revision";
    let by = |action: &str| (action.to_owned(), "command_line".to_owned(), account_id.clone());
    assert_eq!(
        database.rows::<(String, String, String)>(sql).await,
        ["account.create", "membership.create", "zone.create", "user.create", "membership.create"].map(by)
    );
    let key = text(&user["api_key"]);
    assert!(key.starts_with("cfk_") && !process.log().contains(&key));
    assert!(database.audit().await.iter().all(|row| !row.detail.contains(&key)));
});

both_places!(what_is_there_already_is_refused, |place: Place| async move {
    let first = founded(place);
    let mut database = Database::open(&first.place.location).await;
    let before = database.revision().await;
    for (noun, more) in [
        ("account", ["--name", "Main account"]),
        ("zone", ["--name", "EXAMPLE.com"]),
        ("user", ["--email", "Admin@example.com"]),
    ] {
        let (status, printed, error) = add(&first.place, noun, &more);
        assert_eq!((status, printed), (3, Value::Null), "{error}");
        assert!(error.contains("already"), "{error}");
    }
    assert_eq!(database.revision().await, before);
});

#[tokio::test]
async fn for_people_the_key_is_shown_once_with_its_ids() {
    let first = founded(Place::new(Engine::Sqlite).await);
    let (status, out, error) = add_for_people(&first.place, "user", &["--email", "ada@example.org"]);
    assert_eq!((status, error.as_str()), (0, ""));
    for shown in ["ada@example.org", "cfk_", "Main account", "this once"] {
        assert!(out.contains(shown), "{out}");
    }
    let (status, out, _) = add_for_people(&first.place, "zone", &["--name", "example.org"]);
    assert!(status == 0 && out.contains("example.org") && out.contains(&first.account_id), "{out}");
    let (status, out, _) = add_for_people(&first.place, "account", &["--name", "Second"]);
    assert!(status == 0 && out.contains("Second"), "{out}");
}

#[tokio::test]
async fn what_makes_no_sense_adds_nothing() {
    let place = Place::new(Engine::Sqlite).await;
    for (noun, more) in
        [("account", ["--name", "n"]), ("zone", ["--name", "example.org"]), ("user", ["--email", "a@b"])]
    {
        assert_eq!(add(&place, noun, &more).0, 4, "there is no store");
    }
    assert!(!place.directory.path().join("data").exists());
    let first = founded(place);
    let mut database = Database::open(&first.place.location).await;
    let before = database.revision().await;
    let long = "a".repeat(64);
    for (noun, more) in [
        ("account", &["--name", " "][..]),
        ("account", &["--name", "n", "--member", "nobody@example.com"]),
        ("account", &[]),
        ("zone", &["--name", "example..org"]),
        ("zone", &["--name", "exa mple.org"]),
        ("zone", &["--name", &long]),
        ("zone", &["--name", "example.org", "--account", "nowhere"]),
        ("user", &["--email", "nobody"]),
        ("user", &["--email", "a@example.org", "--account", "nowhere"]),
    ] {
        let (status, _, error) = add(&first.place, noun, more);
        assert_eq!(status, 2, "{noun} {more:?}: {error}");
    }
    assert_eq!(database.revision().await, before);
}
