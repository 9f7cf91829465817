//! API tokens of users and of accounts: life cycle, verification, replacement, time, and what a caller may hand on.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    ACCOUNT_TOKENS_READ, ACCOUNT_TOKENS_WRITE, DNS_READ, Realm, Reply, SERVICE_TOKENS_READ,
    SERVICE_TOKENS_WRITE, START, TestServer, USER_TOKENS_WRITE, allow, both_engines, text,
};
use crate::rows;

const SHOWN: [&str; 6] = ["id", "issued_on", "modified_on", "name", "policies", "status"];
const NEVER: &str = "ed17574386854bf78a67040be0a770b0";

fn assert_keys(value: &Value, more: &[&str]) {
    let mut found: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected: Vec<_> = SHOWN.iter().chain(more).copied().collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

/// Where a realm's API tokens are: the account's and the user's.
fn places(realm: &Realm) -> [(String, &'static str); 2] {
    [(format!("{}/tokens", realm.account_path()), "cfat_"), ("/user/tokens".to_owned(), "cfut_")]
}

fn body(realm: &Realm, groups: &[&str]) -> Value {
    json!({"name": "token", "policies": [allow(groups, realm.resources())]})
}

fn merged(body: &Value, more: &Value) -> Value {
    let mut body = body.clone();
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    body
}

fn ids(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|token| text(&token["id"])).collect()
}

fn assert_invalid(reply: &Reply, pointers: &[&str]) {
    assert_eq!(reply.refusal(), (400, 12130), "{}", reply.text);
    assert_eq!(reply.pointers(), pointers, "{}", reply.text);
}

both_engines!(
    an_api_token_lives_from_create_to_delete_and_shows_its_value_once,
    |server: TestServer| async move {
        let home = server.home.clone();
        let key = server.key(&home);
        for (place, prefix) in places(&home) {
            let sent = body(&home, &[SERVICE_TOKENS_READ, SERVICE_TOKENS_WRITE]);
            let made = key.post(&place, sent.clone()).await.result(200);
            assert_keys(&made, &["value"]);
            let (id, value) = (text(&made["id"]), text(&made["value"]));
            assert!(id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
            assert!(value.len() == prefix.len() + 48 && value.starts_with(prefix), "{value}");
            assert_eq!(
                (&made["status"], &made["issued_on"], &made["modified_on"]),
                (&json!("active"), &json!("2026-06-01T12:00:00Z"), &json!("2026-06-01T12:00:00Z"))
            );
            let policy = &made["policies"][0];
            assert_eq!((&policy["effect"], &policy["resources"]), (&json!("allow"), &home.resources()));
            assert_eq!(
                policy["permission_groups"],
                json!([
                    {"id": SERVICE_TOKENS_READ, "name": "Access: Service Tokens Read"},
                    {"id": SERVICE_TOKENS_WRITE, "name": "Access: Service Tokens Write"},
                ])
            );
            assert_eq!(text(&policy["id"]).len(), 32);

            let mut kept = made.clone();
            kept.as_object_mut().unwrap().remove("value");
            let one = format!("{place}/{id}");
            assert_eq!(key.get(&one).await.result(200), kept);
            assert_eq!(key.get(&place).await.result(200), json!([kept]));
            server.bearer(&value).get(&home.tokens_path()).await.result(200);

            server.advance("1s");
            let rolled = key.put(&format!("{one}/value"), json!({})).await.result(200);
            let fresh = text(&rolled);
            assert!(fresh.starts_with(prefix) && fresh != value, "a bare text");
            let old = server.bearer(&value).get(&home.tokens_path()).await;
            assert_eq!(old.refusal(), (403, 9109), "the old value dies at once");
            server.bearer(&fresh).get(&home.tokens_path()).await.result(200);
            let shown = key.get(&one).await.result(200);
            assert_eq!(shown["modified_on"], "2026-06-01T12:00:01Z");
            server.advance("-1s");

            assert_eq!(key.delete(&one).await.result(200), json!({"id": id}));
            let gone = server.bearer(&fresh).get(&home.tokens_path()).await;
            assert_eq!(gone.refusal(), (403, 9109), "a deleted token dies at once");
            let never = format!("{place}/{NEVER}");
            for (gone, never) in [
                (key.get(&one).await, key.get(&never).await),
                (key.delete(&one).await, key.delete(&never).await),
                (key.put(&one, sent.clone()).await, key.put(&never, sent.clone()).await),
                (
                    key.put(&format!("{one}/value"), json!({})).await,
                    key.put(&format!("{never}/value"), json!({})).await,
                ),
            ] {
                assert_eq!((gone.refusal(), gone.text), ((404, 1003), never.text));
            }
            assert_eq!(key.get(&place).await.result(200), json!([]));
            assert_eq!(rows::digests(&server.place, &id).await, rows::Digests::default());
            let actions = rows::audit(&server.place, &id).await;
            let actions: Vec<_> = actions.iter().map(|row| row.split(' ').next().unwrap()).collect();
            assert_eq!(actions, ["api_token.create", "api_token.roll", "api_token.delete"]);
        }
    }
);

both_engines!(a_token_is_verified_where_its_owner_is_and_nowhere_else, |server: TestServer| async move {
    let (home, abroad) = (server.home.clone(), server.abroad.clone());
    let times = json!({"not_before": "2026-01-01T00:00:00Z", "expires_on": "2027-01-01T00:00:00+01:00"});
    let sent = merged(&body(&home, &[DNS_READ]), &times);
    let of_account = format!("{}/tokens/verify", home.account_path());
    for (place, prefix) in places(&home) {
        let made = server.key(&home).post(&place, sent.clone()).await.result(200);
        let bearer = server.bearer(&text(&made["value"]));
        let reply = bearer.get(&format!("{place}/verify")).await;
        assert_eq!(
            reply.body["messages"],
            json!([{"code": 10000, "message": "This API Token is valid and active", "type": null}])
        );
        let expected = merged(&json!({"id": made["id"], "status": "active"}), &times);
        assert_eq!(reply.result(200), expected);
        let elsewhere = if prefix == "cfat_" { "/user/tokens/verify" } else { &of_account };
        for wrong in [elsewhere, &format!("{}/tokens/verify", abroad.account_path())] {
            assert_eq!(bearer.get(wrong).await.refusal(), (401, 1000), "{prefix} at {wrong}");
        }
    }
    for path in ["/user/tokens/verify", &of_account] {
        assert_eq!(server.key(&home).get(path).await.refusal(), (401, 1000));
        assert_eq!(server.bearer("nothing").get(path).await.refusal(), (401, 1000));
        assert_eq!(server.nobody().get(path).await.refusal(), (400, 9106));
    }
    // Without dates, none are shown.
    let token = server.account_token(&home, &[DNS_READ]).await;
    let shown = token.get(&of_account).await.result(200);
    assert_eq!(shown.as_object().unwrap().len(), 2, "{shown}");
});

both_engines!(an_update_replaces_all_but_status_and_value, |server: TestServer| async move {
    let home = server.home.clone();
    let key = server.key(&home);
    for (place, _) in places(&home) {
        let condition = json!({"request_ip": {"in": ["127.0.0.0/8"], "not_in": ["127.0.0.9"]}});
        let full = merged(
            &body(&home, &[SERVICE_TOKENS_READ]),
            &json!({"condition": condition, "not_before": "2026-01-01T00:00:00Z", "expires_on": "2030-01-01T00:00:00Z", "status": "disabled"}),
        );
        let made = key.post(&place, full.clone()).await.result(200);
        assert_keys(&made, &["value", "condition", "not_before", "expires_on"]);
        assert_eq!((&made["condition"], &made["status"]), (&condition, &json!("disabled")));
        let one = format!("{place}/{}", text(&made["id"]));
        // A client may send back what it was shown.
        server.advance("1s");
        let same = key.put(&one, made.clone()).await.result(200);
        let mut expected = merged(&made, &json!({"modified_on": same["modified_on"]}));
        expected.as_object_mut().unwrap().remove("value");
        assert_eq!(same, expected);

        let least = merged(&body(&home, &[DNS_READ]), &json!({"name": "renamed"}));
        let shown = key.put(&one, least.clone()).await.result(200);
        assert_keys(&shown, &[]);
        assert_eq!((&shown["status"], &shown["name"]), (&json!("disabled"), &json!("renamed")));
        assert_eq!(shown["policies"][0]["permission_groups"][0]["id"], DNS_READ);
        assert_eq!(key.get(&one).await.result(200), shown);
        let bearer = server.bearer(&text(&made["value"]));
        assert_eq!(bearer.get("/accounts").await.refusal(), (403, 9109));
        let active = merged(&least, &json!({"status": "active"}));
        key.put(&one, active).await.result(200);
        assert_eq!(bearer.get("/accounts").await.status, 200, "the value is the same");
        assert_eq!(bearer.get(&home.tokens_path()).await.refusal(), (403, 10000));
        server.advance("-1s");
    }
});

both_engines!(time_makes_a_token_valid_and_expired, |server: TestServer| async move {
    let home = server.home.clone();
    let key = server.key(&home);
    let times = json!({"not_before": "2026-06-01T13:00:00Z", "expires_on": "2026-06-01T14:00:00.5Z"});
    for (place, _) in places(&home) {
        let made = key.post(&place, merged(&body(&home, &[DNS_READ]), &times)).await.result(200);
        let (one, bearer) = (format!("{place}/{}", text(&made["id"])), server.bearer(&text(&made["value"])));
        for (step, status) in [
            ("0s", "expired"),
            ("59m59.749999s", "expired"),
            ("1us", "active"),
            ("1h", "active"),
            ("499999us", "active"),
            ("1us", "expired"),
            ("8760h", "expired"),
        ] {
            server.advance(step);
            assert_eq!(key.get(&one).await.result(200)["status"], status, "{}", server.now());
            let reply = bearer.get("/accounts").await;
            let verified = bearer.get(&format!("{place}/verify")).await;
            if status == "active" {
                assert_eq!((reply.status, verified.status), (200, 200), "{}", server.now());
            } else {
                assert_eq!((reply.refusal(), verified.refusal()), ((403, 9109), (401, 1000)));
            }
        }
        server.world.set(START.parse().unwrap()).unwrap();
    }
    for (more, pointer) in [
        (json!({"not_before": "2026-06-01T13:00:00Z", "expires_on": "2026-06-01T13:00:00Z"}), "/expires_on"),
        (json!({"not_before": "2026-06-01"}), "/not_before"),
        (json!({"expires_on": "never"}), "/expires_on"),
    ] {
        let reply = key.post("/user/tokens", merged(&body(&home, &[DNS_READ]), &more)).await;
        assert_invalid(&reply, &[pointer]);
    }
});

both_engines!(lists_leave_out_what_expired_and_go_either_way, |server: TestServer| async move {
    let home = server.home.clone();
    let key = server.key(&home);
    for (place, _) in places(&home) {
        let mut made = Vec::new();
        for (n, more) in [
            json!({}),
            json!({"expires_on": "2026-06-01T13:00:00Z"}),
            json!({"not_before": "2027-01-01T00:00:00Z"}),
            json!({"status": "disabled"}),
        ]
        .iter()
        .enumerate()
        {
            let sent = merged(&body(&home, &[DNS_READ]), more);
            let sent = merged(&sent, &json!({"name": format!("token {n}")}));
            made.push(text(&key.post(&place, sent).await.result(200)["id"]));
            server.advance("1s");
        }
        let newest_first: Vec<_> = made.iter().rev().cloned().collect();
        let list = async |query: &str| ids(&key.get(&format!("{place}?{query}")).await.result(200));
        assert_eq!(list("").await, newest_first);
        assert_eq!(list("direction=desc").await, newest_first);
        assert_eq!(list("direction=asc").await, made);
        assert_eq!(list("direction=asc&per_page=3&page=2").await, made[3..]);
        assert_eq!(list("per_page=4&page=2").await, made[4..]);
        server.advance("1h");
        let left: Vec<_> = newest_first.iter().filter(|id| **id != made[1]).cloned().collect();
        assert_eq!(list("").await, left);
        assert_eq!(list("include_expired=false").await, left);
        assert_eq!(list("include_expired=true").await, newest_first);
        let reply = key.get(&format!("{place}?include_expired=true&per_page=3")).await;
        assert_eq!(
            reply.body["result_info"],
            json!({"page": 1, "per_page": 3, "count": 3, "total_count": 4, "total_pages": 2})
        );
        for id in &made {
            key.delete(&format!("{place}/{id}")).await.result(200);
        }
        server.world.set(START.parse().unwrap()).unwrap();
    }
});

both_engines!(nobody_hands_on_more_than_they_hold, |server: TestServer| async move {
    let home = server.home.clone();
    let place = format!("{}/tokens", home.account_path());
    let holder = server.account_token(&home, &[ACCOUNT_TOKENS_WRITE, SERVICE_TOKENS_READ]).await;
    let account = format!("com.cloudflare.api.account.{}", home.account);
    let zone = format!("com.cloudflare.api.account.zone.{}", home.zone);
    let own = server.make_account_token(&home, &[DNS_READ], json!({})).await.0;
    for (groups, resources, allowed) in [
        (&[SERVICE_TOKENS_READ][..], json!({&account: "*"}), true),
        (&[ACCOUNT_TOKENS_READ, ACCOUNT_TOKENS_WRITE], json!({&account: "*"}), true),
        (&[SERVICE_TOKENS_READ], json!({&account: {&zone: "*"}}), true),
        (&[DNS_READ], json!({&account: "*", &zone: "*"}), true),
        (&[SERVICE_TOKENS_WRITE], json!({&account: "*"}), false),
        (&[SERVICE_TOKENS_READ, SERVICE_TOKENS_WRITE], json!({&account: "*"}), false),
        (&[SERVICE_TOKENS_WRITE], json!({&account: {&zone: "*"}}), false),
        (&[SERVICE_TOKENS_READ], json!({"com.cloudflare.api.account.*": "*"}), false),
        (&[SERVICE_TOKENS_READ], json!({"com.cloudflare.api.account.zone.*": "*"}), false),
    ] {
        let sent = json!({"name": "t", "policies": [allow(groups, resources)]});
        let before = rows::revision(&server.place).await;
        for reply in [
            holder.post(&place, sent.clone()).await,
            holder.put(&format!("{place}/{own}"), sent.clone()).await,
        ] {
            if allowed {
                assert_eq!(reply.status, 200, "{sent}: {}", reply.text);
            } else {
                assert_eq!(reply.refusal(), (403, 10000), "{sent}");
                assert_eq!(rows::revision(&server.place).await, before);
            }
        }
    }
    // Nor does anybody get hold of a mightier token's value.
    for (groups, rolls) in [(&[SERVICE_TOKENS_WRITE][..], false), (&[SERVICE_TOKENS_READ], true)] {
        let (id, value) = server.make_account_token(&home, groups, json!({})).await;
        let reply = holder.put(&format!("{place}/{id}/value"), json!({})).await;
        assert_eq!(reply.status == 200, rolls, "{}", reply.text);
        let old = server.bearer(&value).get("/accounts").await;
        assert_eq!(old.status == 403, rolls, "a refused roll changes nothing");
    }
    // A denied policy can be handed on by anybody: it takes and never gives.
    let mut deny = allow(&[SERVICE_TOKENS_WRITE], home.resources());
    deny["effect"] = json!("deny");
    let sent = json!({"name": "t", "policies": [deny]});
    assert_eq!(holder.post(&place, sent).await.status, 200);
    user_tokens_hand_on_no_more(&server).await;
});

/// A user's token can make others for the user, but none that opens what it does not open itself.
async fn user_tokens_hand_on_no_more(server: &TestServer) {
    let (home, abroad) = (&server.home, &server.abroad);
    let user = |realm: &Realm| json!({format!("com.cloudflare.api.user.{}", realm.user): "*"});
    let key = server.key(home);
    let sent = json!({"name": "t", "policies": [allow(&[USER_TOKENS_WRITE], user(home))]});
    let made = key.post("/user/tokens", sent.clone()).await.result(200);
    let holder = server.bearer(&text(&made["value"]));
    assert_eq!(holder.post("/user/tokens", sent).await.status, 200);
    for (groups, resources) in [
        (&[SERVICE_TOKENS_READ][..], home.resources()),
        (&[USER_TOKENS_WRITE], user(abroad)),
        (&[USER_TOKENS_WRITE], json!({"com.cloudflare.api.user.*": "*"})),
    ] {
        let sent = json!({"name": "t", "policies": [allow(groups, resources)]});
        assert_eq!(holder.post("/user/tokens", sent.clone()).await.refusal(), (403, 10000), "{sent}");
    }
    // Not even the key gives away another user, or another account; what opens nothing can be written anywhere.
    for (groups, resources, allowed) in [
        (&[USER_TOKENS_WRITE], user(abroad), false),
        (&[SERVICE_TOKENS_READ], abroad.resources(), false),
        (&[DNS_READ], abroad.resources(), true),
    ] {
        let sent = json!({"name": "t", "policies": [allow(groups, resources)]});
        let reply = key.post("/user/tokens", sent.clone()).await;
        assert_eq!(reply.status == 200, allowed, "{sent}: {}", reply.text);
        assert!(allowed || reply.refusal() == (403, 10000));
    }
    // An account's token names its own account only.
    let place = format!("{}/tokens", home.account_path());
    for resources in [abroad.resources(), user(home)] {
        let sent = json!({"name": "t", "policies": [allow(&[DNS_READ], home.resources()), allow(&[DNS_READ], resources)]});
        assert_invalid(&key.post(&place, sent).await, &["/policies/1/resources"]);
    }
}

both_engines!(a_use_is_noted_and_shown, |server: TestServer| async move {
    let home = server.home.clone();
    let key = server.key(&home);
    let (id, value) = server.make_account_token(&home, &[DNS_READ], json!({})).await;
    let one = format!("{}/tokens/{id}", home.account_path());
    assert!(key.get(&one).await.result(200).get("last_used_on").is_none());
    server.advance("90s");
    server.bearer(&value).get("/accounts").await.result(200);
    // It is written in the background, every five seconds of real time.
    for _ in 0..150 {
        if let Some(used) = key.get(&one).await.result(200).get("last_used_on") {
            assert_eq!(used, "2026-06-01T12:01:30Z");
            let before = key.get(&one).await.result(200);
            assert_eq!(before["modified_on"], "2026-06-01T12:00:00Z", "a use is no change");
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("last_used_on did not appear");
});

both_engines!(
    a_use_that_was_not_written_yet_is_written_when_the_server_ends,
    |server: TestServer| async move {
        let home = server.home.clone();
        let (id, value) = server.make_account_token(&home, &[DNS_READ], json!({})).await;
        server.bearer(&value).get("/accounts").await.result(200);
        let used = server.now().as_micros();
        let place = server.stop().await;
        let sql = format!(
            "SELECT CAST(last_seen_at AS TEXT) FROM activity WHERE kind = 'api_token' AND owner_id = '{id}'"
        );
        assert_eq!(rows::texts(&place, &sql).await, [used.to_string()]);
    }
);
