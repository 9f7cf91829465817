//! The verbs for applications, policies, groups, the organization and its keys: each noun from its creation to its end, by the real
//! binary on both databases; that an update loses nothing; and what is refused.

use serde_json::{Value, json};

use crate::harness::{ORGANIZATIONS_READ, TestServer, both_engines, text};
use crate::verbs::{ACCOUNT, API_TOKEN, Desk, Shell};

const UNKNOWN: &str = "f174e90a-fafe-4643-bbbc-4a0ed4fc8416";

/// What is stored, without the command line.
async fn stored(server: &TestServer, path: &str) -> Value {
    let path = format!("{}/access/{path}", server.home.account_path());
    server.key(&server.home).get(&path).await.result(200)
}

fn ids(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|object| text(&object["id"])).collect()
}

/// The same but for these fields.
fn but(object: &Value, fields: &Value) -> Value {
    let mut object = object.clone();
    object.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    object
}

both_engines!(an_application_can_be_led_through_its_life, |server: TestServer| async move {
    let shell = Shell::of_user(&server);
    let machines = shell.json(&["policy", "create", "machines", "--include", "any_valid_service_token"]);
    let made = shell.json(&[
        "app",
        "create",
        "wiki",
        "--domain",
        "Wiki.example.com",
        "--domain",
        "docs.example.com/api",
        "--policy",
        "machines",
        "--session-duration",
        "1h",
        "--service-auth-401-redirect",
        "true",
        "--read-service-tokens-from-header",
        "X-Machine",
    ]);
    let id = text(&made["id"]);
    let path = format!("apps/{id}");
    assert_eq!(made, stored(&server, &path).await);
    assert_eq!(made["self_hosted_domains"], json!(["wiki.example.com", "docs.example.com/api"]));
    assert_eq!(ids(&made["policies"]), [text(&machines["id"])]);
    assert_eq!((&made["session_duration"], &made["service_auth_401_redirect"]), (&json!("1h"), &json!(true)));
    for wanted in [&id, "wiki", "wiki.example.com"] {
        assert_eq!(shell.json(&["app", "get", wanted]), made, "{wanted}");
    }
    shell.json(&["app", "create", "other", "--domain", "other.example.com"]);
    assert_eq!(shell.json(&["app", "list"]).as_array().unwrap().len(), 2);
    assert_eq!(ids(&shell.json(&["app", "list", "--search", "DOCS.example"])), [id.as_str()]);

    server.advance("1h");
    let now = "2026-06-01T13:00:00Z";
    let renamed = shell.json(&["app", "update", "wiki", "--name", "Wiki"]);
    assert_eq!(renamed, but(&made, &json!({"name": "Wiki", "updated_at": now})));
    let moved = shell.json(&["app", "update", "Wiki", "--domain", "wiki.example.org"]);
    assert_eq!(moved["self_hosted_domains"], json!(["wiki.example.org"]));
    assert_eq!(moved, stored(&server, &path).await);
    assert_eq!((&moved["policies"], &moved["name"]), (&renamed["policies"], &renamed["name"]));

    // Reusable policies come and go, and its own stay.
    let own = shell.json(&["policy", "create", "own", "--app", "Wiki", "--include", "everyone"]);
    let office = shell.json(&["policy", "create", "office", "--include", "ip=192.0.2.0/24"]);
    let with =
        shell.json(&["app", "update", "Wiki", "--add-policy", "office", "--remove-policy", "machines"]);
    assert_eq!(ids(&with["policies"]), [text(&own["id"]), text(&office["id"])]);
    assert_eq!(
        shell.json(&["app", "update", "Wiki", "--add-policy", "office"])["policies"],
        with["policies"]
    );
    let error = shell.refused(&["app", "update", "Wiki", "--remove-policy", "own"], 2);
    assert!(error.contains("belongs to the application alone"), "{error}");
    shell.refused(&["app", "update", "Wiki", "--remove-policy", "machines"], 6);
    assert_eq!(stored(&server, &path).await["policies"], with["policies"]);

    assert_eq!(shell.json(&["app", "revoke-tokens", "Wiki"]), json!({}));
    assert_eq!(shell.json(&["app", "delete", "wiki.example.org", "--yes"]), json!({"id": id}));
    shell.refused(&["app", "get", &id], 6);
    assert_eq!(ids(&stored(&server, "policies").await).len(), 2, "the reusable ones stay");
});

both_engines!(a_policy_can_be_led_through_its_life, |server: TestServer| async move {
    let shell = Shell::of_user(&server);
    let token = text(&shell.json(&["token", "create", "deploy"])["id"]);
    let group = text(&shell.json(&["group", "create", "office", "--include", "ip=192.0.2.0/24"])["id"]);
    let made = shell.json(&[
        "policy",
        "create",
        "machines",
        "--include",
        "service_token=deploy",
        "--include",
        "group=office",
        "--include",
        "{\"geo\": {\"country_code\": \"DE\"}}",
        "--require",
        "ip=10.0.0.0/8",
        "--exclude",
        "ip=10.0.0.1",
    ]);
    let id = text(&made["id"]);
    let path = format!("policies/{id}");
    assert_eq!(made, stored(&server, &path).await);
    assert_eq!((&made["decision"], &made["reusable"]), (&json!("non_identity"), &json!(true)));
    let include = json!([
        {"service_token": {"token_id": token}}, {"group": {"id": group}}, {"geo": {"country_code": "DE"}},
    ]);
    assert_eq!(made["include"], include);
    assert_eq!(made["require"], json!([{"ip": {"ip": "10.0.0.0/8"}}]));
    assert_eq!(made["exclude"], json!([{"ip": {"ip": "10.0.0.1"}}]));
    for wanted in [&id, "machines"] {
        assert_eq!(shell.json(&["policy", "get", wanted]), made);
    }
    // What `get` shows of the rules can be written again.
    let shown = shell.out(&["policy", "get", "machines"]);
    for rule in [format!("service_token={token}"), format!("group={group}"), "ip=10.0.0.1".to_owned()] {
        assert!(shown.contains(&rule), "{shown}");
    }

    let updated = shell.json(&["policy", "update", "machines", "--name", "m", "--require", "none"]);
    assert_eq!(updated, but(&made, &json!({"name": "m", "require": []})));
    let include = format!("service_token={token}");
    let updated = shell.json(&["policy", "update", "m", "--include", &include, "--decision", "bypass"]);
    assert_eq!((&updated["decision"], &updated["exclude"]), (&json!("bypass"), &made["exclude"]));
    assert_eq!(updated["include"], json!([{"service_token": {"token_id": token}}]));
    assert_eq!(ids(&shell.json(&["policy", "list", "--search", "M"])), [id.as_str()]);

    // One that belongs to an application, until it is made one for all.
    shell.json(&["app", "create", "wiki", "--domain", "wiki.example.com", "--policy", "m"]);
    let of_app = |verb: &str, more: &[&str]| shell.json(&[&["policy", verb, "--app", "wiki"], more].concat());
    let own = of_app("create", &["own", "--include", "everyone", "--precedence", "7"]);
    let own_id = text(&own["id"]);
    assert_eq!((&own["precedence"], &own["reusable"]), (&json!(7), &json!(false)));
    assert_eq!(ids(&of_app("list", &[])), [&id, &own_id].map(String::as_str));
    assert_eq!(of_app("get", &["own"]), own);
    assert_eq!(of_app("update", &["own", "--name", "ours"]), but(&own, &json!({"name": "ours"})));
    assert_eq!(of_app("update", &["ours", "--precedence", "0"])["precedence"], 0);
    assert_eq!(ids(&of_app("list", &[])), [&own_id, &id].map(String::as_str));
    shell.refused(&["policy", "get", "ours"], 6);
    assert_eq!(of_app("make-reusable", &["ours"])["reusable"], true);
    assert_eq!(shell.json(&["policy", "get", "ours"])["app_count"], 1);
    let error = shell.refused(&["policy", "delete", "ours", "--yes"], 2);
    assert!(error.contains("it is used by application"), "{error}");
    let other = of_app("create", &["other", "--include", "everyone"]);
    assert_eq!(of_app("delete", &["other", "--yes"]), json!({"id": other["id"]}));
    shell.out(&["app", "delete", "wiki", "--yes"]);
    assert_eq!(shell.json(&["policy", "delete", "ours", "--yes"]), json!({"id": own_id}));
    assert_eq!(ids(&stored(&server, "policies").await), [id.as_str()]);
});

both_engines!(a_group_can_be_led_through_its_life, |server: TestServer| async move {
    let shell = Shell::of_user(&server);
    let made =
        shell.json(&["group", "create", "office", "--include", "ip=192.0.2.0/24", "--exclude", "everyone"]);
    let id = text(&made["id"]);
    let path = format!("groups/{id}");
    assert_eq!(made, stored(&server, &path).await);
    for wanted in [&id, "office"] {
        assert_eq!(shell.json(&["group", "get", wanted]), made);
    }
    let updated = shell.json(&["group", "update", "office", "--exclude", "none", "--name", "offices"]);
    assert_eq!(updated, but(&made, &json!({"name": "offices", "exclude": []})));
    let twice = ["group", "update", "offices", "--include", "ip=192.0.2.1", "--include", "ip=2001:db8::/32"];
    let rules = json!([{"ip": {"ip": "192.0.2.1"}}, {"ip": {"ip": "2001:db8::/32"}}]);
    assert_eq!(shell.json(&twice)["include"], rules);
    let outer = shell.json(&["group", "create", "outer", "--include", "group=offices"]);
    assert_eq!(outer["include"], json!([{"group": {"id": id}}]));
    assert_eq!(ids(&shell.json(&["group", "list", "--search", "OFF"])), [id.as_str()]);
    assert_eq!(shell.json(&["group", "list"]).as_array().unwrap().len(), 2);
    let error = shell.refused(&["group", "delete", "offices", "--yes"], 2);
    assert!(error.contains("outer"), "{error}");
    shell.out(&["group", "delete", "outer", "--yes"]);
    assert_eq!(shell.json(&["group", "delete", "offices", "--yes"]), json!({"id": id}));
    assert_eq!(stored(&server, "groups").await, json!([]));

    // A zone's are those that were made there.
    let zone = server.home.zone.to_string();
    let zoned = shell.json(&["group", "create", "zoned", "--include", "everyone", "--zone", &zone]);
    shell.json(&["group", "create", "elsewhere", "--include", "everyone"]);
    assert_eq!(ids(&shell.json(&["group", "list", "--zone", &zone])), [text(&zoned["id"])]);
});

both_engines!(a_zone_has_applications_with_policies_of_their_own, |server: TestServer| async move {
    let shell = Shell::of_user(&server);
    let (zone, account) = (server.home.zone.to_string(), server.home.account.to_string());
    let machines = text(&shell.json(&["policy", "create", "machines", "--include", "everyone"])["id"]);
    shell.json(&["app", "create", "elsewhere", "--domain", "elsewhere.example.com"]);
    let at_zone = |arguments: &[&str]| shell.json(&[arguments, &["--zone", &zone]].concat());
    // The account's policies are named there by their ids.
    let domain = format!("wiki.{}.example", server.home.user);
    let app = at_zone(&["app", "create", "wiki", "--domain", &domain, "--policy", &machines]);
    assert_eq!(ids(&app["policies"]), [machines.as_str()]);
    assert_eq!(ids(&at_zone(&["app", "list"])), [text(&app["id"])]);
    let token = text(&at_zone(&["token", "create", "zoned"])["id"]);
    let own = at_zone(&["policy", "create", "own", "--app", "wiki", "--include", "service_token=zoned"]);
    assert_eq!(own["include"], json!([{"service_token": {"token_id": token}}]));
    assert_eq!(at_zone(&["policy", "list", "--app", "wiki"]).as_array().unwrap().len(), 2);
    shell.refused(&["app", "update", "wiki", "--add-policy", "machines", "--zone", &zone], 2);
    // The account sees it, too.
    assert_eq!(shell.json(&["policy", "get", "own", "--app", "wiki", "--account", &account]), own);
    at_zone(&["policy", "delete", "own", "--app", "wiki", "--yes"]);
    at_zone(&["app", "delete", "wiki", "--yes"]);
    assert_eq!(shell.json(&["app", "list"]).as_array().unwrap().len(), 1);
});

both_engines!(an_update_loses_no_field_that_it_does_not_name, |server: TestServer| async move {
    let shell = Shell::of_user(&server);
    let app = json!({
        "type": "self_hosted", "name": "wiki", "domain": "wiki.example.com", "session_duration": "90m",
        "destinations": [
            {"type": "public", "uri": "wiki.example.com"}, {"type": "private", "cidr": "10.0.0.0/8"},
        ],
        "cors_headers": {"allowed_origins": ["https://x.example"], "max_age": 1.5}, "custom_field": [1, {"a": "b"}],
        "policies": [{"name": "own", "decision": "non_identity", "include": [{"everyone": {}}], "note": "kept"}],
    });
    let file = shell.write("app.json", &app.to_string());
    let made = shell.json(&["app", "create", "--body", &file]);
    assert_eq!((&made["cors_headers"], &made["custom_field"]), (&app["cors_headers"], &app["custom_field"]));
    let path = format!("apps/{}", text(&made["id"]));
    let updated = shell.json(&["app", "update", "wiki", "--session-duration", "30m"]);
    assert_eq!(updated, but(&made, &json!({"session_duration": "30m"})));
    let moved = shell.json(&["app", "update", "wiki", "--domain", "w.example.com"]);
    assert_eq!(moved["destinations"][1], app["destinations"][1]);
    assert_eq!(moved["self_hosted_domains"], json!(["w.example.com"]));

    // What `get --json` shows can be handed back as a whole, changed by others.
    let shown = shell.out(&["app", "get", "wiki", "--json"]);
    let ran = shell.feed(&["app", "update", "wiki", "--body", "-", "--json"], &shown);
    assert_eq!((ran.status, &ran.out), (0, &shown), "{ran:?}");
    let own = shell.json(&["policy", "list", "--app", "wiki"])[0].clone();
    assert_eq!(own["note"], "kept");
    let updated = shell.json(&["policy", "update", "own", "--app", "wiki", "--name", "renamed"]);
    assert_eq!(updated, but(&own, &json!({"name": "renamed"})));

    // A body replaces all, and what it does not say is gone.
    let body = json!({"type": "self_hosted", "name": "bare", "domain": "wiki.example.com"}).to_string();
    let ran = shell.feed(&["app", "update", "wiki", "--body", "-"], &body);
    assert_eq!((ran.status, ran.error.as_str()), (0, ""), "{ran:?}");
    let bare = stored(&server, &path).await;
    assert_eq!((bare.get("cors_headers"), ids(&bare["policies"])), (None, vec![text(&own["id"])]));

    let group = json!({"name": "g", "include": [{"everyone": {}}], "note": {"by": "ada"}}).to_string();
    let ran = shell.feed(&["group", "create", "--body", "-", "--json"], &group);
    let made: Value = serde_json::from_str(&ran.out).unwrap();
    let updated = shell.json(&["group", "update", "g", "--name", "h"]);
    assert_eq!(updated, but(&made, &json!({"name": "h"})));
});

both_engines!(an_organization_says_what_happens_to_unused_tokens, |server: TestServer| async move {
    let shell = Shell::of_user(&server);
    let before = shell.json(&["organization", "get"]);
    assert_eq!(before, stored(&server, "organizations").await);
    let changed =
        shell.json(&["organization", "update", "--name", "Ours", "--auth-domain", "ours.example.com"]);
    assert_eq!(changed, but(&before, &json!({"name": "Ours", "auth_domain": "ours.example.com"})));
    shell.json(&["token", "create", "old"]);
    shell.json(&[
        "organization",
        "update",
        "--body",
        &shell.write("o.json", "{\"login_design\": {\"logo_path\": \"x\"}}"),
    ]);
    let set = |flags: &[&str]| shell.json(&[&["organization", "update"], flags].concat());
    let rule = set(&["--service-token-inactivity", "disable", "--inactivity-threshold-days", "30"]);
    let inactivity = json!({"enabled": true, "action": "disable", "inactivity_threshold_days": 30});
    assert_eq!(rule["service_token_inactivity"], inactivity);
    assert_eq!((&rule["login_design"]["logo_path"], &rule["name"]), (&json!("x"), &json!("Ours")));
    assert_eq!(shell.json(&["organization", "inactive-tokens"]), json!([]));
    server.advance("744h");
    let inactive = shell.json(&["organization", "inactive-tokens"]);
    assert_eq!((&inactive[0]["name"], &inactive[0]["action"]), (&json!("old"), &json!("disable")));
    assert_eq!(inactive, stored(&server, "organizations/inactive_service_tokens").await);
    assert_eq!(shell.json(&["token", "get", "old"])["enabled"], true, "nothing was done");
    // What is not named of the rule stays, too.
    let longer = set(&["--inactivity-threshold-days", "60"]);
    assert_eq!(
        longer["service_token_inactivity"],
        but(&inactivity, &json!({"inactivity_threshold_days": 60}))
    );
    assert_eq!(shell.json(&["organization", "inactive-tokens"]), json!([]));
    assert_eq!(set(&["--service-token-inactivity", "off"])["service_token_inactivity"]["enabled"], false);
    // One can look also while it is off, and at other days than those that are set.
    assert_eq!(shell.json(&["organization", "inactive-tokens"]), json!([]));
    assert_eq!(shell.json(&["organization", "inactive-tokens", "--days", "30"]), inactive);
    assert_eq!(shell.json(&["token", "get", "old"])["enabled"], true, "nothing was done");
    let error = shell.refused(&["organization", "inactive-tokens", "--days", "5"], 2);
    assert!(error.contains("from 30 to 365"), "{error}");
    shell.refused(&["organization", "update", "--inactivity-threshold-days", "5"], 2);
});

both_engines!(keys_are_shown_and_rotated, |server: TestServer| async move {
    let shell = Shell::of_user(&server);
    let before = shell.json(&["key", "get"]);
    assert_eq!(
        (before.get("last_key_rotation_at"), &before["key_rotation_interval_days"]),
        (None, &json!(42))
    );
    assert!(shell.out(&["key", "get"]).contains("there are no keys yet"));
    let updated = shell.json(&["key", "update", "--key-rotation-interval-days", "30"]);
    assert_eq!(updated["key_rotation_interval_days"], 30);
    let rotated = shell.json(&["key", "rotate"]);
    assert_eq!(rotated, stored(&server, "keys").await);
    assert!(rotated["last_key_rotation_at"].is_string());
    shell.refused(&["key", "update", "--key-rotation-interval-days", "20"], 2);
    shell.refused(&["key", "update"], 2);
});

both_engines!(who_may_only_read_changes_nothing, |server: TestServer| async move {
    let shell = Shell::of_user(&server);
    shell.json(&["group", "create", "office", "--include", "everyone"]);
    let (_, secret) = server.make_account_token(&server.home, &[ORGANIZATIONS_READ], json!({})).await;
    let account = server.home.account.to_string();
    let shell = shell.setting(&[
        ("HALLPASS_EMAIL", ""),
        ("HALLPASS_API_KEY", ""),
        ("HALLPASS_API_TOKEN", &secret),
        ("HALLPASS_ACCOUNT_ID", &account),
    ]);
    for allowed in [&["group", "get", "office"][..], &["organization", "get"], &["key", "get"]] {
        shell.json(allowed);
    }
    for arguments in [
        &["group", "create", "x", "--include", "everyone"][..],
        &["group", "update", "office", "--name", "x"],
        &["group", "delete", "office", "--yes"],
        &["organization", "update", "--name", "x"],
        &["key", "update", "--key-rotation-interval-days", "30"],
        &["key", "rotate"],
        &["app", "list"],
        &["app", "create", "x", "--domain", "x.example.com"],
        &["policy", "list"],
        &["policy", "create", "x", "--include", "everyone"],
    ] {
        let error = shell.refused(arguments, 7);
        assert!(error.contains("10000"), "{arguments:?}: {error}");
    }
});

#[test]
fn what_cannot_be_is_refused_and_nothing_is_made() {
    let desk = Desk::with_key();
    let app = "example";
    // 2: by the rules of the command line, before anything is sent.
    for arguments in [
        &["app", "create", "x"][..],
        &["app", "create", "--domain", "x.example.com"],
        &["app", "create", "x", "--domain", "https://x.example.com"],
        &["app", "create", "--body", "missing.json"],
        &["app", "update", "Example"],
        &["policy", "create", "x"],
        &["policy", "create", "x", "--include", "everyone", "--precedence", "1"],
        &["policy", "create", "x", "--include", "everyone", "--decision", "perhaps"],
        &["policy", "list", "--search", "x", "--app", app],
        &["policy", "make-reusable", "x"],
        &["policy", "list", "--zone", "example.com"],
        &["group", "update", "x"],
        &["group", "create", "x", "--include", "everyone", "--include", "none"],
        &["organization", "update"],
        &["organization", "update", "--service-token-inactivity", "burn"],
        &["organization", "get", "--zone", "example.com"],
        &["app"],
        &["key"],
    ] {
        let ran = desk.run(arguments);
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{arguments:?}: {ran:?}");
    }
    let body = desk.write("x.json", r#"{"type": "self_hosted", "domain": "x.example.com"}"#);
    for arguments in [
        &["app", "create", "--domain", "x.example.com", "--body", &body][..],
        &["app", "update", "Example", "--name", "x", "--body", &body],
        &["policy", "create", "--include", "everyone", "--body", &body],
        &["group", "update", "x", "--exclude", "none", "--body", &body],
    ] {
        let error = desk.refused(arguments, 2);
        assert!(error.contains("cannot be used with"), "{arguments:?}: {error}");
    }
    for rule in
        ["nobody", "service_token", "service_token=", "ip=office", "email=a@example.com", "{everyone}"]
    {
        for noun in ["policy", "group"] {
            let ran = desk.run(&[noun, "create", "x", "--include", rule]);
            assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{rule}: {ran:?}");
            assert!(ran.error.contains("--include <RULE>"), "{ran:?}");
        }
    }
    // 2: by the rules of the server, with the field that breaks one.
    let error =
        desk.refused(&["app", "create", "x", "--domain", "x.example.com", "--session-duration", "1d"], 2);
    assert!(error.contains("/session_duration"), "{error}");
    let error = desk.refused(&["group", "create", "x", "--include", "{\"unknown\": {}}"], 2);
    assert!(error.contains("/include/0"), "{error}");
    let error = desk.refused(&["policy", "create", "x", "--include", &format!("group={UNKNOWN}")], 2);
    assert!(error.contains("/include/0"), "{error}");
    let error = desk.refused(&["app", "create", "x", "--domain", "app.example.com"], 2);
    assert!(error.contains("12136"), "{error}");
    // 6: there is no such thing.
    for noun in ["app", "policy", "group"] {
        for verb in [&["get"][..], &["update", "--name", "x"], &["delete", "--yes"]] {
            for wanted in [UNKNOWN, "nothing like it"] {
                desk.refused(&[&[noun, verb[0], wanted], &verb[1..]].concat(), 6);
            }
        }
    }
    let error = desk.refused(&["app", "get", "Exmaple"], 6);
    assert!(error.contains("did you mean \"Example\"?"), "{error}");
    desk.refused(&["policy", "list", "--app", UNKNOWN], 6);
    desk.refused(&["app", "revoke-tokens", UNKNOWN], 6);
    desk.refused(&["policy", "create", "x", "--include", "service_token=nobody"], 6);
    desk.refused(&["policy", "create", "x", "--include", "group=nobody"], 6);
    desk.refused(&["app", "create", "x", "--domain", "x.example.com", "--policy", "nobody"], 6);
    assert_eq!(desk.json(&["app", "list"]).as_array().unwrap().len(), 1);
    assert_eq!((desk.json(&["policy", "list"]), desk.json(&["group", "list"])), (json!([]), json!([])));
    // 7: the example's API token may not see them. 8: nobody answers.
    let desk =
        desk.setting(&[("HALLPASS_EMAIL", ""), ("HALLPASS_API_KEY", ""), ("HALLPASS_API_TOKEN", API_TOKEN)]);
    for noun in ["app", "policy", "group"] {
        desk.refused(&[noun, "list"], 7);
        desk.refused(&[noun, "list", "--account", ACCOUNT, "--base-url", "http://127.0.0.1:1"], 8);
    }
    desk.refused(&["organization", "inactive-tokens"], 7);
    desk.refused(&["key", "rotate"], 7);
}

#[test]
fn what_is_gone_for_good_is_asked_about() {
    let desk = Desk::with_key();
    desk.json(&["policy", "create", "machines", "--include", "any_valid_service_token"]);
    desk.json(&["group", "create", "office", "--include", "everyone"]);
    for arguments in [
        &["app", "delete", "Example"][..],
        &["policy", "delete", "machines"],
        &["policy", "delete", "Any service token", "--app", "Example"],
        &["group", "delete", "office"],
    ] {
        let error = desk.refused(arguments, 2);
        assert!(error.contains("--yes"), "{error}");
    }
    for noun in ["app", "policy", "group"] {
        assert_eq!(desk.json(&[noun, "list"]).as_array().unwrap().len(), 1, "{noun}");
    }
}

#[test]
fn of_two_accounts_one_has_to_be_named_for_every_noun() {
    let other = "5a".repeat(16);
    let seed = json!({
        "accounts": [{"id": ACCOUNT, "name": "Example"}, {"id": other, "name": "Other"}],
        "users": [{
            "id": "7c5dae5552338874e5053f2534d2767a", "email": "user@example.com",
            "api_key": "144c9defac04969c7bfad8efaa8ea194", "accounts": [ACCOUNT, other],
        }],
    });
    let desk = Desk::with_key_and_seed(&seed);
    for arguments in [
        &["app", "list"][..],
        &["policy", "list"],
        &["group", "list"],
        &["organization", "get"],
        &["organization", "inactive-tokens", "--days", "90"],
        &["key", "get"],
    ] {
        let error = desk.refused(arguments, 2);
        assert!(error.contains("--account") && error.contains(&other), "{arguments:?}: {error}");
        desk.json(&[arguments, &["--account", "Other"]].concat());
    }
}
