//! What an API token may do and from where: conditions and who may speak for a client, deny before allow, resources that come back
//! as they were sent, permission groups.

use serde_json::{Value, json};

use crate::harness::{
    ACCOUNT_TOKENS_READ, Actor, DNS_READ, Engine, Options, SERVICE_TOKENS_READ, SERVICE_TOKENS_WRITE,
    TestServer, allow, both_engines, text,
};

async fn make(server: &TestServer, policies: Value, more: Value) -> (Value, Actor) {
    let mut body = json!({"name": "t", "policies": policies});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let path = format!("{}/tokens", server.home.account_path());
    let made = server.key(&server.home).post(&path, body).await.result(200);
    let bearer = server.bearer(&text(&made["value"]));
    (made, bearer)
}

fn deny(groups: &[&str], resources: Value) -> Value {
    let mut policy = allow(groups, resources);
    policy["effect"] = json!("deny");
    policy
}

both_engines!(
    a_condition_comes_back_under_the_key_and_in_the_words_that_were_sent,
    |server: TestServer| async move {
        let key = server.key(&server.home);
        for condition in [
            json!({"request_ip": {"in": ["123.123.123.100/24", "2001:db8::5/64"], "not_in": ["123.123.123.100/32"]}}),
            json!({"request.ip": {"in": ["10.0.0.1"], "not_in": ["::ffff:10.0.0.9"]}}),
            json!({"request_ip": {"in": []}}),
            json!({"request_ip": {"not_in": ["0.0.0.0/0"]}}),
            json!({"request.ip": {}}),
        ] {
            let policies = json!([allow(&[DNS_READ], server.home.resources())]);
            let (made, _) = make(&server, policies, json!({"condition": condition})).await;
            assert_eq!(made["condition"], condition);
            let one = format!("{}/tokens/{}", server.home.account_path(), text(&made["id"]));
            assert_eq!(key.get(&one).await.result(200)["condition"], condition);
        }
        let path = format!("{}/tokens", server.home.account_path());
        for (condition, pointer) in [
            (json!({"request_ip": {"in": ["10.0.0.0/33"]}}), "/condition/request_ip/in/0"),
            (json!({"request_ip": {"in": ["10.0.0.1", "example.com"]}}), "/condition/request_ip/in/1"),
            (json!({"request.ip": {"not_in": [5]}}), "/condition/request.ip/not_in/0"),
            (json!({"request_ip": {"in": "10.0.0.1"}}), "/condition/request_ip/in"),
            (json!({"request_ip": []}), "/condition/request_ip"),
            // A misspelt list would leave the door open that it was meant to shut.
            (json!({"request_ip": {"notin": ["127.0.0.0/8"]}}), "/condition/request_ip/notin"),
            (json!({"request.ip": {"in": ["10.0.0.0/8"], "IN": []}}), "/condition/request.ip/IN"),
            (json!({"request.country": {"in": ["DE"]}}), "/condition/request.country"),
            (json!({"request_ip": {}, "request.ip": {}}), "/condition/request.ip"),
            (json!("127.0.0.1"), "/condition"),
        ] {
            let body = json!({"name": "t", "policies": [allow(&[DNS_READ], server.home.resources())], "condition": condition});
            let reply = key.post(&path, body).await;
            assert_eq!(
                (reply.refusal(), reply.pointers()),
                ((400, 12130), vec![pointer.to_owned()]),
                "{}",
                reply.text
            );
        }
        // No condition, an empty one and null are none.
        for condition in [json!({}), Value::Null] {
            let policies = json!([allow(&[DNS_READ], server.home.resources())]);
            let (made, bearer) = make(&server, policies, json!({"condition": condition})).await;
            assert!(made.get("condition").is_none(), "{made}");
            bearer.get("/accounts").await.result(200);
        }
    }
);

/// Whether each condition admits a client, and what the refusal says.
async fn assert_admits(server: &TestServer, forwarded: &[&str], cases: &[(Value, bool)], place: &str) {
    for (lists, admitted) in cases {
        for spelling in ["request_ip", "request.ip"] {
            let policies = json!([allow(&[SERVICE_TOKENS_READ], server.home.resources())]);
            let condition = json!({"condition": {spelling: lists}});
            let (_, mut bearer) = make(server, policies, condition).await;
            for value in forwarded {
                bearer = bearer.with("x-forwarded-for", value);
            }
            let reply = bearer.get(&server.home.tokens_path()).await;
            if *admitted {
                assert_eq!(reply.status, 200, "{lists} {forwarded:?}: {}", reply.text);
            } else {
                assert_eq!(reply.refusal(), (403, 9109), "{lists} {forwarded:?}");
                let message = text(&reply.body["errors"][0]["message"]);
                assert_eq!(message, format!("Cannot use the access token from location: {place}"));
            }
        }
    }
}

both_engines!(
    a_condition_is_about_the_peer_where_nobody_speaks_for_a_client,
    |server: TestServer| async move {
        let cases = [
            (json!({"in": ["127.0.0.1"]}), true),
            (json!({"in": ["127.0.0.55/8"]}), true),
            (json!({"in": ["::ffff:127.0.0.0/104"]}), true),
            (json!({"in": ["10.0.0.0/8", "127.0.0.0/8"], "not_in": ["127.0.0.2"]}), true),
            (json!({"not_in": ["10.0.0.0/8"]}), true),
            (json!({"in": []}), false),
            (json!({"in": ["10.0.0.0/8"]}), false),
            (json!({"in": ["127.0.0.0/8"], "not_in": ["127.0.0.1/32"]}), false),
            (json!({"not_in": ["0.0.0.0/0"]}), false),
        ];
        assert_admits(&server, &[], &cases, "127.0.0.1").await;
        // What a client says of itself counts for nothing.
        let cases = [(json!({"in": ["10.1.1.1"]}), false), (json!({"in": ["127.0.0.1"]}), true)];
        assert_admits(&server, &["10.1.1.1"], &cases, "127.0.0.1").await;
    }
);

/// A trusted peer speaks for the right-most address that is not trusted itself; what stands left of it is hearsay.
async fn trusted(engine: Engine) {
    let options = Options {
        trusted_peers: vec!["127.0.0.0/8".parse().unwrap(), "192.168.0.0/16".parse().unwrap()],
        ..Options::default()
    };
    let server = TestServer::start_with(engine, options).await;
    let (inside, outside) = (json!({"in": ["10.1.1.0/24"]}), json!({"in": ["127.0.0.0/8"]}));
    let cases = [(inside, true), (outside, false)];
    for forwarded in [
        &["10.1.1.1"][..],
        &["6.6.6.6, 10.1.1.1"],
        &["6.6.6.6", "10.1.1.1"],
        &["10.1.1.1, 192.168.3.4"],
        &["garbage, 10.1.1.1"],
        &["[::ffff:10.1.1.1]:443"],
        &["10.1.1.1:5000"],
    ] {
        assert_admits(&server, forwarded, &cases, "10.1.1.1").await;
    }
    let cases = [(json!({"in": ["10.1.1.0/24"]}), false), (json!({"in": ["6.6.6.6"]}), true)];
    assert_admits(&server, &["10.1.1.1, 6.6.6.6"], &cases, "6.6.6.6").await;
    // Where the peer cannot be understood, no condition is satisfied, not even one that only forbids.
    let cases = [(json!({"in": ["0.0.0.0/0", "::/0"]}), false), (json!({"not_in": ["6.6.6.6"]}), false)];
    for forwarded in [&["unknown"][..], &["10.1.1.1, garbage"], &[""], &["10.1.1.1,"]] {
        assert_admits(&server, forwarded, &cases, "unknown").await;
    }
    assert_admits(&server, &[], &[(json!({"in": ["127.0.0.1"]}), true)], "127.0.0.1").await;
}

mod a_trusted_peer_speaks_for_a_client {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn sqlite() {
        trusted(Engine::Sqlite).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs PostgreSQL: ./test brings one and runs this"]
    async fn postgres() {
        trusted(Engine::Postgres).await;
    }
}

both_engines!(deny_wins_over_allow, |server: TestServer| async move {
    let (home, abroad) = (server.home.clone(), server.abroad.clone());
    let everything = allow(&[SERVICE_TOKENS_READ, SERVICE_TOKENS_WRITE], home.resources());
    let zone = json!({format!("com.cloudflare.api.account.{}", home.account): {"com.cloudflare.api.account.zone.*": "*"}});
    let anywhere = json!({"com.cloudflare.api.account.*": "*"});
    for (denied, reads, writes) in [
        (None, true, true),
        (Some(deny(&[SERVICE_TOKENS_WRITE], home.resources())), true, false),
        (Some(deny(&[SERVICE_TOKENS_READ], home.resources())), false, false),
        (Some(deny(&[SERVICE_TOKENS_READ, SERVICE_TOKENS_WRITE], anywhere)), false, false),
        // A part of it is enough.
        (Some(deny(&[SERVICE_TOKENS_WRITE], zone)), true, false),
        (Some(deny(&[ACCOUNT_TOKENS_READ, DNS_READ], home.resources())), true, true),
    ] {
        for first in [true, false] {
            let mut policies = vec![everything.clone()];
            policies.extend(denied.clone());
            if first {
                policies.reverse();
            }
            let (_, bearer) = make(&server, json!(policies), json!({})).await;
            let read = bearer.get(&home.tokens_path()).await;
            let write = bearer.post(&home.tokens_path(), json!({"name": "n"})).await;
            assert_eq!((read.status == 200, write.status == 201), (reads, writes), "{denied:?}");
            for (reply, allowed) in [(read, reads), (write, writes)] {
                assert!(allowed || reply.refusal() == (403, 10000));
            }
        }
    }
    // A deny policy alone opens nothing, and another account's does not close this one.
    let (_, bearer) = make(&server, json!([deny(&[DNS_READ], home.resources())]), json!({})).await;
    assert_eq!(bearer.get(&home.tokens_path()).await.refusal(), (403, 10000));
    let policies = json!([everything, deny(&[SERVICE_TOKENS_READ], abroad.resources())]);
    let body = json!({"name": "t", "policies": policies});
    let made = server.key(&home).post("/user/tokens", body).await.result(200);
    let bearer = server.bearer(&text(&made["value"]));
    assert_eq!(bearer.get(&home.tokens_path()).await.status, 200);
});

both_engines!(
    policies_come_back_in_order_with_resources_in_the_same_raw_text,
    |server: TestServer| async move {
        let home = server.home.clone();
        let key = server.key(&home);
        let (account, zone) = (
            format!("com.cloudflare.api.account.{}", home.account),
            format!("com.cloudflare.api.account.zone.{}", home.zone),
        );
        let nested = json!({&account: {"com.cloudflare.api.account.zone.*": "*", &zone: "*"}});
        let flat = json!({&zone: "*", &account: "*", "com.cloudflare.edge.r2.bucket.x_default_y": "*"});
        let meta = json!({"key": "k", "value": {"b": 1, "a": [null]}});
        let mut with_meta = allow(&[DNS_READ, SERVICE_TOKENS_READ], flat.clone());
        with_meta["permission_groups"][0]["meta"] = meta.clone();
        let policies = json!([
            allow(&[SERVICE_TOKENS_READ], nested.clone()),
            with_meta,
            allow(&[SERVICE_TOKENS_READ], json!({"com.cloudflare.api.account.zone.*": "*"})),
            deny(&[SERVICE_TOKENS_WRITE], home.resources()),
        ]);
        for path in [format!("{}/tokens", home.account_path()), "/user/tokens".to_owned()] {
            let body = json!({"name": "t", "policies": policies});
            let reply = key.post(&path, body).await;
            // Sorted keys, no blanks: as a client encodes it itself.
            let raw = format!(
                r#""resources":{{"{account}":{{"com.cloudflare.api.account.zone.*":"*","{zone}":"*"}}}}"#
            );
            assert!(reply.text.contains(&raw), "{}", reply.text);
            let made = reply.result(200);
            let one = format!("{path}/{}", text(&made["id"]));
            for shown in [made, key.get(&one).await.result(200), key.get(&path).await.result(200)[0].clone()]
            {
                let found = shown["policies"].as_array().unwrap();
                let resources: Vec<_> = found.iter().map(|policy| policy["resources"].clone()).collect();
                let sent = policies.as_array().unwrap().iter();
                assert_eq!(resources, sent.map(|policy| policy["resources"].clone()).collect::<Vec<_>>());
                assert_eq!(found[1]["permission_groups"][0]["meta"], meta);
                assert!(found[1]["permission_groups"][1].get("meta").is_none());
                assert_eq!(found[3]["effect"], "deny");
            }
            // Policies keep their ids when they are sent back.
            let shown = key.get(&one).await.result(200);
            assert_eq!(key.put(&one, shown.clone()).await.result(200)["policies"], shown["policies"]);
        }
    }
);

both_engines!(what_is_unknown_in_a_policy_is_named, |server: TestServer| async move {
    let home = server.home.clone();
    let key = server.key(&home);
    let good = allow(&[SERVICE_TOKENS_READ], home.resources());
    let account = format!("com.cloudflare.api.account.{}", home.account);
    let with = |change: Value| {
        let mut policy = good.clone();
        policy.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        policy
    };
    for (policy, pointer) in [
        (with(json!({"effect": "maybe"})), "effect"),
        (with(json!({"effect": null})), "effect"),
        (with(json!({"permission_groups": [{"id": "f".repeat(32)}]})), "permission_groups/0/id"),
        (
            with(json!({"permission_groups": [{"id": SERVICE_TOKENS_READ}, {"id": "Read"}]})),
            "permission_groups/1/id",
        ),
        (with(json!({"permission_groups": [{"name": "DNS Read"}]})), "permission_groups/0/id"),
        (with(json!({"permission_groups": ["x"]})), "permission_groups/0"),
        (with(json!({"permission_groups": []})), "permission_groups"),
        (with(json!({"resources": {}})), "resources"),
        (with(json!({"resources": ["*"]})), "resources"),
        (with(json!({"resources": {"com.example": "*"}})), "resources/com.example"),
        (
            with(json!({"resources": {"com.cloudflare.api.account.x": "*"}})),
            "resources/com.cloudflare.api.account.x",
        ),
        (with(json!({"resources": {"a/b~c": "*"}})), "resources/a~1b~0c"),
        (
            with(json!({"resources": {"com.cloudflare.api.account.*": "read"}})),
            "resources/com.cloudflare.api.account.*",
        ),
        (
            with(json!({"resources": {"com.cloudflare.api.account.*": {}}})),
            "resources/com.cloudflare.api.account.*",
        ),
        (
            with(json!({"resources": {"com.cloudflare.api.account.*": {"x": "*"}}})),
            "resources/com.cloudflare.api.account.*/x",
        ),
    ] {
        for path in [format!("{}/tokens", home.account_path()), "/user/tokens".to_owned()] {
            let body = json!({"name": "t", "policies": [good, policy]});
            let reply = key.post(&path, body).await;
            assert_eq!(reply.refusal(), (400, 12130), "{policy}");
            assert_eq!(reply.pointers(), [format!("/policies/1/{pointer}")], "{}", reply.text);
        }
    }
    let wild = json!({&account: {&account: "*"}});
    let reply =
        key.post("/user/tokens", json!({"name": "t", "policies": [with(json!({"resources": wild}))]})).await;
    assert_eq!(reply.pointers(), [format!("/policies/0/resources/{account}/{account}")]);
    for policies in [json!([]), Value::Null, json!({}), json!("x")] {
        let reply = key.post("/user/tokens", json!({"name": "t", "policies": policies})).await;
        assert_eq!(reply.pointers(), ["/policies"], "{}", reply.text);
    }
});

both_engines!(
    permission_groups_are_found_by_name_and_scope_and_foreign_ones_open_nothing,
    |server: TestServer| async move {
        let home = server.home.clone();
        let key = server.key(&home);
        for path in [format!("{}/tokens", home.account_path()), "/user/tokens".to_owned()] {
            let find =
                async |query: &str| key.get(&format!("{path}/permission_groups?{query}")).await.result(200);
            let all = find("").await;
            for group in all.as_array().unwrap() {
                assert_eq!(group.as_object().unwrap().len(), 3, "{group}");
                assert_eq!((text(&group["id"]).len(), group["scopes"].as_array().unwrap().len()), (32, 1));
            }
            let dns =
                json!([{"id": DNS_READ, "name": "DNS Read", "scopes": ["com.cloudflare.api.account.zone"]}]);
            assert_eq!(find("name=DNS%20Read").await, dns);
            assert_eq!(find("name=dns+read&scope=com.cloudflare.api.account.zone").await, dns);
            assert_eq!(find("name=DNS%20Read&scope=com.cloudflare.api.account").await, json!([]));
            assert_eq!(find("name=nothing").await, json!([]));
            // The exact name comes before those that hold it.
            let zone = find("name=Zone%20Read").await;
            assert_eq!(zone[0]["name"], "Zone Read");
            let logs = find("name=Logs%20Read").await;
            assert!(logs.as_array().unwrap().len() > 2, "{logs}");
            assert_eq!((&logs[0]["name"], &logs[1]["name"]), (&json!("Logs Read"), &json!("Logs Read")));
            // The same name for accounts and for zones.
            let apps = find("name=Access:%20Apps%20and%20Policies%20Read").await;
            assert_eq!(apps.as_array().unwrap().len(), 2);
            let users = find("scope=com.cloudflare.api.user").await;
            assert!(
                users
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|group| group["scopes"] == json!(["com.cloudflare.api.user"]))
            );
            assert_eq!(find("per_page=2&page=2").await, json!([all[2], all[3]]));
            for name in [
                "DNS Write",
                "Zone Write",
                "Disable ESC Read",
                "Zone Security Center Insights Read",
                "Account Settings Read",
                "Account Settings Write",
            ] {
                assert_eq!(find(&format!("name={name}")).await[0]["name"], name);
            }
        }
        let (_, bearer) = make(&server, json!([allow(&[DNS_READ], home.resources())]), json!({})).await;
        assert_eq!(bearer.get(&home.tokens_path()).await.refusal(), (403, 10000));
        assert_eq!(bearer.get(&format!("{}/tokens", home.account_path())).await.refusal(), (403, 10000));
    }
);
