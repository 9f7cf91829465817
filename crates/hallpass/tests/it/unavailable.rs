//! A store that cannot be written to: somebody else holds its lock for longer than anybody waits. The reply says that it is our
//! fault and nothing of the cause, marks what must not be sent again, and nothing is written. Reading goes on.

use std::net::SocketAddr;

use serde_json::json;

use crate::harness::{Actor, DNS_READ, Engine, TestServer, allow, both_engines, text};
use crate::inspect::Database;
use crate::raw::send;
use crate::rows;

async fn send_all(
    key: &Actor,
    requests: &[(&str, String, &str, bool)],
) -> Vec<(Option<String>, u16, String)> {
    let mut sent = tokio::task::JoinSet::new();
    for (n, (method, path, body, _)) in requests.iter().enumerate() {
        let (key, method, path, body) = (key.clone(), (*method).to_owned(), path.clone(), (*body).to_owned());
        sent.spawn(async move {
            let reply = key.send(&method, &path, Some(body.into_bytes())).await;
            let mark = reply.headers.get("x-should-retry");
            let mark = mark.map(|mark| mark.to_str().unwrap().to_owned());
            (n, (mark, reply.status, reply.text))
        });
    }
    let mut replies = sent.join_all().await;
    replies.sort();
    replies.into_iter().map(|(_, reply)| reply).collect()
}

both_engines!(a_write_that_fails_is_marked_for_retries_and_writes_nothing, |server: TestServer| async move {
    let home = server.home.clone();
    let key = server.key(&home);
    let made = server.make_service_token(&home, json!({"name": "n"})).await;
    let one = format!("{}/{}", home.tokens_path(), text(&made["id"]));
    let (api, _) = server.make_account_token(&home, &[DNS_READ], json!({})).await;
    let api_tokens = format!("{}/tokens", home.account_path());
    let policies = json!({"name": "t", "policies": [allow(&[DNS_READ], home.resources())]}).to_string();
    let requests = [
        ("POST", home.tokens_path(), r#"{"name":"n"}"#, false),
        ("POST", format!("{one}/rotate"), "{}", false),
        ("PUT", one.clone(), r#"{"client_secret_version":2}"#, false),
        ("PUT", one.clone(), r#"{"name":"m"}"#, true),
        ("POST", format!("{one}/refresh"), "", true),
        ("DELETE", one.clone(), "", true),
        ("POST", api_tokens.clone(), &policies, false),
        ("PUT", format!("{api_tokens}/{api}"), &policies, true),
        ("PUT", format!("{api_tokens}/{api}/value"), "{}", false),
        ("DELETE", format!("{api_tokens}/{api}"), "", true),
    ];
    let before = rows::dump(&server.place).await;
    let mut other = Database::open(&server.place.location).await;
    match server.engine {
        Engine::Sqlite => other.execute("BEGIN IMMEDIATE").await,
        Engine::Postgres => {
            other.execute("BEGIN").await;
            other.execute("SELECT n FROM revision FOR UPDATE").await;
        }
    }
    let replies = send_all(&key, &requests).await;
    for ((method, path, body, repeatable), (mark, status, text)) in requests.iter().zip(replies) {
        assert_eq!(status, 503, "{method} {path}: {text}");
        assert_eq!(mark.as_deref(), if *repeatable { None } else { Some("false") }, "{method} {path} {body}");
        let expected = r#"{"success":false,"errors":[{"code":10001,"message":"The store is unavailable, and nothing was changed: please try again","documentation_url":"docs/errors.md#10001"}],"messages":[],"result":null}"#;
        assert_eq!(text, expected, "{method} {path}");
    }
    assert_eq!(key.get(&one).await.result(200)["client_secret_version"], 1);
    assert_eq!(ready(server.address), 200, "it can be read");
    other.execute("ROLLBACK").await;
    assert_eq!(rows::dump(&server.place).await, before);
    // And then it goes on as if nothing had been.
    let rotated = key.post(&format!("{one}/rotate"), json!({})).await.result(200);
    assert_eq!(rotated["client_secret_version"], 2);
});

fn ready(address: SocketAddr) -> u16 {
    send(address, "GET", "/readyz", &[], b"").status
}
