//! Service tokens as JSON.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::RevealedSecret;
use super::body::{Fields, InvalidField};
use crate::client_id::ClientId;
use crate::id::{AppId, ServiceTokenId};
use crate::secret::ClientSecret;
use crate::service_token::{self, Edit, MAX_SECRET_VERSION, Name, Patch, ServiceTokenSpec};
use crate::time::Timestamp;
use crate::validity::Validity;

/// A service token as replies show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceToken {
    /// The public half of its credential.
    pub client_id: ClientId,
    /// The secret half: only in the replies to create, rotate, and an update that rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<RevealedSecret>,
    /// The number of its current secret; 1 where a server does not say.
    #[serde(default = "first_version")]
    pub client_secret_version: u32,
    /// When it was made, in whole seconds.
    pub created_at: Timestamp,
    /// How long it is good for, as its creator wrote it.
    pub duration: String,
    /// Whether it may be used at all; it may, where a server does not say.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// When it expires; for `forever`, [`Timestamp::FOREVER`].
    pub expires_at: Timestamp,
    /// Its identifier.
    pub id: ServiceTokenId,
    /// When it was last used, in whole seconds; absent if never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<Timestamp>,
    /// What people call it.
    pub name: String,
    /// The end of the previous secret's grace; absent if there never was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_client_secret_expires_at: Option<Timestamp>,
    /// When it last changed, in whole seconds.
    pub updated_at: Timestamp,
}

fn first_version() -> u32 {
    1
}

fn enabled() -> bool {
    true
}

impl ServiceToken {
    /// Shows a token; its secret only where one was just made.
    pub fn show(
        token: &service_token::ServiceToken,
        last_seen_at: Option<Timestamp>,
        secret: Option<&ClientSecret>,
    ) -> Self {
        Self {
            client_id: token.client_id.clone(),
            client_secret: secret.map(RevealedSecret::of),
            client_secret_version: token.secret_version,
            created_at: token.created_at.floor_second(),
            duration: token.validity.as_str().to_owned(),
            enabled: token.enabled,
            expires_at: token.expires_at.unwrap_or(Timestamp::FOREVER),
            id: token.id,
            last_seen_at: last_seen_at.map(Timestamp::floor_second),
            name: token.name.as_str().to_owned(),
            previous_client_secret_expires_at: token.previous_secret_expires_at,
            updated_at: token.updated_at.floor_second(),
        }
    }
}

/// When an application last accepted one of a service token's secrets. All of it is Hallpass' own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUse {
    /// The application's first host and path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_domain: Option<String>,
    /// The application.
    pub app_uid: AppId,
    /// The number of the secret.
    pub client_secret_version: u32,
    /// Whether it is the token's current secret.
    pub current: bool,
    /// When it was last accepted, in whole seconds.
    pub last_seen_at: Timestamp,
}

/// Reads the body of a create.
pub fn read_create(body: &Value) -> Result<ServiceTokenSpec, Vec<InvalidField>> {
    let mut fields = Fields::of_body(body)?;
    if fields.value("name").is_none() {
        fields.refuse("name", "name is a required field");
    }
    let edit = read_fields(&mut fields);
    let spec = edit.name.map(|name| ServiceTokenSpec {
        name,
        validity: edit.validity.unwrap_or_else(Validity::one_year),
        enabled: edit.enabled.unwrap_or(true),
        // Older clients always send a version, 0 when nobody asked for one.
        secret_version: edit.secret_version.unwrap_or(1).max(1),
        previous_secret_expires_at: match edit.previous_secret_expires_at {
            Patch::Set(time) => Some(time),
            Patch::Keep | Patch::Clear => None,
        },
    });
    fields.finish(spec)
}

/// Reads the body of an update.
pub fn read_update(body: &Value) -> Result<Edit, Vec<InvalidField>> {
    let mut fields = Fields::of_body(body)?;
    let edit = read_fields(&mut fields);
    fields.finish(Some(edit))
}

/// Reads the body of a rotation: until when the replaced secret still counts.
pub fn read_rotate(body: &Value) -> Result<Option<Timestamp>, Vec<InvalidField>> {
    let mut fields = Fields::of_body(body)?;
    let until = fields.parsed(PREVIOUS, str::parse);
    fields.finish(Some(until))
}

const PREVIOUS: &str = "previous_client_secret_expires_at";

fn read_fields(fields: &mut Fields<'_>) -> Edit {
    Edit {
        name: fields.parsed("name", Name::parse),
        validity: fields.parsed("duration", Validity::parse),
        enabled: fields.boolean("enabled"),
        secret_version: fields.whole_number("client_secret_version", 0..=MAX_SECRET_VERSION),
        previous_secret_expires_at: if fields.is_null(PREVIOUS) {
            Patch::Clear
        } else {
            fields.parsed(PREVIOUS, str::parse).map_or(Patch::Keep, Patch::Set)
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pointers<T: std::fmt::Debug>(read: Result<T, Vec<InvalidField>>) -> Vec<String> {
        read.unwrap_err().into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn all_errors_of_a_body_are_told_at_once() {
        let body = json!({"name": " ", "duration": "1d", "client_secret_version": -1, "enabled": "yes", PREVIOUS: "soon"});
        let all = [
            "/name",
            "/duration",
            "/enabled",
            "/client_secret_version",
            "/previous_client_secret_expires_at",
        ];
        assert_eq!(pointers(read_create(&body)), all);
        assert_eq!(pointers(read_update(&body)), all);
        assert_eq!(pointers(read_rotate(&body)), ["/previous_client_secret_expires_at"]);
        assert_eq!(pointers(read_create(&json!({}))), ["/name"]);
        assert_eq!(pointers(read_create(&json!({"name": null}))), ["/name"]);
        assert_eq!(pointers(read_create(&json!({"name": 5}))), ["/name"]);
        assert_eq!(pointers(read_create(&json!([]))), [""]);
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let spec = read_create(&json!({"name": "n", "client_secret_version": 0, "unknown": [1]})).unwrap();
        assert_eq!((spec.validity.as_str(), spec.enabled, spec.secret_version), ("8760h", true, 1));
        assert_eq!(spec.previous_secret_expires_at, None);
        assert_eq!(read_update(&json!({})).unwrap(), Edit::default());
        assert_eq!(read_rotate(&Value::Null).unwrap(), None);
    }

    #[test]
    fn null_means_clear_for_the_grace_and_nothing_elsewhere() {
        let body = json!({PREVIOUS: null, "name": null, "duration": null, "enabled": null, "client_secret_version": null});
        let edit = read_update(&body).unwrap();
        assert_eq!(edit, Edit { previous_secret_expires_at: Patch::Clear, ..Edit::default() });
    }
}
