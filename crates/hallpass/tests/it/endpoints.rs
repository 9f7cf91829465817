//! Every route, called by whoever may call it and by everybody who may not: status, code, and that a refusal changed nothing.
//! A route that is missing from the table fails the first test.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use hallpass::api::routes;
use hallpass_core::permission::PermissionGroup;
use serde_json::{Value, json};

use crate::harness::{
    ACCOUNT_TOKENS_READ, ACCOUNT_TOKENS_WRITE, AUDIT_LOGS_READ, Actor, DNS_READ, ORGANIZATIONS_READ,
    ORGANIZATIONS_WRITE, Realm, Reply, SERVICE_TOKENS_READ, SERVICE_TOKENS_WRITE, TestServer,
    USER_TOKENS_WRITE, allow, both_engines, text,
};
use crate::rows;

pub(crate) const APPS_READ: &str = "7ea222f6d5064cfa89ea366d7c1fee89";
pub(crate) const APPS_WRITE: &str = "1e13c5124ca64b72b1969a67e8829049";
pub(crate) const ZONE_APPS_READ: &str = "eb258a38ea634c86a0c89da6b27cb6b6";
pub(crate) const ZONE_APPS_WRITE: &str = "959972745952452f8be2452be8cbb9f2";
pub(crate) const APPS_REVOKE: &str = "6c9d1cfcfc6840a987d1b5bfb880a841";
pub(crate) const USER_TOKENS_READ: &str = "0cc3a61731504c89b99ec1be78b77aa0";

/// One route, a body that it takes, what its caller must hold, and what it then answers.
pub(crate) struct Row {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    body: &'static str,
    pub(crate) asks: Asks,
    pub(crate) status: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    /// For nothing: health.
    Nothing,
    /// For one of these groups; each alone is enough.
    Groups(&'static [&'static str]),
    /// For any credential, and shows what it reaches.
    Reach,
    /// For any credential of a user.
    User,
    /// For the very token that is shown.
    Itself,
}

const fn row(method: &'static str, path: &'static str, body: &'static str, asks: Asks, status: u16) -> Row {
    Row { method, path, body, asks, status }
}

const SEE: Asks = Asks::Groups(&[SERVICE_TOKENS_READ, SERVICE_TOKENS_WRITE]);
const CHANGE: Asks = Asks::Groups(&[SERVICE_TOKENS_WRITE]);
const SEE_API: Asks = Asks::Groups(&[ACCOUNT_TOKENS_READ, ACCOUNT_TOKENS_WRITE]);
const CHANGE_API: Asks = Asks::Groups(&[ACCOUNT_TOKENS_WRITE]);
const SEE_OWN: Asks = Asks::Groups(&[USER_TOKENS_READ, USER_TOKENS_WRITE]);
const CHANGE_OWN: Asks = Asks::Groups(&[USER_TOKENS_WRITE]);
const SEE_APPS: Asks = Asks::Groups(&[APPS_READ, APPS_WRITE]);
const CHANGE_APPS: Asks = Asks::Groups(&[APPS_WRITE]);
const SEE_ZONE_APPS: Asks = Asks::Groups(&[APPS_READ, APPS_WRITE, ZONE_APPS_READ, ZONE_APPS_WRITE]);
const CHANGE_ZONE_APPS: Asks = Asks::Groups(&[APPS_WRITE, ZONE_APPS_WRITE]);
const REVOKE: Asks = Asks::Groups(&[APPS_REVOKE]);
const SEE_GROUPS: Asks = Asks::Groups(&[ORGANIZATIONS_READ, ORGANIZATIONS_WRITE]);
const CHANGE_GROUPS: Asks = Asks::Groups(&[ORGANIZATIONS_WRITE]);
/// A host in the home realm's zone, another one in each request.
const NEW_APP: &str = r#"{"type":"self_hosted","domain":"made{n}.21212121212121212121212121212121.example"}"#;
const NEW_POLICY: &str =
    r#"{"name":"made","decision":"non_identity","include":[{"any_valid_service_token":{}}]}"#;
const SEE_ORGANIZATION: Asks = Asks::Groups(&[ORGANIZATIONS_READ, ORGANIZATIONS_WRITE]);
const CHANGE_ORGANIZATION: Asks = Asks::Groups(&[ORGANIZATIONS_WRITE]);
const ORGANIZATION: &str = r#"{"auth_domain":"login.example.com","name":"made"}"#;
const NEW: &str = r#"{"name":"made"}"#;
/// A token that opens nothing here: anybody can give that away.
const NEW_API: &str = r#"{"name":"made","policies":[{"effect":"allow","permission_groups":[{"id":"82e64a83756745bbbb1c9c2701bf816b"}],"resources":{"com.cloudflare.edge.r2.bucket.b":"*"}}]}"#;

#[rustfmt::skip]
pub(crate) const TABLE: &[Row] = &[
    row("GET", "/healthz", "", Asks::Nothing, 200),
    row("GET", "/readyz", "", Asks::Nothing, 200),
    row("GET", "/client/v4/openapi.json", "", Asks::Nothing, 200),
    row("GET", "/client/v4/accounts/{account_id}/access/service_tokens", "", SEE, 200),
    row("POST", "/client/v4/accounts/{account_id}/access/service_tokens", NEW, CHANGE, 201),
    row("GET", "/client/v4/accounts/{account_id}/access/service_tokens/{service_token_id}", "", SEE, 200),
    row("PUT", "/client/v4/accounts/{account_id}/access/service_tokens/{service_token_id}", NEW, CHANGE, 200),
    row("DELETE", "/client/v4/accounts/{account_id}/access/service_tokens/{service_token_id}", "", CHANGE, 200),
    row("POST", "/client/v4/accounts/{account_id}/access/service_tokens/{service_token_id}/refresh", "", CHANGE, 200),
    row("POST", "/client/v4/accounts/{account_id}/access/service_tokens/{service_token_id}/rotate", "{}", CHANGE, 200),
    row("GET", "/client/v4/accounts/{account_id}/access/service_tokens/{service_token_id}/last_uses", "", SEE, 200),
    row("GET", "/client/v4/zones/{zone_id}/access/service_tokens", "", SEE, 200),
    row("POST", "/client/v4/zones/{zone_id}/access/service_tokens", NEW, CHANGE, 201),
    row("GET", "/client/v4/zones/{zone_id}/access/service_tokens/{service_token_id}", "", SEE, 200),
    row("PUT", "/client/v4/zones/{zone_id}/access/service_tokens/{service_token_id}", NEW, CHANGE, 200),
    row("DELETE", "/client/v4/zones/{zone_id}/access/service_tokens/{service_token_id}", "", CHANGE, 200),
    row("POST", "/client/v4/zones/{zone_id}/access/service_tokens/{service_token_id}/refresh", "", CHANGE, 200),
    row("POST", "/client/v4/zones/{zone_id}/access/service_tokens/{service_token_id}/rotate", "", CHANGE, 200),
    row("GET", "/client/v4/zones/{zone_id}/access/service_tokens/{service_token_id}/last_uses", "", SEE, 200),
    row("GET", "/client/v4/accounts/{account_id}/access/apps", "", SEE_APPS, 200),
    row("POST", "/client/v4/accounts/{account_id}/access/apps", NEW_APP, CHANGE_APPS, 201),
    row("GET", "/client/v4/accounts/{account_id}/access/apps/{app_id}", "", SEE_APPS, 200),
    row("PUT", "/client/v4/accounts/{account_id}/access/apps/{app_id}", NEW_APP, CHANGE_APPS, 200),
    row("DELETE", "/client/v4/accounts/{account_id}/access/apps/{app_id}", "", CHANGE_APPS, 202),
    row("POST", "/client/v4/accounts/{account_id}/access/apps/{app_id}/revoke_tokens", "", REVOKE, 202),
    row("GET", "/client/v4/accounts/{account_id}/access/apps/{app_id}/policies", "", SEE_APPS, 200),
    row("POST", "/client/v4/accounts/{account_id}/access/apps/{app_id}/policies", NEW_POLICY, CHANGE_APPS, 201),
    row("GET", "/client/v4/accounts/{account_id}/access/apps/{app_id}/policies/{policy_id}", "", SEE_APPS, 200),
    row("PUT", "/client/v4/accounts/{account_id}/access/apps/{app_id}/policies/{policy_id}", NEW_POLICY, CHANGE_APPS, 200),
    row("DELETE", "/client/v4/accounts/{account_id}/access/apps/{app_id}/policies/{policy_id}", "", CHANGE_APPS, 202),
    row("PUT", "/client/v4/accounts/{account_id}/access/apps/{app_id}/policies/{policy_id}/make_reusable", "", CHANGE_APPS, 200),
    row("GET", "/client/v4/accounts/{account_id}/access/groups", "", SEE_GROUPS, 200),
    row("POST", "/client/v4/accounts/{account_id}/access/groups", NEW, CHANGE_GROUPS, 201),
    row("GET", "/client/v4/accounts/{account_id}/access/groups/{group_id}", "", SEE_GROUPS, 200),
    row("PUT", "/client/v4/accounts/{account_id}/access/groups/{group_id}", NEW, CHANGE_GROUPS, 200),
    row("DELETE", "/client/v4/accounts/{account_id}/access/groups/{group_id}", "", CHANGE_GROUPS, 202),
    row("GET", "/client/v4/accounts/{account_id}/access/policies", "", SEE_APPS, 200),
    row("POST", "/client/v4/accounts/{account_id}/access/policies", NEW_POLICY, CHANGE_APPS, 201),
    row("GET", "/client/v4/accounts/{account_id}/access/policies/{policy_id}", "", SEE_APPS, 200),
    row("PUT", "/client/v4/accounts/{account_id}/access/policies/{policy_id}", NEW_POLICY, CHANGE_APPS, 200),
    row("DELETE", "/client/v4/accounts/{account_id}/access/policies/{policy_id}", "", CHANGE_APPS, 202),
    row("GET", "/client/v4/zones/{zone_id}/access/apps", "", SEE_ZONE_APPS, 200),
    row("POST", "/client/v4/zones/{zone_id}/access/apps", NEW_APP, CHANGE_ZONE_APPS, 201),
    row("GET", "/client/v4/zones/{zone_id}/access/apps/{app_id}", "", SEE_ZONE_APPS, 200),
    row("PUT", "/client/v4/zones/{zone_id}/access/apps/{app_id}", NEW_APP, CHANGE_ZONE_APPS, 200),
    row("DELETE", "/client/v4/zones/{zone_id}/access/apps/{app_id}", "", CHANGE_ZONE_APPS, 202),
    row("POST", "/client/v4/zones/{zone_id}/access/apps/{app_id}/revoke_tokens", "", REVOKE, 202),
    row("GET", "/client/v4/zones/{zone_id}/access/apps/{app_id}/policies", "", SEE_ZONE_APPS, 200),
    row("POST", "/client/v4/zones/{zone_id}/access/apps/{app_id}/policies", NEW_POLICY, CHANGE_ZONE_APPS, 201),
    row("GET", "/client/v4/zones/{zone_id}/access/apps/{app_id}/policies/{policy_id}", "", SEE_ZONE_APPS, 200),
    row("PUT", "/client/v4/zones/{zone_id}/access/apps/{app_id}/policies/{policy_id}", NEW_POLICY, CHANGE_ZONE_APPS, 200),
    row("DELETE", "/client/v4/zones/{zone_id}/access/apps/{app_id}/policies/{policy_id}", "", CHANGE_ZONE_APPS, 202),
    row("GET", "/client/v4/zones/{zone_id}/access/groups", "", SEE_GROUPS, 200),
    row("POST", "/client/v4/zones/{zone_id}/access/groups", NEW, CHANGE_GROUPS, 201),
    row("GET", "/client/v4/zones/{zone_id}/access/groups/{group_id}", "", SEE_GROUPS, 200),
    row("PUT", "/client/v4/zones/{zone_id}/access/groups/{group_id}", NEW, CHANGE_GROUPS, 200),
    row("DELETE", "/client/v4/zones/{zone_id}/access/groups/{group_id}", "", CHANGE_GROUPS, 202),
    row("GET", "/client/v4/accounts/{account_id}/access/organizations", "", SEE_ORGANIZATION, 200),
    row("POST", "/client/v4/accounts/{account_id}/access/organizations", ORGANIZATION, CHANGE_ORGANIZATION, 201),
    row("PUT", "/client/v4/accounts/{account_id}/access/organizations", ORGANIZATION, CHANGE_ORGANIZATION, 200),
    row("PATCH", "/client/v4/accounts/{account_id}/access/organizations", r#"{"name":"made"}"#, CHANGE_ORGANIZATION, 200),
    row("GET", "/client/v4/accounts/{account_id}/access/organizations/inactive_service_tokens", "", SEE_ORGANIZATION, 200),
    row("GET", "/client/v4/zones/{zone_id}/access/organizations", "", SEE_ORGANIZATION, 200),
    row("POST", "/client/v4/zones/{zone_id}/access/organizations", ORGANIZATION, CHANGE_ORGANIZATION, 201),
    row("PUT", "/client/v4/zones/{zone_id}/access/organizations", ORGANIZATION, CHANGE_ORGANIZATION, 200),
    row("PATCH", "/client/v4/zones/{zone_id}/access/organizations", r#"{"name":"made"}"#, CHANGE_ORGANIZATION, 200),
    row("GET", "/client/v4/accounts/{account_id}/access/keys", "", SEE_ORGANIZATION, 200),
    row("PUT", "/client/v4/accounts/{account_id}/access/keys", r#"{"key_rotation_interval_days":30}"#, CHANGE_ORGANIZATION, 200),
    row("POST", "/client/v4/accounts/{account_id}/access/keys/rotate", "", CHANGE_ORGANIZATION, 200),
    row("GET", "/client/v4/accounts/{account_id}/tokens", "", SEE_API, 200),
    row("POST", "/client/v4/accounts/{account_id}/tokens", NEW_API, CHANGE_API, 200),
    row("GET", "/client/v4/accounts/{account_id}/tokens/verify", "", Asks::Itself, 200),
    row("GET", "/client/v4/accounts/{account_id}/tokens/permission_groups", "", SEE_API, 200),
    row("GET", "/client/v4/accounts/{account_id}/tokens/{token_id}", "", SEE_API, 200),
    row("PUT", "/client/v4/accounts/{account_id}/tokens/{token_id}", NEW_API, CHANGE_API, 200),
    row("DELETE", "/client/v4/accounts/{account_id}/tokens/{token_id}", "", CHANGE_API, 200),
    row("PUT", "/client/v4/accounts/{account_id}/tokens/{token_id}/value", "{}", CHANGE_API, 200),
    row("GET", "/client/v4/user/tokens", "", SEE_OWN, 200),
    row("POST", "/client/v4/user/tokens", NEW_API, CHANGE_OWN, 200),
    row("GET", "/client/v4/user/tokens/verify", "", Asks::Itself, 200),
    row("GET", "/client/v4/user/tokens/permission_groups", "", SEE_OWN, 200),
    row("GET", "/client/v4/user/tokens/{token_id}", "", SEE_OWN, 200),
    row("PUT", "/client/v4/user/tokens/{token_id}", NEW_API, CHANGE_OWN, 200),
    row("DELETE", "/client/v4/user/tokens/{token_id}", "", CHANGE_OWN, 200),
    row("PUT", "/client/v4/user/tokens/{token_id}/value", "{}", CHANGE_OWN, 200),
    row("GET", "/client/v4/accounts", "", Asks::Reach, 200),
    row("GET", "/client/v4/accounts/{account_id}", "", Asks::Reach, 200),
    row("GET", "/client/v4/accounts/{account_id}/logs/audit", "", Asks::Groups(&[AUDIT_LOGS_READ]), 200),
    row("GET", "/client/v4/accounts/{account_id}/access/logs/access_requests", "", Asks::Groups(&[AUDIT_LOGS_READ]), 200),
    row("GET", "/client/v4/accounts/{account_id}/access/explanations", "", SEE_APPS, 200),
    row("GET", "/client/v4/zones", "", Asks::Reach, 200),
    row("GET", "/client/v4/zones/{zone_id}", "", Asks::Reach, 200),
    row("GET", "/client/v4/memberships", "", Asks::User, 200),
    row("GET", "/client/v4/user", "", Asks::User, 200),
];

impl Row {
    pub(crate) fn of_user(&self) -> bool {
        self.path.starts_with("/client/v4/user")
    }

    /// The path, with these identifiers; `uuid` is what is not an API token.
    pub(crate) fn fill(&self, realm: &Realm, uuid: &str, api_token: &str) -> String {
        fill(self.path, realm, uuid, api_token)
    }
}

fn fill(path: &str, realm: &Realm, uuid: &str, api_token: &str) -> String {
    // The routes that want a query.
    let query = match path.rsplit('/').next() {
        Some("audit") => "?since=2026-01-01&before=2027-01-01",
        Some("explanations") => "?host=reports.example.com",
        Some("inactive_service_tokens") => "?inactivity_threshold_days=30",
        _ => "",
    };
    format!("{path}{query}")
        .replace("{account_id}", &realm.account.to_string())
        .replace("{zone_id}", &realm.zone.to_string())
        .replace("{service_token_id}", uuid)
        .replace("{app_id}", uuid)
        .replace("{policy_id}", uuid)
        .replace("{group_id}", uuid)
        .replace("{token_id}", api_token)
}

/// The text with a number that no other has in place of `{n}`.
fn numbered(text: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    text.replace("{n}", &NEXT.fetch_add(1, Ordering::Relaxed).to_string())
}

/// Objects for the routes to find, by their ids.
pub(crate) struct Objects {
    /// Made through the zone, so that both paths show it; so are the application, its policy and the group.
    pub(crate) service: String,
    pub(crate) app: String,
    pub(crate) policy: String,
    pub(crate) reusable: String,
    pub(crate) group: String,
    pub(crate) of_account: String,
    pub(crate) of_user: String,
}

impl Objects {
    pub(crate) async fn of(server: &TestServer, realm: &Realm) -> Self {
        let key = server.key(realm);
        let path = format!("{}/access/service_tokens", realm.zone_path());
        let body: Value = serde_json::from_str(NEW_API).unwrap();
        let made = async |path: &str, body: Value| key.post(path, body).await.body["result"].clone();
        let zone = format!("{}/access", realm.zone_path());
        let app = made(&format!("{zone}/apps"), json!({
            "type": "self_hosted", "domain": numbered(&format!("there{{n}}.{}.example", realm.user)),
            "policies": [{"name": "own", "decision": "non_identity", "include": [{"any_valid_service_token": {}}]}],
        }))
        .await;
        let reusable = json!({"name": "reusable", "decision": "deny", "include": [{"everyone": {}}]});
        Self {
            app: text(&app["id"]),
            policy: text(&app["policies"][0]["id"]),
            reusable: text(&made(&format!("{}/access/policies", realm.account_path()), reusable).await["id"]),
            group: text(&made(&format!("{zone}/groups"), json!({"name": "there"})).await["id"]),
            service: text(&made(&path, json!({"name": "there"})).await["id"]),
            of_account: text(&made(&format!("{}/tokens", realm.account_path()), body.clone()).await["id"]),
            of_user: text(&made("/user/tokens", body).await["id"]),
        }
    }

    pub(crate) fn path(&self, row: &Row, realm: &Realm) -> String {
        let token = if row.of_user() { &self.of_user } else { &self.of_account };
        let policy = if row.path.contains("{app_id}") { &self.policy } else { &self.reusable };
        let path = row.path.replace("{app_id}", &self.app).replace("{policy_id}", policy);
        let path = path.replace("{group_id}", &self.group);
        fill(&path, realm, &self.service, token)
    }
}

/// The same caller, with paths from the root.
pub(crate) fn at_root(server: &TestServer, actor: &Actor) -> Actor {
    let headers: Vec<_> = actor.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Actor::new(format!("http://{}", server.address), &headers)
}

pub(crate) async fn call(actor: &Actor, row: &Row, path: &str) -> Reply {
    let body = (!row.body.is_empty()).then(|| numbered(row.body).into_bytes());
    actor.send(row.method, path, body).await
}

/// A token of the realm's user; the policy covers the account and the user, and `more` is merged into the body.
pub(crate) async fn user_token(
    server: &TestServer,
    realm: &Realm,
    groups: &[&str],
    more: Value,
) -> (String, String) {
    let mut resources = realm.resources();
    resources[format!("com.cloudflare.api.user.{}", realm.user)] = json!("*");
    let mut body = json!({"name": "token", "policies": [allow(groups, resources)]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = server.key(realm).post("/user/tokens", body).await.result(200);
    (text(&made["id"]), text(&made["value"]))
}

/// All groups but these.
pub(crate) fn other_groups(left_out: &[&str]) -> Vec<String> {
    let all = PermissionGroup::all().iter().map(|group| group.id.to_string());
    all.filter(|id| !left_out.contains(&id.as_str())).collect()
}

/// A caller that holds exactly these groups, of the kind that the route is for.
pub(crate) async fn holder(server: &TestServer, row: &Row, groups: &[&str]) -> Actor {
    let home = &server.home;
    let token = if row.of_user() {
        user_token(server, home, groups, json!({})).await.1
    } else {
        server.make_account_token(home, groups, json!({})).await.1
    };
    at_root(server, &server.bearer(&token))
}

/// Everything that is stored, and what the keys see of it.
pub(crate) async fn state(server: &TestServer) -> Vec<String> {
    let mut all = rows::dump(&server.place).await;
    for realm in [&server.home, &server.abroad] {
        let key = server.key(realm);
        for path in [
            realm.tokens_path(),
            format!("{}/tokens?include_expired=true", realm.account_path()),
            "/user/tokens?include_expired=true".to_owned(),
            "/accounts".to_owned(),
            "/zones".to_owned(),
            "/memberships".to_owned(),
            "/user".to_owned(),
        ] {
            let mut shown = key.get(&path).await.result(200);
            for element in shown.as_array_mut().into_iter().flatten() {
                // Written in the background.
                element.as_object_mut().unwrap().remove("last_used_on");
            }
            all.push(shown.to_string());
        }
    }
    all
}

type Headers<'a> = &'a [(&'a str, &'a str)];

/// Calls a route as somebody who is refused, and sees that nothing was written.
pub(crate) async fn refused(server: &TestServer, actor: &Actor, row: &Row, path: &str, who: &str) -> Reply {
    let before = server.revision().await;
    let reply = call(actor, row, path).await;
    assert!(reply.status >= 400, "{who}: {} {path} answered {}", row.method, reply.text);
    assert_eq!(server.revision().await, before, "{who}: {} {path} wrote", row.method);
    reply
}

#[test]
fn the_table_names_every_route() {
    let known: BTreeSet<_> = TABLE.iter().map(|row| format!("{} {}", row.method, row.path)).collect();
    let routed: BTreeSet<_> =
        routes().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(known, routed);
    assert_eq!(known.len(), TABLE.len());
}

both_engines!(every_route_answers_each_caller_that_may_call_it, |server: TestServer| async move {
    let home = server.home.clone();
    for row in TABLE {
        let mut callers = Vec::new();
        match row.asks {
            Asks::Nothing => callers.push(server.nobody()),
            Asks::Groups(groups) => {
                callers.push(server.key(&home));
                for group in groups {
                    callers.push(holder(&server, row, &[group]).await);
                }
            }
            Asks::Reach | Asks::User => {
                callers.push(server.key(&home));
                let token = user_token(&server, &home, &[DNS_READ], json!({})).await.1;
                callers.push(server.bearer(&token));
                if row.asks == Asks::Reach {
                    callers.push(server.account_token(&home, &[DNS_READ]).await);
                }
            }
            Asks::Itself => callers.push(holder(&server, row, &[DNS_READ]).await),
        }
        for caller in callers {
            let path = Objects::of(&server, &home).await.path(row, &home);
            let reply = call(&at_root(&server, &caller), row, &path).await;
            assert_eq!(reply.status, row.status, "{} {path}: {}", row.method, reply.text);
        }
    }
});

both_engines!(
    nobody_and_malformed_credentials_are_told_so_and_change_nothing,
    |server: TestServer| async move {
        let (email, key) = (("x-auth-email", "user1@example.com"), ("x-auth-key", "k1"));
        let bearer = ("authorization", "Bearer abc");
        let long = format!("Bearer {}", "a".repeat(513));
        let long_key = "k".repeat(129);
        let cases: &[(Headers<'_>, u64, u64)] = &[
            (&[], 9106, 0),
            (&[email], 9106, 0),
            (&[key], 9106, 0),
            (&[("x-auth-user-service-key", "v1.0-abc")], 9106, 0),
            (&[("authorization", "")], 6003, 6111),
            (&[("authorization", "Bearer")], 6003, 6111),
            (&[("authorization", "abc")], 6003, 6111),
            (&[("authorization", "Basic YTpi")], 6003, 6111),
            (&[("authorization", "Bearer a b")], 6003, 6111),
            (&[("authorization", "Bearer a.b")], 6003, 6111),
            (&[("authorization", "Bearer \u{e9}")], 6003, 6111),
            (&[("authorization", &long)], 6003, 6111),
            (&[bearer, bearer], 6003, 6111),
            (&[("authorization", "Basic YTpi"), email, key], 6003, 6111),
            (&[("x-auth-email", "user"), key], 6003, 6102),
            (&[("x-auth-email", "@example.com"), key], 6003, 6102),
            (&[("x-auth-email", ""), key], 6003, 6102),
            (&[email, email, key], 6003, 6102),
            (&[email, ("x-auth-key", "a b")], 6003, 6103),
            (&[email, ("x-auth-key", "")], 6003, 6103),
            (&[email, ("x-auth-key", &long_key)], 6003, 6103),
        ];
        let objects = Objects::of(&server, &server.home).await;
        let before = state(&server).await;
        for row in TABLE.iter().filter(|row| row.asks != Asks::Nothing) {
            let path = objects.path(row, &server.home);
            for (headers, code, chained) in cases {
                let actor = Actor::new(format!("http://{}", server.address), headers);
                let reply = refused(&server, &actor, row, &path, &format!("{headers:?}")).await;
                assert_eq!((reply.status, reply.codes()), (400, vec![*code]), "{path} {headers:?}");
                let chain = &reply.body["errors"][0]["error_chain"];
                assert_eq!(chain[0]["code"].as_u64().unwrap_or(0), *chained, "{}", reply.text);
            }
        }
        assert_eq!(state(&server).await, before);
    }
);

both_engines!(
    credentials_that_do_not_count_are_refused_and_change_nothing,
    |server: TestServer| async move {
        let home = server.home.clone();
        let all = other_groups(&[]);
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        let mut dead = vec![("unknown".to_owned(), "cfut_unknown".to_owned())];
        let defects = [
            ("expired", json!({"expires_on": "2026-06-01T12:00:00Z"})),
            ("not yet valid", json!({"not_before": "2026-06-01T12:00:01Z"})),
            ("disabled", json!({"status": "disabled"})),
            ("elsewhere", json!({"condition": {"request_ip": {"in": ["10.0.0.0/8"]}}})),
            ("banned", json!({"condition": {"request.ip": {"not_in": ["127.0.0.0/8"]}}})),
        ];
        for (what, defect) in defects {
            let of_user = user_token(&server, &home, &all, defect.clone()).await.1;
            dead.push((format!("{what}, of the user"), of_user));
            let of_account = server.make_account_token(&home, &all, defect).await.1;
            dead.push((format!("{what}, of the account"), of_account));
        }
        let key = server.key(&home);
        let (id, value) = user_token(&server, &home, &all, json!({})).await;
        key.put(&format!("/user/tokens/{id}/value"), json!({})).await.result(200);
        dead.push(("rolled".to_owned(), value));
        let (id, value) = server.make_account_token(&home, &all, json!({})).await;
        key.delete(&format!("{}/tokens/{id}", home.account_path())).await.result(200);
        dead.push(("deleted".to_owned(), value));

        let objects = Objects::of(&server, &home).await;
        let before = state(&server).await;
        for row in TABLE.iter().filter(|row| row.asks != Asks::Nothing) {
            let path = objects.path(row, &home);
            for (what, token) in &dead {
                let actor = at_root(&server, &server.bearer(token));
                let reply = refused(&server, &actor, row, &path, what).await;
                let by_address = what.starts_with("elsewhere") || what.starts_with("banned");
                let expected =
                    if row.asks == Asks::Itself && !by_address { (401, 1000) } else { (403, 9109) };
                assert_eq!(reply.refusal(), expected, "{what}: {path}");
                assert_eq!(reply.text.contains("location: 127.0.0.1"), by_address, "{what}");
            }
            keys_that_do_not_fit(&server, row, &path).await;
        }
        assert_eq!(state(&server).await, before);
    }
);

/// Wrong e-mail and wrong key are refused in the same words.
async fn keys_that_do_not_fit(server: &TestServer, row: &Row, path: &str) {
    let (home, abroad) = (&server.home, &server.abroad);
    let mut texts = BTreeSet::new();
    for (email, key) in [
        (home.email.as_str(), "wrong"),
        (&home.email, &abroad.key),
        ("nobody@example.com", &home.key),
        (&abroad.email, &home.key),
    ] {
        let actor =
            Actor::new(format!("http://{}", server.address), &[("x-auth-email", email), ("x-auth-key", key)]);
        let reply = refused(server, &actor, row, path, "wrong key").await;
        let expected = if row.asks == Asks::Itself { (401, 1000) } else { (403, 9103) };
        assert_eq!(reply.refusal(), expected, "{path}");
        texts.insert(reply.text);
    }
    assert_eq!(texts.len(), 1, "{texts:?}");
}
