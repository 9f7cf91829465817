//! [`Client`], and what leads to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hallpass_core::id::{AccountId, ZoneId};
use reqwest::Url;
use serde::de::DeserializeOwned;

use crate::accounts::{Account, Accounts, Memberships, User, Zone, Zones};
use crate::credentials::Credentials;
use crate::error::Error;
use crate::paging::Page;
use crate::transport::{Call, Transport};

/// The longest wait for a connection.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Calls the management API of one server, as one caller. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Client(Arc<Transport>);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The base URL cannot be used.
    #[error("the base URL {0}")]
    BaseUrl(&'static str),
    /// The credentials would travel in the clear.
    #[error("the base URL is plain http to another machine: credentials would travel in the clear")]
    PlainHttp,
    /// The credentials are missing.
    #[error("no credentials are given")]
    NoCredentials,
    /// The credentials cannot be sent.
    #[error("the credentials are empty, or hold symbols that cannot stand in a header")]
    Credentials,
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Http(#[source] reqwest::Error),
}

/// Sets up a [`Client`].
#[derive(Debug, Clone)]
pub struct Builder {
    base_url: String,
    credentials: Option<Credentials>,
    timeout: Duration,
    max_retries: u32,
    plain_http: PlainHttp,
    user_agent: String,
}

/// Where a URL may begin with `http:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PlainHttp {
    LoopbackOnly,
    Anywhere,
}

impl Builder {
    /// Who calls. A client without credentials cannot be built.
    pub fn credentials(self, credentials: Credentials) -> Self {
        Self { credentials: Some(credentials), ..self }
    }

    /// How long one attempt may take; 60 seconds if nothing else is said.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// How often a call may be tried again; 2 if nothing else is said.
    pub fn max_retries(self, max_retries: u32) -> Self {
        Self { max_retries, ..self }
    }

    /// Allows plain http to other machines: whoever is on the way can then read the credentials.
    pub fn allow_plain_http(self) -> Self {
        Self { plain_http: PlainHttp::Anywhere, ..self }
    }

    /// The `User-Agent`.
    pub fn user_agent(self, user_agent: impl Into<String>) -> Self {
        Self { user_agent: user_agent.into(), ..self }
    }

    /// The client.
    pub fn build(self) -> Result<Client, BuildError> {
        let base_url = check_url(&self.base_url)?;
        let loopback = is_loopback(&base_url);
        if base_url.scheme() == "http" && !loopback && self.plain_http == PlainHttp::LoopbackOnly {
            return Err(BuildError::PlainHttp);
        }
        let credentials = self.credentials.ok_or(BuildError::NoCredentials)?;
        let credentials = credentials.headers().ok_or(BuildError::Credentials)?;
        let mut http = reqwest::Client::builder()
            .user_agent(self.user_agent)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(self.timeout.min(CONNECT_TIME));
        if loopback {
            // This machine means this machine: no proxy, and no resolver that knows better. The port is the URL's.
            let here = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
            http = http
                .no_proxy()
                .resolve_to_addrs("localhost", &here.map(|address| SocketAddr::new(address, 0)));
        }
        let http = http.build().map_err(BuildError::Http)?;
        Ok(Client(Arc::new(Transport {
            http,
            base_url,
            credentials,
            timeout: self.timeout,
            max_retries: self.max_retries,
        })))
    }
}

fn check_url(text: &str) -> Result<Url, BuildError> {
    let url = Url::parse(text).map_err(|_| BuildError::BaseUrl("cannot be read"))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(BuildError::BaseUrl("must begin with https: or http:"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(BuildError::BaseUrl("must not hold credentials"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(BuildError::BaseUrl("must not have a query or a fragment"));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

impl Client {
    /// Begins with a base URL, such as `http://127.0.0.1:8484/client/v4` or `https://api.cloudflare.com/client/v4`.
    pub fn builder(base_url: &str) -> Builder {
        Builder {
            base_url: base_url.to_owned(),
            credentials: None,
            timeout: Duration::from_mins(1),
            max_retries: 2,
            plain_http: PlainHttp::LoopbackOnly,
            user_agent: concat!("hallpass-client/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// The accounts that the caller sees.
    pub fn accounts(&self) -> Accounts {
        Accounts::new(self.clone())
    }

    /// What belongs to one account.
    pub fn account(&self, id: AccountId) -> Account {
        Account::new(self.clone(), id)
    }

    /// The zones that the caller sees.
    pub fn zones(&self) -> Zones {
        Zones::new(self.clone())
    }

    /// What belongs to one zone.
    pub fn zone(&self, id: ZoneId) -> Zone {
        Zone::new(self.clone(), id)
    }

    /// The user who calls.
    pub fn user(&self) -> User {
        User::new(self.clone())
    }

    /// The memberships of the user who calls.
    pub fn memberships(&self) -> Memberships {
        Memberships::new(self.clone())
    }

    /// A call whose reply holds one thing.
    pub(crate) async fn one<T: DeserializeOwned>(&self, call: Call) -> Result<T, Error> {
        let reply = self.0.send(&call).await?;
        reply.result()
    }

    /// A call whose reply holds a page of a list.
    pub(crate) async fn page<T: DeserializeOwned>(&self, call: Call) -> Result<Page<T>, Error> {
        let reply = self.0.send(&call).await?;
        let items = reply.result::<Option<Vec<T>>>()?.unwrap_or_default();
        Ok(Page { items, result_info: reply.around.page_position() })
    }

    /// A call whose reply holds a part of a list, and from where to go on.
    pub(crate) async fn part<T: DeserializeOwned>(
        &self,
        call: Call,
    ) -> Result<(Vec<T>, Option<String>), Error> {
        let reply = self.0.send(&call).await?;
        let items = reply.result::<Option<Vec<T>>>()?.unwrap_or_default();
        Ok((items, reply.around.cursor()))
    }

    /// A call whose reply need not hold anything.
    pub(crate) async fn done(&self, call: Call) -> Result<(), Error> {
        self.0.send(&call).await.map(drop)
    }
}
