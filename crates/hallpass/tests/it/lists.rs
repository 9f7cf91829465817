//! Lists of service tokens: order, pages, the filters `name` and `search` alike on both engines, and which path shows which tokens.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::harness::{Reply, TestServer, both_engines, text};

/// Percent-encodes all of a text.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        write!(all, "%{byte:02X}").unwrap();
        all
    })
}

fn names(reply: Reply) -> Vec<String> {
    let mut names: Vec<_> = elements(reply).iter().map(|token| text(&token["name"])).collect();
    names.sort();
    names
}

fn elements(reply: Reply) -> Vec<Value> {
    reply.result(200).as_array().unwrap().clone()
}

both_engines!(the_newest_come_first_and_those_of_one_moment_by_id, |server: TestServer| async move {
    let mut made = Vec::new();
    for moment in 0..3 {
        let mut together = Vec::new();
        for _ in 0..4 {
            let name = format!("{moment}");
            let token = server.make_service_token(&server.home, json!({"name": name})).await;
            together.push(text(&token["id"]));
        }
        together.sort();
        made.insert(0, together);
        server.advance("1ms");
    }
    let key = server.key(&server.home);
    let path = server.home.tokens_path();
    let expected = made.concat();
    let ids =
        |reply: Reply| -> Vec<String> { elements(reply).iter().map(|token| text(&token["id"])).collect() };
    assert_eq!(ids(key.get(&path).await), expected);
    // A change does not move a token in the list.
    let last = format!("{path}/{}", expected[11]);
    key.post(&format!("{last}/rotate"), json!({})).await.result(200);
    let mut paged = Vec::new();
    for page in 1.. {
        let reply = key.get(&format!("{path}?page={page}&per_page=5")).await;
        let info = reply.body["result_info"].clone();
        let on_page = ids(reply);
        assert_eq!(
            info,
            json!({"page": page, "per_page": 5, "count": on_page.len(), "total_count": 12, "total_pages": 3})
        );
        if on_page.is_empty() {
            assert_eq!(page, 4);
            break;
        }
        paged.extend(on_page);
    }
    assert_eq!(paged, expected);
});

both_engines!(
    pages_count_from_one_end_empty_and_never_hold_more_than_a_thousand,
    |server: TestServer| async move {
        let key = server.key(&server.home);
        let path = server.home.tokens_path();
        let info = |reply: &Reply| reply.body["result_info"].clone();
        let reply = key.get(&path).await;
        assert_eq!(
            info(&reply),
            json!({"page": 1, "per_page": 1000, "count": 0, "total_count": 0, "total_pages": 0})
        );
        assert_eq!(reply.result(200), json!([]));
        // Some clients look at the first page only.
        for n in 0..60 {
            let body = json!({"name": format!("token {n}")});
            server.make_service_token(&server.home, body).await;
        }
        let whole = elements(key.get(&path).await);
        assert_eq!(whole.len(), 60);
        for (query, page, per_page, from, to) in [
            ("page=1", 1, 1000, 0, 60),
            ("page=0", 1, 1000, 0, 60),
            ("per_page=0&page=0", 1, 1000, 0, 60),
            ("per_page=1001", 1, 1000, 0, 60),
            ("per_page=25", 1, 25, 0, 25),
            ("per_page=25&page=3", 3, 25, 50, 60),
            ("per_page=60&page=2", 2, 60, 60, 60),
            ("page=2", 2, 1000, 60, 60),
            ("page=9223372036854775807&per_page=2", i64::MAX, 2, 60, 60),
            ("per_page=1&page=60", 60, 1, 59, 60),
        ] {
            let reply = key.get(&format!("{path}?{query}")).await;
            let expected = json!({
                "page": page, "per_page": per_page, "count": to - from, "total_count": 60,
                "total_pages": 60_i64.div_euclid(per_page) + i64::from(60 % per_page != 0),
            });
            assert_eq!(info(&reply), expected, "{query}");
            assert_eq!(elements(reply), whole[from..to], "{query}");
        }
        let reply = key.get(&format!("{path}?page=18446744073709551615")).await;
        assert_eq!(reply.result(200), json!([]));
    }
);

both_engines!(a_name_is_found_by_all_of_it_and_nothing_less, |server: TestServer| async move {
    let key = server.key(&server.home);
    let path = server.home.tokens_path();
    for name in ["deploy", "Deploy", "deploy ", "deploy-eu", "100%", "100x", "a_b", "axb", "é", "e\u{301}"] {
        server.make_service_token(&server.home, json!({"name": name})).await;
    }
    server.make_service_token(&server.home, json!({"name": "deploy"})).await;
    for (name, count) in [
        ("deploy", 2),
        ("Deploy", 1),
        ("deploy ", 1),
        ("depl", 0),
        ("100%", 1),
        ("%", 0),
        ("a_b", 1),
        ("_", 0),
        ("é", 1),
        ("e\u{301}", 1),
        ("É", 0),
        ("\u{0}", 0),
        ("deploy\u{0}", 0),
        ("' OR '1'='1", 0),
    ] {
        let reply = key.get(&format!("{path}?name={}", encoded(name))).await;
        assert_eq!(reply.body["result_info"]["total_count"], count, "{name:?}");
        assert_eq!(names(reply), vec![name; count], "{name:?}");
    }
    assert_eq!(names(key.get(&format!("{path}?name=")).await).len(), 11);
    let long = "a".repeat(5_000);
    assert!(names(key.get(&format!("{path}?name={long}")).await).is_empty());
});

both_engines!(a_search_finds_parts_in_any_case_and_knows_no_wildcards, |server: TestServer| async move {
    let key = server.key(&server.home);
    let path = server.home.tokens_path();
    let all = [
        "Alpha 100%",
        "alpha_beta",
        "alphaXbeta",
        "back\\slash",
        "back\\\\slash",
        "Éclair",
        "STRASSE",
        "Straße",
        "ΣΊΣΥΦΟΣ",
        "İstanbul",
        "quo'te",
        "K\u{212a}elvin",
        "[a-z]*?",
    ];
    for name in all {
        server.make_service_token(&server.home, json!({"name": name})).await;
    }
    for (search, found) in [
        ("ALPHA", &["Alpha 100%", "alphaXbeta", "alpha_beta"][..]),
        ("a b", &[]),
        ("%", &["Alpha 100%"]),
        ("0%", &["Alpha 100%"]),
        ("_", &["alpha_beta"]),
        ("A_B", &["alpha_beta"]),
        ("\\", &["back\\\\slash", "back\\slash"]),
        ("\\\\", &["back\\\\slash"]),
        ("k\\s", &["back\\slash"]),
        ("\\%", &[]),
        ("éc", &["Éclair"]),
        ("ÉC", &["Éclair"]),
        ("ecl", &[]),
        ("rass", &["STRASSE"]),
        ("ß", &["Straße"]),
        ("ẞ", &["Straße"]),
        ("σίσυφοσ", &["ΣΊΣΥΦΟΣ"]),
        ("Φ", &["ΣΊΣΥΦΟΣ"]),
        ("istanbul", &[]),
        ("İst", &["İstanbul"]),
        ("stanbul", &["İstanbul"]),
        ("kkelvin", &["K\u{212a}elvin"]),
        ("'", &["quo'te"]),
        ("[a-z]", &["[a-z]*?"]),
        ("*", &["[a-z]*?"]),
        ("?", &["[a-z]*?"]),
        ("\u{0}", &[]),
        ("alpha\u{0}", &[]),
        (".access", &all),
    ] {
        let reply = key.get(&format!("{path}?search={}", encoded(search))).await;
        assert_eq!(reply.body["result_info"]["total_count"], found.len(), "{search:?}");
        let mut found: Vec<_> = found.to_vec();
        found.sort_unstable();
        assert_eq!(names(reply), found, "{search:?}");
    }
    for long in ["a".repeat(5_000), "%".repeat(3_000), "_".repeat(4_000)] {
        let reply = key.get(&format!("{path}?search={}", encoded(&long))).await;
        assert_eq!(names(reply), Vec::<String>::new());
    }
    assert_eq!(names(key.get(&format!("{path}?search=")).await).len(), all.len());
    let both = format!("{path}?name=alpha_beta&search=BETA");
    assert_eq!(names(key.get(&both).await), ["alpha_beta"]);
    let neither = format!("{path}?name=alpha_beta&search=gamma");
    assert!(names(key.get(&neither).await).is_empty());
});

both_engines!(a_search_finds_parts_of_identifiers, |server: TestServer| async move {
    let key = server.key(&server.home);
    let path = server.home.tokens_path();
    let made = server.make_service_token(&server.home, json!({"name": "n"})).await;
    server.make_service_token(&server.home, json!({"name": "other"})).await;
    let (id, client_id) = (text(&made["id"]), text(&made["client_id"]));
    for search in [
        id.clone(),
        id[4..30].to_owned(),
        id.to_uppercase(),
        client_id.clone(),
        client_id[..20].to_uppercase(),
    ] {
        let reply = key.get(&format!("{path}?search={search}")).await;
        assert_eq!(names(reply), ["n"], "{search}");
    }
    // Never by the secret, or a part of it.
    let secret = text(&made["client_secret"]);
    for search in [&secret[..], &secret[6..16], "cfast_"] {
        assert!(names(key.get(&format!("{path}?search={search}")).await).is_empty());
    }
});

both_engines!(an_account_shows_all_of_its_tokens_and_a_zone_its_own, |server: TestServer| async move {
    let (home, abroad) = (server.home.clone(), server.abroad.clone());
    let key = server.key(&home);
    let (account, zone) = (home.tokens_path(), format!("{}/access/service_tokens", home.zone_path()));
    server.make_service_token(&home, json!({"name": "of the account"})).await;
    server.make_service_token(&abroad, json!({"name": "abroad"})).await;
    let made = key.post(&zone, json!({"name": "of the zone"})).await.result(201);
    assert_eq!(names(key.get(&account).await), ["of the account", "of the zone"]);
    assert_eq!(names(key.get(&zone).await), ["of the zone"]);
    assert_eq!(names(server.key(&abroad).get(&abroad.tokens_path()).await), ["abroad"]);
    for filter in ["name=of%20the%20account", "search=account", "search=abroad", "name=abroad"] {
        assert!(names(key.get(&format!("{zone}?{filter}")).await).is_empty(), "{filter}");
    }
    assert!(names(key.get(&format!("{account}?search=abroad")).await).is_empty());
    // The same token, by whichever path; refresh and rotation are on both.
    let id = text(&made["id"]);
    let (by_account, by_zone) = (format!("{account}/{id}"), format!("{zone}/{id}"));
    server.advance("1h");
    let refreshed = key.post(&format!("{by_zone}/refresh"), json!({})).await.result(200);
    assert_eq!(key.get(&by_account).await.result(200), refreshed);
    assert_eq!(refreshed["expires_at"], "2027-06-01T13:00:01Z");
    let rotated = key.post(&format!("{by_zone}/rotate"), json!({})).await.result(200);
    assert_eq!(rotated["client_secret_version"], 2);
    let renamed = key.put(&by_account, json!({"name": "renamed"})).await.result(200);
    assert_eq!(key.get(&by_zone).await.result(200), renamed);
    key.delete(&by_zone).await.result(200);
    assert_eq!(key.get(&by_account).await.refusal(), (404, 12135));
});
