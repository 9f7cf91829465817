//! What the gate decided, as the store keeps it and the API shows it.

use std::sync::Arc;
use std::time::Duration;

use hallpass::store::access_log::Refused;
use hallpass::tasks::Tasks;
use hallpass_core::app::{App, Audience};
use hallpass_core::id::{AppId, RequestId, ServiceTokenId};
use hallpass_core::secret::{SecretDigest, SecretSlot};
use hallpass_core::service_token::Name;
use serde_json::{Value, json};

use crate::harness::{Actor, TestServer, both_engines, text};

/// An application, as the gate would hand it on.
pub(crate) fn app(server: &TestServer) -> Arc<App> {
    let now = server.now();
    Arc::new(App {
        id: AppId::random([7; 16]),
        account_id: server.home.account,
        zone_id: None,
        name: Name::parse("Reports").unwrap(),
        aud: Audience::random([9; 32]),
        patterns: Vec::new(),
        session_seconds: 60,
        credential_header: None,
        service_auth_401: false,
        revoked_before: None,
        policies: Vec::new(),
        body: serde_json::Map::new(),
        created_at: now,
        updated_at: now,
    })
}

fn refused(server: &TestServer, number: u8, token: Option<ServiceTokenId>) -> Refused {
    Refused {
        id: RequestId::from_bytes([number; 16]),
        account_id: server.home.account,
        at: server.now(),
        app: Some(app(server)),
        token,
        reason: "disabled",
        client: [192, 0, 2, 7].into(),
    }
}

/// It is written in the background, every five seconds of real time.
async fn written(log: &Actor, path: &str, rows: usize) -> Value {
    for _ in 0..150 {
        let list = log.get(path).await.result(200);
        if list.as_array().unwrap().len() >= rows {
            return list;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the access log was not written");
}

both_engines!(acceptances_are_counted_by_the_minute_and_refusals_are_kept, |server: TestServer| async move {
    let (home, accesses, app) = (server.home.clone(), server.store.accesses(), app(&server));
    let token = server.make_service_token(&home, json!({"name": "ci"})).await;
    let id: ServiceTokenId = text(&token["id"]).parse().unwrap();
    // Twice the current secret, and rotated in between.
    for (secret, digest) in [(SecretSlot::Current, 1), (SecretSlot::Current, 2), (SecretSlot::Previous, 1)] {
        accesses.accepted(&app, id, (secret, SecretDigest::from_stored([digest; 32])), server.now());
    }
    server.advance("61s");
    let secret = (SecretSlot::Current, SecretDigest::from_stored([2; 32]));
    accesses.accepted(&app, id, secret, server.now());
    accesses.refused(refused(&server, 1, Some(id)));

    let key = server.key(&home);
    let path = format!("{}/access/logs/access_requests", home.account_path());
    let list = written(&key, &format!("{path}?direction=asc"), 4).await;
    let shown = |row: &Value| (row["allowed"].clone(), row["client_secret"].clone(), row["count"].clone());
    let rows = list.as_array().unwrap().iter().map(shown).collect::<Vec<_>>();
    let current = |count: u32| (json!(true), json!("current"), json!(count));
    let previous = (json!(true), json!("previous"), json!(1));
    assert_eq!(rows, [current(2), previous, current(1), (json!(false), Value::Null, json!(1))], "{list:#}");
    assert_eq!(
        list[3],
        json!({
            "action": "login", "allowed": false, "app_uid": app.id, "connection": "service_token", "count": 1,
            "created_at": "2026-06-01T12:01:01.25Z", "ip_address": "192.0.2.7", "ray_id": "01".repeat(16), "reason": "disabled",
            "service_token_id": id, "user_email": "",
        })
    );
    let seen = key.get(&format!("{}/{id}", home.tokens_path())).await.result(200);
    assert_eq!(seen["last_seen_at"], "2026-06-01T12:01:01Z");
    assert_eq!(seen["updated_at"], "2026-06-01T12:00:00Z", "a use is no change");

    for (query, rows) in [
        ("allowed=false", 1),
        ("allowed=true", 3),
        ("limit=1", 1),
        ("page=2&per_page=3", 1),
        ("since=2026-06-01T12:01:00Z", 2),
        ("until=2026-06-01T12:00:59Z", 2),
        ("email=user@example.com", 0),
        (&format!("service_token_id={id}"), 4),
        (&format!("ray_id={}", "01".repeat(16)), 1),
        ("app_uid=f174e90a-fafe-4643-bbbc-4a0ed4fc8415", 0),
    ] {
        let list = key.get(&format!("{path}?{query}")).await.result(200);
        assert_eq!(list.as_array().unwrap().len(), rows, "{query}: {list:#}");
    }
    for (query, pointer) in [
        ("since=yesterday", "/since"),
        ("limit=x", "/limit"),
        ("app_uid=7", "/app_uid"),
        ("allowed=1", "/allowed"),
    ] {
        assert_eq!(key.get(&format!("{path}?{query}")).await.pointers(), [pointer], "{query}");
    }
    let theirs = format!("{}/access/logs/access_requests", server.abroad.account_path());
    assert_eq!(server.key(&server.abroad).get(&theirs).await.result(200), json!([]));

    server.store.forget_accesses("2026-06-01T12:01:00Z".parse().unwrap());
    for _ in 0..150 {
        if key.get(&path).await.result(200).as_array().unwrap().len() == 2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("old rows were not forgotten");
});

both_engines!(the_log_is_forgotten_by_itself_once_it_is_old_enough, |server: TestServer| async move {
    let (key, accesses) = (server.key(&server.home), server.store.accesses());
    let path = format!("{}/access/logs/access_requests?direction=asc", server.home.account_path());
    accesses.refused(refused(&server, 1, None));
    server.advance("1h");
    accesses.refused(refused(&server, 2, None));
    written(&key, &path, 2).await;
    let day = Duration::from_hours(24);
    let tasks = Tasks::start_with(&server.store, &server.world, day, Duration::from_millis(50));
    let left = async |rows: &[u8]| {
        let ids: Vec<_> = rows.iter().map(|number| json!(format!("{number:02x}").repeat(16))).collect();
        for _ in 0..300 {
            let list = key.get(&path).await.result(200);
            let found: Vec<_> = list.as_array().unwrap().iter().map(|row| row["ray_id"].clone()).collect();
            assert!(found.ends_with(&ids), "what is not old enough is gone: {list:#}");
            if found == ids {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("what is old enough is still there");
    };
    left(&[1, 2]).await;
    // Nobody calls anything from here on but the clock: the next turn of the loop sees what has become too old.
    server.advance("23h0m0.000001s");
    left(&[2]).await;
    server.advance("1h");
    left(&[]).await;
    drop(tasks);
});

both_engines!(strangers_cannot_fill_the_log, |server: TestServer| async move {
    let accesses = server.store.accesses();
    for number in 0..=255 {
        accesses.refused(refused(&server, number, None));
    }
    let path = format!("{}/access/logs/access_requests?per_page=1000", server.home.account_path());
    let list = written(&server.key(&server.home), &path, 100).await;
    let mut numbers: Vec<_> = list.as_array().unwrap().iter().map(|entry| text(&entry["ray_id"])).collect();
    numbers.sort();
    let newest: Vec<_> = (156..=255).map(|number| format!("{number:02x}").repeat(16)).collect();
    assert_eq!(numbers, newest);
    assert_eq!(accesses.left_out(), 156);
});
