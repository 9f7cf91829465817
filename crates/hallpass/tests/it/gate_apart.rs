//! The API and the gate as processes of their own, on one store: what is changed through the one counts at the other, which is
//! told nothing and looks by itself.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::command_line::{both_places, founded, serve};
use crate::door::{CARRIERS, DIALECTS, Pair, question, send};
use crate::harness::Place;

/// Asks in every dialect and with every carrier, again and again, until all answers have this status. Until then, none has another
/// than one of those before it.
fn until(gate: SocketAddr, pair: &Pair, before: &[u16], status: u16) {
    let deadline = Instant::now() + Duration::from_mins(2);
    loop {
        let mut answers = Vec::new();
        for dialect in DIALECTS {
            for carrier in CARRIERS {
                let asked = pair.on(&question(dialect, "grafana.example.com", "/"), carrier);
                answers.push(send(gate, &asked.bytes()).status);
            }
        }
        if answers.iter().all(|answer| *answer == status) {
            return;
        }
        let expected = answers.iter().all(|answer| *answer == status || before.contains(answer));
        assert!(expected, "{before:?}, then {status}: {answers:?}");
        assert!(Instant::now() < deadline, "not {status} in time: {answers:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

both_places!(
    what_is_done_through_a_process_with_the_api_alone_counts_at_one_with_the_gate_alone,
    |place: Place| async move {
        let first = founded(place);
        let api = serve(&first.place, &["--no-gate"]);
        let mut apart = serve(&first.place, &["--no-api"]);
        assert!(api.gate.is_none() && apart.api.is_empty());
        let gate: SocketAddr = apart.gate.as_ref().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
        let (key, tokens) = (first.key_actor(&api), first.tokens_path());
        let app = json!({
            "type": "self_hosted", "domain": "grafana.example.com", "read_service_tokens_from_header": "Authorization",
            "policies": [{"name": "p", "decision": "non_identity", "include": [{"any_valid_service_token": {}}]}],
        });
        key.post(&format!("/accounts/{}/access/apps", first.account_id), app).await.result(201);
        let [stays, disabled, deleted] = [
            Pair::of(&key.post(&tokens, json!({"name": "stays"})).await.result(201)),
            Pair::of(&key.post(&tokens, json!({"name": "disabled"})).await.result(201)),
            Pair::of(&key.post(&tokens, json!({"name": "deleted"})).await.result(201)),
        ];
        // At first the gate knows no application, no token, and for some seconds perhaps no key.
        for pair in [&stays, &disabled, &deleted] {
            until(gate, pair, &[401, 403, 503], 200);
        }
        let one = format!("{tokens}/{}", disabled.id);
        key.put(&one, json!({"enabled": false})).await.result(200);
        until(gate, &disabled, &[200], 401);
        key.put(&one, json!({"enabled": true})).await.result(200);
        until(gate, &disabled, &[401], 200);
        key.delete(&format!("{tokens}/{}", deleted.id)).await.result(200);
        until(gate, &deleted, &[200], 401);
        let old = disabled;
        let new = Pair::of(&key.post(&format!("{one}/rotate"), json!({})).await.result(200));
        until(gate, &old, &[200], 401);
        // What was meant for others has never touched this one, and the gate is still the process that it was.
        for pair in [&stays, &new] {
            until(gate, pair, &[], 200);
        }
        assert!(apart.child.try_wait().unwrap().is_none());
    }
);
