//! What the gate leaves behind: when a token was last used, and the rows of the access log. Its answers do not wait for either.

use std::time::Duration;

use hallpass::gate::{Gate, Settings, listener};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{Actor, TestServer, both_engines, text};

/// A server's gate on a port of its own.
struct Door {
    gate: Gate,
    url: String,
}

impl Door {
    async fn open(server: &TestServer) -> Self {
        // A gate does not wait for long for keys, and a busy machine makes them slowly.
        server.store.signing_keys().ensure(&server.world).await.unwrap();
        let gate = Gate::start(&server.store, &server.server_key, &server.world, Settings::default()).await;
        let gate = gate.unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/auth/nginx", socket.local_addr().unwrap());
        let asked = gate.clone();
        tokio::spawn(listener::serve(socket, move || asked.clone(), std::future::pending()));
        Self { gate, url }
    }

    /// Asks as nginx does.
    async fn ask(&self, host: &str, id: &str, secret: &str) -> (u16, HeaderMap) {
        let request = reqwest::Client::builder().no_proxy().build().unwrap().get(&self.url);
        let request = request.header("x-original-host", host).header("x-original-uri", "/");
        let request = request.header("x-real-ip", "192.0.2.7");
        let request = request.header("cf-access-client-id", id).header("cf-access-client-secret", secret);
        let reply = request.send().await.unwrap();
        (reply.status().as_u16(), reply.headers().clone())
    }
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
        let token = server.make_service_token(&home, json!({"name": "ci"})).await;
        let spare = server.make_service_token(&home, json!({"name": "spare"})).await;
        let policy = json!({"name": "ci", "decision": "non_identity",
            "include": [{"service_token": {"token_id": token["id"]}}]});
        let app = json!({"type": "self_hosted", "domain": "app.example.com", "policies": [policy]});
        let app = key.post(&format!("{access}/apps"), app).await.result(201);
        let door = Door::open(&server).await;
        let (id, secret) = (text(&token["client_id"]), text(&token["client_secret"]));

        assert_eq!(door.ask("app.example.com", &id, &secret).await.0, 200);
        server.advance("5s");
        assert_eq!(door.ask("app.example.com", &id, &secret).await.0, 200);
        // With the secret before it, in its grace.
        let rotated = format!("{}/{}/rotate", home.tokens_path(), text(&token["id"]));
        let expiry = json!({"previous_client_secret_expires_at": "2026-06-02T00:00:00Z"});
        let rotated = key.post(&rotated, expiry).await.result(200);
        assert_eq!(door.ask("app.example.com", &id, &secret).await.0, 200);
        server.advance("2m");
        // A known token with a wrong secret, one that no policy names, nobody's, and no application at all.
        assert_eq!(door.ask("app.example.com", &id, "wrong").await.0, 401);
        let (spare_id, spare_secret) = (text(&spare["client_id"]), text(&spare["client_secret"]));
        assert_eq!(door.ask("app.example.com", &spare_id, &spare_secret).await.0, 403);
        let nobody = format!("{}.access", "0".repeat(32));
        assert_eq!(door.ask("app.example.com", &nobody, &secret).await.0, 401);
        assert_eq!(door.ask("other.example.com", &id, &secret).await.0, 403);

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
        let passed = |slot: &str, count: u32| {
            (token["id"].clone(), json!(slot), json!(count), (Value::Null, json!("")))
        };
        let refused = |token: &Value, reason: &str| {
            (token.clone(), Value::Null, json!(1), (json!(reason), json!("192.0.2.7")))
        };
        let expected = [
            passed("current", 2),
            passed("previous", 1),
            refused(&token["id"], "wrong_secret"),
            refused(&spare["id"], "not_allowed"),
            refused(&Value::Null, "unknown"),
        ];
        assert_eq!(shown.len(), expected.len(), "{rows:#}");
        assert!(expected.iter().all(|row| shown.contains(row)), "{rows:#}");

        let path = format!("{}/{}", home.tokens_path(), text(&token["id"]));
        let seen = until(&key, &path, |token| !token["last_seen_at"].is_null()).await;
        assert_eq!(seen["last_seen_at"], "2026-06-01T12:00:05Z", "a refusal is no use");
        assert_eq!(seen["updated_at"], rotated["updated_at"], "and a use is no change");
        let spared = key.get(&format!("{}/{}", home.tokens_path(), text(&spare["id"]))).await.result(200);
        assert!(spared.get("last_seen_at").is_none_or(Value::is_null), "{spared}");
        door.gate.stop().await;
    }
);
