//! What becomes of a service token's secrets, held against the stored digests: creation writes one, rotation moves it, a retry
//! replaces only the newest, deletion removes all, and nothing else touches a byte.

use serde_json::{Value, json};

use crate::harness::{Reply, TestServer, both_engines, text};
use crate::rows::{Digests, audit, digests, digests_of};

const SECRET: &str = "client_secret";
const VERSION: &str = "client_secret_version";
const PREVIOUS: &str = "previous_client_secret_expires_at";

/// A token, where it is, and its secrets as the client knows them.
struct Known {
    id: String,
    path: String,
    secrets: Vec<String>,
}

impl Known {
    async fn new(server: &TestServer, body: Value) -> Self {
        let made = server.make_service_token(&server.home, body).await;
        let id = text(&made["id"]);
        Self { path: format!("{}/{id}", server.home.tokens_path()), id, secrets: vec![text(&made[SECRET])] }
    }

    /// Sees that the stored digests are those of these secrets, counted from the oldest.
    async fn assert_holds(&self, server: &TestServer, current: usize, previous: Option<usize>) {
        let previous = previous.map(|n| self.secrets[n].as_str());
        assert_eq!(
            digests(&server.place, &self.id).await,
            digests_of(server, &self.id, &self.secrets[current], previous)
        );
    }

    async fn rotate(&mut self, server: &TestServer, retries: Option<&str>, body: Value) -> Value {
        let mut key = server.key(&server.home);
        if let Some(retries) = retries {
            key = key.with("x-stainless-retry-count", retries);
        }
        let path = format!("{}/rotate", self.path);
        let rotated = key.post(&path, body).await.result(200);
        self.remember(&rotated);
        rotated
    }

    async fn put(&mut self, server: &TestServer, body: Value) -> Reply {
        let reply = server.key(&server.home).put(&self.path, body).await;
        if reply.status == 200 && reply.body["result"].get(SECRET).is_some() {
            self.remember(&reply.body["result"]);
        }
        reply
    }

    fn remember(&mut self, shown: &Value) {
        let secret = text(&shown[SECRET]);
        assert!(!self.secrets.contains(&secret), "a secret comes twice");
        self.secrets.push(secret);
    }

    async fn get(&self, server: &TestServer) -> Value {
        server.key(&server.home).get(&self.path).await.result(200)
    }
}

both_engines!(
    creation_stores_one_digest_and_changes_that_do_not_rotate_leave_it_alone,
    |server: TestServer| async move {
        let mut token = Known::new(&server, json!({"name": "n"})).await;
        token.assert_holds(&server, 0, None).await;
        let key = server.key(&server.home);
        for rotated in [false, true] {
            if rotated {
                token.rotate(&server, None, json!({PREVIOUS: "2027-01-01T00:00:00Z"})).await;
            }
            let before = digests(&server.place, &token.id).await;
            for body in [
                json!({}),
                json!({"name": "m", "duration": "1h", "enabled": false}),
                json!({"enabled": true, "duration": "forever"}),
                json!({VERSION: 0}),
                json!({VERSION: 1}),
                json!({VERSION: null, PREVIOUS: null}),
                json!({PREVIOUS: "2026-12-01T00:00:00Z"}),
                json!({PREVIOUS: "2023-01-01T00:00:00Z"}),
            ] {
                let shown = token.put(&server, body).await.result(200);
                assert!(shown.get(SECRET).is_none());
            }
            for body in [json!({VERSION: -1}), json!({VERSION: 9, "name": ""})] {
                assert_eq!(token.put(&server, body).await.status, 400);
            }
            server.advance("8760h");
            key.post(&format!("{}/refresh", token.path), json!({})).await.result(200);
            key.get(&token.path).await.result(200);
            key.get(&server.home.tokens_path()).await.result(200);
            assert_eq!(digests(&server.place, &token.id).await, before);
        }
    }
);

both_engines!(a_rotation_makes_the_current_secret_the_previous_one, |server: TestServer| async move {
    let mut token = Known::new(&server, json!({"name": "n", "duration": "1h"})).await;
    let before = token.get(&server).await;
    server.advance("30m");
    // Without a date the old secret dies at once.
    let shown = token.rotate(&server, None, json!({})).await;
    token.assert_holds(&server, 1, Some(0)).await;
    assert_eq!((&shown[VERSION], &shown[PREVIOUS]), (&json!(2), &json!("2026-06-01T12:30:00Z")));
    assert_eq!(shown["updated_at"], "2026-06-01T12:30:00Z");
    for kept in ["id", "client_id", "name", "duration", "expires_at", "enabled", "created_at"] {
        assert_eq!(shown[kept], before[kept], "{kept}");
    }
    // With a date, whatever it is, the date is shown; a second rotation drops the oldest secret.
    for (sent, echoed) in [
        ("2026-07-01T00:00:00Z", "2026-07-01T00:00:00Z"),
        ("2026-07-01T02:00:00+02:00", "2026-07-01T00:00:00Z"),
        ("2020-01-01T00:00:00.123Z", "2020-01-01T00:00:00.123Z"),
    ] {
        let shown = token.rotate(&server, None, json!({PREVIOUS: sent})).await;
        assert_eq!(shown[PREVIOUS], echoed);
        let last = token.secrets.len() - 1;
        token.assert_holds(&server, last, Some(last - 1)).await;
        assert_eq!(token.get(&server).await[PREVIOUS], echoed);
    }
    let reply =
        server.key(&server.home).post(&format!("{}/rotate", token.path), json!({PREVIOUS: "tomorrow"})).await;
    assert_eq!((reply.refusal(), reply.pointers()), ((400, 12130), vec![format!("/{PREVIOUS}")]));
});

both_engines!(only_a_higher_version_rotates, |server: TestServer| async move {
    let mut token = Known::new(&server, json!({"name": "n"})).await;
    let mut version = 1;
    for (sent, becomes) in [
        (json!({VERSION: 0}), None),
        (json!({VERSION: 1}), None),
        (json!({VERSION: 2}), Some(2)),
        (json!({VERSION: 2}), None),
        (json!({VERSION: 1}), None),
        (json!({VERSION: 2.0}), None),
        (json!({VERSION: 3.0}), Some(3)),
        (json!({VERSION: 7, "name": "m", "enabled": false, PREVIOUS: "2026-06-02T00:00:00Z"}), Some(7)),
        (json!({VERSION: 6, "name": "o"}), None),
        (json!({VERSION: 8, PREVIOUS: "2024-01-01T00:00:00.5Z"}), Some(8)),
        (json!({VERSION: 9, PREVIOUS: null}), Some(9)),
    ] {
        server.advance("2s");
        let (count, audited) = (token.secrets.len(), audit(&server.place, &token.id).await.len());
        let reply = token.put(&server, sent.clone()).await;
        let rotated = token.secrets.len() > count;
        assert_eq!(rotated, becomes.is_some(), "{sent}");
        version = becomes.unwrap_or(version);
        let said = format!("\"{VERSION}\":{version},");
        assert!(reply.text.contains(&said), "{sent}: {}", reply.text);
        let shown = reply.result(200);
        if let Some(name) = sent.get("name") {
            assert_eq!(shown["name"], *name);
        }
        if rotated {
            let rows = audit(&server.place, &token.id).await.len() - audited;
            assert_eq!(rows, 1, "audit rows of {sent}");
            let last = token.secrets.len() - 1;
            token.assert_holds(&server, last, Some(last - 1)).await;
            let given = sent.get(PREVIOUS).filter(|given| !given.is_null());
            let at_once = json!(server.now().floor_second());
            assert_eq!(shown[PREVIOUS], *given.unwrap_or(&at_once), "{sent}");
        }
    }
    for wrong in [json!(2.5), json!(-1), json!("10"), json!(2_147_483_648_u64), json!(1e300), json!([10])] {
        let reply = token.put(&server, json!({VERSION: wrong})).await;
        assert_eq!((reply.refusal(), reply.pointers()), ((400, 12130), vec![format!("/{VERSION}")]));
        let body = json!({"name": "n", VERSION: wrong});
        let reply = server.key(&server.home).post(&server.home.tokens_path(), body).await;
        assert_eq!((reply.refusal(), reply.pointers()), ((400, 12130), vec![format!("/{VERSION}")]));
    }
    // There is a last version; past it nothing rotates any more, and that is no fault of ours.
    token.put(&server, json!({VERSION: 2_147_483_647})).await.result(200);
    let last = token.secrets.len() - 1;
    let path = format!("{}/rotate", token.path);
    let reply = server.key(&server.home).post(&path, json!({})).await;
    assert_eq!((reply.refusal(), reply.pointers()), ((400, 12130), vec![format!("/{VERSION}")]));
    token.assert_holds(&server, last, Some(last - 1)).await;
});

both_engines!(
    the_grace_of_a_previous_secret_can_be_moved_and_never_brought_back,
    |server: TestServer| async move {
        let mut token = Known::new(&server, json!({"name": "n"})).await;
        // Before any rotation it is a date without a meaning, and can be cleared.
        token.put(&server, json!({PREVIOUS: "2030-01-01T00:00:00Z"})).await.result(200);
        let shown = token.put(&server, json!({PREVIOUS: null})).await.result(200);
        assert!(shown.get(PREVIOUS).is_none(), "{shown}");
        token.rotate(&server, None, json!({PREVIOUS: "2026-06-01T13:00:00Z"})).await;
        let lives = async |server: &TestServer| {
            let sql = format!(
                "SELECT CAST(previous_secret_until AS TEXT) FROM service_tokens WHERE id = '{}'",
                token.id
            );
            let until = crate::rows::texts(&server.place, &sql).await.remove(0);
            until.parse::<i64>().unwrap() > server.now().as_micros()
        };
        let key = server.key(&server.home);
        let put = async |body: Value| key.put(&token.path, body).await.result(200);
        assert!(lives(&server).await);
        // While it lives, null is ignored; later and earlier dates count.
        assert_eq!(put(json!({PREVIOUS: null})).await[PREVIOUS], "2026-06-01T13:00:00Z");
        assert_eq!(put(json!({PREVIOUS: "2026-06-01T15:00:00Z"})).await[PREVIOUS], "2026-06-01T15:00:00Z");
        server.advance("2h");
        assert!(lives(&server).await);
        assert_eq!(put(json!({PREVIOUS: "2026-06-01T14:30:00Z"})).await[PREVIOUS], "2026-06-01T14:30:00Z");
        // Disabled and enabled again, it is what it was.
        put(json!({"enabled": false})).await;
        put(json!({"enabled": true})).await;
        assert!(lives(&server).await);
        server.advance("1h");
        assert!(!lives(&server).await, "past its time it still counts");
        // Once dead it stays dead, whatever date is shown.
        assert_eq!(put(json!({PREVIOUS: "2036-01-01T00:00:00Z"})).await[PREVIOUS], "2036-01-01T00:00:00Z");
        assert!(!lives(&server).await, "a later date brought it back");
        assert!(put(json!({PREVIOUS: null})).await.get(PREVIOUS).is_none());
        assert!(!lives(&server).await);
        // Killed by a date in the past, too.
        let body = json!({VERSION: 9, PREVIOUS: "2036-01-01T00:00:00Z"});
        put(body).await;
        assert!(lives(&server).await);
        put(json!({PREVIOUS: "2023-01-01T00:00:00Z"})).await;
        put(json!({PREVIOUS: "2036-01-01T00:00:00Z"})).await;
        assert!(!lives(&server).await, "a killed secret came back");
    }
);

both_engines!(a_retried_rotation_costs_no_live_secret, |server: TestServer| async move {
    let mut token = Known::new(&server, json!({"name": "n"})).await;
    let grace = json!({PREVIOUS: "2026-06-02T00:00:00Z"});
    token.rotate(&server, Some("0"), grace.clone()).await;
    token.assert_holds(&server, 1, Some(0)).await;
    server.advance("59s");
    // The answer was lost: the client asks again, and secret 0 stays the previous one with its grace.
    let shown = token.rotate(&server, Some("1"), json!({})).await;
    token.assert_holds(&server, 2, Some(0)).await;
    assert_eq!((&shown[VERSION], &shown[PREVIOUS]), (&json!(3), &json!("2026-06-02T00:00:00Z")));
    let shown = token.rotate(&server, Some("2"), grace.clone()).await;
    token.assert_holds(&server, 3, Some(0)).await;
    assert_eq!(shown[PREVIOUS], "2026-06-02T00:00:00Z");
    // Without the header, or with one that says nothing, it is another rotation.
    for (n, header) in [(4, None), (5, Some("0")), (6, Some("x")), (7, Some("-1"))] {
        token.rotate(&server, header, grace.clone()).await;
        token.assert_holds(&server, n, Some(n - 1)).await;
    }
    // A minute after the last rotation a retry is none any more.
    server.advance("1m");
    token.rotate(&server, Some("1"), grace.clone()).await;
    token.assert_holds(&server, 8, Some(7)).await;
    // A rotation by version counts as one, and a retry of the first rotation ever has nothing to spare.
    token.put(&server, json!({VERSION: 20, PREVIOUS: "2026-06-02T00:00:00Z"})).await;
    token.assert_holds(&server, 9, Some(8)).await;
    token.rotate(&server, Some("1"), json!({})).await;
    token.assert_holds(&server, 10, Some(8)).await;
    let mut fresh = Known::new(&server, json!({"name": "n"})).await;
    fresh.rotate(&server, Some("1"), grace).await;
    fresh.assert_holds(&server, 1, Some(0)).await;
});

both_engines!(deletion_removes_every_digest_and_no_other_tokens, |server: TestServer| async move {
    let key = server.key(&server.home);
    let mut gone = Known::new(&server, json!({"name": "n"})).await;
    let mut kept = Known::new(&server, json!({"name": "n"})).await;
    for token in [&mut gone, &mut kept] {
        token.rotate(&server, None, json!({PREVIOUS: "2027-01-01T00:00:00Z"})).await;
        token.assert_holds(&server, 1, Some(0)).await;
    }
    key.delete(&gone.path).await.result(200);
    assert_eq!(digests(&server.place, &gone.id).await, Digests::default());
    kept.assert_holds(&server, 1, Some(0)).await;
});
