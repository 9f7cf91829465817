//! What servers really send, and what the client makes of it: a server on a script, which counts what it is asked.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

mod stub;

use std::fmt::Debug;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use hallpass_client::id::{AccountId, ApiTokenId, ServiceTokenId};
use hallpass_client::{
    BuildError, Builder, Client, CreateServiceToken, Credentials, Error, ErrorKind, ListServiceTokens,
    Paging, Patch, RotateServiceToken, ServiceTokens, UpdateServiceToken,
};
use serde_json::{Value, json};
use stub::{Step, Stub};

const SECRET: &str = "canaryEuVaiph4quae9ia7Vei0ohsh3Aelai1ke9ie";
const ACCOUNT: &str = "023e105f4ecef8ad9ca31a8372d0c353";
const TOKEN: &str = "f174e90a-fafe-4643-bbbc-4a0ed4fc8415";

fn builder(stub: &Stub) -> Builder {
    Client::builder(&stub.base_url).credentials(Credentials::api_token(SECRET))
}

fn tokens_with(builder: Builder) -> ServiceTokens {
    builder.build().unwrap().account(ACCOUNT.parse().unwrap()).service_tokens()
}

fn tokens(stub: &Stub) -> ServiceTokens {
    tokens_with(builder(stub))
}

fn id() -> ServiceTokenId {
    TOKEN.parse().unwrap()
}

/// A token as the original shows it, without what only newer servers say.
fn token(name: &str) -> Value {
    json!({
        "id": TOKEN, "name": name, "client_id": "88bf3b6d86161464f6509f7219099e57.access", "duration": "8760h",
        "created_at": "2025-09-25T22:26:26Z", "updated_at": "2025-09-25T22:26:26Z",
        "expires_at": "2026-09-25T22:26:26Z", "last_seen_at": null, "something_new": {"a": [1]},
    })
}

fn good() -> Step {
    Step::json(200, &json!({"success": true, "errors": [], "messages": [], "result": token("good")}))
}

fn refused(status: u16) -> Step {
    Step::json(status, &json!({"success": false, "errors": [{"code": 10001, "message": "not now"}]}))
        .with("retry-after", "0")
}

fn failed<T: Debug>(result: Result<T, Error>) -> Error {
    let error = result.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    assert!(!error.to_string().contains(char::is_control), "{error}");
    error
}

// === replies that succeed ===

#[tokio::test]
async fn what_a_server_does_not_say_has_a_meaning() {
    let envelopes = [
        json!({"success": true, "errors": [], "messages": [], "result": token("n")}),
        json!({"success": true, "errors": null, "messages": null, "result": token("n"), "result_info": null}),
        json!({"success": true, "messages": ["a text"], "result": token("n")}),
        json!({"success": true, "messages": [{"code": 1, "message": "m", "type": null}], "result": token("n")}),
        json!({"success": true, "result": token("n"), "result_info": {"page": null, "count": "many"}}),
        json!({"result": token("n")}),
    ];
    for envelope in envelopes {
        let stub = Stub::start([Step::json(200, &envelope)]).await;
        let token = tokens(&stub).get(id()).await.unwrap();
        assert_eq!(
            (token.name.as_str(), token.enabled, token.client_secret_version),
            ("n", true, 1),
            "{envelope}"
        );
        assert_eq!((token.last_seen_at, token.client_secret), (None, None));
    }
}

#[tokio::test]
async fn an_empty_reply_is_enough_where_nothing_is_expected() {
    let api_token: ApiTokenId = ACCOUNT.parse().unwrap();
    for step in [Step::raw(204, "", ""), Step::raw(200, "", ""), Step::json(200, &json!({"result": null}))] {
        let stub = Stub::start([step.clone(), step.clone()]).await;
        let client = builder(&stub).build().unwrap();
        client.user().api_tokens().delete(api_token).await.unwrap();
        let error = failed(tokens(&stub).get(id()).await);
        assert_eq!(error.kind(), ErrorKind::Protocol);
    }
}

#[tokio::test]
async fn where_a_page_stands_is_read_as_far_as_it_is_said() {
    let infos = [
        (json!(null), [None, None, None]),
        (json!({}), [None, None, None]),
        (json!({"page": 1, "per_page": 25, "total_count": 7}), [Some(1), Some(7), None]),
        (
            json!({"page": "1", "total_count": null, "total_pages": 2.0, "cursors": {}}),
            [Some(1), None, Some(2)],
        ),
        (json!("none"), [None, None, None]),
    ];
    for (info, expected) in infos {
        let envelope = json!({"success": true, "result": [token("a")], "result_info": info});
        let stub = Stub::start([Step::json(200, &envelope)]).await;
        let page = tokens(&stub).list(&ListServiceTokens::default()).await.unwrap();
        let said = page.result_info;
        assert_eq!([said.page, said.total_count, said.total_pages], expected, "{info}");
        assert_eq!(page.items.len(), 1);
    }
    let stub = Stub::start([Step::json(200, &json!({"success": true, "result": null}))]).await;
    assert_eq!(tokens(&stub).list(&ListServiceTokens::default()).await.unwrap().items, []);
}

// === replies that refuse ===

#[tokio::test]
async fn errors_are_understood_in_every_form() {
    let full = json!({"code": 12130, "message": "duration is too long", "documentation_url": "d",
        "source": {"pointer": "/duration"}, "error_chain": [{"code": 6111, "message": "because"}]});
    let forms = [
        (
            json!({"success": false, "errors": [{"code": 12130, "message": "m"}], "messages": [], "result": null}),
            "m",
        ),
        (json!({"success": false, "errors": [full]}), "/duration: duration is too long: because (6111)"),
        (json!({"errors": [{"code": "12130", "message": "m", "source": null, "error_chain": null}]}), "m"),
        (
            json!({"success": false, "errors": [{"code": 12130, "message": "m\n\u{1b}[2J"}], "result": {}}),
            "m  [2J",
        ),
        (json!({"errors": {"code": 12130, "message": "m"}}), "m"),
    ];
    for (body, expected) in forms {
        let stub = Stub::start([Step::json(400, &body).with("x-request-id", "r1")]).await;
        let error = failed(tokens(&stub).get(id()).await);
        assert_eq!(error.errors()[0].code, 12130, "{body}");
        assert_eq!((error.kind(), error.status()), (ErrorKind::InvalidRequest, Some(400)));
        assert_eq!(error.request_id(), Some("r1"));
        let line = format!("invalid request: {expected} (HTTP 400, code 12130, request r1)");
        assert_eq!(error.to_string(), line);
    }
    let stub = Stub::start([Step::json(400, &json!({"errors": ["only a text", 5]}))]).await;
    let error = failed(tokens(&stub).get(id()).await);
    assert_eq!(error.to_string(), "invalid request: only a text (HTTP 400)");
}

#[tokio::test]
async fn the_kind_follows_from_status_and_code() {
    use ErrorKind::{
        Conflict, Forbidden, InvalidRequest, NotFound, Protocol, RateLimited, Server, Timeout,
        Unauthenticated,
    };
    let cases = [
        (400, 9106, Unauthenticated),
        (400, 6003, Unauthenticated),
        (401, 1000, Unauthenticated),
        (403, 9109, Unauthenticated),
        (403, 9103, Unauthenticated),
        (403, 10000, Forbidden),
        (400, 7003, InvalidRequest),
        (405, 10405, InvalidRequest),
        (413, 12130, InvalidRequest),
        (404, 12135, NotFound),
        (400, 12139, Conflict),
        (409, 12132, Conflict),
        (429, 971, RateLimited),
        (400, 971, RateLimited),
        (408, 0, Timeout),
        (503, 10001, Server),
        (200, 1, Protocol),
        (200, 10000, Forbidden),
    ];
    for (status, code, kind) in cases {
        let body = json!({"success": false, "errors": [{"code": code, "message": "m"}]});
        let stub = Stub::start([Step::json(status, &body)]).await;
        let error = failed(tokens_with(builder(&stub).max_retries(0)).get(id()).await);
        assert_eq!((error.kind(), error.status()), (kind, Some(status)), "{status} {code}");
    }
}

#[tokio::test]
async fn a_page_of_a_proxy_is_judged_by_its_status() {
    let page = "<html><body>502 Bad Gateway canary</body></html>";
    let stub = Stub::start([Step::raw(502, "text/html", page)]).await;
    let error = failed(tokens_with(builder(&stub).max_retries(0)).get(id()).await);
    assert_eq!((error.kind(), error.errors().len()), (ErrorKind::Server, 0));
    assert_eq!(error.to_string(), "the server failed: the reply does not say why (HTTP 502)");

    let stub = Stub::start([Step::raw(200, "text/html", page)]).await;
    let error = failed(tokens(&stub).get(id()).await);
    assert_eq!(error.to_string(), "not a reply of this API: the body is no JSON object (HTTP 200)");
}

#[tokio::test]
async fn what_does_not_fit_is_named_and_not_shown() {
    let mut strange = token("n");
    strange["expires_at"] = json!("canary");
    strange["client_secret"] = json!("canary");
    let stub = Stub::start([Step::json(201, &json!({"success": true, "result": strange}))]).await;
    let error = failed(tokens(&stub).create(&CreateServiceToken::named("n")).await);
    let line = "not a reply of this API: result.expires_at is not as expected (HTTP 201)";
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Protocol, line));
    assert_eq!(stub.requests().len(), 1, "it was made: it is not made again");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    for status in [301, 302, 307, 308] {
        let elsewhere = Stub::start([good()]).await;
        let stub = Stub::start([Step::raw(status, "", "").with("location", &elsewhere.base_url)]).await;
        let error = failed(tokens(&stub).get(id()).await);
        assert_eq!((error.kind(), error.status()), (ErrorKind::Protocol, Some(status)));
        assert_eq!((stub.requests().len(), elsewhere.requests().len()), (1, 0));
    }
}

#[tokio::test]
async fn a_reply_without_end_is_not_read_to_its_end() {
    let stub = Stub::start([Step::Endless]).await;
    let error = failed(tokens(&stub).get(id()).await);
    assert_eq!(error.to_string(), "not a reply of this API: the reply is longer than 16 MiB (HTTP 200)");
    assert_eq!(stub.requests().len(), 1);
}

// === trying again ===

#[tokio::test]
async fn what_is_safe_is_tried_again_and_says_so() {
    for status in [408, 429, 500, 502, 503, 504] {
        let stub = Stub::start([refused(status), refused(status), good()]).await;
        tokens(&stub).refresh(id()).await.unwrap();
        let counts: Vec<_> =
            stub.requests().iter().map(|request| request.header("x-stainless-retry-count")).collect();
        assert_eq!(counts, [None, Some("1".to_owned()), Some("2".to_owned())], "{status}");
    }
    for call in ["get", "update", "delete"] {
        let stub = Stub::start([refused(503), good()]).await;
        let (tokens, change) =
            (tokens(&stub), UpdateServiceToken { enabled: Some(false), ..Default::default() });
        match call {
            "get" => tokens.get(id()).await.unwrap(),
            "update" => tokens.update(id(), &change).await.unwrap(),
            _ => tokens.delete(id()).await.unwrap(),
        };
        assert_eq!(stub.requests().len(), 2, "{call}");
    }
}

#[tokio::test]
async fn there_is_an_end_to_trying() {
    for (retries, requests) in [(0, 1), (1, 2), (4, 5)] {
        let stub = Stub::start(vec![refused(503); 9]).await;
        let error = failed(tokens_with(builder(&stub).max_retries(retries)).get(id()).await);
        assert_eq!((error.kind(), stub.requests().len()), (ErrorKind::Server, requests));
    }
    for status in [400, 401, 403, 404, 409, 501] {
        let stub = Stub::start([refused(status), good()]).await;
        failed(tokens(&stub).get(id()).await);
        assert_eq!(stub.requests().len(), 1, "{status} will be the same next time");
    }
}

/// Everything of which a second one would cost something.
async fn costly(tokens: &ServiceTokens, call: usize) -> Result<(), Error> {
    let rotating = UpdateServiceToken { client_secret_version: Some(2), ..Default::default() };
    match call {
        0 => tokens.create(&CreateServiceToken::named("n")).await.map(drop),
        1 => tokens.rotate(id(), &RotateServiceToken::default()).await.map(drop),
        _ => tokens.update(id(), &rotating).await.map(drop),
    }
}

#[tokio::test]
async fn what_could_cost_a_secret_is_not_tried_again() {
    for call in 0..3 {
        for step in [refused(500), refused(503), refused(504), refused(408), Step::HangUp, Step::CutShort] {
            let stub = Stub::start([step.clone(), good()]).await;
            failed(costly(&tokens(&stub), call).await);
            assert_eq!(stub.requests().len(), 1, "{call} {step:?}");
        }
    }
    let stub = Stub::start([Step::HangUp, good()]).await;
    let api_tokens = builder(&stub).build().unwrap().user().api_tokens();
    failed(api_tokens.roll(ACCOUNT.parse().unwrap()).await);
    assert_eq!(stub.requests().len(), 1);
}

#[tokio::test]
async fn a_request_that_was_turned_away_is_the_first_of_its_kind() {
    for call in 0..3 {
        let stub = Stub::start([refused(429), good()]).await;
        costly(&tokens(&stub), call).await.unwrap();
        let requests = stub.requests();
        assert_eq!((requests.len(), requests[1].header("x-stainless-retry-count")), (2, None));
        assert_eq!(requests[0].body, requests[1].body);
    }
}

#[tokio::test]
async fn the_server_has_the_last_word_on_trying_again() {
    let stub = Stub::start([refused(503).with("x-should-retry", "false"), good()]).await;
    failed(tokens(&stub).get(id()).await);
    assert_eq!(stub.requests().len(), 1);

    let stub = Stub::start([refused(500).with("x-should-retry", "true"), good()]).await;
    tokens(&stub).rotate(id(), &RotateServiceToken::default()).await.unwrap();
    let count = stub.requests()[1].header("x-stainless-retry-count");
    assert_eq!(count.as_deref(), Some("1"), "the server can tell that it may have rotated already");
}

#[tokio::test]
async fn a_connection_that_breaks_is_opened_again_for_what_is_safe() {
    let stub = Stub::start([Step::HangUp, Step::CutShort, good()]).await;
    tokens(&stub).get(id()).await.unwrap();
    assert_eq!(stub.requests().len(), 3);

    let stub = Stub::start([Step::HangUp]).await;
    let error = failed(tokens_with(builder(&stub).max_retries(0)).get(id()).await);
    assert_eq!((error.kind(), error.status()), (ErrorKind::Connection, None));
}

#[tokio::test]
async fn who_is_not_there_was_not_asked() {
    let nobody = Stub::absent().await;
    let error =
        failed(tokens_with(builder(&nobody).max_retries(1)).create(&CreateServiceToken::named("n")).await);
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_not_waited_for() {
    let stub = Stub::start([Step::Silence]).await;
    let patient = builder(&stub).max_retries(0).timeout(Duration::from_millis(50));
    let error = failed(tokens_with(patient).get(id()).await);
    assert_eq!((error.kind(), error.status()), (ErrorKind::Timeout, None));
}

#[tokio::test]
async fn the_pause_that_a_server_asks_for_is_told_and_kept_within_reason() {
    let stub = Stub::start([refused(429).with("retry-after", "300"), good()]).await;
    let error = failed(tokens(&stub).get(id()).await);
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::RateLimited, Some(Duration::from_mins(5))));
    assert_eq!(stub.requests().len(), 1, "nobody waits for five minutes without knowing");

    let (sent, until) = ("Sun, 22 Nov 2026 01:00:00 GMT", "Sun, 22 Nov 2026 01:02:00 GMT");
    let stub = Stub::start([refused(429).with("retry-after", until).with("date", sent)]).await;
    assert_eq!(failed(tokens(&stub).get(id()).await).retry_after(), Some(Duration::from_mins(2)));
}

// === pages ===

fn page(names: &[&str], info: &Value) -> Step {
    let items: Vec<_> = names.iter().map(|name| token(name)).collect();
    Step::json(200, &json!({"success": true, "errors": [], "result": items, "result_info": info}))
}

/// What comes out of a list of these pages, and which pages were asked for.
async fn listed(steps: Vec<Step>) -> (Vec<String>, Vec<String>) {
    let stub = Stub::start(steps).await;
    let list = ListServiceTokens { name: Some("a&b".to_owned()), ..Default::default() };
    let all: Vec<_> = tokens(&stub).all(&list).try_collect().await.unwrap();
    let asked = stub
        .requests()
        .into_iter()
        .map(|request| request.target.split_once("name=a%26b&").unwrap().1.to_owned());
    (all.into_iter().map(|token| token.name).collect(), asked.collect())
}

#[tokio::test]
async fn a_list_ends_where_the_server_says_so() {
    let info =
        |page: u64| json!({"page": page, "per_page": 2, "count": 2, "total_count": 3, "total_pages": 2});
    let (names, asked) =
        listed(vec![page(&["a", "b"], &info(1)), page(&["c"], &info(2)), page(&["d"], &info(3))]).await;
    assert_eq!((names.join(""), asked), ("abc".to_owned(), vec!["page=1".to_owned(), "page=2".to_owned()]));
}

#[tokio::test]
async fn a_list_without_totals_ends_with_an_empty_page() {
    let (names, asked) =
        listed(vec![page(&["a"], &json!({})), page(&["b"], &json!(null)), page(&[], &json!({}))]).await;
    assert_eq!((names.join(""), asked.len()), ("ab".to_owned(), 3));
}

#[tokio::test]
async fn a_list_that_claims_more_than_it_has_ends() {
    let info = |page: u64| json!({"page": page, "per_page": 1, "total_count": 5000, "total_pages": 5000});
    let (names, asked) =
        listed(vec![page(&["a"], &info(1)), page(&[], &info(2)), page(&["b"], &info(3))]).await;
    assert_eq!((names.join(""), asked.len()), ("a".to_owned(), 2));

    // A server that knows no pages sends the first one for ever.
    let (names, asked) = listed(vec![page(&["a", "b"], &info(1)); 50]).await;
    assert_eq!((names.join(""), asked.len()), ("ab".to_owned(), 2));
}

#[tokio::test]
async fn totals_that_are_too_low_hide_nothing() {
    let info = |page: u64| json!({"page": page, "total_count": 1, "total_pages": 9});
    let (names, _) = listed(vec![page(&["a"], &info(1)), page(&["b"], &info(2)), page(&[], &info(3))]).await;
    assert_eq!(names.join(""), "ab");
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_list_is_told() {
    let stub = Stub::start([page(&["a"], &json!({})), refused(403)]).await;
    let mut all = tokens(&stub).all(&ListServiceTokens::default());
    assert_eq!(all.try_next().await.unwrap().unwrap().name, "a");
    assert_eq!(failed(all.try_next().await).kind(), ErrorKind::Forbidden);
    assert!(all.try_next().await.unwrap().is_none(), "and then the list is over");
}

// === what is sent ===

#[tokio::test]
async fn only_what_was_said_is_sent() {
    let stub = Stub::start(vec![good(); 6]).await;
    let tokens = tokens_with(
        Client::builder(&format!("{}/", stub.base_url)).credentials(Credentials::key("a@b.c", SECRET)),
    );
    tokens
        .create(&CreateServiceToken { duration: Some("1h".into()), ..CreateServiceToken::named("n") })
        .await
        .unwrap();
    tokens.update(id(), &UpdateServiceToken::default()).await.unwrap();
    let clear = UpdateServiceToken { previous_client_secret_expires_at: Patch::Clear, ..Default::default() };
    tokens.update(id(), &clear).await.unwrap();
    let until = "2027-01-01T00:00:00Z".parse().unwrap();
    let set = UpdateServiceToken { previous_client_secret_expires_at: Patch::Set(until), ..clear };
    tokens.update(id(), &set).await.unwrap();
    tokens.rotate(id(), &RotateServiceToken::default()).await.unwrap();
    tokens.refresh(id()).await.unwrap();

    let requests = stub.requests();
    let bodies: Vec<_> = requests.iter().map(|request| request.body.as_str()).collect();
    let expected = [
        r#"{"name":"n","duration":"1h"}"#,
        "{}",
        r#"{"previous_client_secret_expires_at":null}"#,
        r#"{"previous_client_secret_expires_at":"2027-01-01T00:00:00Z"}"#,
        "{}",
        "",
    ];
    assert_eq!(bodies, expected);
    let path = format!("/client/v4/accounts/{ACCOUNT}/access/service_tokens");
    assert_eq!((requests[0].method.as_str(), &requests[0].target), ("POST", &path));
    assert_eq!((requests[1].method.as_str(), &requests[1].target), ("PUT", &format!("{path}/{TOKEN}")));
    assert_eq!(requests[5].target, format!("{path}/{TOKEN}/refresh"));
    assert_eq!(requests[0].header("x-auth-email").unwrap(), "a@b.c");
    assert_eq!(requests[0].header("x-auth-key").unwrap(), SECRET);
    assert_eq!(requests[0].header("authorization"), None);
    assert!(requests[0].header("user-agent").unwrap().starts_with("hallpass-client/"));
}

#[test]
fn credentials_do_not_travel_in_the_clear() {
    let build = |url: &str| Client::builder(url).credentials(Credentials::api_token(SECRET)).build();
    for url in [
        "http://example.com/client/v4",
        "http://10.0.0.1/",
        "http://localhost.example.com/",
        "http://[::2]:1/",
    ] {
        assert!(matches!(build(url), Err(BuildError::PlainHttp)), "{url}");
        let forced =
            Client::builder(url).credentials(Credentials::api_token(SECRET)).allow_plain_http().build();
        forced.unwrap();
    }
    for url in [
        "http://127.0.0.1:8484/client/v4",
        "http://127.9.9.9/",
        "http://[::1]:1/",
        "http://LOCALHOST:1/",
        "https://example.com",
    ] {
        build(url).unwrap();
    }
    for url in [
        "",
        "nonsense",
        "ftp://127.0.0.1/",
        "https://u:canary@h/",
        "https://canary@h/",
        "https://h/?a",
        "https://h/#a",
    ] {
        let error = build(url).unwrap_err();
        assert!(matches!(error, BuildError::BaseUrl(_)), "{url}");
        assert!(!error.to_string().contains("canary"));
    }
}

#[test]
fn credentials_are_shown_to_nobody() {
    for bad in ["", "a b", "canary\n", "canäry"] {
        let build = |credentials| Client::builder("https://example.com").credentials(credentials).build();
        for credentials in
            [Credentials::api_token(bad), Credentials::key("a@b.c", bad), Credentials::key(bad, "k")]
        {
            let error = build(credentials).unwrap_err();
            assert!(matches!(error, BuildError::Credentials), "{bad:?}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }
    assert!(matches!(Client::builder("https://example.com").build(), Err(BuildError::NoCredentials)));
    let account: AccountId = ACCOUNT.parse().unwrap();
    for credentials in [Credentials::api_token(SECRET), Credentials::key("a@b.c", SECRET)] {
        let builder = Client::builder("https://example.com").credentials(credentials.clone());
        let client = builder.clone().build().unwrap();
        let tokens = client.account(account).service_tokens();
        let shown = format!("{credentials:?} {builder:?} {client:?} {tokens:?} {:?}", Paging::default());
        assert!(!shown.contains("canary"), "{shown}");
    }
}
