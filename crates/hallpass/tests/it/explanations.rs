//! References of refusals: their owner learns from them why, and nobody else learns anything.

use hallpass::reference::{References, Refusal};
use hallpass_core::decision::Reason;
use hallpass_core::id::AppId;
use serde_json::{Value, json};

use crate::door::{Carrier, Door, Pair, protect, question};
use crate::endpoints::{APPS_READ, APPS_WRITE};
use crate::harness::{DNS_READ, Realm, TestServer, both_engines, text};

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
});

both_engines!(
    a_refusal_before_an_application_was_found_is_told_to_every_account,
    |server: TestServer| async move {
        let (home, abroad) = (&server.home, &server.abroad);
        protect(&server, "grafana.example.com", json!({})).await;
        let door = Door::open(&server).await;
        let references = References::new(&server.server_key);
        let sealed = |reason: Reason, app: Option<AppId>| {
            references.seal(&Refusal { reason, token: None, app, at: server.now() }, &server.world)
        };
        let met = door.ask(&question("nginx", "other.example.com", "/")).headers["hallpass-ref"].clone();
        let mut cases = vec![(Reason::NoApp, met)];
        let reasons = [Reason::Untrusted, Reason::Ambiguous, Reason::Stale, Reason::Clock, Reason::NoApp];
        cases.extend(reasons.map(|reason| (reason, sealed(reason, None))));
        let outsider = server.account_token(home, &[DNS_READ]).await;
        for (reason, reference) in cases {
            for (realm, other) in [(home, abroad), (abroad, home)] {
                for reader in [server.key(realm), server.account_token(realm, &[APPS_READ]).await] {
                    // Reason and time, and nothing else.
                    let told = reader.get(&path(realm, &reference)).await.result(200);
                    let because = format!("{} {}", reason.meaning(), reason.advice());
                    let expected =
                        json!({"because": because, "reason": reason.as_str(), "refused_at": server.now()});
                    assert_eq!(told, expected, "{reason}");
                    // In another account it is not theirs to ask.
                    assert_eq!(
                        reader.get(&path(other, &reference)).await.refusal(),
                        (403, 10000),
                        "{reason}"
                    );
                }
            }
            assert_eq!(outsider.get(&path(home, &reference)).await.refusal(), (403, 10000), "{reason}");
        }
        // What names an application that is not there any more concerns somebody, who is not there either.
        let gone = sealed(Reason::NoCredential, Some(AppId::from_bytes([7; 16])));
        for realm in [home, abroad] {
            assert_eq!(server.key(realm).get(&path(realm, &gone)).await.refusal(), (404, 12135));
        }
    }
);
