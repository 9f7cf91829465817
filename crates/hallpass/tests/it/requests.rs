//! Requests that are odd, but well-formed HTTP and JSON: empty bodies, content types, wide objects, malformed identifiers, strange
//! queries. And what all replies have in common: request ids, anchors, one error for each thing that is wrong.

use std::collections::BTreeSet;

use hallpass::api::{BASE, routes};
use hallpass_core::wire::codes::{Code, NO_ROUTE_FOR_URI, documentation_url};
use serde_json::{Value, json};

use crate::envelope::{API_TOKEN, SERVICE_TOKEN, fill, with_bodies};
use crate::harness::{DNS_READ, TestServer, allow, both_engines, text};
use crate::raw::{self, send, send_as};
use crate::rows;

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

both_engines!(what_must_be_an_object_is_nothing_else, |server: TestServer| async move {
    let home = server.home.clone();
    let key = server.key(&home);
    let id = text(&server.make_service_token(&home, json!({"name": "n"})).await["id"]);
    let before = rows::dump(&server.place).await;
    for (method, path) in with_bodies(&home) {
        // What is sent there counts for nothing.
        if ["/refresh", "/value", "/keys/rotate", "/revoke_tokens", "/make_reusable"]
            .iter()
            .any(|end| path.ends_with(end))
        {
            continue;
        }
        let path = path.replace(SERVICE_TOKEN, &id);
        for body in ["[]", "[{}]", "1", "\"name\"", "true", "false"] {
            let reply = send_as(&key, server.address, &method, &path, &[], body.as_bytes());
            assert_eq!(reply.refusal(), (400, vec![12130]), "{method} {path} {body}");
            assert_eq!(reply.body()["errors"][0]["source"]["pointer"], "", "{body}");
        }
    }
    assert_eq!(rows::dump(&server.place).await, before);
});

both_engines!(an_empty_body_announced_as_json_is_no_malformed_one, |server: TestServer| async move {
    let home = server.home.clone();
    let key = server.key(&home);
    let id = text(&server.make_service_token(&home, json!({"name": "n"})).await["id"]);
    let (api, _) = server.make_account_token(&home, &[DNS_READ], json!({})).await;
    let tokens = format!("{BASE}{}", home.tokens_path());
    let one = format!("{tokens}/{id}");
    let account = format!("{BASE}{}", home.account_path());
    let announced = [("content-type", "application/json"), ("content-length", "0")];
    for body in ["", " ", "\r\n", "null"] {
        for (method, path) in [
            ("POST", format!("{one}/refresh")),
            ("POST", format!("{one}/rotate")),
            ("PUT", one.clone()),
            ("PUT", format!("{account}/tokens/{api}/value")),
            ("GET", one.clone()),
            ("GET", tokens.clone()),
            ("GET", format!("{BASE}/user")),
        ] {
            let headers = if body.is_empty() { &announced[..] } else { JSON };
            let reply = send_as(&key, server.address, method, &path, headers, body.as_bytes());
            assert_eq!(reply.status, 200, "{method} {path} {body:?}: {}", reply.text);
        }
        // What must be named is missing, nothing else is wrong.
        let reply = send_as(&key, server.address, "POST", &tokens, JSON, body.as_bytes());
        assert_eq!(reply.refusal(), (400, vec![12130]));
        assert_eq!(reply.body()["errors"][0]["source"]["pointer"], "/name");
    }
    for (method, path) in [("DELETE", one), ("DELETE", format!("{account}/tokens/{api}"))] {
        let reply = send_as(&key, server.address, method, &path, &announced, b"");
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    }
});

both_engines!(a_body_is_json_whatever_its_content_type_says, |server: TestServer| async move {
    let home = server.home.clone();
    let key = server.key(&home);
    let path = format!("{BASE}{}", home.tokens_path());
    for kind in [
        None,
        Some("application/x-www-form-urlencoded"),
        Some("application/json"),
        Some("application/json; charset=utf-8"),
        Some("text/plain"),
        Some("multipart/form-data; boundary=b"),
        Some("image/png"),
        Some(""),
        Some("garbage"),
    ] {
        let headers: Vec<_> = kind.iter().map(|kind| ("content-type", *kind)).collect();
        let body = br#"{"name":"by any name"}"#;
        let reply = send_as(&key, server.address, "POST", &path, &headers, body);
        assert_eq!(reply.status, 201, "{kind:?}: {}", reply.text);
        assert_eq!(reply.body()["result"]["name"], "by any name");
    }
});

both_engines!(unknown_fields_are_no_error_even_a_hundred_thousand_of_them, |server: TestServer| async move {
    let home = server.home.clone();
    let key = server.key(&home);
    let path = format!("{BASE}{}", home.tokens_path());
    let wide: Vec<_> = (0..100_000).map(|n| format!("\"{n:x}\":0")).collect();
    let body = format!(r#"{{"name":"wide",{}}}"#, wide.join(","));
    assert!(body.len() < 1 << 20);
    let reply = send_as(&key, server.address, "POST", &path, &[], body.as_bytes());
    assert_eq!(reply.status, 201, "{}", reply.text);
    assert!(reply.text.len() < 1_000, "unknown fields come back");
    let list = format!(r#"{{"name":"long","x":[{}0]}}"#, "0,".repeat(400_000));
    let reply = send_as(&key, server.address, "POST", &path, &[], list.as_bytes());
    assert_eq!(reply.status, 201, "{}", reply.text);
    // A hundred thousand things that are wrong.
    let policies = format!(r#"{{"name":"n","policies":[{}0]}}"#, "0,".repeat(100_000));
    let tokens = format!("{BASE}{}/tokens", home.account_path());
    let reply = send_as(&key, server.address, "POST", &tokens, &[], policies.as_bytes());
    assert_eq!(reply.status, 400);
    assert!(reply.text.len() < 1 << 20, "{} bytes come back", reply.text.len());
});

both_engines!(a_malformed_identifier_is_7003_alone, |server: TestServer| async move {
    let home = server.home.clone();
    let (key, token) = (server.key(&home), server.account_token(&home, &[DNS_READ]).await);
    let before = rows::dump(&server.place).await;
    for route in routes() {
        for name in ["account_id", "zone_id", "service_token_id", "token_id"] {
            let gap = format!("{{{name}}}");
            if !route.path.contains(&gap) {
                continue;
            }
            let good = if name == "service_token_id" { SERVICE_TOKEN } else { API_TOKEN };
            for bad in [
                "",
                &good[1..],
                &format!("{good}0"),
                &good.to_uppercase(),
                &format!("g{}", &good[1..]),
                &"a".repeat(4_000),
                "1",
                "-",
                ".",
                "..",
                "%2e%2e",
                "%00",
                "%20",
                "%ff%fe",
                "%c3%28",
                "*",
                "%27%20OR%20%271%27=%271",
                if name == "service_token_id" { API_TOKEN } else { SERVICE_TOKEN },
            ] {
                if bad.is_empty() && route.path.ends_with(&gap) {
                    // Then it is another route, or none.
                    continue;
                }
                let path = fill(&route.path.replace(&gap, bad), &home);
                let caller = if route.path.ends_with("/verify") { &token } else { &key };
                let reply = send_as(caller, server.address, route.method.as_str(), &path, &[], b"{}");
                assert_eq!(reply.refusal(), (400, vec![7003]), "{} {path}", route.method);
                assert!(reply.text.len() < 1_000, "a long path comes back whole");
            }
        }
    }
    assert_eq!(rows::dump(&server.place).await, before);
});

both_engines!(
    a_parameter_that_makes_no_sense_is_named_and_an_unknown_one_ignored,
    |server: TestServer| async move {
        let home = server.home.clone();
        let key = server.key(&home);
        let tokens = format!("{}/tokens", home.account_path());
        for list in [
            home.tokens_path(),
            format!("{}/access/service_tokens", home.zone_path()),
            tokens.clone(),
            format!("{tokens}/permission_groups"),
            "/user/tokens".to_owned(),
            "/accounts".to_owned(),
            "/zones".to_owned(),
            "/memberships".to_owned(),
        ] {
            for (query, pointer) in [
                ("page=x", "/page"),
                ("page=-1", "/page"),
                ("page=1.5", "/page"),
                ("page=18446744073709551616", "/page"),
                ("per_page=ten", "/per_page"),
                ("page=1&page=2", "/page"),
                ("per_page=1&per_page=1", "/per_page"),
            ] {
                let reply = key.get(&format!("{list}?{query}")).await;
                assert_eq!(reply.refusal(), (400, 12130), "{list} {query}");
                assert_eq!(reply.pointers(), [pointer], "{list} {query}");
            }
            for query in [
                "",
                "page=&per_page=",
                "page=0&per_page=0",
                "order=name&nothing=%ff&x",
                "a=1&a=2",
                "%zz=%zz",
                "page=1&per_page=18446744073709551615",
            ] {
                let reply = key.get(&format!("{list}?{query}")).await;
                assert_eq!(reply.status, 200, "{list} {query}: {}", reply.text);
                let info = &reply.body["result_info"];
                assert_eq!((&info["page"], &info["per_page"]), (&json!(1), &json!(1000)), "{list} {query}");
            }
        }
        for (query, pointer) in [("direction=up", "/direction"), ("include_expired=yes", "/include_expired")]
        {
            let reply = key.get(&format!("{tokens}?{query}")).await;
            assert_eq!((reply.refusal(), reply.pointers()), ((400, 12130), vec![pointer.to_owned()]));
        }
    }
);

both_engines!(all_that_is_wrong_with_a_body_is_told_at_once, |server: TestServer| async move {
    let home = server.home.clone();
    let key = server.key(&home);
    let id = text(&server.make_service_token(&home, json!({"name": "n"})).await["id"]);
    let before = rows::dump(&server.place).await;
    let canary = "canary-7f3a";
    let body = json!({
        "name": format!("{canary}\u{7}"),
        "duration": canary,
        "enabled": canary,
        "client_secret_version": canary,
        "previous_client_secret_expires_at": canary,
        canary: canary,
    });
    let all =
        ["/name", "/duration", "/enabled", "/client_secret_version", "/previous_client_secret_expires_at"];
    let one = format!("{}/{id}", home.tokens_path());
    let zone = format!("{}/access/service_tokens", home.zone_path());
    for reply in [
        key.post(&home.tokens_path(), body.clone()).await,
        key.post(&zone, body.clone()).await,
        key.put(&one, body.clone()).await,
    ] {
        assert_eq!(reply.refusal(), (400, 12130));
        assert_eq!(reply.pointers(), all);
        assert!(!reply.text.contains(canary), "{}", reply.text);
        for error in reply.body["errors"].as_array().unwrap() {
            assert!(text(&error["message"]).starts_with("access.api.error.invalid_request: "));
        }
    }
    let reply = key.post(&format!("{one}/rotate"), body).await;
    assert_eq!(reply.pointers(), ["/previous_client_secret_expires_at"]);
    assert!(!reply.text.contains(canary), "{}", reply.text);
    let body = json!({
        "name": "", "status": canary, "not_before": canary, "expires_on": 5, "condition": {canary: {}},
        "policies": [
            {"effect": canary, "permission_groups": [{"id": canary}, {}], "resources": {}},
            canary,
            {"effect": "allow", "permission_groups": [], "resources": []},
            {},
        ],
    });
    let reply = key.post(&format!("{}/tokens", home.account_path()), body).await;
    assert_eq!(reply.refusal(), (400, 12130));
    let pointers: BTreeSet<_> = reply.pointers().into_iter().collect();
    for expected in [
        "/name",
        "/status",
        "/not_before",
        "/expires_on",
        "/policies/0/effect",
        "/policies/0/permission_groups/0/id",
        "/policies/0/permission_groups/1/id",
        "/policies/0/resources",
        "/policies/1",
        "/policies/2/permission_groups",
        "/policies/2/resources",
        "/policies/3/effect",
        "/policies/3/permission_groups",
        "/policies/3/resources",
    ] {
        assert!(pointers.contains(expected), "{expected}: {}", reply.text);
    }
    assert_eq!(rows::dump(&server.place).await, before);
});

both_engines!(
    every_reply_has_a_request_id_of_its_own_and_errors_point_into_the_documentation,
    |server: TestServer| async move {
        let home = server.home.clone();
        let key = server.key(&home);
        let numbers = Code::ALL.iter().map(|code| code.number()).chain([NO_ROUTE_FOR_URI]);
        let known: BTreeSet<_> = numbers.map(documentation_url).collect();
        let own = [("x-request-id", "00000000000000000000000000000000")];
        let tokens = format!("{BASE}{}", home.tokens_path());
        let mut ids = BTreeSet::new();
        for _ in 0..2 {
            for reply in [
                send(server.address, "GET", "/healthz", &own, b""),
                send(server.address, "GET", "/nothing", &own, b""),
                send(server.address, "BREW", "/healthz", &own, b""),
                send(server.address, "GET", &tokens, &own, b""),
                send_as(&key, server.address, "GET", &tokens, &own, b""),
                send_as(&key, server.address, "POST", &tokens, &own, b"{"),
                send_as(&key, server.address, "POST", &tokens, &own, b"{\"name\":\"n\"}"),
                send_as(&key, server.address, "GET", &format!("{tokens}/{SERVICE_TOKEN}"), &own, b""),
                send_as(&key, server.address, "GET", &format!("{tokens}/x"), &own, b""),
                send_as(&key, server.address, "GET", &format!("{BASE}/accounts/{API_TOKEN}"), &own, b""),
            ] {
                let id = reply.header("x-request-id").unwrap().to_owned();
                assert!(id.bytes().all(|digit| digit.is_ascii_hexdigit()) && id != own[0].1);
                assert!(ids.insert(id), "a request id comes twice");
                assert_eq!(reply.header("cache-control"), Some("no-store"));
                for error in reply.body()["errors"].as_array().unwrap() {
                    assert!(known.contains(&text(&error["documentation_url"])), "{error}");
                    assert!(!text(&error["message"]).is_empty());
                }
            }
        }
    }
);

both_engines!(no_reply_carries_both_an_error_and_a_secret, |server: TestServer| async move {
    let home = server.home.clone();
    let key = server.key(&home);
    let made = server.make_service_token(&home, json!({"name": "n"})).await;
    let one = format!("{}/{}", home.tokens_path(), text(&made["id"]));
    let (api, value) = server.make_account_token(&home, &[DNS_READ], json!({})).await;
    let account = home.account_path();
    for reply in [
        key.put(&one, json!({"client_secret_version": 2, "duration": "1d"})).await,
        key.put(&one, json!({"client_secret_version": 2, "name": ""})).await,
        key.put(&one, json!({"client_secret_version": 2_147_483_648_u64})).await,
        key.post(&format!("{one}/rotate"), json!({"previous_client_secret_expires_at": "soon"})).await,
        key.post(&home.tokens_path(), json!({"name": "n", "duration": "0"})).await,
        key.post(&format!("{account}/tokens"), json!({"name": "n"})).await,
        key.put(&format!("{account}/tokens/{api}"), json!({"policies": [allow(&[DNS_READ], json!({}))]}))
            .await,
        server.bearer(&format!("{value}x")).get("/accounts").await,
    ] {
        assert!(reply.status >= 400 && reply.body["result"] == Value::Null, "{}", reply.text);
        for mark in ["client_secret\"", "cfast_", "cfat_", "cfut_", "\"value\""] {
            assert!(!reply.text.contains(mark), "{}", reply.text);
        }
        assert!(raw::is_compact(&reply.text));
    }
    let shown = key.get(&one).await.result(200);
    assert_eq!(shown["client_secret_version"], 1);
});

both_engines!(a_bearer_counts_before_a_key_and_an_empty_one_not_at_all, |server: TestServer| async move {
    let home = server.home.clone();
    let (_, value) = server.make_account_token(&home, &[DNS_READ], json!({})).await;
    let (key, path) = (server.key(&home), format!("{BASE}{}", home.tokens_path()));
    for (authorization, status) in [
        // The token may not see service tokens, the key may.
        (format!("Bearer {value}"), 403),
        (format!("bEARER    {value}"), 403),
        ("Bearer nobodys".to_owned(), 403),
        ("Bearer".to_owned(), 200),
        ("Bearer ".to_owned(), 200),
        ("bearer".to_owned(), 200),
        ("Basic".to_owned(), 400),
        (String::new(), 400),
    ] {
        let headers = [("authorization", authorization.as_str())];
        let reply = send_as(&key, server.address, "GET", &path, &headers, b"");
        assert_eq!(reply.status, status, "{authorization:?}: {}", reply.text);
    }
    // A key beside a good token is not even looked at.
    let headers = [
        ("authorization", format!("Bearer {value}")),
        ("x-auth-email", "nobody@example.com".to_owned()),
        ("x-auth-key", "wrong".to_owned()),
    ];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let reply = send(server.address, "GET", &format!("{BASE}/accounts"), &headers, b"");
    assert_eq!(reply.status, 200, "{}", reply.text);
});
