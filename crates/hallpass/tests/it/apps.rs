//! Applications, policies and groups: what was sent comes back, one host has one owner, and nothing that is referred to goes.

use serde_json::{Value, json};

use crate::harness::{TestServer, both_engines, text};
use crate::rows;

/// The account's path to what is behind `/access`.
fn access(server: &TestServer) -> String {
    format!("{}/access", server.home.account_path())
}

#[expect(clippy::needless_pass_by_value, reason = "tests hand over what they have just written")]
fn app(domain: &str, policies: Value) -> Value {
    json!({"type": "self_hosted", "domain": domain, "policies": policies})
}

#[expect(clippy::needless_pass_by_value, reason = "tests hand over what they have just written")]
fn policy(name: &str, rule: Value) -> Value {
    json!({"name": name, "decision": "non_identity", "include": [rule]})
}

both_engines!(an_application_comes_back_as_it_was_sent, |server: TestServer| async move {
    let (key, apps) = (server.key(&server.home), format!("{}/apps", access(&server)));
    let mut sent =
        app("App.Example.com/x", json!([policy("own", json!({"email": {"email": "a@example.com"}}))]));
    sent["policies"][0]["precedence"] = json!(4);
    sent["cors_headers"] = json!({"allowed_origins": ["*"], "max_age": 10});
    sent["logo_url"] = json!("https://example.com/logo.png");
    let made = key.post(&apps, sent.clone()).await.result(201);
    let path = format!("{apps}/{}", text(&made["id"]));
    assert_eq!(key.get(&path).await.result(200), made);
    assert_eq!(key.get(&apps).await.result(200), json!([made]));
    for (field, value) in [
        ("domain", json!("App.Example.com/x")),
        ("self_hosted_domains", json!(["App.Example.com/x"])),
        ("destinations", json!([{"type": "public", "uri": "App.Example.com/x"}])),
        ("session_duration", json!("24h")),
        ("allowed_idps", json!([])),
        ("cors_headers", sent["cors_headers"].clone()),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    assert!(made.get("skip_interstitial").is_none() && made.get("service_auth_401_redirect").is_none());
    let own = &made["policies"][0];
    assert_eq!((&own["precedence"], &own["include"]), (&json!(4), &sent["policies"][0]["include"]));
    assert!(own.get("exclude").is_none());
    // What is not sent is gone, but for the policies; null removes.
    let put = json!({"type": "self_hosted", "domain": "app.example.com", "logo_url": null});
    let put = key.put(&path, put).await.result(200);
    assert!(put.get("logo_url").is_none() && put.get("cors_headers").is_none());
    assert_eq!((&put["policies"], &put["aud"], &put["id"]), (&made["policies"], &made["aud"], &made["id"]));
    let emptied = key.put(&path, app("app.example.com", json!([]))).await.result(200);
    assert_eq!(emptied["policies"], json!([]));
    assert_eq!(key.post(&format!("{path}/revoke_tokens"), json!({})).await.result(202), json!({}));
    assert_eq!(key.delete(&path).await.result(202), json!({"id": made["id"]}));
    assert_eq!(key.get(&path).await.refusal(), (404, 11021));
    let audit = rows::audit(&server.place, made["id"].as_str().unwrap()).await;
    let actions: Vec<_> = audit.iter().map(|row| row.split(' ').next().unwrap()).collect();
    assert_eq!(actions, ["app.create", "app.update", "app.update", "app.revoke_tokens", "app.delete"]);
    assert!(server.store.guarded().await.unwrap().apps.is_empty());
});

both_engines!(a_host_and_path_has_one_owner, |server: TestServer| async move {
    let (key, apps) = (server.key(&server.home), format!("{}/apps", access(&server)));
    let made = key.post(&apps, app("one.example.com", json!([]))).await.result(201);
    let again = key.post(&apps, app("ONE.example.com", json!([]))).await;
    assert_eq!(again.refusal(), (400, 12136));
    assert!(again.text.contains(made["id"].as_str().unwrap()));
    let theirs = format!("{}/access/apps", server.abroad.account_path());
    let abroad = server.key(&server.abroad).post(&theirs, app("one.example.com", json!([]))).await;
    assert_eq!(abroad.refusal(), (400, 12136));
    assert!(!abroad.text.contains(made["id"].as_str().unwrap()), "{}", abroad.text);
    let below = key.post(&apps, app("one.example.com/path", json!([]))).await.result(201);
    // Another account has no part in a host: neither a path on it, nor what a wildcard covers, nor its keys.
    for part in ["one.example.com/path/deep", "*.example.com", "o*.example.com/x"] {
        let taken = server.key(&server.abroad).post(&theirs, app(part, json!([]))).await;
        assert_eq!(taken.refusal(), (400, 12136), "{part}");
    }
    let organization = format!("{}/access/organizations", server.abroad.account_path());
    let issuer = json!({"auth_domain": "one.example.com", "name": "Abroad"});
    let taken = server.key(&server.abroad).put(&organization, issuer).await;
    assert_eq!((taken.refusal(), taken.pointers()), ((400, 12130), vec!["/auth_domain".to_owned()]));
    for mine in [&made, &below] {
        key.delete(&format!("{apps}/{}", text(&mine["id"]))).await.result(202);
    }
    server.key(&server.abroad).post(&theirs, app("one.example.com", json!([]))).await.result(201);
    let bad = key.post(&apps, json!({"type": "saas", "domain": "two.example.com"})).await;
    assert_eq!((bad.refusal(), bad.pointers()), ((400, 12130), vec!["/type".to_owned()]));
    // A zone's route protects what lies in the zone.
    let zone = format!("{}/access/apps", server.home.zone_path());
    let outside = key.post(&zone, app("three.example.com", json!([]))).await;
    assert_eq!((outside.refusal(), outside.pointers()), ((400, 12130), vec!["/domain".to_owned()]));
    let inside = format!("three.{}.example", server.home.user);
    let inside = key.post(&zone, app(&inside, json!([]))).await.result(201);
    assert_eq!(key.get(&zone).await.result(200), json!([inside]));
});

both_engines!(what_is_referred_to_is_not_deleted, |server: TestServer| async move {
    let (key, base) = (server.key(&server.home), access(&server));
    let token = text(&server.make_service_token(&server.home, json!({"name": "ci"})).await["id"]);
    let foreign = text(&server.make_service_token(&server.abroad, json!({"name": "ci"})).await["id"]);
    let rule = |id: &str| json!({"service_token": {"token_id": id}});
    let group = json!({"name": "machines", "include": [rule(&token)]});
    let group = text(&key.post(&format!("{base}/groups"), group).await.result(201)["id"]);
    let of_group = json!({"group": {"id": group}});
    let reusable =
        key.post(&format!("{base}/policies"), policy("shared", of_group.clone())).await.result(201);
    assert_eq!((&reusable["reusable"], &reusable["app_count"]), (&json!(true), &json!(0)));
    let shared = text(&reusable["id"]);
    let body = app("app.example.com", json!([{"id": shared, "precedence": 5}, policy("own", rule(&token))]));
    let made = key.post(&format!("{base}/apps"), body).await.result(201);
    let places: Vec<_> =
        made["policies"].as_array().unwrap().iter().map(|policy| policy["precedence"].clone()).collect();
    assert_eq!(places, [json!(5), json!(6)]);
    let own = text(&made["policies"][1]["id"]);
    // The token, by the group and by the policy; the group, by the policy; the policy, by the application.
    let tokens = server.home.tokens_path();
    let in_use = key.delete(&format!("{tokens}/{token}")).await;
    assert_eq!(in_use.refusal(), (400, 12139));
    assert!(in_use.text.contains(&own) && in_use.text.contains(&group), "{}", in_use.text);
    for (path, user) in
        [(format!("groups/{group}"), &shared), (format!("policies/{shared}"), &text(&made["id"]))]
    {
        let reply = key.delete(&format!("{base}/{path}")).await;
        assert_eq!(reply.refusal(), (400, 12130));
        assert!(reply.text.contains(user.as_str()), "{}", reply.text);
    }
    // Another account's token and one that never was are the same.
    let mut texts = Vec::new();
    for id in [foreign.as_str(), "f174e90a-fafe-4643-bbbc-4a0ed4fc8415"] {
        let reply = key.post(&format!("{base}/policies"), policy("p", rule(id))).await;
        assert_eq!(reply.pointers(), ["/include/0/service_token/token_id"]);
        texts.push(reply.text);
    }
    assert_eq!(texts[0], texts[1]);
    // An application's own policy becomes one that others can use.
    let policies = format!("{base}/apps/{}/policies", text(&made["id"]));
    let converted = key.put(&format!("{policies}/{own}/make_reusable"), json!({})).await.result(200);
    assert_eq!((&converted["reusable"], &converted["precedence"]), (&json!(true), &json!(6)));
    assert_eq!(key.get(&format!("{base}/policies/{own}")).await.result(200)["app_count"], 1);
    assert_eq!(key.delete(&format!("{policies}/{own}")).await.refusal(), (400, 12130));
    let occupied = json!({"name": "n", "decision": "bypass", "precedence": 5});
    assert_eq!(key.post(&policies, occupied).await.pointers(), ["/precedence"]);
    let last = key.post(&policies, policy("last", json!({"everyone": {}}))).await.result(201);
    assert_eq!(last["precedence"], 7);
    // With the users gone, everything goes.
    let last = format!("{policies}/{}", text(&last["id"]));
    key.delete(&last).await.result(202);
    assert_eq!(key.get(&last).await.refusal(), (404, 12135));
    key.delete(&format!("{base}/apps/{}", text(&made["id"]))).await.result(202);
    for path in [format!("policies/{shared}"), format!("policies/{own}"), format!("groups/{group}")] {
        key.delete(&format!("{base}/{path}")).await.result(202);
    }
    key.delete(&format!("{tokens}/{token}")).await.result(200);
});

both_engines!(no_group_is_part_of_itself, |server: TestServer| async move {
    let (key, groups) = (server.key(&server.home), format!("{}/groups", access(&server)));
    let of = |name: &str, id: Option<&str>| match id {
        Some(id) => json!({"name": name, "include": [{"group": {"id": id}}]}),
        None => json!({"name": name, "is_default": true}),
    };
    let first = key.post(&groups, of("0", None)).await.result(201);
    assert!(first.get("is_default").is_none());
    let first = text(&first["id"]);
    let mut last = first.clone();
    for level in 1..=8 {
        last = text(&key.post(&groups, of(&level.to_string(), Some(&last))).await.result(201)["id"]);
    }
    let before = rows::revision(&server.place).await;
    assert_eq!(key.post(&groups, of("9", Some(&last))).await.refusal(), (400, 12130));
    for part in [&first, &last] {
        let reply = key.put(&format!("{groups}/{first}"), of("0", Some(part))).await;
        assert_eq!(reply.refusal(), (400, 12130), "{}", reply.text);
        assert!(reply.text.contains("part of itself"), "{}", reply.text);
    }
    assert_eq!(rows::revision(&server.place).await, before);
    assert_eq!(key.get(&format!("{groups}?name=3")).await.result(200).as_array().unwrap().len(), 1);
});
