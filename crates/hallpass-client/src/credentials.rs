//! Who calls.

use std::fmt;

use hallpass_core::secret::ClientSecret;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

/// What a caller shows. Its `Debug` says nothing.
#[derive(Clone)]
pub enum Credentials {
    /// An API token, a user's or an account's.
    ApiToken(ClientSecret),
    /// A user's e-mail address and global key.
    Key {
        /// The e-mail address.
        email: String,
        /// The key.
        key: ClientSecret,
    },
}

impl Credentials {
    /// An API token.
    pub fn api_token(token: impl Into<String>) -> Self {
        Self::ApiToken(ClientSecret::presented(&token.into()))
    }

    /// A user's e-mail address and global key.
    pub fn key(email: impl Into<String>, key: impl Into<String>) -> Self {
        Self::Key { email: email.into(), key: ClientSecret::presented(&key.into()) }
    }

    /// The headers that carry them; `None` where a text cannot stand in a header, or is empty.
    pub(crate) fn headers(&self) -> Option<HeaderMap> {
        let mut headers = HeaderMap::new();
        let mut add = |name: HeaderName, scheme: &str, text: &str| {
            let usable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
            let mut value = HeaderValue::from_str(&format!("{scheme}{text}")).ok().filter(|_| usable)?;
            value.set_sensitive(true);
            headers.insert(name, value);
            Some(())
        };
        match self {
            Self::ApiToken(token) => add(AUTHORIZATION, "Bearer ", token.reveal())?,
            Self::Key { email, key } => {
                add(HeaderName::from_static("x-auth-email"), "", email)?;
                add(HeaderName::from_static("x-auth-key"), "", key.reveal())?;
            }
        }
        Some(headers)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(redacted)")
    }
}
