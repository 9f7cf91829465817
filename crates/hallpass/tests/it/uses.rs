//! When each application last accepted each secret of a service token.

use std::sync::Arc;
use std::time::Duration;

use hallpass_core::app::App;
use hallpass_core::id::{AppId, ServiceTokenId};
use hallpass_core::secret::{ClientSecret, SecretDigest, SecretKind, SecretSlot};
use serde_json::{Value, json};

use crate::access_log::app;
use crate::door::{Carrier, Door, Pair, protect, question};
use crate::harness::{Actor, TestServer, both_engines, text};
use crate::rows;
use crate::verbs::Shell;

const GRACE: &str = "2026-06-02T00:00:00Z";

/// Application, number of the secret, whether that is the current one, and the time of day; in alphabetical order.
type Uses = Vec<(String, u64, bool, String)>;

fn uses(list: &Value) -> Uses {
    let one = |last: &Value| {
        let at = text(&last["last_seen_at"]);
        let version = last["client_secret_version"].as_u64().unwrap();
        (text(&last["app_domain"]), version, last["current"].as_bool().unwrap(), at[11..19].to_owned())
    };
    let mut all: Vec<_> = list.as_array().unwrap().iter().map(one).collect();
    all.sort();
    all
}

fn of(expected: &[(&str, u64, bool, &str)]) -> Uses {
    let owned = |(domain, version, current, at): &(&str, u64, bool, &str)| {
        ((*domain).to_owned(), *version, *current, (*at).to_owned())
    };
    expected.iter().map(owned).collect()
}

/// They are written in the background, every five seconds of real time.
async fn written(key: &Actor, path: &str, expected: &[(&str, u64, bool, &str)]) {
    let mut found = Uses::new();
    for _ in 0..150 {
        found = uses(&key.get(path).await.result(200));
        if found == of(expected) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("this never became what was waited for: {found:#?}");
}

both_engines!(
    every_application_and_every_secret_has_a_last_use_of_its_own,
    |server: TestServer| async move {
        let (home, key) = (server.home.clone(), server.key(&server.home));
        let (docs, wiki) = ("docs.example.com", "wiki.example.com");
        for domain in [docs, wiki] {
            protect(&server, domain, json!({})).await;
        }
        let first = Pair::make(&server, json!({"name": "ci"})).await;
        let one = format!("{}/{}", home.tokens_path(), first.id);
        let path = format!("{one}/last_uses");
        assert_eq!(key.get(&path).await.result(200), json!([]));
        let door = Door::open(&server).await;
        let ask = |domain: &str, pair: &Pair| {
            door.ask(&pair.on(&question("nginx", domain, "/"), Carrier::Pair)).status
        };
        let grace = json!({"previous_client_secret_expires_at": GRACE});

        assert_eq!(ask(wiki, &first), 200);
        server.advance("10s");
        assert_eq!(ask(docs, &first), 200);
        // In the same moment it is rotated, most likely before anything was written.
        let second = Pair::of(&key.post(&format!("{one}/rotate"), grace).await.result(200));
        assert_eq!((ask(wiki, &first), ask(docs, &second)), (200, 200));
        let expected =
            [(docs, 1, false, "12:00:10"), (docs, 2, true, "12:00:10"), (wiki, 1, false, "12:00:10")];
        written(&key, &path, &expected).await;

        // A version that was left out is nobody's.
        server.advance("10s");
        let jump = json!({"client_secret_version": 7, "previous_client_secret_expires_at": GRACE});
        let seventh = Pair::of(&key.put(&one, jump).await.result(200));
        assert_eq!((ask(wiki, &first), ask(wiki, &second), ask(wiki, &seventh)), (401, 200, 200));
        let expected = [
            (docs, 1, false, "12:00:10"),
            (docs, 2, false, "12:00:10"),
            (wiki, 1, false, "12:00:10"),
            (wiki, 2, false, "12:00:20"),
            (wiki, 7, true, "12:00:20"),
        ];
        written(&key, &path, &expected).await;
        // A client that heard nothing of it asks again: the second secret stays the previous one.
        server.advance("10s");
        let again = key.with("x-stainless-retry-count", "1");
        let eighth = again.post(&format!("{one}/rotate"), json!({})).await.result(200);
        assert_eq!(eighth["client_secret_version"], 8);
        let eighth_pair = Pair::of(&eighth);
        assert_eq!((ask(docs, &seventh), ask(docs, &second), ask(docs, &eighth_pair)), (401, 200, 200));
        let revision = server.revision().await;
        let expected = [
            (docs, 1, false, "12:00:10"),
            (docs, 2, false, "12:00:30"),
            (docs, 8, true, "12:00:30"),
            (wiki, 1, false, "12:00:10"),
            (wiki, 2, false, "12:00:20"),
            (wiki, 7, false, "12:00:20"),
        ];
        written(&key, &path, &expected).await;
        assert_eq!(server.revision().await, revision, "a use is no change");
        assert_eq!(key.get(&one).await.result(200)["updated_at"], eighth["updated_at"]);

        // The newest first, in pages.
        let times = |list: &Value| -> Vec<String> {
            list.as_array().unwrap().iter().map(|last| text(&last["last_seen_at"])).collect()
        };
        let all = times(&key.get(&path).await.result(200));
        assert!(all.is_sorted_by(|newer, older| newer >= older), "{all:?}");
        let page = key.get(&format!("{path}?per_page=4&page=2")).await;
        assert_eq!(page.body["result_info"]["total_count"], 6);
        assert_eq!(times(&page.result(200)), all[4..]);

        let shell = Shell::of_user(&server);
        assert_eq!(shell.json(&["token", "uses", "ci"]), key.get(&path).await.result(200));

        let theirs = format!("{}/{}/last_uses", server.abroad.tokens_path(), first.id);
        assert_eq!(server.key(&server.abroad).get(&theirs).await.refusal(), (404, 12135));
        let nobodys = format!("{}/f174e90a-fafe-4643-bbbc-4a0ed4fc8415/last_uses", home.tokens_path());
        assert_eq!(key.get(&nobodys).await.refusal(), (404, 12135));
        door.gate.stop().await;
    }
);

/// An application under an id, as the gate would hand it on.
fn known(server: &TestServer, id: AppId) -> Arc<App> {
    Arc::new(App { id, ..(*app(server)).clone() })
}

both_engines!(
    what_was_deleted_has_no_uses_and_keeps_nobody_elses_from_being_written,
    |server: TestServer| async move {
        let (home, key, accesses) = (server.home.clone(), server.key(&server.home), server.store.accesses());
        let mut apps = Vec::new();
        for domain in ["docs.example.com", "wiki.example.com"] {
            let made = protect(&server, domain, json!({})).await;
            apps.push(known(&server, text(&made["id"]).parse().unwrap()));
        }
        let pair = Pair::make(&server, json!({"name": "ci"})).await;
        let path = format!("{}/{}/last_uses", home.tokens_path(), pair.id);
        let token: ServiceTokenId = pair.id.parse().unwrap();
        let secret =
            server.store.digest(SecretKind::ServiceToken, &pair.id, &ClientSecret::presented(&pair.secret));
        let secret = (SecretSlot::Current, secret);

        // Beside what is there: an application, a token and a secret that are gone.
        let gone = ServiceTokenId::random([9; 16]);
        let wrong = (SecretSlot::Previous, SecretDigest::from_stored([9; 32]));
        accesses.accepted(&known(&server, AppId::random([9; 16])), token, secret, server.now());
        accesses.accepted(&apps[0], gone, secret, server.now());
        accesses.accepted(&apps[0], token, wrong, server.now());
        accesses.accepted(&apps[0], token, secret, server.now());
        written(&key, &path, &[("docs.example.com", 1, true, "12:00:00")]).await;

        // An older use, which another process writes later.
        accesses.accepted(&apps[0], token, secret, "2026-06-01T11:00:00Z".parse().unwrap());
        accesses.accepted(&apps[1], token, secret, server.now());
        let both = [("docs.example.com", 1, true, "12:00:00"), ("wiki.example.com", 1, true, "12:00:00")];
        written(&key, &path, &both).await;

        // Deleted between the use and its writing, or after it.
        server.advance("10s");
        for app in &apps {
            accesses.accepted(app, token, secret, server.now());
        }
        key.delete(&format!("{}/access/apps/{}", home.account_path(), apps[0].id)).await.result(202);
        written(&key, &path, &[("wiki.example.com", 1, true, "12:00:10")]).await;
        key.delete(&format!("{}/{}", home.tokens_path(), pair.id)).await.result(200);
        assert!(rows::texts(&server.place, "SELECT token_id FROM service_token_uses").await.is_empty());
    }
);

both_engines!(a_zone_hears_of_its_own_applications_alone, |server: TestServer| async move {
    let (home, key, accesses) = (server.home.clone(), server.key(&server.home), server.store.accesses());
    let zone = format!("{}/access", home.zone_path());
    let made = key.post(&format!("{zone}/service_tokens"), json!({"name": "ci"})).await.result(201);
    let (id, presented) = (text(&made["id"]), ClientSecret::presented(&text(&made["client_secret"])));
    let secret = (SecretSlot::Current, server.store.digest(SecretKind::ServiceToken, &id, &presented));
    let inside = format!("docs.{}.example", home.user);
    let body = json!({"type": "self_hosted", "domain": inside});
    let zoned = key.post(&format!("{zone}/apps"), body).await.result(201);
    let elsewhere = protect(&server, "elsewhere.example.com", json!({})).await;
    for app in [zoned, elsewhere] {
        let app = known(&server, text(&app["id"]).parse().unwrap());
        accesses.accepted(&app, id.parse().unwrap(), secret, server.now());
    }
    let own = (inside.as_str(), 1, true, "12:00:00");
    let mut all = [("elsewhere.example.com", 1, true, "12:00:00"), own];
    all.sort_unstable();
    written(&key, &format!("{}/{id}/last_uses", home.tokens_path()), &all).await;
    let path = format!("{zone}/service_tokens/{id}/last_uses");
    assert_eq!(uses(&key.get(&path).await.result(200)), of(&[own]));
});
