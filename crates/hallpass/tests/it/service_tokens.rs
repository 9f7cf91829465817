//! Service tokens as a client sees them: what each reply holds, defaults, durations, refresh, the merge of an update, zones,
//! deletion. The clock stands at a quarter past a second, so that rounding shows.

use hallpass_core::time::Timestamp;
use serde_json::{Value, json};

use crate::harness::{Actor, Reply, TestServer, both_engines, text};
use crate::rows;

/// What every reply shows of a token that was never used and never rotated.
const SHOWN: [&str; 9] = [
    "client_id",
    "client_secret_version",
    "created_at",
    "duration",
    "enabled",
    "expires_at",
    "id",
    "name",
    "updated_at",
];
const SECRET: &str = "client_secret";
const PREVIOUS: &str = "previous_client_secret_expires_at";

fn assert_keys(value: &Value, more: &[&str]) {
    let mut found: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected: Vec<_> = SHOWN.iter().chain(more).copied().collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

/// CRC-32 as in zlib.
fn crc32(text: &str) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !text.bytes().fold(!0_u32, |crc, byte| (0..8).fold(crc ^ u32::from(byte), step))
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The token with some fields changed.
fn with(token: &Value, changes: &Value) -> Value {
    let mut token = token.clone();
    let changes = changes.as_object().unwrap().clone();
    token.as_object_mut().unwrap().extend(changes);
    token
}

fn without_secret(token: &Value) -> Value {
    let mut token = token.clone();
    token.as_object_mut().unwrap().remove(SECRET);
    token
}

fn now(server: &TestServer) -> String {
    server.now().floor_second().to_string()
}

fn assert_invalid(reply: &Reply, pointer: &str) {
    assert_eq!(reply.refusal(), (400, 12130), "{}", reply.text);
    assert_eq!(reply.pointers(), [pointer], "{}", reply.text);
}

/// Every verb on a token, in the same order always.
pub(crate) async fn every_verb(key: &Actor, path: &str) -> Vec<Reply> {
    vec![
        key.get(path).await,
        key.put(path, json!({})).await,
        key.put(path, json!({"client_secret_version": 9})).await,
        key.post(&format!("{path}/refresh"), json!({})).await,
        key.post(&format!("{path}/rotate"), json!({})).await,
        key.delete(path).await,
    ]
}

both_engines!(
    each_reply_has_the_documented_fields_and_the_secret_only_where_one_was_made,
    |server: TestServer| async move {
        let key = server.key(&server.home);
        let path = server.home.tokens_path();
        let made = key.post(&path, json!({"name": "CI/CD token"})).await.result(201);
        assert_keys(&made, &[SECRET]);
        let one = format!("{path}/{}", text(&made["id"]));
        let refresh = format!("{one}/refresh");
        assert_keys(&key.get(&one).await.result(200), &[]);
        assert_keys(&key.get(&path).await.result(200)[0], &[]);
        assert_keys(&key.put(&one, json!({"name": "n"})).await.result(200), &[]);
        assert_keys(&key.post(&refresh, json!({})).await.result(200), &[]);
        let rotated = key.post(&format!("{one}/rotate"), json!({})).await.result(200);
        assert_keys(&rotated, &[SECRET, PREVIOUS]);
        for shown in [
            key.get(&one).await.result(200),
            key.get(&path).await.result(200)[0].clone(),
            key.put(&one, json!({"enabled": true})).await.result(200),
            key.post(&refresh, json!({})).await.result(200),
        ] {
            assert_keys(&shown, &[PREVIOUS]);
        }
        let body = json!({"client_secret_version": 3});
        assert_keys(&key.put(&one, body).await.result(200), &[SECRET, PREVIOUS]);
        assert_keys(&key.delete(&one).await.result(200), &[PREVIOUS]);
    }
);

both_engines!(a_new_token_has_the_documented_form_and_defaults, |server: TestServer| async move {
    let made = server.make_service_token(&server.home, json!({"name": "CI/CD token"})).await;
    assert_eq!(
        made,
        with(
            &made,
            &json!({
                "name": "CI/CD token",
                "duration": "8760h",
                "enabled": true,
                "client_secret_version": 1,
                "created_at": "2026-06-01T12:00:00Z",
                "updated_at": "2026-06-01T12:00:00Z",
                "expires_at": "2027-06-01T12:00:01Z",
            })
        )
    );
    let (client_id, secret, id) = (text(&made["client_id"]), text(&made[SECRET]), text(&made["id"]));
    assert!(is_hex(client_id.strip_suffix(".access").unwrap(), 32), "{client_id}");
    let (body, check) = secret.strip_prefix("cfast_").unwrap().split_at(40);
    assert!(body.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{secret}");
    assert_eq!(check, format!("{:08x}", crc32(body)));
    assert!(is_hex(&id.replace('-', ""), 32) && id.len() == 36, "{id}");
    assert_eq!(crc32("EqN8f9vx3sKOSY4mwCMCbZYb02L4OvfAkacLAqTZ"), 0x63a4_35a7);
});

both_engines!(what_a_creator_says_is_echoed, |server: TestServer| async move {
    for (sent, shown) in [
        (json!({"name": " padded ", "enabled": false}), json!({})),
        (json!({"name": "n", "duration": "60m", "client_secret_version": 3}), json!({})),
        (json!({"name": "n", "client_secret_version": 0}), json!({"client_secret_version": 1})),
        (json!({"name": "n", "client_secret_version": 2.0}), json!({"client_secret_version": 2})),
        (json!({"name": "n", "client_secret_version": 2, PREVIOUS: "2024-11-15T10:30:00Z"}), json!({})),
        (
            json!({"name": "n", PREVIOUS: "2030-01-01T02:00:00.123456+02:00"}),
            json!({PREVIOUS: "2030-01-01T00:00:00.123456Z"}),
        ),
        (json!({"name": "é".repeat(350)}), json!({})),
    ] {
        let made = server.make_service_token(&server.home, sent.clone()).await;
        assert_eq!(made, with(&with(&made, &sent), &shown));
        let one = format!("{}/{}", server.home.tokens_path(), text(&made["id"]));
        let kept = server.key(&server.home).get(&one).await.result(200);
        assert_eq!(kept, without_secret(&made));
    }
    let made = server
            .make_service_token(&server.home, json!({"name": "n", PREVIOUS: null, "duration": null, "enabled": null, "client_secret_version": null}))
            .await;
    assert_keys(&made, &[SECRET]);
    let reply = server
        .key(&server.home)
        .post(&server.home.tokens_path(), json!({"name": "n", "client_secret_version": 2.0}))
        .await;
    assert!(reply.text.contains("\"client_secret_version\":2,"), "{}", reply.text);
});

both_engines!(a_name_has_rules, |server: TestServer| async move {
    let key = server.key(&server.home);
    let path = server.home.tokens_path();
    let one = server.make_service_token(&server.home, json!({"name": "n"})).await;
    let one = format!("{path}/{}", text(&one["id"]));
    for name in [
        json!(""),
        json!("  \u{a0}\u{2003}"),
        json!("a\u{0}b"),
        json!("a\nb"),
        json!("\u{7f}"),
        json!("\u{85}"),
        json!("é".repeat(351)),
        json!(5),
        json!(["n"]),
    ] {
        assert_invalid(&key.post(&path, json!({"name": name})).await, "/name");
        assert_invalid(&key.put(&one, json!({"name": name})).await, "/name");
    }
    assert_invalid(&key.post(&path, json!({})).await, "/name");
    assert_invalid(&key.post(&path, json!({"name": null})).await, "/name");
    // Not unique, and kept to the letter.
    for name in ["n", "n", "🦀 \u{202e}x", "'; DROP TABLE service_tokens; --", "\\u0000", "<b>"] {
        let made = server.make_service_token(&server.home, json!({"name": name})).await;
        assert_eq!(made["name"], name);
    }
});

both_engines!(a_duration_is_echoed_and_counted_from_the_next_second, |server: TestServer| async move {
    for (duration, expires) in [
        ("8760h", "2027-06-01T12:00:01Z"),
        ("60m", "2026-06-01T13:00:01Z"),
        ("+1h30m", "2026-06-01T13:30:01Z"),
        ("1.5h", "2026-06-01T13:30:01Z"),
        (".5s", "2026-06-01T12:00:01.5Z"),
        ("1.s", "2026-06-01T12:00:02Z"),
        ("300ms", "2026-06-01T12:00:01.3Z"),
        ("1us", "2026-06-01T12:00:01.000001Z"),
        ("1\u{b5}s", "2026-06-01T12:00:01.000001Z"),
        ("1\u{3bc}s", "2026-06-01T12:00:01.000001Z"),
        ("1ns", "2026-06-01T12:00:01.000001Z"),
        ("876000h", "2126-05-08T12:00:01Z"),
        ("forever", "2999-12-31T23:59:59Z"),
    ] {
        let body = json!({"name": "n", "duration": duration});
        let made = server.make_service_token(&server.home, body).await;
        assert_eq!((&made["duration"], &made["expires_at"]), (&json!(duration), &json!(expires)));
    }
});

both_engines!(a_duration_outside_the_rules_is_refused_with_the_rule, |server: TestServer| async move {
    let key = server.key(&server.home);
    let path = server.home.tokens_path();
    let one = server.make_service_token(&server.home, json!({"name": "n"})).await;
    let one = format!("{path}/{}", text(&one["id"]));
    for (duration, rule) in [
        (json!(""), "sequence of numbers with units"),
        (json!("1d"), "sequence of numbers with units"),
        (json!("1h-2m"), "sequence of numbers with units"),
        (json!("60"), "sequence of numbers with units"),
        (json!("Forever"), "sequence of numbers with units"),
        (json!(" 1h"), "sequence of numbers with units"),
        (json!("0"), "greater than zero"),
        (json!("0h0m"), "greater than zero"),
        (json!("0.1ns"), "greater than zero"),
        (json!("-1m"), "must not be negative"),
        (json!("876000h1ns"), "at most 876000h"),
        (json!("2562048h"), "overflows"),
        (json!("9223372036854775808ns"), "overflows"),
        (json!(3600), "must be a string"),
    ] {
        for reply in [
            key.post(&path, json!({"name": "n", "duration": duration})).await,
            key.put(&one, json!({"duration": duration})).await,
        ] {
            assert_invalid(&reply, "/duration");
            assert!(text(&reply.body["errors"][0]["message"]).contains(rule), "{}", reply.text);
        }
    }
});

both_engines!(a_refresh_extends_from_now_and_never_shortens, |server: TestServer| async move {
    let key = server.key(&server.home);
    let expiry = |token: &Value| text(&token["expires_at"]).parse::<Timestamp>().unwrap();
    let mut paths = Vec::new();
    for _ in 0..4 {
        let body = json!({"name": "n", "duration": "1h"});
        let made = server.make_service_token(&server.home, body).await;
        assert_eq!(made["expires_at"], "2026-06-01T13:00:01Z");
        paths.push(format!("{}/{}", server.home.tokens_path(), text(&made["id"])));
    }
    // A second before it expires, at that very second, a second after, and long after.
    for (one, step) in paths.iter().zip(["59m59.75s", "1s", "1s", "8760h"]) {
        let before = key.get(one).await.result(200);
        server.advance(step);
        let refreshed = key.post(&format!("{one}/refresh"), json!({})).await.result(200);
        let due = server.now().ceil_second().checked_add_micros(3_600_000_000).unwrap();
        let changes = json!({"expires_at": due, "updated_at": now(&server)});
        assert_eq!(refreshed, with(&before, &changes), "only expiry and update move");
        assert_eq!(key.get(one).await.result(200), refreshed);
    }
    let one = &paths[0];
    key.post(&format!("{one}/refresh"), json!({})).await.result(200);
    // Twice at once is once; and a clock that goes back takes nothing away.
    let before = key.get(one).await.result(200);
    assert_eq!(key.post(&format!("{one}/refresh"), json!({})).await.result(200), before);
    server.advance("-30m");
    let refreshed = key.post(&format!("{one}/refresh"), json!({})).await.result(200);
    assert_eq!(refreshed["expires_at"], before["expires_at"]);
    // As does a duration that was shortened: expiry follows the change, not the refresh.
    key.put(one, json!({"duration": "1ns"})).await.result(200);
    let refreshed = key.post(&format!("{one}/refresh"), json!({})).await.result(200);
    assert!(expiry(&refreshed) > server.now(), "an expiry that is not in the future");
});

both_engines!(
    a_disabled_token_stays_disabled_and_forever_stays_forever_when_refreshed,
    |server: TestServer| async move {
        let key = server.key(&server.home);
        for (body, extended) in [
            (json!({"name": "n", "duration": "1h", "enabled": false}), true),
            (json!({"name": "n", "duration": "forever"}), false),
            (json!({"name": "n", "duration": "forever", "enabled": false}), false),
        ] {
            let made = server.make_service_token(&server.home, body).await;
            let one = format!("{}/{}", server.home.tokens_path(), text(&made["id"]));
            server.advance("2h");
            let shown = key.post(&format!("{one}/refresh"), json!({})).await.result(200);
            let changes = json!({"expires_at": shown["expires_at"], "updated_at": now(&server)});
            assert_eq!(shown, with(&without_secret(&made), &changes));
            assert_eq!(shown["expires_at"] != made["expires_at"], extended);
        }
    }
);

both_engines!(forever_is_a_date_and_can_be_taken_back, |server: TestServer| async move {
    let key = server.key(&server.home);
    let made = server.make_service_token(&server.home, json!({"name": "n"})).await;
    let path = server.home.tokens_path();
    let one = format!("{path}/{}", text(&made["id"]));
    let forever = key.put(&one, json!({"duration": "forever"})).await.result(200);
    for shown in [forever, key.get(&one).await.result(200), key.get(&path).await.result(200)[0].clone()] {
        assert_eq!(
            (&shown["duration"], &shown["expires_at"]),
            (&json!("forever"), &json!("2999-12-31T23:59:59Z"))
        );
    }
    server.advance("1h");
    let back = key.put(&one, json!({"duration": "8760h"})).await.result(200);
    assert_eq!(back["expires_at"], "2027-06-01T13:00:01Z");
    // Past the constant's own year a token that never expires still does not.
    key.put(&one, json!({"duration": "forever"})).await.result(200);
    server.world.set("2899-12-31T00:00:00Z".parse().unwrap()).unwrap();
    server.advance("1s");
    let late = key.put(&one, json!({"duration": "876000h"})).await.result(200);
    assert_eq!(late["expires_at"], "2999-12-07T00:00:01Z");
});

both_engines!(an_update_changes_what_it_names_and_nothing_else, |server: TestServer| async move {
    let key = server.key(&server.home);
    let body =
        json!({"name": "n", "duration": "60m", "client_secret_version": 4, PREVIOUS: "2026-05-01T00:00:00Z"});
    let made = server.make_service_token(&server.home, body).await;
    let one = format!("{}/{}", server.home.tokens_path(), text(&made["id"]));
    for (sent, rebased, same) in [
        (json!({}), false, true),
        (
            json!({"unknown": 1, "client_id": "x", "id": "x", "expires_at": "2040-01-01T00:00:00Z", SECRET: "mine"}),
            false,
            true,
        ),
        (
            json!({"name": null, "duration": null, "enabled": null, "client_secret_version": null}),
            false,
            true,
        ),
        (json!({"name": "n"}), false, true),
        (json!({"name": "m"}), false, false),
        (json!({"enabled": false}), false, false),
        (json!({"enabled": true}), false, false),
        (json!({"duration": "60m"}), false, true),
        // Written otherwise, it lasts as long.
        (json!({"duration": "1h"}), false, false),
        (json!({"duration": "2h"}), true, false),
        (json!({"duration": "60m"}), true, false),
        (json!({"client_secret_version": 4}), false, true),
        (json!({PREVIOUS: "2026-05-01T00:00:00Z"}), false, true),
        (json!({PREVIOUS: "2026-05-02T00:00:00Z"}), false, false),
        (
            json!({"name": "all", "duration": "90m", "enabled": false, PREVIOUS: "2026-05-03T00:00:00.5Z"}),
            true,
            false,
        ),
    ] {
        server.advance("2s");
        let before = key.get(&one).await.result(200);
        let audited = rows::audit(&server.place, &text(&made["id"])).await.len();
        let shown = key.put(&one, sent.clone()).await.result(200);
        let mut expected = before.clone();
        if !same {
            expected = with(&before, &sent);
            expected["updated_at"] = json!(now(&server));
        }
        if rebased {
            assert_ne!(shown["expires_at"], before["expires_at"], "{sent}");
            expected["expires_at"] = shown["expires_at"].clone();
        }
        assert_eq!(shown, expected, "{sent}");
        assert_eq!(key.get(&one).await.result(200), expected, "{sent}");
        let rows = rows::audit(&server.place, &text(&made["id"])).await.len() - audited;
        assert_eq!(rows, usize::from(!same), "audit rows of {sent}");
    }
    let shown = key.get(&one).await.result(200);
    let due = server.now().ceil_second().checked_add_micros(5_400_000_000).unwrap();
    assert_eq!(shown["expires_at"], json!(due));
});

both_engines!(an_update_that_is_wrong_in_one_thing_does_nothing, |server: TestServer| async move {
    let key = server.key(&server.home);
    let made = server.make_service_token(&server.home, json!({"name": "n"})).await;
    let one = format!("{}/{}", server.home.tokens_path(), text(&made["id"]));
    let before = rows::dump(&server.place).await;
    for (sent, pointer) in [
        (json!({"name": "m", "client_secret_version": 2, "duration": "1d"}), "/duration"),
        (json!({"name": "m", "client_secret_version": 2, "enabled": 1}), "/enabled"),
        (
            json!({"name": "m", "client_secret_version": 2, PREVIOUS: "soon"}),
            "/previous_client_secret_expires_at",
        ),
        (json!({"name": "m", "client_secret_version": 2.5}), "/client_secret_version"),
    ] {
        assert_invalid(&key.put(&one, sent).await, pointer);
    }
    assert_eq!(rows::dump(&server.place).await, before);
});

both_engines!(a_deleted_token_is_shown_whole_once_and_is_gone, |server: TestServer| async move {
    let key = server.key(&server.home);
    let path = server.home.tokens_path();
    let made = server.make_service_token(&server.home, json!({"name": "n"})).await;
    let kept = server.make_service_token(&server.home, json!({"name": "kept"})).await;
    let (id, one) = (text(&made["id"]), format!("{path}/{}", text(&made["id"])));
    assert_eq!(key.delete(&one).await.result(200), without_secret(&made));
    let never = format!("{path}/f174e90a-fafe-4643-bbbc-4a0ed4fc8415");
    let (gone, never) = (every_verb(&key, &one).await, every_verb(&key, &never).await);
    for (gone, never) in gone.iter().zip(&never) {
        assert_eq!(gone.refusal(), (404, 12135));
        assert_eq!(gone.text, never.text);
        assert!(gone.text.contains("access.api.error.service_token_not_found"));
    }
    let left = key.get(&path).await;
    assert_eq!(left.body["result"], json!([without_secret(&kept)]));
    assert_eq!(rows::digests(&server.place, &id).await, rows::Digests::default());
    let actions = rows::audit(&server.place, &id).await;
    assert_eq!(actions.len(), 2);
    assert!(actions[1].starts_with("service_token.delete"), "{actions:?}");
});
