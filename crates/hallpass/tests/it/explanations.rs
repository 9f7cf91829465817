//! References of refusals: their owner learns from them why, and nobody else learns anything.

use serde_json::{Value, json};

use crate::door::{Carrier, Door, Pair, protect, question};
use crate::endpoints::{APPS_READ, APPS_WRITE};
use crate::harness::{Realm, TestServer, both_engines, text};

fn path(realm: &Realm, reference: &str) -> String {
    format!("{}/access/explanations?reference={reference}", realm.account_path())
}

both_engines!(a_reference_of_one_account_stands_for_nothing_in_another, |server: TestServer| async move {
    let (home, abroad) = (&server.home, &server.abroad);
    let app = protect(&server, "grafana.example.com", json!({"name": "Canary app"})).await;
    let pair = Pair::make(&server, json!({"name": "canary-token"})).await;
    let disabled = Pair::make(&server, json!({"name": "canary-off"})).await;
    let off = format!("{}/{}", home.tokens_path(), disabled.id);
    server.key(home).put(&off, json!({"enabled": false})).await.result(200);
    let theirs = server.make_service_token(abroad, json!({"name": "their token"})).await;
    let door = Door::open(&server).await;
    let at = |host: &str| question("nginx", host, "/");
    let refused = |pair: &Pair| pair.on(&at("grafana.example.com"), Carrier::Pair);
    let cases = [
        ("no_credential", at("grafana.example.com"), Value::Null),
        ("wrong_secret", refused(&pair.but("wrong")), json!(pair.id)),
        ("disabled", refused(&disabled), json!(disabled.id)),
        ("unknown", refused(&Pair::of(&theirs)), Value::Null),
    ];
    let (made_up, strangers) = ("A".repeat(92), [APPS_READ, APPS_WRITE]);
    let readers = [server.key(abroad), server.account_token(abroad, &strangers).await];
    for (reason, asked, token) in cases {
        let reference = door.ask(&asked).headers["hallpass-ref"].clone();
        let told = server.key(home).get(&path(home, &reference)).await.result(200);
        assert_eq!((&told["reason"], &told["app"]["id"]), (&json!(reason), &app["id"]));
        assert_eq!(told["token"]["id"], token, "{reason}");
        for reader in &readers {
            // In their own account it is no other than one that nobody ever got.
            let reply = reader.get(&path(abroad, &reference)).await;
            let nothing = reader.get(&path(abroad, &made_up)).await;
            assert_eq!((reply.status, &reply.text), (404, &nothing.text), "{reason}");
            // In ours they have no say, whatever it stands for.
            let reply = reader.get(&path(home, &reference)).await;
            let nothing = reader.get(&path(home, &made_up)).await;
            assert_eq!((reply.status, &reply.text), (nothing.status, &nothing.text), "{reason}");
            assert!(matches!(reply.status, 403 | 404), "{}", reply.text);
            for of_ours in [&text(&app["id"]), "canary", "Canary", reason, &pair.id, &pair.client_id] {
                assert!(!reply.text.contains(of_ours), "{reason}: {}", reply.text);
            }
        }
    }
    // A refusal that concerns nobody is told to nobody, where there is more than one whom it could concern.
    let reference = door.ask(&at("other.example.com")).headers["hallpass-ref"].clone();
    for (reader, realm) in [(server.key(home), home), (server.key(abroad), abroad)] {
        assert_eq!(reader.get(&path(realm, &reference)).await.status, 404);
    }
});
