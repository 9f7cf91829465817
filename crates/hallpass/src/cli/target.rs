//! Which server a verb calls, and with which credentials. The choice is made over the names of the variables that are set, before
//! any secret is read: what belongs to one system is never sent to another.

use std::path::PathBuf;

use clap::Args;
use hallpass_client::Credentials;
use hallpass_core::secret::ClientSecret;
use url::Url;

use super::{Exit, Failure};
use crate::api::BASE;

/// Where `hallpass serve` and `hallpass dev` listen unless they are told otherwise.
const DEFAULT_SERVER: &str = "http://127.0.0.1:8484";

/// The flags that every verb has.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server and credentials")]
pub(super) struct Target {
    /// Where the API is, such as `https://hallpass.example.com/client/v4`; or the variable `HALLPASS_BASE_URL`
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// File with an API token, instead of the variables `HALLPASS_API_TOKEN`, or `HALLPASS_EMAIL` and
    /// `HALLPASS_API_KEY`
    #[arg(long, value_name = "FILE")]
    api_token_file: Option<PathBuf>,
    /// Send the credentials to another machine without TLS
    #[arg(long)]
    insecure_http: bool,
}

/// What a verb calls: an address, who is calling, and perhaps an account.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) base_url: Url,
    pub(super) credentials: Credentials,
    /// What the account's variable says; a flag counts before it.
    pub(super) account: Option<String>,
    /// Whether the credentials may cross the network in the clear.
    pub(super) insecure_http: bool,
}

impl Target {
    /// Reads flags, variables and the file.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        let given =
            Given { base_url: self.base_url.is_some(), api_token_file: self.api_token_file.is_some() };
        let sources = choose(given, &|name| variable(name).is_some()).map_err(Failure::from)?;
        let base_url = match (&self.base_url, sources.base_url) {
            (Some(text), _) => base_url(text, "--base-url")?,
            (None, Some(name)) => base_url(&variable(name).unwrap_or_default(), name)?,
            (None, None) => base_url(DEFAULT_SERVER, "the default")?,
        };
        if sources.base_url == Some(CLOUDFLARE.base_url) && is_the_originals(&base_url) {
            let message = "CLOUDFLARE_BASE_URL is Cloudflare's own address, and these commands are for Hallpass; \
                           say with HALLPASS_BASE_URL or --base-url where yours is";
            return Err(Failure::new(Exit::Usage, message));
        }
        let secret = |name| ClientSecret::presented(&variable(name).unwrap_or_default());
        let credentials = match sources.credentials {
            CredentialSource::File => Credentials::ApiToken(self.read_file()?),
            CredentialSource::ApiToken(name) => Credentials::ApiToken(secret(name)),
            CredentialSource::Key { email, key } => {
                Credentials::Key { email: variable(email).unwrap_or_default(), key: secret(key) }
            }
        };
        let account = sources.account.and_then(variable);
        Ok(Settings { base_url, credentials, account, insecure_http: self.insecure_http })
    }

    fn read_file(&self) -> Result<ClientSecret, Failure> {
        let file = self.api_token_file.clone().unwrap_or_default();
        let text = std::fs::read_to_string(&file).map_err(|error| {
            Failure::new(Exit::Usage, format!("cannot read the API token from {}: {error}", file.display()))
        })?;
        match text.trim() {
            "" => Err(Failure::new(Exit::Usage, format!("{} is empty", file.display()))),
            token => Ok(ClientSecret::presented(token)),
        }
    }
}

/// An environment variable; an empty one counts as not set.
#[expect(
    clippy::disallowed_methods,
    reason = "a flag for a secret would show it to every user of the machine"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The names under which one system's settings come.
#[derive(Debug)]
struct Family {
    base_url: &'static str,
    api_token: &'static str,
    account: &'static str,
    email: &'static str,
    key: &'static str,
}

const HALLPASS: Family = Family {
    base_url: "HALLPASS_BASE_URL",
    api_token: "HALLPASS_API_TOKEN",
    account: "HALLPASS_ACCOUNT_ID",
    email: "HALLPASS_EMAIL",
    key: "HALLPASS_API_KEY",
};

const CLOUDFLARE: Family = Family {
    base_url: "CLOUDFLARE_BASE_URL",
    api_token: "CLOUDFLARE_API_TOKEN",
    account: "CLOUDFLARE_ACCOUNT_ID",
    email: "CLOUDFLARE_EMAIL",
    key: "CLOUDFLARE_API_KEY",
};

/// Which flags were given.
#[derive(Debug, Clone, Copy)]
struct Given {
    base_url: bool,
    api_token_file: bool,
}

/// From where each setting comes.
#[derive(Debug, PartialEq, Eq)]
struct Sources {
    /// A variable; none for the flag or the default.
    base_url: Option<&'static str>,
    credentials: CredentialSource,
    /// A variable, if there is one.
    account: Option<&'static str>,
}

#[derive(Debug, PartialEq, Eq)]
enum CredentialSource {
    File,
    ApiToken(&'static str),
    Key { email: &'static str, key: &'static str },
}

/// Why nothing is called.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Unclear {
    #[error(
        "no credentials: set HALLPASS_API_TOKEN, or HALLPASS_EMAIL and HALLPASS_API_KEY, or give --api-token-file"
    )]
    NoCredentials,
    #[error(
        "no credentials: set HALLPASS_API_TOKEN, or HALLPASS_EMAIL and HALLPASS_API_KEY, or give --api-token-file; \
         {0} is set, but the CLOUDFLARE_ variables count only where CLOUDFLARE_BASE_URL names the server"
    )]
    OnlyTheOriginals(&'static str),
    #[error("no credentials: {0} is set, and {1} is not; they go together")]
    HalfAPair(&'static str, &'static str),
    #[error(
        "{0} and CLOUDFLARE_BASE_URL are both set, and it is not clear which server is meant: set HALLPASS_BASE_URL, or unset one of them"
    )]
    TwoServers(&'static str),
}

impl From<Unclear> for Failure {
    fn from(unclear: Unclear) -> Self {
        Self::new(Exit::Usage, unclear.to_string())
    }
}

/// The rule. All settings come from one family of variables, that of the server that is called. The original's variables are that
/// family only where `CLOUDFLARE_BASE_URL` alone says what the server is: without it, they are the settings of somebody's
/// production account. A credential of one family is never sent to a server that the other family, or a flag, names.
fn choose(given: Given, is_set: &dyn Fn(&str) -> bool) -> Result<Sources, Unclear> {
    let set = |name: &'static str| is_set(name).then_some(name);
    let ours = set(HALLPASS.base_url).is_some() || given.base_url;
    let family = if ours || set(CLOUDFLARE.base_url).is_none() {
        &HALLPASS
    } else {
        let ours = [HALLPASS.api_token, HALLPASS.email, HALLPASS.key, HALLPASS.account];
        if let Some(name) = ours.into_iter().find_map(set) {
            return Err(Unclear::TwoServers(name));
        }
        &CLOUDFLARE
    };
    let credentials = if given.api_token_file { CredentialSource::File } else { credentials(family, &set)? };
    let base_url = if given.base_url { None } else { set(family.base_url) };
    Ok(Sources { base_url, credentials, account: set(family.account) })
}

fn credentials(
    family: &Family,
    set: &dyn Fn(&'static str) -> Option<&'static str>,
) -> Result<CredentialSource, Unclear> {
    match (set(family.api_token), set(family.email), set(family.key)) {
        (Some(token), _, _) => Ok(CredentialSource::ApiToken(token)),
        (None, Some(email), Some(key)) => Ok(CredentialSource::Key { email, key }),
        (None, Some(email), None) => Err(Unclear::HalfAPair(email, family.key)),
        (None, None, Some(key)) => Err(Unclear::HalfAPair(key, family.email)),
        (None, None, None) => {
            let others = [CLOUDFLARE.api_token, CLOUDFLARE.email, CLOUDFLARE.key];
            Err(others.into_iter().find_map(set).map_or(Unclear::NoCredentials, Unclear::OnlyTheOriginals))
        }
    }
}

fn is_the_originals(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    host == "cloudflare.com" || host.ends_with(".cloudflare.com")
}

/// Reads a base URL; one that names only a server is completed with the API's path.
fn base_url(text: &str, source: &str) -> Result<Url, Failure> {
    let refused = |rule: &str| Failure::new(Exit::Usage, format!("{source} is no base URL: {rule}"));
    // What the parser says may repeat a password that stands in the text.
    let mut url =
        Url::parse(text).map_err(|_| refused(&format!("it must look like {DEFAULT_SERVER}{BASE}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(refused("it must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("credentials do not belong into it"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refused("it ends with its path"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    if path.is_empty() {
        url.set_path(BASE);
    } else if path.ends_with(BASE) {
        url.set_path(&path);
    } else {
        return Err(refused(&format!("its path must end with {BASE}")));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Given = Given { base_url: false, api_token_file: false };
    const URL: Given = Given { base_url: true, api_token_file: false };
    const FILE: Given = Given { base_url: false, api_token_file: true };
    const H_KEY: CredentialSource =
        CredentialSource::Key { email: "HALLPASS_EMAIL", key: "HALLPASS_API_KEY" };
    const C_KEY: CredentialSource =
        CredentialSource::Key { email: "CLOUDFLARE_EMAIL", key: "CLOUDFLARE_API_KEY" };
    const H_TOKEN: CredentialSource = CredentialSource::ApiToken("HALLPASS_API_TOKEN");
    const C_TOKEN: CredentialSource = CredentialSource::ApiToken("CLOUDFLARE_API_TOKEN");

    fn chosen(given: Given, set: &[&str]) -> Result<Sources, Unclear> {
        choose(given, &|name| set.contains(&name))
    }

    fn sources(
        base_url: Option<&'static str>,
        credentials: CredentialSource,
        account: Option<&'static str>,
    ) -> Sources {
        Sources { base_url, credentials, account }
    }

    #[test]
    fn settings_come_from_the_family_of_the_server_that_is_called() {
        let (h, c) = (Some("HALLPASS_BASE_URL"), Some("CLOUDFLARE_BASE_URL"));
        let (ha, ca) = (Some("HALLPASS_ACCOUNT_ID"), Some("CLOUDFLARE_ACCOUNT_ID"));
        for (given, set, expected) in [
            (NONE, &["HALLPASS_API_TOKEN"][..], sources(None, H_TOKEN, None)),
            (NONE, &["HALLPASS_EMAIL", "HALLPASS_API_KEY"], sources(None, H_KEY, None)),
            // The token counts before e-mail and key.
            (
                NONE,
                &["HALLPASS_API_TOKEN", "HALLPASS_EMAIL", "HALLPASS_API_KEY"],
                sources(None, H_TOKEN, None),
            ),
            (
                NONE,
                &["HALLPASS_BASE_URL", "HALLPASS_API_TOKEN", "HALLPASS_ACCOUNT_ID"],
                sources(h, H_TOKEN, ha),
            ),
            (
                NONE,
                &["CLOUDFLARE_BASE_URL", "CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID"],
                sources(c, C_TOKEN, ca),
            ),
            (
                NONE,
                &["CLOUDFLARE_BASE_URL", "CLOUDFLARE_EMAIL", "CLOUDFLARE_API_KEY"],
                sources(c, C_KEY, None),
            ),
            // Without the original's base URL, its variables are somebody's production account.
            (
                NONE,
                &["HALLPASS_API_TOKEN", "CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID"],
                sources(None, H_TOKEN, None),
            ),
            // Ours names the server, so nothing of the other counts.
            (
                NONE,
                &["HALLPASS_BASE_URL", "HALLPASS_API_TOKEN", "CLOUDFLARE_BASE_URL", "CLOUDFLARE_ACCOUNT_ID"],
                sources(h, H_TOKEN, None),
            ),
            (
                URL,
                &["HALLPASS_BASE_URL", "HALLPASS_API_TOKEN", "HALLPASS_ACCOUNT_ID"],
                sources(None, H_TOKEN, ha),
            ),
            (URL, &["CLOUDFLARE_BASE_URL", "HALLPASS_API_TOKEN"], sources(None, H_TOKEN, None)),
            (FILE, &[], sources(None, CredentialSource::File, None)),
            (
                FILE,
                &["HALLPASS_API_TOKEN", "CLOUDFLARE_API_TOKEN"],
                sources(None, CredentialSource::File, None),
            ),
            (
                FILE,
                &["CLOUDFLARE_BASE_URL", "CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID"],
                sources(c, CredentialSource::File, ca),
            ),
        ] {
            assert_eq!(chosen(given, set), Ok(expected), "{given:?} {set:?}");
        }
    }

    #[test]
    fn what_is_missing_or_unclear_calls_nobody() {
        for (given, set, expected) in [
            (NONE, &[][..], Unclear::NoCredentials),
            (NONE, &["HALLPASS_BASE_URL"], Unclear::NoCredentials),
            (NONE, &["CLOUDFLARE_BASE_URL"], Unclear::NoCredentials),
            (NONE, &["CLOUDFLARE_API_TOKEN"], Unclear::OnlyTheOriginals("CLOUDFLARE_API_TOKEN")),
            (
                NONE,
                &["HALLPASS_BASE_URL", "CLOUDFLARE_BASE_URL", "CLOUDFLARE_API_TOKEN"],
                Unclear::OnlyTheOriginals("CLOUDFLARE_API_TOKEN"),
            ),
            (
                URL,
                &["CLOUDFLARE_BASE_URL", "CLOUDFLARE_API_TOKEN"],
                Unclear::OnlyTheOriginals("CLOUDFLARE_API_TOKEN"),
            ),
            (NONE, &["HALLPASS_EMAIL"], Unclear::HalfAPair("HALLPASS_EMAIL", "HALLPASS_API_KEY")),
            (
                NONE,
                &["HALLPASS_API_KEY", "CLOUDFLARE_EMAIL"],
                Unclear::HalfAPair("HALLPASS_API_KEY", "HALLPASS_EMAIL"),
            ),
            (
                NONE,
                &["CLOUDFLARE_BASE_URL", "CLOUDFLARE_EMAIL"],
                Unclear::HalfAPair("CLOUDFLARE_EMAIL", "CLOUDFLARE_API_KEY"),
            ),
            (
                NONE,
                &["CLOUDFLARE_BASE_URL", "CLOUDFLARE_API_TOKEN", "HALLPASS_API_TOKEN"],
                Unclear::TwoServers("HALLPASS_API_TOKEN"),
            ),
            (
                FILE,
                &["CLOUDFLARE_BASE_URL", "HALLPASS_ACCOUNT_ID"],
                Unclear::TwoServers("HALLPASS_ACCOUNT_ID"),
            ),
        ] {
            assert_eq!(chosen(given, set), Err(expected), "{given:?} {set:?}");
        }
    }

    /// The rule in one sentence, over every combination of what can be set.
    #[test]
    fn no_combination_mixes_the_families() {
        let names = [
            "HALLPASS_BASE_URL",
            "HALLPASS_API_TOKEN",
            "HALLPASS_ACCOUNT_ID",
            "HALLPASS_EMAIL",
            "HALLPASS_API_KEY",
            "CLOUDFLARE_BASE_URL",
            "CLOUDFLARE_API_TOKEN",
            "CLOUDFLARE_ACCOUNT_ID",
            "CLOUDFLARE_EMAIL",
            "CLOUDFLARE_API_KEY",
        ];
        for given in [NONE, URL, FILE] {
            for bits in 0..1_u32 << names.len() {
                let set: Vec<_> = names
                    .iter()
                    .enumerate()
                    .filter(|(n, _)| bits >> n & 1 == 1)
                    .map(|(_, name)| *name)
                    .collect();
                let Ok(sources) = chosen(given, &set) else { continue };
                let mut used: Vec<_> = sources.base_url.into_iter().chain(sources.account).collect();
                match sources.credentials {
                    CredentialSource::File => {}
                    CredentialSource::ApiToken(name) => used.push(name),
                    CredentialSource::Key { email, key } => used.extend([email, key]),
                }
                let theirs = used.iter().filter(|name| name.starts_with("CLOUDFLARE")).count();
                assert!(theirs == 0 || theirs == used.len(), "{given:?} {set:?}: {used:?}");
                assert!(theirs == 0 || used.contains(&"CLOUDFLARE_BASE_URL"), "{given:?} {set:?}: {used:?}");
            }
        }
    }

    #[test]
    fn a_base_url_is_completed_or_refused() {
        for (text, read) in [
            ("http://127.0.0.1:8484", "http://127.0.0.1:8484/client/v4"),
            ("http://localhost:8484/", "http://localhost:8484/client/v4"),
            ("https://h.example.com/client/v4", "https://h.example.com/client/v4"),
            ("https://h.example.com/client/v4/", "https://h.example.com/client/v4"),
            ("https://h.example.com/behind/client/v4", "https://h.example.com/behind/client/v4"),
        ] {
            assert_eq!(base_url(text, "x").unwrap().as_str(), read);
        }
        for text in [
            "127.0.0.1:8484",
            "localhost:8484",
            "ftp://h.example.com/client/v4",
            "https://h.example.com/client/v5",
            "https://h.example.com/client",
            "https://user:hunter2@h.example.com/client/v4",
            "https://h.example.com/client/v4?x=1",
            "",
        ] {
            let failure = base_url(text, "HALLPASS_BASE_URL").unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{text}");
            let message = failure.to_string();
            assert!(message.starts_with("HALLPASS_BASE_URL is no base URL") && !message.contains("hunter2"));
        }
    }

    #[test]
    fn the_originals_own_address_is_recognized() {
        let url = |text: &str| Url::parse(text).unwrap();
        assert!(is_the_originals(&url("https://api.cloudflare.com/client/v4")));
        assert!(is_the_originals(&url("https://API.Cloudflare.com/client/v4")));
        assert!(is_the_originals(&url("https://api.cloudflare.com./client/v4")));
        assert!(!is_the_originals(&url("https://notcloudflare.com/client/v4")));
        assert!(!is_the_originals(&url("http://127.0.0.1:8484/client/v4")));
    }
}
