//! Objects that no caller can have asked for: accounts, zones, users, the first tokens. Bootstrap and the emulator's seed are
//! made of them, and operators add more on the store itself.

use std::sync::Arc;

use hallpass_core::api_token::ApiToken;
use hallpass_core::caller::Grant;
use hallpass_core::id::AccountId;
use hallpass_core::secret::{ClientSecret, SecretKind};
use hallpass_core::service_token::ServiceToken;
use hallpass_core::time::Timestamp;
use hallpass_core::wire::organizations::Change;

use super::Store;
use super::accounts::{Account, Membership, User, Zone};
use super::batch::Work;
use super::error::WriteError;

/// What a store begins with, or what is added to it. It is written whole or not at all.
#[derive(Debug, Default)]
pub struct Founding {
    /// Accounts.
    pub accounts: Vec<Account>,
    /// Zones.
    pub zones: Vec<Zone>,
    /// Users, with their global keys.
    pub users: Vec<(User, ClientSecret)>,
    /// Memberships.
    pub memberships: Vec<Membership>,
    /// What is said of the organizations of accounts.
    pub organizations: Vec<(AccountId, Change)>,
    /// API tokens.
    pub api_tokens: Vec<FirstToken<ApiToken>>,
    /// Service tokens.
    pub service_tokens: Vec<FirstToken<ServiceToken>>,
}

/// A token with its secret.
#[derive(Debug)]
pub struct FirstToken<T> {
    /// The token.
    pub token: T,
    /// Its secret.
    pub secret: ClientSecret,
}

impl Store {
    /// Writes the first objects. Refused as a conflict where the store has been founded already.
    pub async fn found(&self, grant: &Grant, founding: Founding, now: Timestamp) -> Result<(), WriteError> {
        let mut works = vec![Work::Found];
        works.extend(self.works(founding));
        self.write(grant, now, Work::All(works)).await.map(|_| ())
    }

    /// Adds objects to a store that has its first ones. A conflict where an e-mail address is taken or an account does not exist.
    pub async fn add(&self, grant: &Grant, more: Founding, now: Timestamp) -> Result<(), WriteError> {
        self.write(grant, now, Work::All(self.works(more))).await.map(|_| ())
    }

    fn works(&self, founding: Founding) -> Vec<Work> {
        let mut works = Vec::new();
        works.extend(founding.accounts.into_iter().map(Work::CreateAccount));
        works.extend(founding.zones.into_iter().map(Work::CreateZone));
        for (user, key) in founding.users {
            let digest = self.digest(SecretKind::GlobalKey, &user.id.to_string(), &key);
            works.push(Work::CreateUser(user, digest));
        }
        let change = |(account, change)| Work::ChangeOrganization(account, change);
        works.extend(founding.organizations.into_iter().map(change));
        works.extend(founding.memberships.into_iter().map(Work::CreateMembership));
        for FirstToken { token, secret } in founding.api_tokens {
            let digest = self.api_token_digest(&secret);
            works.push(Work::CreateApiToken(Box::new(token), digest));
        }
        for FirstToken { token, secret } in founding.service_tokens {
            let digest = self.digest(SecretKind::ServiceToken, &token.id.to_string(), &secret);
            works.push(Work::CreateServiceToken { token: Arc::new(token), digest, quota: None });
        }
        works
    }

    /// Whether the store has its first account.
    pub fn is_founded(&self) -> bool {
        !self.callers().accounts().is_empty()
    }
}
