//! What the gate cannot know it does not guess: without its store, its keys or a clock that goes forward, it answers 503.

use std::time::{Duration, Instant};

use hallpass::gate::Settings;
use hallpass_core::decision::Reason;
use serde_json::json;

use crate::door::{Carrier, DIALECTS, Door, Pair, protect, question};
use crate::harness::{TestServer, both_engines, text};
use crate::inspect::Database;

both_engines!(
    a_gate_whose_store_does_not_answer_refuses_once_it_is_too_old,
    |server: TestServer| async move {
        protect(&server, "grafana.example.com", json!({})).await;
        let open = json!([{"name": "open", "decision": "bypass", "include": [{"everyone": {}}]}]);
        protect(&server, "open.example.com", json!({"policies": open})).await;
        let pair = Pair::make(&server, json!({"name": "ci"})).await;
        let settings = Settings { max_staleness: Duration::from_secs(1), ..Settings::default() };
        let door = Door::open_with(&server, settings).await;
        let asked = pair.on(&question("caddy", "grafana.example.com", "/"), Carrier::Pair);
        door.pass(&asked);
        let mut other = Database::open(&server.place.location).await;
        other.execute("ALTER TABLE revision RENAME TO hidden").await;
        wait_for(&door, 503);
        for dialect in DIALECTS {
            let asked = pair.on(&question(dialect, "grafana.example.com", "/"), Carrier::Pair);
            assert_eq!(door.refusal(&asked), (503, Reason::Stale), "{dialect}");
            let open = question(dialect, "open.example.com", "/");
            assert_eq!(door.refusal(&open), (503, Reason::Stale), "{dialect}: not even a bypass");
        }
        assert_eq!(door.get("/healthz", "gate").status, 200);
        other.execute("ALTER TABLE hidden RENAME TO revision").await;
        wait_for(&door, 200);
        door.pass(&asked);
    }
);

fn wait_for(door: &Door, status: u16) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while door.get("/readyz", "gate").status != status {
        assert!(Instant::now() < deadline, "the gate is not {status} in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}

both_engines!(a_gate_without_signing_keys_lets_nobody_in, |server: TestServer| async move {
    let app = protect(&server, "grafana.example.com", json!({})).await;
    let pair = Pair::make(&server, json!({"name": "ci"})).await;
    let door = Door::open(&server).await;
    let asked = pair.on(&question("nginx", "grafana.example.com", "/"), Carrier::Pair);
    door.pass(&asked);
    Database::open(&server.place.location).await.execute("DELETE FROM signing_keys").await;
    // Any change of an application is followed by reading the keys, too.
    let path = format!("{}/access/apps/{}/revoke_tokens", server.home.account_path(), text(&app["id"]));
    server.key(&server.home).post(&path, json!({})).await.result(202);
    for dialect in DIALECTS {
        let asked = pair.on(&question(dialect, "grafana.example.com", "/"), Carrier::Pair);
        assert_eq!(door.refusal(&asked), (503, Reason::NoKey), "{dialect}");
    }
});

both_engines!(a_gate_whose_clock_was_set_back_refuses, |server: TestServer| async move {
    server.advance("1h");
    protect(&server, "grafana.example.com", json!({})).await;
    let pair = Pair::make(&server, json!({"name": "ci"})).await;
    let door = Door::open(&server).await;
    let asked = pair.on(&question("envoy", "grafana.example.com", "/"), Carrier::Pair);
    door.pass(&asked);
    server.advance("-5s");
    door.pass(&asked);
    server.advance("-1us");
    for dialect in DIALECTS {
        let asked = pair.on(&question(dialect, "grafana.example.com", "/"), Carrier::Pair);
        assert_eq!(door.refusal(&asked), (503, Reason::Clock), "{dialect}");
    }
    server.advance("1us");
    door.pass(&asked);
});
