//! Signing keys: two are always published, rotation overlaps, signatures outlive it for a week, and what is stored opens nothing.

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass::server_key::ServerKey;
use hallpass::signing_keys::KeySet;
use hallpass::store::{Durability, Purpose, Store};
use serde_json::{Value, json};

use crate::harness::{Engine, TestServer, both_engines, text};
use crate::inspect::Database;
use crate::rows;

fn path(server: &TestServer) -> String {
    format!("{}/access/keys", server.home.account_path())
}

/// The keys of the home account, opened.
async fn home(server: &TestServer) -> KeySet {
    server.store.signing_keys().load().await.unwrap().remove(&server.home.account).unwrap()
}

fn published(set: &KeySet) -> Value {
    serde_json::from_str(set.published()).unwrap()
}

fn kids(set: &KeySet) -> Vec<String> {
    published(set)["keys"].as_array().unwrap().iter().map(|key| text(&key["kid"])).collect()
}

fn verifies(set: &KeySet, token: &str) -> bool {
    is_signed_by(&published(set), token)
}

/// Checks a token as a validator does: by the published key set alone.
pub(crate) fn is_signed_by(published: &Value, token: &str) -> bool {
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let header: Value = serde_json::from_slice(&part(signed.split_once('.').unwrap().0)).unwrap();
    let key = published["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]);
    key.is_some_and(|key| {
        assert_eq!((&key["kty"], &key["alg"], &key["use"]), (&json!("RSA"), &json!("RS256"), &json!("sig")));
        let key = PublicKeyComponents { n: part(&text(&key["n"])), e: part(&text(&key["e"])) };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &part(signature)).is_ok()
    })
}

both_engines!(keys_are_made_once_and_two_are_published, |server: TestServer| async move {
    let key = server.key(&server.home);
    let none = json!({"key_rotation_interval_days": 42, "days_until_next_rotation": 42});
    assert_eq!(key.get(&path(&server)).await.result(200), none);
    assert!(server.store.signing_keys().load().await.unwrap().is_empty());

    let keys = server.store.signing_keys();
    let (one, two) = tokio::join!(keys.ensure(&server.world), keys.ensure(&server.world));
    one.unwrap();
    two.unwrap();
    let sets = keys.load().await.unwrap();
    assert_eq!(sets.len(), 2, "every account has its own");
    let (ours, theirs) = (&sets[&server.home.account], &sets[&server.abroad.account]);
    assert_eq!((kids(ours).len(), kids(theirs).len()), (2, 2));
    assert_eq!(published(ours)["public_cert"]["kid"], json!(ours.kid()));
    assert_eq!(rows::texts(&server.place, "SELECT kid FROM signing_keys").await.len(), 4);

    let token = ours.sign(&json!({"sub": ""})).unwrap();
    assert!(verifies(ours, &token));
    assert!(!verifies(theirs, &token));
    let shown = key.get(&path(&server)).await.result(200);
    assert_eq!(shown["last_key_rotation_at"], json!("2026-06-01T12:00:00.25Z"));
    keys.ensure(&server.world).await.unwrap();
    assert_eq!(home(&server).await.kid(), ours.kid());
});

both_engines!(the_gate_opens_no_key_again_that_is_as_it_was, |server: TestServer| async move {
    server.store.signing_keys().ensure(&server.world).await.unwrap();
    let feed = server.store.gate_feed(&server.server_key);
    let sets = async || feed.everything(drop).await.unwrap().guards.unwrap().keys;
    // A set that was made again has texts of its own.
    let same = |one: &KeySet, other: &KeySet| std::ptr::eq(one.published(), other.published());
    let (before, after) = (sets().await, sets().await);
    let (home, abroad) = (&server.home.account, &server.abroad.account);
    assert!(same(&before[home], &after[home]) && same(&before[abroad], &after[abroad]));
    let rotate = format!("{}/rotate", path(&server));
    server.key(&server.home).post(&rotate, json!({})).await.result(200);
    let rotated = sets().await;
    assert_ne!(rotated[home].kid(), before[home].kid());
    assert!(same(&rotated[abroad], &before[abroad]));
});

both_engines!(a_rotation_overlaps_for_a_week, |server: TestServer| async move {
    let key = server.key(&server.home);
    // The first one makes the first keys, too.
    key.post(&format!("{}/rotate", path(&server)), json!({})).await.result(200);
    let before = home(&server).await;
    let sql = format!(
        "SELECT kid FROM signing_keys WHERE state = 'next' AND account_id = '{}'",
        server.home.account
    );
    let ahead = rows::texts(&server.place, &sql).await.remove(0);
    assert!(kids(&before).contains(&ahead));
    let token = before.sign(&json!({"n": 1})).unwrap();

    server.advance("240h");
    let rotated = key.send("POST", &format!("{}/rotate", path(&server)), None).await.result(200);
    let expected = json!({
        "key_rotation_interval_days": 42, "days_until_next_rotation": 42, "last_key_rotation_at": "2026-06-11T12:00:00.25Z",
    });
    assert_eq!(rotated, expected);
    let after = home(&server).await;
    assert_eq!(after.kid(), ahead, "what signs now was published before");
    assert_ne!(after.kid(), before.kid());
    assert_eq!(published(&after)["public_cert"]["kid"], json!(after.kid()));
    assert!(kids(&after).len() >= 3 && kids(&after).contains(&before.kid().to_owned()));
    assert!(verifies(&after, &token), "what was signed before");
    assert!(verifies(&before, &after.sign(&json!({"n": 2})).unwrap()), "validators know the new key already");
    let first = format!("SELECT kid FROM signing_keys WHERE kid = '{}' AND wrapped IS NULL", before.kid());
    assert_eq!(rows::texts(&server.place, &first).await.len(), 1, "what signs no more has no private half");

    server.advance("167h59m");
    server.store.signing_keys().rotate_due(&server.world).await.unwrap();
    assert!(verifies(&home(&server).await, &token));
    server.advance("1m");
    server.store.signing_keys().rotate_due(&server.world).await.unwrap();
    let gone = home(&server).await;
    assert!(!verifies(&gone, &token));
    assert_eq!((gone.kid(), kids(&gone).len()), (after.kid(), 2));
    let audit = rows::audit(&server.place, before.kid()).await;
    assert_eq!(audit.last().unwrap(), "signing_key.delete {}");
});

both_engines!(a_rotation_is_done_when_its_interval_is_over_and_once, |server: TestServer| async move {
    let keys = server.store.signing_keys();
    let key = server.key(&server.home);
    keys.ensure(&server.world).await.unwrap();
    let first = home(&server).await;
    let set = key.put(&path(&server), json!({"key_rotation_interval_days": 30})).await.result(200);
    assert_eq!(
        (&set["key_rotation_interval_days"], &set["days_until_next_rotation"]),
        (&json!(30), &json!(30))
    );

    server.advance("719h59m");
    keys.rotate_due(&server.world).await.unwrap();
    assert_eq!(home(&server).await.kid(), first.kid());
    server.advance("1m");
    let before = rows::revision(&server.place).await;
    let (one, two) = tokio::join!(keys.rotate_due(&server.world), keys.rotate_due(&server.world));
    one.unwrap();
    two.unwrap();
    let second = home(&server).await;
    assert_eq!(kids(&second).len(), 3);
    assert!(kids(&first).contains(&second.kid().to_owned()));
    let written =
        rows::revision(&server.place).await.parse::<i64>().unwrap() - before.parse::<i64>().unwrap();
    assert_eq!(written, 1, "the other account's interval is 42 days");
    let shown = key.get(&path(&server)).await.result(200);
    assert_eq!(
        (&shown["last_key_rotation_at"], &shown["days_until_next_rotation"]),
        (&json!("2026-07-01T12:00:00.25Z"), &json!(30))
    );
    let (action, actor) = (
        rows::audit(&server.place, second.kid()).await,
        "SELECT actor_id FROM audit WHERE action = 'signing_key.rotate'",
    );
    assert!(action.last().unwrap().starts_with("signing_key.rotate {\"next_kid\":"), "{action:?}");
    assert_eq!(rows::texts(&server.place, actor).await, ["key_rotation"]);
});

both_engines!(many_rotations_do_not_pile_up, |server: TestServer| async move {
    let keys = server.store.signing_keys();
    for _ in 0..11 {
        server.key(&server.home).post(&format!("{}/rotate", path(&server)), json!({})).await.result(200);
        server.advance("1m");
    }
    let set = keys.load().await.unwrap().remove(&server.home.account).unwrap();
    assert_eq!(kids(&set).len(), 10, "one signs, one is next, eight are still published");
    assert!(verifies(&set, &set.sign(&json!({})).unwrap()));
});

both_engines!(the_interval_is_checked, |server: TestServer| async move {
    let key = server.key(&server.home);
    for body in
        [json!({"key_rotation_interval_days": 20}), json!({"key_rotation_interval_days": 366}), json!({})]
    {
        let refused = key.put(&path(&server), body).await;
        assert_eq!(
            (refused.status, refused.codes(), refused.pointers()),
            (400, vec![12130], vec!["/key_rotation_interval_days".to_owned()])
        );
    }
    assert_eq!(key.get(&path(&server)).await.result(200)["key_rotation_interval_days"], json!(42));
    // The interval and the organization stand in one row, and neither forgets the other.
    key.put(&path(&server), json!({"key_rotation_interval_days": 21})).await.result(200);
    let organization = format!("{}/access/organizations", server.home.account_path());
    key.put(&organization, json!({"auth_domain": "test.example.com"})).await.result(200);
    key.put(&path(&server), json!({"key_rotation_interval_days": 22})).await.result(200);
    assert_eq!(key.get(&organization).await.result(200)["auth_domain"], json!("test.example.com"));
});

both_engines!(what_is_stored_has_no_private_key_in_clear, |server: TestServer| async move {
    server.store.signing_keys().ensure(&server.world).await.unwrap();
    let mut database = Database::open(&server.place.location).await;
    let wrapped = database.rows::<(Vec<u8>,)>("SELECT wrapped FROM signing_keys").await;
    assert_eq!(wrapped.len(), 4);
    // How RSA keys in PKCS #8 and in PKCS #1 begin.
    let clear: [&[u8]; 2] =
        [b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x04", b"\x02\x01\x00\x02\x82\x01\x01"];
    for (wrapped,) in wrapped {
        for sign in clear {
            assert!(!wrapped.windows(sign.len()).any(|window| window == sign));
        }
    }
    let everything = rows::dump(&server.place).await.join("\n");
    assert!(!everything.contains("PRIVATE KEY"), "{everything}");
});

both_engines!(a_key_that_does_not_open_is_left_out, |server: TestServer| async move {
    let server = &server;
    let keys = server.store.signing_keys();
    keys.ensure(&server.world).await.unwrap();
    let mut database = Database::open(&server.place.location).await;
    // Their private half under our key's name.
    let (ours, theirs) = (server.home.account, server.abroad.account);
    database
        .execute(&format!(
            "UPDATE signing_keys SET wrapped = (SELECT k.wrapped FROM signing_keys k WHERE k.account_id = '{theirs}' \
             AND k.state = 'current') WHERE account_id = '{ours}' AND state = 'current'"
        ))
        .await;
    let sets = keys.load().await.unwrap();
    assert_eq!(sets.keys().collect::<Vec<_>>(), [&theirs]);
});

both_engines!(another_nodes_store_has_the_same_keys, |server: TestServer| async move {
    server.store.signing_keys().ensure(&server.world).await.unwrap();
    let first = home(&server).await;
    let other = Store::open(
        &server.place.location,
        &server.server_key,
        Purpose::Service,
        Durability::Full,
        &server.world,
    );
    let other = other.await.unwrap();
    other.signing_keys().ensure(&server.world).await.unwrap();
    let second = other.signing_keys().load().await.unwrap().remove(&server.home.account).unwrap();
    assert_eq!((first.kid(), first.published()), (second.kid(), second.published()));
    assert!(verifies(&second, &first.sign(&json!({})).unwrap()));
    server.advance("1008h");
    let (one, two) = (server.store.signing_keys(), other.signing_keys());
    let (one, two) = tokio::join!(one.rotate_due(&server.world), two.rotate_due(&server.world));
    one.unwrap();
    two.unwrap();
    assert_eq!(kids(&home(&server).await).len(), 3, "two nodes rotate once");
    other.close().await;
});

both_engines!(keys_of_one_store_are_begun_with_in_another, |server: TestServer| async move {
    let keys = server.store.signing_keys();
    keys.ensure(&server.world).await.unwrap();
    let (first, carried) = (home(&server).await, keys.for_another_store().await.unwrap());
    Database::open(&server.place.location).await.execute("DELETE FROM signing_keys").await;
    server.advance("1h");
    keys.begin_with(&carried, &server.world).await.unwrap();
    keys.ensure(&server.world).await.unwrap();
    assert_eq!(keys.load().await.unwrap().len(), 2);
    let again = home(&server).await;
    assert_eq!((again.kid(), again.published()), (first.kid(), first.published()));
    let shown = server.key(&server.home).get(&path(&server)).await.result(200);
    assert_eq!(shown["last_key_rotation_at"], json!("2026-06-01T13:00:00.25Z"));
    // They sign and are rotated like any others, and who has keys keeps them.
    server.key(&server.home).post(&format!("{}/rotate", path(&server)), json!({})).await.result(200);
    let rotated = home(&server).await;
    assert!(verifies(&first, &rotated.sign(&json!({})).unwrap()));
    keys.begin_with(&carried, &server.world).await.unwrap();
    assert_eq!(home(&server).await.published(), rotated.published());
});

#[tokio::test]
async fn a_store_is_not_opened_with_another_server_key() {
    let server = TestServer::start(Engine::Sqlite).await;
    let other = ServerKey::random(&server.world);
    let opened =
        Store::open(&server.place.location, &other, Purpose::Service, Durability::Full, &server.world);
    assert!(opened.await.unwrap_err().to_string().contains("the server key does not fit this store"));
}

both_engines!(the_key_set_is_written_to_a_file_for_who_cannot_fetch_it, |server: TestServer| async move {
    let certs = |server: &TestServer, more: &[&str]| {
        let mut arguments = vec!["certs".to_owned()];
        arguments.extend(server.place.arguments());
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        std::process::Command::new(env!("CARGO_BIN_EXE_hallpass"))
            .args(arguments)
            .env_clear()
            .output()
            .unwrap()
    };
    let none = certs(&server, &[]);
    assert!(String::from_utf8_lossy(&none.stderr).contains("there are no signing keys yet"), "{none:?}");
    server.store.signing_keys().ensure(&server.world).await.unwrap();
    let several = certs(&server, &[]);
    assert_eq!(several.status.code(), Some(2), "{several:?}");
    let set = home(&server).await;
    let account = server.home.account.to_string();
    let printed = certs(&server, &["--account", &account]);
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), format!("{}\n", set.published()));
    let file = server.place.directory.path().join("certs.json");
    let written = certs(&server, &["--account", &account, "--output", file.to_str().unwrap()]);
    assert!(written.status.success() && written.stdout.is_empty(), "{written:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{}\n", set.published()));
});
