//! Callers with good credentials where they have no business: without the permission, in another account, with another account's
//! object under their own path. Each route, each verb; nothing is learned and nothing changes.

use serde_json::json;

use crate::endpoints::{APPS_READ, ZONE_APPS_READ, ZONE_APPS_WRITE};
use crate::endpoints::{Asks, Objects, TABLE, at_root, call, holder, other_groups, refused, state};
use crate::harness::{
    ACCOUNT_TOKENS_READ, AUDIT_LOGS_READ, DNS_READ, ORGANIZATIONS_READ, SERVICE_TOKENS_READ,
    SERVICE_TOKENS_WRITE, TestServer, allow, both_engines, text,
};

const FOREIGN: &str = "com.cloudflare.edge.r2.bucket.b";

both_engines!(
    a_token_without_the_permission_is_refused_and_changes_nothing,
    |server: TestServer| async move {
        let home = server.home.clone();
        let objects = Objects::of(&server, &home).await;
        for row in TABLE {
            let Asks::Groups(groups) = row.asks else { continue };
            let path = objects.path(row, &home);
            let others = other_groups(groups);
            let others: Vec<_> = others.iter().map(String::as_str).collect();
            let mut callers = vec![
                ("every other group", holder(&server, row, &others).await),
                ("a group that opens nothing", holder(&server, row, &[DNS_READ]).await),
            ];
            // The right groups, but not on this.
            let zone = json!({format!("com.cloudflare.api.account.zone.{}", home.zone): "*"});
            let nested = json!({format!("com.cloudflare.api.account.{}", home.account): {"com.cloudflare.api.account.zone.*": "*"}});
            for (what, resources) in [
                ("the zone", zone),
                ("the zones of the account", nested),
                ("foreign things", json!({FOREIGN: "*"})),
            ] {
                // Where the zone's permission is enough, it is enough on the zone.
                let of_zone = [ZONE_APPS_READ, ZONE_APPS_WRITE].iter().any(|group| groups.contains(group));
                if of_zone && what != "foreign things" {
                    continue;
                }
                let body = json!({"name": "t", "policies": [allow(groups, resources)]});
                let made = server.key(&home).post("/user/tokens", body).await.result(200);
                callers.push((what, at_root(&server, &server.bearer(&text(&made["value"])))));
            }
            if row.of_user() {
                let all = other_groups(&[]);
                let all: Vec<_> = all.iter().map(String::as_str).collect();
                let token = server.make_account_token(&home, &all, json!({})).await.1;
                callers.push(("an account's token", at_root(&server, &server.bearer(&token))));
            }
            let before = state(&server).await;
            for (what, caller) in callers {
                let reply = refused(&server, &caller, row, &path, what).await;
                assert_eq!(reply.refusal(), (403, 10000), "{what}: {} {path}", row.method);
                assert_eq!(reply.codes().len(), 1);
            }
            assert_eq!(state(&server).await, before);
        }
    }
);

both_engines!(a_caller_whose_grants_reach_nothing_sees_nothing, |server: TestServer| async move {
    let home = server.home.clone();
    let body = json!({"name": "t", "policies": [allow(&[SERVICE_TOKENS_WRITE], json!({FOREIGN: "*"}))]});
    let key = server.key(&home);
    let of_user = key.post("/user/tokens", body.clone()).await.result(200);
    let path = format!("{}/tokens", home.account_path());
    let of_account = key.post(&path, body).await.result(200);
    let objects = Objects::of(&server, &home).await;
    for (made, user) in [(of_user, true), (of_account, false)] {
        let caller = at_root(&server, &server.bearer(&text(&made["value"])));
        for row in TABLE {
            let path = objects.path(row, &home);
            match row.asks {
                Asks::Reach if row.path.ends_with('}') => {
                    let reply = refused(&server, &caller, row, &path, "no reach").await;
                    assert_eq!(reply.refusal(), (403, 10000), "{path}");
                }
                Asks::Reach => assert_eq!(call(&caller, row, &path).await.result(200), json!([])),
                Asks::User if user && row.path.ends_with("/user") => {
                    let shown = call(&caller, row, &path).await.result(200);
                    assert_eq!(shown["email"], home.email.as_str());
                }
                Asks::User if user => assert_eq!(call(&caller, row, &path).await.result(200), json!([])),
                Asks::User => {
                    let reply = refused(&server, &caller, row, &path, "no user").await;
                    assert_eq!(reply.refusal(), (403, 10000), "{path}");
                }
                Asks::Nothing | Asks::Groups(_) | Asks::Itself => {}
            }
        }
    }
});

both_engines!(
    another_accounts_credentials_open_nothing_here_and_learn_nothing,
    |server: TestServer| async move {
        let (home, abroad) = (server.home.clone(), server.abroad.clone());
        let all = other_groups(&[]);
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        // Wildcards and zones end at what the owner of a token has a say in.
        let mut resources = abroad.resources();
        for more in [
            json!({format!("com.cloudflare.api.account.zone.{}", home.zone): "*"}),
            json!({"com.cloudflare.api.account.*": "*", "com.cloudflare.api.account.zone.*": "*"}),
            json!({format!("com.cloudflare.api.user.{}", abroad.user): "*"}),
        ] {
            resources.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        }
        let body = json!({"name": "mighty", "policies": [allow(&all, resources)]});
        let mighty = server.key(&abroad).post("/user/tokens", body).await.result(200);
        let anywhere = json!({"name": "mighty", "policies": [allow(&all, json!({"com.cloudflare.api.account.*": "*"}))]});
        let path = format!("{}/tokens", abroad.account_path());
        let account = server.key(&abroad).post(&path, anywhere).await.result(200);
        let callers = [
            ("key", server.key(&abroad)),
            ("user's token", server.bearer(&text(&mighty["value"]))),
            ("account's token", server.bearer(&text(&account["value"]))),
        ];
        let objects = Objects::of(&server, &home).await;
        let mut nowhere = home.clone();
        nowhere.account = hallpass_core::id::AccountId::from_bytes([0x77; 16]);
        nowhere.zone = hallpass_core::id::ZoneId::from_bytes([0x77; 16]);
        let before = state(&server).await;
        for row in TABLE.iter().filter(|row| row.path.contains('{')) {
            let (path, unknown) = (objects.path(row, &home), objects.path(row, &nowhere));
            for (who, caller) in &callers {
                let caller = at_root(&server, caller);
                let reply = refused(&server, &caller, row, &path, who).await;
                let expected = match row.asks {
                    Asks::Itself => (401, 1000),
                    _ if row.of_user() && *who != "account's token" => (404, 1003),
                    _ => (403, 10000),
                };
                assert_eq!(reply.refusal(), expected, "{who}: {} {path}", row.method);
                let same = refused(&server, &caller, row, &unknown, who).await;
                assert_eq!((same.status, same.text), (reply.status, reply.text), "{who}: {path}");
            }
        }
        for (who, caller) in &callers {
            for path in ["/accounts", "/zones"] {
                let shown = caller.get(path).await;
                assert!(!shown.text.contains(&home.account.to_string()), "{who}: {}", shown.text);
            }
        }
        assert_eq!(state(&server).await, before);
    }
);

both_engines!(
    an_object_of_another_account_is_as_absent_as_one_that_never_was,
    |server: TestServer| async move {
        let (home, abroad) = (server.home.clone(), server.abroad.clone());
        let (ours, theirs) = (Objects::of(&server, &home).await, Objects::of(&server, &abroad).await);
        // Of our account, but not made through the zone.
        let of_account = text(&server.make_service_token(&home, json!({"name": "n"})).await["id"]);
        let access = format!("{}/access", home.account_path());
        let body = json!({"type": "self_hosted", "domain": "of-account.example"});
        let app = server.key(&home).post(&format!("{access}/apps"), body).await.result(201);
        let group =
            server.key(&home).post(&format!("{access}/groups"), json!({"name": "n"})).await.result(201);
        let (app, group) = (text(&app["id"]), text(&group["id"]));
        let key = at_root(&server, &server.key(&home));
        let never = ("f174e90a-fafe-4643-bbbc-4a0ed4fc8415", "ed17574386854bf78a67040be0a770b0");
        let before = state(&server).await;
        let mut verbs = 0;
        for row in TABLE {
            let mut ids = Vec::new();
            let (code, never) = if row.path.contains("{service_token_id}") {
                ids.push(theirs.service.as_str());
                if row.path.contains("/zones/") {
                    ids.push(&of_account);
                }
                (12135, never.0)
            } else if row.path.contains("{token_id}") {
                ids.extend([theirs.of_account.as_str(), &theirs.of_user]);
                // What belongs to the user is not the account's, and the other way about.
                ids.push(if row.of_user() { &ours.of_account } else { &ours.of_user });
                (1003, never.1)
            } else if row.path.contains("{app_id}") {
                ids.push(theirs.app.as_str());
                if row.path.contains("/zones/") {
                    ids.push(&app);
                }
                (11021, never.0)
            } else if row.path.contains("{group_id}") {
                ids.push(theirs.group.as_str());
                if row.path.contains("/zones/") {
                    ids.push(&group);
                }
                (12135, never.0)
            } else if row.path.contains("{policy_id}") {
                // An application's own policy is not among the reusable ones.
                ids.extend([theirs.reusable.as_str(), &ours.policy]);
                (12135, never.0)
            } else {
                continue;
            };
            verbs += 1;
            let unknown = refused(&server, &key, row, &row.fill(&home, never, never), "unknown").await;
            assert_eq!(unknown.refusal(), (404, code), "{} {}", row.method, row.path);
            for id in ids {
                let reply = refused(&server, &key, row, &row.fill(&home, id, id), "foreign").await;
                assert_eq!((reply.status, reply.text), (404, unknown.text.clone()));
            }
        }
        assert_eq!(verbs, 48);
        assert_eq!(state(&server).await, before);
    }
);

both_engines!(whoever_may_only_read_cannot_write, |server: TestServer| async move {
    let home = server.home.clone();
    let objects = Objects::of(&server, &home).await;
    let groups = [SERVICE_TOKENS_READ, ACCOUNT_TOKENS_READ, AUDIT_LOGS_READ, APPS_READ, ORGANIZATIONS_READ];
    let reader = at_root(&server, &server.account_token(&home, &groups).await);
    let before = state(&server).await;
    for row in TABLE.iter().filter(|row| !row.of_user()) {
        let Asks::Groups(_) = row.asks else { continue };
        let path = objects.path(row, &home);
        if row.method == "GET" {
            assert_eq!(call(&reader, row, &path).await.status, row.status);
        } else {
            let reply = refused(&server, &reader, row, &path, "reader").await;
            assert_eq!(reply.refusal(), (403, 10000), "{} {path}", row.method);
        }
    }
    assert_eq!(state(&server).await, before);
});
