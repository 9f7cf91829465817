//! What the gate leaves behind: when a token was last used, and the rows of the access log. Its answers do not wait for either.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::door::{CARRIERS, Carrier, DIALECTS, Door, Pair, protect, question};
use crate::harness::{Actor, TestServer, both_engines, text};

/// Asks as nginx does; gives the status.
fn ask(door: &Door, host: &str, pair: &Pair) -> u16 {
    door.ask(&pair.on(&question("nginx", host, "/"), Carrier::Pair)).status
}

/// A client ID that nobody has, with somebody's secret.
fn nobody(pair: &Pair) -> Pair {
    Pair { client_id: format!("{}.access", "0".repeat(32)), ..pair.clone() }
}

/// What was noted is written every five seconds of real time.
async fn until(key: &Actor, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..150 {
        let found = key.get(path).await.result(200);
        if fits(&found) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{path} never became what was waited for");
}

both_engines!(
    who_passed_and_who_did_not_is_in_the_access_log_and_a_use_is_seen_on_the_token,
    |server: TestServer| async move {
        let (home, key) = (server.home.clone(), server.key(&server.home));
        let access = format!("{}/access", home.account_path());
        let token = Pair::make(&server, json!({"name": "ci"})).await;
        let spare = Pair::make(&server, json!({"name": "spare"})).await;
        let policy = json!({"name": "ci", "decision": "non_identity",
            "include": [{"service_token": {"token_id": token.id}}]});
        let app = json!({"type": "self_hosted", "domain": "app.example.com", "policies": [policy]});
        let app = key.post(&format!("{access}/apps"), app).await.result(201);
        let door = Door::open(&server).await;

        assert_eq!(ask(&door, "app.example.com", &token), 200);
        server.advance("5s");
        assert_eq!(ask(&door, "app.example.com", &token), 200);
        // With the secret before it, in its grace.
        let rotated = format!("{}/{}/rotate", home.tokens_path(), token.id);
        let expiry = json!({"previous_client_secret_expires_at": "2026-06-02T00:00:00Z"});
        let rotated = key.post(&rotated, expiry).await.result(200);
        assert_eq!(ask(&door, "app.example.com", &token), 200);
        server.advance("2m");
        // A known token with a wrong secret, one that no policy names, nobody's, and no application at all.
        assert_eq!(ask(&door, "app.example.com", &token.but("wrong")), 401);
        assert_eq!(ask(&door, "app.example.com", &spare), 403);
        assert_eq!(ask(&door, "app.example.com", &nobody(&token)), 401);
        assert_eq!(ask(&door, "other.example.com", &token), 403);

        let log = format!("{access}/logs/access_requests?direction=asc");
        let rows = until(&key, &log, |rows| rows.as_array().unwrap().len() >= 5).await;
        let mut shown = Vec::new();
        for row in rows.as_array().unwrap() {
            assert_eq!(row["app_uid"], app["id"]);
            assert_eq!(row["app_domain"], "app.example.com");
            let refusal = (row["reason"].clone(), row["ip_address"].clone());
            shown.push((
                row["service_token_id"].clone(),
                row["client_secret"].clone(),
                row["count"].clone(),
                refusal,
            ));
        }
        let passed =
            |slot: &str, count: u32| (json!(token.id), json!(slot), json!(count), (Value::Null, json!("")));
        let refused =
            |token: Value, reason: &str| (token, Value::Null, json!(1), (json!(reason), json!("192.0.2.7")));
        let expected = [
            passed("current", 2),
            passed("previous", 1),
            refused(json!(token.id), "wrong_secret"),
            refused(json!(spare.id), "not_allowed"),
            refused(Value::Null, "unknown"),
        ];
        assert_eq!(shown.len(), expected.len(), "{rows:#}");
        assert!(expected.iter().all(|row| shown.contains(row)), "{rows:#}");

        let path = format!("{}/{}", home.tokens_path(), token.id);
        let seen = until(&key, &path, |token| !token["last_seen_at"].is_null()).await;
        assert_eq!(seen["last_seen_at"], "2026-06-01T12:00:05Z", "a refusal is no use");
        assert_eq!(seen["updated_at"], rotated["updated_at"], "and a use is no change");
        let spared = key.get(&format!("{}/{}", home.tokens_path(), spare.id)).await.result(200);
        assert!(spared.get("last_seen_at").is_none_or(Value::is_null), "{spared}");
        door.gate.stop().await;
    }
);

both_engines!(every_proxy_and_every_carrier_leaves_the_same_rows, |server: TestServer| async move {
    let (home, key) = (server.home.clone(), server.key(&server.home));
    let app = protect(&server, "app.example.com", json!({})).await;
    let token = Pair::make(&server, json!({"name": "ci"})).await;
    let disabled = Pair::make(&server, json!({"name": "disabled"})).await;
    key.put(&format!("{}/{}", home.tokens_path(), disabled.id), json!({"enabled": false})).await.result(200);
    let door = Door::open(&server).await;
    let (live, off, unknown) = (json!(token.id), json!(disabled.id), Value::Null);
    // What is presented, the status of the answer, and what the row says: whose credential, and why not.
    let cases = [
        (token.clone(), 200, &live, Value::Null),
        (token.but("wrong"), 401, &live, json!("wrong_secret")),
        (disabled.clone(), 401, &off, json!("disabled")),
        (nobody(&token), 401, &unknown, json!("unknown")),
        (token.but("two words"), 401, &unknown, json!("malformed")),
    ];
    for dialect in DIALECTS {
        for carrier in CARRIERS {
            // In a minute of its own, so that its acceptance has a row of its own.
            server.advance("1m");
            for (pair, status, _, reason) in &cases {
                let asked = pair.on(&question(dialect, "app.example.com", "/"), carrier);
                assert_eq!(door.ask(&asked).status, *status, "{dialect} {carrier:?} {reason}");
            }
        }
    }

    let log = format!("{}/access/logs/access_requests?per_page=1000", home.account_path());
    let times = DIALECTS.len() * CARRIERS.len();
    let all = times * cases.len();
    let rows = until(&key, &log, |rows| rows.as_array().unwrap().len() >= all).await;
    assert_eq!(rows.as_array().unwrap().len(), all, "{rows:#}");
    for (_, status, token, reason) in cases {
        let mut minutes = BTreeSet::new();
        let mut said = Vec::new();
        for row in rows.as_array().unwrap().iter().filter(|row| row["reason"] == reason) {
            minutes.insert(text(&row["created_at"]));
            let mut row = row.as_object().unwrap().clone();
            // All but which row it is, and when.
            row.retain(|field, _| !["ray_id", "created_at"].contains(&field.as_str()));
            said.push(Value::Object(row));
        }
        assert_eq!((minutes.len(), said.len()), (times, times), "{reason}: {rows:#}");
        assert!(said.iter().all(|row| *row == said[0]), "{reason}: {rows:#}");
        assert_eq!((&said[0]["app_uid"], &said[0]["service_token_id"]), (&app["id"], token), "{reason}");
        assert_eq!(said[0]["allowed"], status == 200);
        let address = if status == 200 { "" } else { "192.0.2.7" };
        assert_eq!(said[0]["ip_address"], address);
    }
    door.gate.stop().await;
});
