//! Service tokens that nobody uses are ended, and no others.

use std::time::Duration;

use hallpass::tasks;
use hallpass_core::secret::{SecretDigest, SecretSlot};
use serde_json::{Value, json};

use crate::access_log::app;
use crate::harness::{Actor, ORGANIZATIONS_READ, Realm, Reply, TestServer, both_engines, text};
use crate::rows;

const RETENTION: Duration = tasks::ACCESS_LOG_RETENTION;
const POINTER: &str = "/inactivity_threshold_days";

/// Uses a token, and waits until it is written down.
async fn make_use(server: &TestServer, key: &Actor, id: &str) {
    let path = format!("{}/{id}", server.home.tokens_path());
    let before = key.get(&path).await.result(200)["last_seen_at"].clone();
    let secret = (SecretSlot::Current, SecretDigest::from_stored([1; 32]));
    server.store.accesses().accepted(&app(server), id.parse().unwrap(), secret, server.now());
    for _ in 0..150 {
        if key.get(&path).await.result(200)["last_seen_at"] != before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the use was not written down");
}

async fn set(server: &TestServer, inactivity: Value) {
    let path = format!("{}/access/organizations", server.home.account_path());
    let body = json!({"service_token_inactivity": inactivity}).to_string();
    server.key(&server.home).send("PATCH", &path, Some(body.into_bytes())).await.result(200);
}

async fn make(server: &TestServer, name: &str) -> String {
    text(&server.make_service_token(&server.home, json!({"name": name})).await["id"])
}

/// The names of the tokens, and whether each is enabled, in alphabetical order.
async fn standing(server: &TestServer) -> Vec<(String, bool)> {
    let list = server.key(&server.home).get(&server.home.tokens_path()).await.result(200);
    let token = |token: &Value| (text(&token["name"]), token["enabled"].as_bool().unwrap());
    let mut all: Vec<_> = list.as_array().unwrap().iter().map(token).collect();
    all.sort();
    all
}

fn of(expected: &[(&str, bool)]) -> Vec<(String, bool)> {
    expected.iter().map(|(name, enabled)| ((*name).to_owned(), *enabled)).collect()
}

both_engines!(
    what_was_neither_used_nor_referred_to_is_ended_once_and_nothing_else,
    |server: TestServer| async move {
        let (home, key) = (server.home.clone(), server.key(&server.home));
        let access = format!("{}/access", home.account_path());
        let old = make(&server, "old").await;
        let used = make(&server, "used").await;
        let rotated = make(&server, "rotated").await;
        let rule = |id: &str| json!([{"service_token": {"token_id": id}}]);
        let in_policy = make(&server, "in policy").await;
        let policy = json!({"name": "p", "decision": "non_identity", "include": rule(&in_policy)});
        key.post(&format!("{access}/policies"), policy).await.result(201);
        let in_group = make(&server, "in group").await;
        key.post(&format!("{access}/groups"), json!({"name": "g", "include": rule(&in_group)}))
            .await
            .result(201);
        let theirs = server.make_service_token(&server.abroad, json!({"name": "theirs"})).await;
        server.advance("719h");
        make_use(&server, &key, &used).await;
        key.post(&format!("{}/{rotated}/rotate", home.tokens_path()), json!({})).await.result(200);
        let _new = make(&server, "new").await;
        let all = of(&[
            ("in group", true),
            ("in policy", true),
            ("new", true),
            ("old", true),
            ("rotated", true),
            ("used", true),
        ]);

        // Nobody has asked for it yet, and when somebody has, an hour is missing.
        server.advance("24h");
        tasks::look(&server.store, &server.world, RETENTION).await;
        assert_eq!(standing(&server).await, all);
        let rules = |enabled: bool, action: &str, days: u32| json!({"enabled": enabled, "action": action, "inactivity_threshold_days": days});
        set(&server, rules(false, "delete", 30)).await;
        tasks::look(&server.store, &server.world, RETENTION).await;
        set(&server, rules(true, "delete", 60)).await;
        tasks::look(&server.store, &server.world, RETENTION).await;
        assert_eq!(standing(&server).await, all);

        set(&server, rules(true, "disable", 30)).await;
        let path = format!("{access}/organizations/inactive_service_tokens");
        let found = key.get(&path).await.result(200);
        let since = "2026-06-01T12:00:00Z";
        assert_eq!(
            found,
            json!([{"action": "disable", "id": old, "inactive_days": 30, "inactive_since": since, "name": "old"}])
        );
        let reader = server.account_token(&home, &[ORGANIZATIONS_READ]).await;
        assert_eq!(reader.get(&path).await.result(200), found);
        // The other account's organization says nothing.
        let abroad = format!("{}/access/organizations/inactive_service_tokens", server.abroad.account_path());
        assert_eq!(server.key(&server.abroad).get(&abroad).await.refusal(), (400, 12130));
        // As on two nodes at once.
        let looking = || tasks::look(&server.store, &server.world, RETENTION);
        tokio::join!(looking(), looking());
        let after = of(&[
            ("in group", true),
            ("in policy", true),
            ("new", true),
            ("old", false),
            ("rotated", true),
            ("used", true),
        ]);
        assert_eq!(standing(&server).await, after);
        let audit = rows::audit(&server.place, &old).await;
        assert_eq!(audit.len(), 2, "{audit:#?}");
        assert!(audit[1].starts_with("service_token.update"), "{audit:#?}");
        let actor =
            format!("SELECT actor_id FROM audit WHERE object_id = '{old}' ORDER BY revision DESC LIMIT 1");
        assert_eq!(rows::texts(&server.place, &actor).await, ["inactivity"]);

        // Who enables it again has changed it: it has its days again.
        key.put(&format!("{}/{old}", home.tokens_path()), json!({"enabled": true})).await.result(200);
        looking().await;
        assert_eq!(standing(&server).await, all);

        server.advance("721h");
        set(&server, rules(true, "delete", 30)).await;
        looking().await;
        assert_eq!(standing(&server).await, of(&[("in group", true), ("in policy", true)]));
        let theirs = format!("{}/{}", server.abroad.tokens_path(), text(&theirs["id"]));
        server.key(&server.abroad).get(&theirs).await.result(200);
    }
);

/// Names, days and actions that a dry run shows.
fn shown(list: &Value) -> Vec<(String, u64, String)> {
    let token = |token: &Value| {
        (text(&token["name"]), token["inactive_days"].as_u64().unwrap(), text(&token["action"]))
    };
    list.as_array().unwrap().iter().map(token).collect()
}

fn would(expected: &[(&str, u64, &str)]) -> Vec<(String, u64, String)> {
    expected.iter().map(|(name, days, action)| ((*name).to_owned(), *days, (*action).to_owned())).collect()
}

both_engines!(
    a_dry_run_shows_what_would_be_ended_before_it_is_enabled_and_changes_nothing,
    |server: TestServer| async move {
        let (home, abroad) = (server.home.clone(), server.abroad.clone());
        let key = server.key(&home);
        make(&server, "old").await;
        server.make_service_token(&abroad, json!({"name": "theirs"})).await;
        server.advance("1h");
        let off = make(&server, "off").await;
        key.put(&format!("{}/{off}", home.tokens_path()), json!({"enabled": false})).await.result(200);
        server.advance("742h");
        make(&server, "new").await;
        server.advance("24h");
        let reader = server.account_token(&home, &[ORGANIZATIONS_READ]).await;
        let stranger = server.account_token(&abroad, &[ORGANIZATIONS_READ]).await;
        let path = |realm: &Realm, days: &str| {
            let list = format!("{}/access/organizations/inactive_service_tokens", realm.account_path());
            format!("{list}?inactivity_threshold_days={days}")
        };
        let standing_before = standing(&server).await;
        let before = server.revision().await;

        // Nothing was ever said: what is asked about counts, and what can be undone is done.
        for caller in [&key, &reader] {
            let found = caller.get(&path(&home, "30")).await.result(200);
            assert_eq!(shown(&found), would(&[("old", 31, "disable")]));
            assert_eq!(caller.get(&path(&home, "31")).await.result(200), found);
            assert_eq!(caller.get(&path(&home, "32")).await.result(200), json!([]));
        }
        // An account's reader sees the account's tokens, and no others.
        let found = stranger.get(&path(&abroad, "30")).await.result(200);
        assert_eq!(shown(&found), would(&[("theirs", 31, "disable")]));
        assert_eq!(stranger.get(&path(&home, "30")).await.refusal(), (403, 10000));
        assert_eq!(reader.get(&path(&abroad, "30")).await.refusal(), (403, 10000));

        // What is wrong is said as it is said of a body.
        let organization = format!("{}/access/organizations", home.account_path());
        for days in ["0", "29", "366", "-30", "30.5", "%2230%22", "a%20month"] {
            let reply = reader.get(&path(&home, days)).await;
            assert_eq!(
                (reply.refusal(), reply.pointers()),
                ((400, 12130), vec![POINTER.to_owned()]),
                "{days}"
            );
            if let Ok(number) = days.parse::<f64>() {
                let rule = json!({"enabled": false, "inactivity_threshold_days": number});
                let body = json!({"service_token_inactivity": rule}).to_string().into_bytes();
                let refused = key.send("PATCH", &organization, Some(body)).await;
                let message = |reply: &Reply| text(&reply.body["errors"][0]["message"]);
                assert_eq!(message(&reply), message(&refused), "{days}");
            }
        }
        // Without days on either side, the parameter is named; an empty one was not given; twice is once too often.
        for query in ["", "30&inactivity_threshold_days=30"] {
            let reply = reader.get(&path(&home, query)).await;
            assert_eq!(
                (reply.refusal(), reply.pointers()),
                ((400, 12130), vec![POINTER.to_owned()]),
                "{query}"
            );
            assert!(reply.text.contains("inactivity_threshold_days"), "{}", reply.text);
        }
        tasks::look(&server.store, &server.world, RETENTION).await;
        assert_eq!((server.revision().await, standing(&server).await), (before, standing_before.clone()));

        // What the organization says counts where nothing else is asked, although it is not enabled.
        set(&server, json!({"enabled": false, "inactivity_threshold_days": 31, "action": "delete"})).await;
        let before = server.revision().await;
        let whole = would(&[("old", 31, "delete"), ("off", 31, "delete")]);
        assert_eq!(shown(&reader.get(&path(&home, "")).await.result(200)), whole);
        assert_eq!(reader.get(&path(&home, "60")).await.result(200), json!([]));
        tasks::look(&server.store, &server.world, RETENTION).await;
        assert_eq!((server.revision().await, standing(&server).await), (before, standing_before));

        // And what was shown is what is done.
        set(&server, json!({"enabled": true, "inactivity_threshold_days": 31, "action": "delete"})).await;
        assert_eq!(shown(&reader.get(&path(&home, "")).await.result(200)), whole);
        tasks::look(&server.store, &server.world, RETENTION).await;
        assert_eq!(standing(&server).await, of(&[("new", true)]));
        let theirs = server.key(&abroad).get(&abroad.tokens_path()).await.result(200);
        assert_eq!(theirs[0]["name"], "theirs");
    }
);
