//! Organizations: what holds for all applications of an account. Each account has exactly one.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::id::AccountId;
use crate::time::Timestamp;

/// An account's organization.
#[derive(Debug, Clone, PartialEq)]
pub struct Organization {
    /// Whose it is.
    pub account_id: AccountId,
    /// The host name that issues assertions: `iss` is `https://` and this (compatibility, D28).
    pub auth_domain: String,
    /// What people call it.
    pub name: String,
    /// What happens to service tokens that nobody uses.
    pub inactivity: Option<Inactivity>,
    /// The fields as they were sent, all but those that the server makes. Replies echo them.
    pub body: Map<String, Value>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// The ending of the host names that accounts issue by until they name another. `.internal` belongs to nobody on the Internet, and
/// no account can take the name of another.
const RESERVED: &str = "hallpass.internal";

impl Organization {
    /// The organization that an account begins with.
    pub fn new(account_id: AccountId, name: &str, made: Timestamp) -> Self {
        let auth_domain = format!("{account_id}.{RESERVED}");
        let body = [("auth_domain", json!(auth_domain)), ("name", json!(name))];
        Self {
            account_id,
            auth_domain,
            name: name.to_owned(),
            inactivity: None,
            body: body.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            created_at: made,
            updated_at: made,
        }
    }
}

/// A host name that may issue the assertions of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthDomain(String);

/// Why a text is no such name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAuthDomain {
    /// It is no host name.
    #[error("auth_domain must be a host name in lower case, without scheme, port and path")]
    NoHostName,
    /// It belongs to another account, or to none.
    #[error("auth_domain cannot be a name under hallpass.internal but the account's own")]
    Reserved,
}

impl AuthDomain {
    /// Reads a name for this account.
    pub fn parse(text: &str, account: AccountId) -> Result<Self, InvalidAuthDomain> {
        if !is_host_name(text) {
            return Err(InvalidAuthDomain::NoHostName);
        }
        let rest = text.strip_suffix(RESERVED).filter(|rest| rest.is_empty() || rest.ends_with('.'));
        if rest.is_some_and(|rest| *rest != *format!("{account}.")) {
            return Err(InvalidAuthDomain::Reserved);
        }
        Ok(Self(text.to_owned()))
    }
}

impl From<AuthDomain> for String {
    fn from(domain: AuthDomain) -> Self {
        domain.0
    }
}

impl fmt::Display for AuthDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Labels of letters, digits and hyphens; the last one is no number, or it would be an address.
fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(known)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or(text);
    text.len() <= 253 && text.split('.').all(label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// What happens to service tokens that were not used for so long, and to which no policy or group refers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inactivity {
    /// After how many days.
    pub days: u32,
    /// What then.
    pub action: InactivityAction,
}

/// What is done with an unused service token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InactivityAction {
    /// It is disabled: `disable`.
    Disable,
    /// It is deleted: `delete`.
    Delete,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "023e105f4ecef8ad9ca31a8372d0c353";

    fn parse(text: &str) -> Result<String, InvalidAuthDomain> {
        AuthDomain::parse(text, ACCOUNT.parse().unwrap()).map(String::from)
    }

    #[test]
    fn an_auth_domain_is_a_host_name() {
        for name in ["test.cloudflareaccess.com", "a", "a-b.c1", "xn--bcher-kva.example", "4.example"] {
            assert_eq!(parse(name), Ok(name.to_owned()));
        }
        let long = "a".repeat(64);
        let endless = ["abcdefghi"; 26].join(".");
        for text in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "-a",
            "a-",
            "A.example",
            "a b",
            "a_b",
            "https://a",
            "a/b",
            "a:443",
            "192.0.2.1",
            "[::1]",
            "é.example",
            "*.example",
            "a\n",
            &long,
            &endless,
        ] {
            assert_eq!(parse(text), Err(InvalidAuthDomain::NoHostName), "{text}");
        }
    }

    #[test]
    fn an_account_can_have_its_own_reserved_name_and_no_other() {
        let own = format!("{ACCOUNT}.hallpass.internal");
        assert_eq!(parse(&own), Ok(own.clone()));
        assert_eq!(Organization::new(ACCOUNT.parse().unwrap(), "n", Timestamp::FOREVER).auth_domain, own);
        for text in [
            "hallpass.internal",
            "x.hallpass.internal",
            &format!("a.{own}"),
            "123e105f4ecef8ad9ca31a8372d0c353.hallpass.internal",
        ] {
            assert_eq!(parse(text), Err(InvalidAuthDomain::Reserved), "{text}");
        }
        assert!(parse("nohallpass.internal").is_ok());
    }
}
