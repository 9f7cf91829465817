//! What servers really send, and what the client makes of it: a server on a script, which counts what it is asked.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends at the first surprise")]

mod pages;
mod replies;
mod requests;
mod retries;
mod stub;

use std::fmt::Debug;

use hallpass_client::id::ServiceTokenId;
use hallpass_client::{Builder, Client, Credentials, Error, ServiceTokens};
use serde_json::{Value, json};
use stub::{Step, Stub};

pub(crate) const SECRET: &str = "canaryEuVaiph4quae9ia7Vei0ohsh3Aelai1ke9ie";
pub(crate) const ACCOUNT: &str = "023e105f4ecef8ad9ca31a8372d0c353";
pub(crate) const TOKEN: &str = "f174e90a-fafe-4643-bbbc-4a0ed4fc8415";

pub(crate) fn builder(stub: &Stub) -> Builder {
    Client::builder(&stub.base_url).credentials(Credentials::api_token(SECRET))
}

pub(crate) fn tokens_with(builder: Builder) -> ServiceTokens {
    builder.build().unwrap().account(ACCOUNT.parse().unwrap()).service_tokens()
}

pub(crate) fn tokens(stub: &Stub) -> ServiceTokens {
    tokens_with(builder(stub))
}

pub(crate) fn id() -> ServiceTokenId {
    TOKEN.parse().unwrap()
}

/// A token as the original shows it, without what only newer servers say.
pub(crate) fn token(name: &str) -> Value {
    json!({
        "id": TOKEN, "name": name, "client_id": "88bf3b6d86161464f6509f7219099e57.access", "duration": "8760h",
        "created_at": "2025-09-25T22:26:26Z", "updated_at": "2025-09-25T22:26:26Z",
        "expires_at": "2026-09-25T22:26:26Z", "last_seen_at": null, "something_new": {"a": [1]},
    })
}

pub(crate) fn good() -> Step {
    Step::json(200, &json!({"success": true, "errors": [], "messages": [], "result": token("good")}))
}

pub(crate) fn refused(status: u16) -> Step {
    Step::json(status, &json!({"success": false, "errors": [{"code": 10001, "message": "not now"}]}))
        .with("retry-after", "0")
}

pub(crate) fn failed<T: Debug>(result: Result<T, Error>) -> Error {
    let error = result.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    assert!(!error.to_string().contains(char::is_control), "{error}");
    error
}
