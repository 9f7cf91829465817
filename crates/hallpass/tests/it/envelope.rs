//! Requests that find no handler, or whose body is no JSON, are answered in the envelope with the right code, and change nothing.
//! A reply never repeats a body, and never carries both an error and a result.

use std::collections::BTreeSet;

use hallpass::api::{BASE, routes};
use serde_json::json;

use crate::harness::{Realm, TestServer, both_engines, text};
use crate::raw::{chunked, send, send_as};
use crate::rows;

const MIB: usize = 1 << 20;
pub(crate) const SERVICE_TOKEN: &str = "f174e90a-fafe-4643-bbbc-4a0ed4fc8415";
pub(crate) const API_TOKEN: &str = "ed17574386854bf78a67040be0a770b0";

pub(crate) fn fill(path: &str, realm: &Realm) -> String {
    path.replace("{account_id}", &realm.account.to_string())
        .replace("{zone_id}", &realm.zone.to_string())
        .replace("{service_token_id}", SERVICE_TOKEN)
        .replace("{token_id}", API_TOKEN)
        .replace("{app_id}", SERVICE_TOKEN)
        .replace("{policy_id}", SERVICE_TOKEN)
        .replace("{group_id}", SERVICE_TOKEN)
}

both_engines!(an_unknown_route_is_7003_with_7000, |server: TestServer| async move {
    let home = server.home.clone();
    let id = text(&server.make_service_token(&home, json!({"name": "n"})).await["id"]);
    let (key, before) = (server.key(&home), rows::dump(&server.place).await);
    let (account, zone) = (home.account_path(), home.zone_path());
    let long = format!("{BASE}/{}", "a".repeat(6_000));
    for path in [
        "/".to_owned(),
        "/client/v4".to_owned(),
        "/client/v4/".to_owned(),
        "/client/v4/nothing".to_owned(),
        "/client/v5/accounts".to_owned(),
        "/dev/clock".to_owned(),
        "/dev/reset".to_owned(),
        "/dev/faults".to_owned(),
        "//client/v4/accounts".to_owned(),
        format!("{BASE}//accounts"),
        format!("{BASE}{account}/access"),
        format!("{BASE}{account}/access/service_tokens/"),
        format!("{BASE}{account}/access/service_tokens//"),
        format!("{BASE}{account}/access/service_tokens/{id}/"),
        format!("{BASE}{account}/access/service_tokens/{id}/refresh/now"),
        format!("{BASE}{account}/access/service_tokens/{id}/%ff"),
        format!("{BASE}{zone}//access/service_tokens/{id}"),
        format!("{BASE}{account}/access//service_tokens/{id}"),
        format!("{BASE}//accounts/{API_TOKEN}/tokens"),
        long,
    ] {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            for reply in [
                send(server.address, method, &path, &[], b""),
                send_as(&key, server.address, method, &path, &[], b"{}"),
            ] {
                assert_eq!(reply.refusal(), (404, vec![7003, 7000]), "{method} {path}");
                assert!(reply.text.len() < 1_000, "a long path comes back whole");
            }
        }
    }
    assert_eq!(rows::dump(&server.place).await, before);
});

both_engines!(a_method_that_a_route_does_not_know_is_10405, |server: TestServer| async move {
    let home = server.home.clone();
    let (key, before) = (server.key(&home), rows::dump(&server.place).await);
    let routes = routes();
    let paths: BTreeSet<_> = routes.iter().map(|route| route.path.clone()).collect();
    for path in paths {
        let known =
            |method: &str| routes.iter().any(|route| route.path == path && route.method.as_str() == method);
        let target = fill(&path, &home);
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
            if known(method) {
                continue;
            }
            for reply in [
                send(server.address, method, &target, &[], b""),
                send_as(&key, server.address, method, &target, &[], b"{}"),
            ] {
                assert_eq!(reply.refusal(), (405, vec![10405]), "{method} {path}");
            }
        }
        let head = send_as(&key, server.address, "HEAD", &target, &[], b"");
        assert_eq!(head.status == 405, !known("GET"), "HEAD {path}: {}", head.status);
    }
    assert_eq!(rows::dump(&server.place).await, before);
});

both_engines!(head_says_what_get_would_without_saying_it, |server: TestServer| async move {
    let home = server.home.clone();
    let key = server.key(&home);
    for path in [
        format!("{BASE}{}", home.tokens_path()),
        format!("{BASE}{}/{SERVICE_TOKEN}", home.tokens_path()),
        format!("{BASE}/user"),
        "/healthz".to_owned(),
        "/nothing".to_owned(),
    ] {
        let get = send_as(&key, server.address, "GET", &path, &[], b"");
        let head = send_as(&key, server.address, "HEAD", &path, &[], b"");
        assert_eq!((head.status, head.text.as_str()), (get.status, ""), "{path}");
        assert_eq!(head.header("content-type"), Some("application/json"));
        assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
        assert_eq!(head.header("x-request-id").map(str::len), Some(32));
    }
});

/// Every route of the API's own that reads a body.
pub(crate) fn with_bodies(realm: &Realm) -> Vec<(String, String)> {
    let routes = routes().into_iter();
    routes
        .filter(|route| route.method != "GET" && route.method != "DELETE")
        .map(|route| (route.method.to_string(), fill(&route.path, realm)))
        .collect()
}

both_engines!(a_body_of_more_than_a_mebibyte_is_413, |server: TestServer| async move {
    let home = server.home.clone();
    let key = server.key(&home);
    let of_size = |size: usize| {
        let mut body = br#"{"name":"padded""#.to_vec();
        body.resize(size - 1, b' ');
        body.push(b'}');
        body
    };
    let before = rows::dump(&server.place).await;
    for (method, path) in with_bodies(&home) {
        let large = of_size(MIB + 1);
        let reply = send_as(&key, server.address, &method, &path, &[], &large);
        assert_eq!(reply.refusal(), (413, vec![12130]), "{method} {path}");
        let larger = chunked(&of_size(3 * MIB));
        let transfer = [("transfer-encoding", "chunked")];
        let reply = send_as(&key, server.address, &method, &path, &transfer, &larger);
        assert_eq!(reply.refusal(), (413, vec![12130]), "{method} {path}");
        // Whoever may not call is told that first.
        let reply = send(server.address, &method, &path, &[], &large);
        assert_eq!(reply.refusal(), (400, vec![9106]), "{method} {path}");
    }
    assert_eq!(rows::dump(&server.place).await, before);
    let path = format!("{BASE}{}", home.tokens_path());
    let transfer = [("transfer-encoding", "chunked")];
    let exact = of_size(MIB);
    for reply in [
        send_as(&key, server.address, "POST", &path, &[], &exact),
        send_as(&key, server.address, "POST", &path, &transfer, &chunked(&exact)),
    ] {
        assert_eq!(reply.status, 201, "{}", reply.text);
    }
});

both_engines!(a_body_that_is_no_json_is_refused_and_never_repeated, |server: TestServer| async move {
    let home = server.home.clone();
    let key = server.key(&home);
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    let nested = format!("{}canary{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    let bodies: &[&[u8]] = &[
        b"{",
        b"canary",
        b"{\"canary\":1,}",
        b"{'canary':1}",
        b"{\"name\":\"canary\"} canary",
        b"{\"name\":\"canary\xff\"}",
        b"\xff\xfecanary",
        b"{\"name\":\"canary\\ud800\"}",
        b"{\"name\":\"canary\",\"name\":\"canary\"}",
        b"{\"name\":\"canary\",\"policies\":[{\"id\":1,\"id\":1}]}",
        b"{\"name\":\"canary\x01\"}",
        b"name=canary&duration=8760h",
        b"--canary\r\ncontent-disposition: form-data; name=\"name\"\r\n\r\ncanary\r\n--canary--",
        b"\x00",
        open.as_bytes(),
        &[open.as_bytes(), close.as_bytes()].concat(),
        &[b"{\"name\":\"n\",\"x\":", open.as_bytes(), close.as_bytes(), b"}"].concat(),
        nested.as_bytes(),
    ];
    let before = rows::dump(&server.place).await;
    for (method, path) in with_bodies(&home) {
        for body in bodies {
            let reply = send_as(&key, server.address, &method, &path, &[], body);
            let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
            assert_eq!(reply.refusal(), (400, vec![12130]), "{method} {path} {shown}");
            assert!(!reply.text.contains("canary"), "{}", reply.text);
            assert_eq!(reply.body()["errors"][0]["source"]["pointer"], "", "{shown}");
        }
    }
    assert_eq!(rows::dump(&server.place).await, before);
});
