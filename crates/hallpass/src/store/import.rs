//! Service tokens that were issued elsewhere and keep their client ID and their secret.

use hallpass_core::caller::Grant;
use hallpass_core::client_id::ClientId;
use hallpass_core::service_token::ServiceToken;
use hallpass_core::time::Timestamp;
use sqlx::FromRow;

use super::engine::reading;
use super::error::{StoreError, WriteError};
use super::{FirstToken, Founding, Store};

/// The token that has a client ID already.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Holder {
    /// Its identifier.
    pub id: String,
    /// The account that owns it.
    pub account_id: String,
    /// What people call it.
    pub name: String,
}

impl Store {
    /// Stores tokens with the digests of their secrets: all of them, or none. A conflict where one of the client IDs is taken.
    pub async fn import(
        &self,
        grant: &Grant,
        tokens: Vec<FirstToken<ServiceToken>>,
        now: Timestamp,
    ) -> Result<(), WriteError> {
        self.add(grant, Founding { service_tokens: tokens, ..Founding::default() }, now).await
    }

    /// Which token has this client ID, in whichever account: no two tokens of a store may have the same 32 digits.
    pub async fn holder(&self, client_id: &ClientId) -> Result<Option<Holder>, StoreError> {
        let text = "SELECT id, account_id, name FROM service_tokens WHERE substr(client_id, 1, 32) = $1";
        Ok(reading!(self, pool => {
            sqlx::query_as::<_, Holder>(text).bind(client_id.digits()).fetch_optional(pool).await?
        }))
    }
}
