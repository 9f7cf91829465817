//! What is tried again, and what is not.

use std::time::Duration;

use hallpass_client::{
    CreateServiceToken, Error, ErrorKind, RotateServiceToken, ServiceTokens, UpdateServiceToken,
};

use crate::stub::{Step, Stub};
use crate::{ACCOUNT, builder, failed, good, id, refused, tokens, tokens_with};

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
