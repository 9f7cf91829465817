//! What an assertion says of the token that passed (compatibility, D28). Signing it is somebody else's business.

use serde::Serialize;

use crate::app::{App, LONGEST_SESSION};
use crate::decision::Permit;
use crate::time::Timestamp;

/// The lifetime where the application wants none, in seconds: the request still has to reach the service.
const SHORTEST: u32 = 60;

/// The claims of an assertion. There is no `nbf`, no `email` and no identity in them, and `sub` is empty: machines have none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// `app`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The application's audience tag; always a list.
    aud: [String; 1],
    /// When the assertion ends, in seconds since 1970.
    exp: i64,
    /// `https://` and the organization's auth domain.
    iss: String,
    /// The token's client ID.
    common_name: String,
    /// When it was made, in seconds since 1970.
    iat: i64,
    /// Nothing.
    sub: &'static str,
}

impl Claims {
    /// For a request that may pass. The issuer is the whole of `iss`. The lifetime is the application's, at most a day; one of
    /// zero becomes a minute, because nobody could accept an assertion that is born dead.
    pub fn new(permit: &Permit, app: &App, issuer: &str, now: Timestamp) -> Self {
        let lifetime = match app.session_seconds {
            0 => SHORTEST,
            seconds => seconds.min(LONGEST_SESSION),
        };
        let iat = now.floor_second().as_micros() / 1_000_000;
        Self {
            kind: "app",
            aud: [app.aud.as_str().to_owned()],
            exp: iat.saturating_add(i64::from(lifetime)),
            iss: issuer.to_owned(),
            common_name: permit.client_id().as_str().to_owned(),
            iat,
            sub: "",
        }
    }

    /// When the assertion was made, in seconds since 1970.
    pub fn issued_at(&self) -> i64 {
        self.iat
    }

    /// When the assertion ends, in seconds since 1970.
    pub fn expires_at(&self) -> i64 {
        self.exp
    }
}
