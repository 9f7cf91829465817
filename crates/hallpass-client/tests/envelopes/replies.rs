//! Every form that a reply can have, good and bad.

use hallpass_client::id::ApiTokenId;
use hallpass_client::{CreateServiceToken, ErrorKind, ListServiceTokens};
use serde_json::json;

use crate::stub::{Step, Stub};
use crate::{ACCOUNT, builder, failed, good, id, token, tokens, tokens_with};

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
