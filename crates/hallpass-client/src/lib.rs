//! A typed client for the management API of service tokens: Hallpass's, and the original's.
//!
//! A [`Client`] calls one server as one caller. From it lead the nouns, each with its verbs:
//!
//! ```no_run
//! use hallpass_client::{Client, CreateServiceToken, Credentials};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("http://127.0.0.1:8484/client/v4")
//!     .credentials(Credentials::api_token("Sn3lZJTBX6kkg7OdcBUAxOO963GEIyGQqnFTOFYY"))
//!     .build()?;
//! let tokens = client.account("023e105f4ecef8ad9ca31a8372d0c353".parse()?).service_tokens();
//!
//! let spec = CreateServiceToken { duration: Some("720h".into()), ..CreateServiceToken::named("deploy") };
//! let token = tokens.create(&spec).await?;
//! // This reply alone holds the secret. It can be read, and not be printed by accident.
//! let secret = token.client_secret.as_ref().map(|secret| secret.as_str());
//!
//! let token = tokens.refresh(token.id).await?;
//! println!("{} is good until {}", token.name, token.expires_at);
//! # Ok(())
//! # }
//! ```
//!
//! # Lists
//!
//! `list` gives one page, `all` a stream over all of them:
//!
//! ```no_run
//! use futures_util::TryStreamExt as _;
//! use hallpass_client::{Client, ListServiceTokens};
//!
//! # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
//! let tokens = client.account("023e105f4ecef8ad9ca31a8372d0c353".parse()?).service_tokens();
//! let mut all = tokens.all(&ListServiceTokens::default());
//! while let Some(token) = all.try_next().await? {
//!     println!("{} {}", token.id, token.name);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! Every call gives the same [`Error`]. Its [`kind`](Error::kind) says what to do about it; numbers, messages and pointers are the
//! server's:
//!
//! ```no_run
//! use hallpass_client::{ErrorKind, ServiceTokens, UpdateServiceToken, id::ServiceTokenId};
//!
//! # async fn example(tokens: ServiceTokens, id: ServiceTokenId) -> Result<(), hallpass_client::Error> {
//! let off = UpdateServiceToken { enabled: Some(false), ..UpdateServiceToken::default() };
//! match tokens.update(id, &off).await {
//!     Ok(token) => println!("{} is off", token.name),
//!     Err(error) if error.kind() == ErrorKind::NotFound => println!("there is no such token"),
//!     Err(error) => return Err(error),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What it does unasked
//!
//! - It tries again, twice if nothing else is said, where that is safe: after a broken connection, a 429, 408, 500, 502, 503 or 504.
//!   What would make a second object or cost a secret (create, rotate, roll, an update with a version) is tried again only after a
//!   429, or where there was no connection. `x-should-retry` overrules. It waits as long as `Retry-After` says, but not
//!   for more than a minute: then the error comes at once, and [`Error::retry_after`] tells the time.
//! - It follows no redirect: credentials would go where nobody sent them.
//! - It speaks plain http to this machine only, unless [`Builder::allow_plain_http`] is called, and to this machine without a proxy.
//! - It trusts the certificates that the system trusts; on Linux, `SSL_CERT_FILE` names others.
//! - It reads no reply of more than 16 MiB.
//! - It never shows a credential: not in an error, and in no `Debug`.

#![warn(missing_docs)]

mod access_requests;
mod accounts;
mod api_tokens;
mod apps;
mod audit_logs;
mod client;
mod credentials;
mod envelope;
mod error;
mod explanations;
mod groups;
mod jitter;
mod keys;
mod organizations;
mod paging;
mod policies;
mod retry;
mod service_tokens;
mod transport;

pub use access_requests::{AccessRequests, ListAccessRequests};
pub use accounts::{Account, Accounts, Memberships, User, Zone, Zones};
pub use api_tokens::{
    ApiTokenPolicy, ApiTokenStatus, ApiTokens, CreateApiToken, Direction, Effect, GroupInPolicy,
    ListApiTokens, ListPermissionGroups, PermissionGroups, UnknownEffect, UpdateApiToken,
};
pub use apps::{AppDefinition, AppPolicies, Apps, Deleted, ListApps};
pub use audit_logs::{AuditLogs, AuditPage, ListAuditLogs};
pub use client::{BuildError, Builder, Client};
pub use credentials::Credentials;
pub use error::{Error, ErrorKind};
pub use explanations::{ExplainRequest, Explanations};
pub use groups::{GroupDefinition, Groups, ListGroups};
pub use hallpass_core::service_token::Patch;
pub use hallpass_core::{id, time, wire};
pub use keys::Keys;
pub use organizations::{Organizations, ReplaceOrganization};
pub use paging::{Page, PagePosition, Paging};
pub use policies::{ListPolicies, Policies, PolicyDefinition};
pub use service_tokens::{
    CreateServiceToken, ListServiceTokens, RotateServiceToken, ServiceTokens, UpdateServiceToken,
};
