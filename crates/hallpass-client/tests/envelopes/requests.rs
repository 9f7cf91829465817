//! What is sent, to whom, and what is never shown.

use hallpass_client::id::AccountId;
use hallpass_client::{
    BuildError, Client, CreateServiceToken, Credentials, Patch, RotateServiceToken, UpdateServiceToken,
};

use crate::stub::Stub;
use crate::{ACCOUNT, SECRET, TOKEN, good, id, tokens_with};

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

#[tokio::test]
async fn localhost_is_this_machine() {
    let mut stub = Stub::start([good()]).await;
    stub.base_url = stub.base_url.replace("127.0.0.1", "localhost");
    let tokens = crate::tokens(&stub);
    // On a task of its own: calls can travel between threads.
    tokio::spawn(async move { tokens.get(id()).await }).await.unwrap().unwrap();
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
        let shown = format!("{credentials:?} {builder:?} {client:?} {tokens:?}");
        assert!(!shown.contains("canary"), "{shown}");
    }
}
