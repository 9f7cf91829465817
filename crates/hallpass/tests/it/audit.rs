//! The audit log: what an entry says, who may see it, its window, its cursor and its filters, alike on both engines.

use serde_json::{Value, json};

use crate::endpoints::user_token;
use crate::harness::{
    AUDIT_LOGS_READ, Actor, Engine, Reply, SERVICE_TOKENS_WRITE, START, TestServer, both_engines, text,
};
use crate::inspect::Database;

const WINDOW: &str = "since=2026-06-01&before=2026-06-02";

fn log_path(server: &TestServer, query: &str) -> String {
    format!("{}/logs/audit?{WINDOW}{query}", server.home.account_path())
}

async fn look(server: &TestServer, query: &str) -> Reply {
    server.key(&server.home).get(&log_path(server, query)).await
}

/// `description object` of each entry.
fn said(reply: Reply) -> Vec<String> {
    let entries = reply.result(200);
    let entries = entries.as_array().unwrap().iter();
    entries
        .map(|entry| format!("{} {}", text(&entry["action"]["description"]), text(&entry["resource"]["id"])))
        .collect()
}

/// A token that is made by the key, refreshed by a user's token a second later, and rotated by an account's token after that.
struct Story {
    token: String,
    secrets: Vec<String>,
    of_user: (String, String),
    of_account: (String, String),
}

async fn tell(server: &TestServer) -> Story {
    let home = &server.home;
    let of_user = user_token(server, home, &[SERVICE_TOKENS_WRITE], json!({"name": "of the user"})).await;
    let of_account =
        server.make_account_token(home, &[SERVICE_TOKENS_WRITE], json!({"name": "of the account"})).await;
    server.advance("1s");
    let made = server.make_service_token(home, json!({"name": "deploy", "duration": "1h"})).await;
    let token = text(&made["id"]);
    let path = format!("{}/{token}", home.tokens_path());
    server.advance("1s");
    server.bearer(&of_user.1).post(&format!("{path}/refresh"), json!({})).await.result(200);
    server.advance("1s");
    let rotated = server.bearer(&of_account.1).post(&format!("{path}/rotate"), json!({})).await.result(200);
    let secrets = vec![
        text(&made["client_secret"]),
        text(&rotated["client_secret"]),
        of_user.1.clone(),
        of_account.1.clone(),
    ];
    Story { token, secrets, of_user, of_account }
}

both_engines!(an_entry_says_who_did_what_and_when_and_never_a_secret, |server: TestServer| async move {
    let Story { token, secrets, of_user, of_account } = tell(&server).await;
    let home = server.home.clone();
    let path = format!("{}/{token}", home.tokens_path());
    server.advance("1s");
    let gone = server.key(&home).delete(&path).await;
    let reply = look(&server, &format!("&resource_id={token}")).await;
    for secret in &secrets {
        assert!(!reply.text.contains(secret.as_str()));
    }
    let name = format!("Account of {}", home.email);
    let entries = reply.result(200);
    let revision = entries[3]["id"].as_str().unwrap().parse::<i64>().unwrap();
    let entry = |after: i64, action: &str, kind: &str, time: &str, actor: Value, response: Value| {
        json!({
            "account": {"id": home.account, "name": name},
            "action": {"description": action, "result": "success", "time": time, "type": kind},
            "actor": actor, "id": (revision + after).to_string(),
            "raw": entries[usize::try_from(3 - after).unwrap()]["raw"],
            "resource": {"id": token, "product": "access", "response": response, "scope": "accounts", "type": "service_token"},
        })
    };
    let key = json!({"context": "api_key", "email": home.email, "id": home.user, "ip_address": "127.0.0.1", "type": "user"});
    let user = json!({
        "context": "api_token", "email": home.email, "id": home.user, "ip_address": "127.0.0.1", "token_id": of_user.0,
        "token_name": "of the user", "type": "user",
    });
    let account = json!({
        "context": "api_token", "id": home.account, "ip_address": "127.0.0.1", "token_id": of_account.0,
        "token_name": "of the account", "type": "account",
    });
    let created = entries[3]["resource"]["response"].clone();
    assert_eq!((&created["name"], &created["duration"]), (&json!("deploy"), &json!("1h")));
    let deleted = entries[0]["resource"]["response"].clone();
    let expected = [
        entry(3, "service_token.delete", "delete", "2026-06-01T12:00:04.25Z", key.clone(), deleted),
        entry(
            2,
            "service_token.rotate",
            "update",
            "2026-06-01T12:00:03.25Z",
            account,
            json!({"client_secret_version": 2, "previous_client_secret_expires_at": "2026-06-01T12:00:03Z"}),
        ),
        entry(
            1,
            "service_token.refresh",
            "update",
            "2026-06-01T12:00:02.25Z",
            user,
            json!({"expires_at": "2026-06-01T13:00:03Z"}),
        ),
        entry(0, "service_token.create", "create", "2026-06-01T12:00:01.25Z", key, created),
    ];
    for (entry, expected) in entries.as_array().unwrap().iter().zip(expected) {
        assert_eq!(*entry, expected);
    }
    assert_eq!(entries[0]["raw"]["cf_ray_id"], gone.headers["x-request-id"].to_str().unwrap());
});

both_engines!(who_acted_is_known_when_the_token_that_acted_is_gone, |server: TestServer| async move {
    let Story { token, of_user, of_account, .. } = tell(&server).await;
    let (home, key) = (server.home.clone(), server.key(&server.home));
    key.delete(&format!("/user/tokens/{}", of_user.0)).await.result(200);
    key.delete(&format!("{}/tokens/{}", home.account_path(), of_account.0)).await.result(200);
    let entries = look(&server, &format!("&resource_id={token}")).await.result(200);
    let (by_account, by_user) = (&entries[0]["actor"], &entries[1]["actor"]);
    assert_eq!((&by_user["id"], &by_user["email"]), (&json!(home.user), &json!(home.email)));
    assert_eq!((&by_user["token_id"], &by_user["token_name"]), (&json!(of_user.0), &Value::Null));
    assert_eq!((&by_account["id"], &by_account["token_name"]), (&json!(home.account), &Value::Null));
    // The deletion of the account's token is the account's; that of the user's own token is nobody else's.
    let ids = async |query: String| said(look(&server, &query).await);
    assert_eq!(ids(format!("&resource_id={}", of_account.0)).await.len(), 2);
    assert_eq!(ids(format!("&resource_id={}", of_user.0)).await.len(), 0);
});

both_engines!(an_account_sees_its_own_entries_alone, |server: TestServer| async move {
    let (home, abroad) = (server.home.clone(), server.abroad.clone());
    tell(&server).await;
    let foreign = server.make_service_token(&abroad, json!({"name": "foreign"})).await;
    let strangers = [server.key(&home), server.account_token(&home, &[AUDIT_LOGS_READ]).await];
    let before = look(&server, "&limit=1000").await.result(200);
    assert!(!before.to_string().contains(&text(&foreign["id"])));
    let theirs = format!("{}/logs/audit?{WINDOW}", abroad.account_path());
    assert_eq!(
        said(server.key(&abroad).get(&theirs).await),
        [format!("service_token.create {}", text(&foreign["id"]))]
    );
    for stranger in strangers {
        assert_eq!(stranger.get(&theirs).await.refusal(), (403, 10000));
    }
    // No filter and no cursor reaches beyond the account.
    let first = text(&before[0]["id"]).parse::<u64>().unwrap();
    for id in 0..first + 5 {
        let found = look(&server, &format!("&id={id}")).await.result(200);
        assert!(!found.to_string().contains("foreign"), "{id}");
    }
    let far = look(&server, &format!("&cursor={}", "7f".repeat(16))).await.result(200);
    assert_eq!(far.as_array().unwrap().len(), before.as_array().unwrap().len());
});

both_engines!(pages_join_without_gap_or_repetition_while_others_write, |server: TestServer| async move {
    for n in 0..7 {
        server.make_service_token(&server.home, json!({"name": format!("token {n}")})).await;
        if n % 3 == 2 {
            server.advance("1s");
        }
    }
    let whole = said(look(&server, "").await);
    assert_eq!(whole.len(), 7);
    let mut backwards = whole.clone();
    backwards.reverse();
    for (direction, expected) in [("desc", &whole), ("asc", &backwards)] {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let reply = look(&server, &format!("&direction={direction}&limit=2&cursor={cursor}")).await;
            let info = reply.body["result_info"].clone();
            let page = said(reply);
            assert_eq!(info["count"], page.len());
            found.extend(page);
            // Newer entries do not move the place.
            if direction == "desc" {
                server.make_service_token(&server.home, json!({"name": "later"})).await;
            }
            assert_eq!(info["cursor"], info["cursors"]["after"]);
            match info["cursor"].as_str() {
                Some(after) => after.clone_into(&mut cursor),
                None => break,
            }
        }
        if direction == "desc" {
            assert_eq!(&found, expected);
        } else {
            // They come last where the oldest come first.
            assert_eq!(found[..7], expected[..]);
            assert_eq!(found.len(), 11);
        }
    }
    let info = look(&server, "&limit=11").await.body["result_info"].clone();
    assert_eq!(info, json!({"count": 11, "cursors": {}}));
});

both_engines!(the_window_begins_at_since_and_ends_before_before, |server: TestServer| async move {
    let made = server.make_service_token(&server.home, json!({"name": "n"})).await;
    let entry = vec![format!("service_token.create {}", text(&made["id"]))];
    let path = format!("{}/logs/audit", server.home.account_path());
    let key = server.key(&server.home);
    assert_eq!(START, "2026-06-01T12:00:00.25Z");
    for (since, before, within) in [
        ("2026-06-01T12:00:00.25Z", "2026-06-01T12:00:00.250001Z", true),
        ("2026-06-01T12:00:00.250001Z", "2026-06-02", false),
        ("2026-06-01", "2026-06-01T12:00:00.25Z", false),
        ("2026-06-01T14:00:00%2B02:00", "2026-06-01T14:00:01%2B02:00", true),
        ("0000-01-01", "9999-12-31", true),
        ("2026-06-02", "2026-06-03", false),
    ] {
        let found = said(key.get(&format!("{path}?since={since}&before={before}")).await);
        assert_eq!(found, if within { entry.clone() } else { Vec::new() }, "{since} {before}");
    }
});

both_engines!(each_filter_and_its_negation_part_the_entries, |server: TestServer| async move {
    let Story { token, of_user, of_account, .. } = tell(&server).await;
    let home = server.home.clone();
    let all = said(look(&server, "").await);
    let (create, refresh, rotate) = (
        format!("service_token.create {token}"),
        format!("service_token.refresh {token}"),
        format!("service_token.rotate {token}"),
    );
    let made_token = format!("api_token.create {}", of_account.0);
    assert_eq!(all, [rotate.clone(), refresh.clone(), create.clone(), made_token.clone()]);
    let entries = look(&server, "").await.result(200);
    let (ray, id) = (text(&entries[1]["raw"]["cf_ray_id"]), text(&entries[1]["id"]));
    let everything: Vec<&String> = all.iter().collect();
    let name = format!("account_name=Account%20of%20{}", home.email);
    let email = format!("actor_email={}", home.email);
    let cases: Vec<(String, Vec<&String>)> = vec![
        ("action_type=create".into(), vec![&create, &made_token]),
        ("action_type=update".into(), vec![&rotate, &refresh]),
        ("action_type=delete".into(), vec![]),
        ("action_type=view".into(), vec![]),
        ("action_type=create&action_type=update".into(), everything.clone()),
        ("action_result=success".into(), everything.clone()),
        ("action_result=failure".into(), vec![]),
        ("actor_context=api_key".into(), vec![&create, &made_token]),
        ("actor_context=api_token".into(), vec![&rotate, &refresh]),
        ("actor_type=account".into(), vec![&rotate]),
        ("actor_type=user".into(), vec![&refresh, &create, &made_token]),
        ("actor_type=system".into(), vec![]),
        (format!("actor_id={}", home.user), vec![&refresh, &create, &made_token]),
        (format!("actor_id={}", home.account), vec![&rotate]),
        (email, vec![&refresh, &create, &made_token]),
        ("actor_email=nobody@example.com".into(), vec![]),
        ("actor_ip_address=127.0.0.1".into(), everything.clone()),
        ("actor_ip_address=127.0.0.2".into(), vec![]),
        (format!("actor_token_id={}", of_user.0), vec![&refresh]),
        ("actor_token_name=of%20the%20account".into(), vec![&rotate]),
        ("actor_token_name=of%20nobody".into(), vec![]),
        (format!("raw_cf_ray_id={ray}"), vec![&refresh]),
        (format!("id={id}"), vec![&refresh]),
        (format!("audit_log_id={id}"), vec![&refresh]),
        (format!("resource_id={token}"), vec![&rotate, &refresh, &create]),
        ("resource_type=service_token".into(), vec![&rotate, &refresh, &create]),
        ("resource_type=api_token".into(), vec![&made_token]),
        ("resource_type=service_toke".into(), vec![]),
        ("resource_type=%25".into(), vec![]),
        ("resource_product=access".into(), vec![&rotate, &refresh, &create]),
        ("resource_product=api_tokens".into(), vec![&made_token]),
        ("resource_scope=accounts".into(), everything.clone()),
        ("resource_scope=zones".into(), vec![]),
        (name, everything.clone()),
        ("account_name=another".into(), vec![]),
        (format!("resource_id={token}&action_type=create"), vec![&create]),
    ];
    for (filter, expected) in cases {
        let found = said(look(&server, &format!("&{filter}")).await);
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter}");
        if filter.matches('=').count() == 1 {
            let rest: Vec<_> = everything.iter().copied().filter(|entry| !expected.contains(entry)).collect();
            let found = said(look(&server, &format!("&{}", filter.replacen('=', ".not=", 1))).await);
            assert_eq!(found.iter().collect::<Vec<_>>(), rest, "not {filter}");
        }
    }
    let injected = said(look(&server, "&resource_id=%27%20OR%20%271%27=%271").await);
    assert_eq!(injected, Vec::<String>::new());
});

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_refused_and_named() {
    let server = TestServer::start(Engine::Sqlite).await;
    let key = server.key(&server.home);
    let path = format!("{}/logs/audit", server.home.account_path());
    let many = "&id=1".repeat(51);
    let too_many = format!("{WINDOW}{many}");
    for (query, pointers) in [
        ("", &["/since", "/before"][..]),
        ("since=&before=", &["/since", "/before"]),
        ("since=2026-06-01", &["/before"]),
        ("since=yesterday&before=2026-06-31", &["/since", "/before"]),
        ("since=2026-06-02&before=2026-06-02", &["/before"]),
        ("since=2026-06-02&before=2026-06-01", &["/before"]),
        ("since=2026-06-01&since=2026-06-01&before=2026-06-02", &["/since"]),
        ("since=2026-06-01&before=2026-06-02&cursor=abc", &["/cursor"]),
        ("since=2026-06-01&before=2026-06-02&limit=-1", &["/limit"]),
        ("since=2026-06-01&before=2026-06-02&limit=ten", &["/limit"]),
        ("since=2026-06-01&before=2026-06-02&direction=up", &["/direction"]),
        (
            "since=2026-06-01&before=2026-06-02&zone_id=1&raw_uri.not=2&product_category=3",
            &["/product_category", "/raw_uri.not", "/zone_id"],
        ),
        ("since=2026-06-01&before=2026-06-02&actor_mail=x", &["/actor_mail"]),
        ("since=2026-06-01&before=2026-06-02&page=2", &["/page"]),
        ("since=2026-06-01&before=2026-06-02&id%5Bnot%5D=2", &["/id[not]"]),
        (&too_many, &["/id"]),
    ] {
        let reply = key.get(&format!("{path}?{query}")).await;
        assert_eq!(reply.refusal(), (400, 12130), "{query}");
        assert_eq!(reply.pointers(), pointers, "{query}");
    }
    for limit in ["", "0", "1000", "1001", "18446744073709551615"] {
        key.get(&format!("{path}?{WINDOW}&limit={limit}&action_type=")).await.result(200);
    }
}

both_engines!(
    a_page_holds_a_hundred_unless_told_otherwise_and_a_thousand_at_most,
    |server: TestServer| async move {
        fill(&server, 1_200).await;
        let count = async |query: &str| look(&server, query).await.body["result_info"]["count"].clone();
        assert_eq!(count("").await, 100);
        assert_eq!(count("&limit=1").await, 1);
        assert_eq!(count("&limit=1000000").await, 1_000);
        // A filter that few entries fit finds them beyond what is a page.
        assert_eq!(count("&resource_id=object%207").await, 1);
    }
);

/// Writes rows past the API: more than anybody would make by it in a test.
async fn fill(server: &TestServer, rows: u32) {
    let mut database = Database::open(&server.place.location).await;
    let at = server.now().as_micros();
    let account = server.home.account;
    let rows: Vec<_> = (0..rows)
        .map(|n| format!("({}, {at}, 'system', 'seed', '{account}', 'service_token.create', 'object {n}', '{{}}', '{:032x}')", 1_000_000 + n, n))
        .collect();
    let columns = "revision, at, actor, actor_id, account_id, action, object_id, detail, request_id";
    database.execute(&format!("INSERT INTO audit ({columns}) VALUES {}", rows.join(", "))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_the_log_goes_through_its_index() {
    let server = TestServer::start(Engine::Sqlite).await;
    let mut database = Database::open(&server.place.location).await;
    for (comparison, order) in [("<", "at DESC, revision DESC"), (">", "at, revision")] {
        let plan: Vec<(i64, i64, i64, String)> = database
            .rows(&format!(
                "EXPLAIN QUERY PLAN SELECT revision FROM audit WHERE account_id = 'a' AND at >= 1 AND at < 9 \
                 AND (at, revision) {comparison} (5, 5) AND object_id IN ('x') ORDER BY {order} LIMIT 3"
            ))
            .await;
        let steps: Vec<_> = plan.into_iter().map(|(.., step)| step).collect();
        assert_eq!(steps.len(), 1, "{steps:?}");
        assert!(
            steps[0].starts_with("SEARCH audit USING INDEX audit_by_account (account_id=? AND at>"),
            "{steps:?}"
        );
    }
}

both_engines!(only_the_permission_for_audit_logs_opens_the_log, |server: TestServer| async move {
    let home = server.home.clone();
    let status = async |actor: &Actor| actor.get(&log_path(&server, "")).await.status;
    assert_eq!(status(&server.account_token(&home, &[AUDIT_LOGS_READ]).await).await, 200);
    assert_eq!(status(&server.account_token(&home, &[SERVICE_TOKENS_WRITE]).await).await, 403);
    // It opens nothing else.
    let reader = server.account_token(&home, &[AUDIT_LOGS_READ]).await;
    assert_eq!(reader.get(&home.tokens_path()).await.refusal(), (403, 10000));
});
