//! A typed client for the management API of service tokens: Hallpass's, and the original's.

#![warn(missing_docs)]

mod accounts;
mod api_tokens;
mod client;
mod credentials;
mod envelope;
mod error;
mod jitter;
mod paging;
mod retry;
mod service_tokens;
mod transport;

pub use accounts::{Account, Accounts, Memberships, User, Zone, Zones};
pub use api_tokens::{
    ApiTokenPolicy, ApiTokenStatus, ApiTokens, CreateApiToken, Direction, Effect, GroupInPolicy,
    ListApiTokens, ListPermissionGroups, PermissionGroups, UnknownEffect, UpdateApiToken,
};
pub use client::{BuildError, Builder, Client};
pub use credentials::Credentials;
pub use error::{Error, ErrorKind};
pub use hallpass_core::service_token::Patch;
pub use hallpass_core::{id, time, wire};
pub use paging::{Page, PageInfo, Paging};
pub use service_tokens::{
    CreateServiceToken, ListServiceTokens, RotateServiceToken, ServiceTokens, UpdateServiceToken,
};
