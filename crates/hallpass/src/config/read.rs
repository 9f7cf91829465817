//! How the text of a value is understood. An error is the rule that was broken; it never repeats the text, which may be a secret.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hallpass_core::network::WrittenNetwork;
use hallpass_core::validity::GoDuration;
use ipnet::IpNet;
use sqlx::postgres::PgConnectOptions;
use url::Url;

use crate::telemetry;

/// How many requests a credential may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimit {
    /// Any number.
    Off,
    /// So many per window.
    To(u32),
}

impl RateLimit {
    /// The number, if there is one.
    pub fn number(self) -> Option<u32> {
        match self {
            Self::Off => None,
            Self::To(number) => Some(number),
        }
    }
}

/// Where a listener is, if anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere.
    Off,
    /// At this address.
    At(SocketAddr),
}

/// The URL of a database, which may hold a password: it has no `Display`, and its `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The URL, for whoever connects.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(redacted)")
    }
}

/// Reads a value that is always there, by its default if by nothing else.
pub(super) fn one<T>(parse: impl Fn(&str) -> Result<T, String>) -> impl Fn(&[String]) -> Result<T, String> {
    move |texts| match texts {
        [text] => parse(text),
        _ => Err("must have one value".to_owned()),
    }
}

/// Reads a value that may be missing.
pub(super) fn any<T>(
    parse: impl Fn(&str) -> Result<T, String>,
) -> impl Fn(&[String]) -> Result<Option<T>, String> {
    move |texts| match texts {
        [] => Ok(None),
        [text] => parse(text).map(Some),
        _ => Err("must have one value".to_owned()),
    }
}

/// Reads a list, which may be empty.
pub(super) fn list<T>(
    parse: impl Fn(&str) -> Result<T, String>,
) -> impl Fn(&[String]) -> Result<Vec<T>, String> {
    move |texts| texts.iter().map(|text| parse(text)).collect()
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("must name a file or directory".to_owned()) } else { Ok(text.into()) }
}

pub(crate) fn gate(text: &str) -> Result<Listen, String> {
    operator(text).map_err(|rule| rule.replace("8487", "8485"))
}

/// How long the gate may go without hearing from the store. An hour is long for a token that was to be refused at once.
pub(super) fn staleness(text: &str) -> Result<Duration, String> {
    let duration = GoDuration::parse(text).ok().and_then(|duration| u64::try_from(duration.as_nanos()).ok());
    match duration.map(Duration::from_nanos) {
        Some(duration) if (Duration::from_secs(1)..=Duration::from_hours(1)).contains(&duration) => {
            Ok(duration)
        }
        _ => Err("must be a duration from 1s to 1h, like 60s".to_owned()),
    }
}

/// How long the access log is kept.
pub(super) fn retention(text: &str) -> Result<Duration, String> {
    let duration = GoDuration::parse(text).ok().and_then(|duration| u64::try_from(duration.as_nanos()).ok());
    match duration.map(Duration::from_nanos) {
        Some(duration) if (Duration::from_hours(1)..=Duration::from_hours(87_600)).contains(&duration) => {
            Ok(duration)
        }
        _ => Err("must be a duration from 1h to 87600h, like 720h".to_owned()),
    }
}

pub(crate) fn operator(text: &str) -> Result<Listen, String> {
    match text.parse() {
        _ if text == "off" => Ok(Listen::Off),
        Ok(address) => Ok(Listen::At(address)),
        Err(_) => Err("must be an IP address and a port, like 127.0.0.1:8487, or off".to_owned()),
    }
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "must be an IP address and a port, like 127.0.0.1:8484 or [::1]:8484".to_owned())
}

pub(super) fn switch(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "must be true or false".to_owned())
}

pub(super) fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("must be a whole number from 0 to {}", u32::MAX))
}

/// What may stand behind the `?` of a database's URL. An unknown one would be ignored, and logged with its value: a mistyped
/// `sslmode` would leave the server unverified.
const DATABASE_PARAMETERS: [&str; 12] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

pub(super) fn database(text: &str) -> Result<DatabaseUrl, String> {
    let parameters = Url::parse(text).map(|url| {
        url.query_pairs().all(|(name, _)| {
            DATABASE_PARAMETERS.contains(&name.as_ref())
                || (name.starts_with("options[") && name.ends_with(']'))
        })
    });
    if parameters == Ok(false) {
        let known = DATABASE_PARAMETERS.join(", ");
        return Err(format!("must have no parameters but these: {known}"));
    }
    let known = ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
    if known && text.parse::<PgConnectOptions>().is_ok() {
        Ok(DatabaseUrl(text.to_owned()))
    } else {
        Err("must be a URL like postgres://user:password@host/name".to_owned())
    }
}

pub(super) fn log_filter(text: &str) -> Result<String, String> {
    telemetry::filter(text).map(|_| text.to_owned())
}

/// A number of requests, or `off`.
pub fn rate_limit(text: &str) -> Result<RateLimit, String> {
    match text.parse() {
        _ if text == "off" => Ok(RateLimit::Off),
        Ok(number) if number > 0 => Ok(RateLimit::To(number)),
        _ => Err("must be a number of requests above zero, or off".to_owned()),
    }
}

/// An address or network that may speak for a client.
pub fn peer(text: &str) -> Result<IpNet, String> {
    let network = WrittenNetwork::parse(text).map(|written| written.network());
    match network {
        Some(network) if network.prefix_len() == 0 => {
            Err("must not be everybody: name the proxies that speak for clients".to_owned())
        }
        Some(network) => Ok(network),
        None => Err("must be an IP address or a network in CIDR notation".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_never_a_trusted_peer() {
        assert!(peer("0.0.0.0/0").is_err() && peer("::/0").is_err() && peer("proxy").is_err());
        assert_eq!(peer("10.0.0.1").unwrap().to_string(), "10.0.0.1/32");
        assert_eq!(peer("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
    }

    #[test]
    fn the_gate_is_never_to_go_deaf_for_long() {
        for text in ["", "60", "0s", "-1s", "999ms", "61m", "forever"] {
            assert!(staleness(text).is_err(), "{text}");
        }
        assert_eq!(staleness("1m"), Ok(Duration::from_mins(1)));
    }

    #[test]
    fn a_rate_limit_is_a_number_above_zero_or_off() {
        for text in ["0", "-1", "Off", ""] {
            assert!(rate_limit(text).is_err(), "{text}");
        }
        assert_eq!(rate_limit("5").unwrap().number(), Some(5));
        assert_eq!(rate_limit("off").unwrap().number(), None);
    }

    #[test]
    fn a_database_is_named_by_a_url_and_never_shown() {
        for text in ["", "mysql://u@h/d", "postgres://u@h:port/d", "host=h dbname=d"] {
            assert!(database(text).is_err(), "{text}");
        }
        let url = database("postgres://u:hunter2@h/d").unwrap();
        assert_eq!(format!("{url:?}"), "DatabaseUrl(redacted)");
    }
}
