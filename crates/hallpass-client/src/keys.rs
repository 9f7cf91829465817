//! The rotation of an account's signing keys.

use hallpass_core::wire::keys::Keys as Rotation;
use serde_json::json;

use crate::client::Client;
use crate::error::Error;
use crate::retry::Repeat;
use crate::transport::Call;

/// The keys that sign the assertions of an account.
#[derive(Debug, Clone)]
pub struct Keys {
    client: Client,
    path: String,
}

impl Keys {
    pub(crate) fn new(client: Client, owner: &str) -> Self {
        Self { client, path: format!("{owner}/access/keys") }
    }

    /// How they are rotated.
    pub async fn get(&self) -> Result<Rotation, Error> {
        self.client.one(Call::get(self.path.clone())).await
    }

    /// Sets the days from one rotation to the next: 21 to 365.
    pub async fn set_interval(&self, days: u32) -> Result<Rotation, Error> {
        let body = json!({"key_rotation_interval_days": days});
        self.client.one(Call::put(self.path.clone(), Repeat::Harmless).with_json(&body)?).await
    }

    /// Rotates them. The key that signed is still published for a week.
    pub async fn rotate(&self) -> Result<Rotation, Error> {
        self.client.one(Call::post(format!("{}/rotate", self.path), Repeat::Costly)).await
    }
}
