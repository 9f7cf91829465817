//! The operations on organizations and on the rotation of signing keys, as the original calls them; and their schemas.

use hallpass_core::permission::Permission;
use serde_json::{Map, Value, json};

use super::parameters::inactive_query;
use super::schemas::{closed, name, time};
use super::{Access, Body, Operation, Reply};
use crate::api::published;

const READ: Access = Access::Holder(Permission::ORGANIZATIONS_READ);
const WRITE: Access = Access::Holder(Permission::ORGANIZATIONS_WRITE);
const SHOWN: Reply = Reply::One("Organization");
const KEYS: Reply = Reply::One("KeyRotation");
const HOST_NAME: &str = r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";

/// Through which path.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) enum Organizations {
    /// An account's.
    OfAccount,
    /// A zone's.
    OfZone,
}

impl Organizations {
    fn operation(self, name: &str, summary: &'static str) -> Operation {
        let (prefix, tag) = match self {
            Self::OfAccount => ("", "Zero Trust organization"),
            Self::OfZone => ("zone-level-", "Zone-Level Zero Trust organization"),
        };
        Operation::new(
            format!("{prefix}zero-trust-organization-{name}-your-zero-trust-organization"),
            tag,
            summary,
            SHOWN,
        )
    }

    pub(in crate::api) fn get(self) -> Operation {
        Operation {
            description: "Every account has one from its beginning. A zone's is its account's.",
            access: READ,
            ..self.operation("get", "Get the organization")
        }
    }

    pub(in crate::api) fn create(self) -> Operation {
        Operation {
            description: "The organization is there already: this replaces it, as an update does.",
            access: WRITE,
            body: Body::Required("OrganizationReplacement"),
            status: 201,
            ..self.operation("create", "Create the organization")
        }
    }

    pub(in crate::api) fn replace(self) -> Operation {
        Operation {
            description: "Replaces everything; name and service_token_inactivity are kept where they are not sent.",
            access: WRITE,
            body: Body::Required("OrganizationReplacement"),
            ..self.operation("update", "Update the organization")
        }
    }

    pub(in crate::api) fn merge(self) -> Operation {
        Operation {
            description: "Merges the body into what is there (RFC 7396): what is not sent is kept, and null takes away.",
            access: WRITE,
            body: Body::Optional("OrganizationPatch"),
            ..self.operation("patch", "Change a part of the organization")
        }
    }
}

pub(in crate::api) fn list_inactive() -> Operation {
    Operation {
        description: "What service_token_inactivity would do now, whether or not it is enabled: tokens that were neither used nor \
                      changed for so many days, and that no policy or group refers to. The action is the organization's, or \
                      disable where it names none. Longest unused first; a thousand at most. Changes nothing. The original has \
                      no such call.",
        access: READ,
        query: inactive_query(),
        ..Operation::new(
            "zero-trust-organization-list-inactive-service-tokens".to_owned(),
            "Zero Trust organization",
            "List inactive service tokens",
            Reply::Page("InactiveServiceToken"),
        )
    }
}

fn of_keys(name: &str, summary: &'static str) -> Operation {
    let id = format!("access-key-configuration-{name}");
    Operation::new(id, "Access key configuration", summary, KEYS)
}

pub(in crate::api) fn get_keys() -> Operation {
    Operation {
        description: "How often the keys that sign assertions are rotated. The keys themselves are in the key set.",
        access: READ,
        ..of_keys("get-the-access-key-configuration", "Get the key configuration")
    }
}

pub(in crate::api) fn update_keys() -> Operation {
    Operation {
        access: WRITE,
        body: Body::Required("KeyRotationEdit"),
        ..of_keys("update-the-access-key-configuration", "Update the key configuration")
    }
}

pub(in crate::api) fn rotate_keys() -> Operation {
    Operation {
        description: "The key that was published ahead signs from now on. The one that signed is still published for 7 days.",
        access: WRITE,
        body: Body::Optional("Ignored"),
        ..of_keys("rotate-access-keys", "Rotate the keys")
    }
}

/// The schemas of this file, by name.
pub(super) fn schemas() -> Map<String, Value> {
    let mut replacement = organization_edit(&json!("object"));
    super::set(&mut replacement, "required", json!(["auth_domain"]));
    let named = [
        ("Organization", organization()),
        ("OrganizationReplacement", replacement),
        ("OrganizationPatch", organization_edit(&json!(["object", "null"]))),
        ("InactiveServiceToken", inactive_token()),
        ("KeyRotation", key_rotation()),
        (
            "KeyRotationEdit",
            json!({
                "type": "object", "required": ["key_rotation_interval_days"],
                "properties": {"key_rotation_interval_days": {"type": "integer", "minimum": 21, "maximum": 365}},
                "examples": [{"key_rotation_interval_days": 30}],
            }),
        ),
    ];
    named.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// Open, unlike all other replies: it echoes fields that say nothing to a machine.
fn organization() -> Value {
    let flag = json!({"type": "boolean", "description": "Stored and echoed."});
    json!({
        "type": "object",
        "required": [
            "allow_authenticate_via_warp", "auth_domain", "auto_redirect_to_identity", "created_at", "is_ui_read_only",
            "name", "strict_service_token_auth", "updated_at",
        ],
        "properties": {
            "allow_authenticate_via_warp": flag,
            "auth_domain": {"type": "string", "description": "Assertions are issued by `https://` and this."},
            "auto_redirect_to_identity": flag,
            "created_at": time(),
            "deny_unmatched_requests": flag,
            "is_ui_read_only": flag,
            "name": {"type": "string"},
            "service_token_inactivity": inactivity(&json!("object")),
            "strict_service_token_auth": {"const": true},
            "ui_read_only_toggle_reason": {"type": "string"},
            "updated_at": time(),
        },
        "examples": [{
            "allow_authenticate_via_warp": false, "auth_domain": published::AUTH_DOMAIN, "auto_redirect_to_identity": false,
            "created_at": "2026-06-01T12:00:00Z", "is_ui_read_only": false, "name": "Example",
            "strict_service_token_auth": true, "updated_at": "2026-06-01T12:00:00Z",
        }],
    })
}

/// What can be sent. Only in a merge may name and auth domain be absent, and never be taken away.
fn organization_edit(kind: &Value) -> Value {
    let flag = json!({"type": ["boolean", "null"]});
    json!({
        "type": kind,
        "properties": {
            "allow_authenticate_via_warp": flag,
            "auth_domain": {
                "type": "string", "pattern": HOST_NAME, "maxLength": 253,
                "description": "A host name that no other organization has. Names under hallpass.internal are reserved.",
            },
            "auto_redirect_to_identity": flag,
            "deny_unmatched_requests": {"type": ["boolean", "null"], "description": "Stored and echoed: what no application matches is always denied."},
            "is_ui_read_only": flag,
            "name": name(),
            "service_token_inactivity": inactivity(&json!(["object", "null"])),
            "strict_service_token_auth": {"enum": [true, null], "description": "Hallpass is always strict."},
            "ui_read_only_toggle_reason": {"type": ["string", "null"]},
        },
        "examples": [{"auth_domain": published::AUTH_DOMAIN, "name": "Example"}],
    })
}

fn inactivity(kind: &Value) -> Value {
    let needed = json!({"properties": {"enabled": {"const": true}}});
    json!({
        "type": kind, "required": ["enabled"],
        "description": "What happens to service tokens that are not used for so long.",
        "properties": {
            "enabled": {"type": "boolean"},
            "inactivity_threshold_days": {"type": ["integer", "null"], "minimum": 30, "maximum": 365},
            "action": {"enum": ["disable", "delete", null]},
        },
        "if": needed,
        "then": {
            "required": ["inactivity_threshold_days", "action"],
            "properties": {"inactivity_threshold_days": {"type": "integer"}, "action": {"type": "string"}},
        },
    })
}

fn inactive_token() -> Value {
    closed(
        json!({
            "action": {"enum": ["disable", "delete"]},
            "id": {"type": "string", "format": "uuid"},
            "inactive_days": {"type": "integer", "minimum": 0},
            "inactive_since": time(),
            "name": {"type": "string"},
        }),
        &[],
        json!({
            "action": "disable", "id": published::SERVICE_TOKEN_ID, "inactive_days": 90,
            "inactive_since": "2026-06-01T12:00:00Z", "name": published::SERVICE_TOKEN_NAME,
        }),
    )
}

fn key_rotation() -> Value {
    closed(
        json!({
            "days_until_next_rotation": {"type": "integer", "minimum": 0},
            "key_rotation_interval_days": {"type": "integer", "minimum": 21, "maximum": 365},
            "last_key_rotation_at": time(),
        }),
        &["last_key_rotation_at"],
        json!({
            "days_until_next_rotation": 42, "key_rotation_interval_days": 42, "last_key_rotation_at": "2026-06-01T12:00:00Z",
        }),
    )
}
