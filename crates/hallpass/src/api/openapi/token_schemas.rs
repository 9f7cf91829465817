//! API tokens, permission groups and the audit log.

use hallpass_core::permission::{GroupScope, PermissionGroup};
use serde_json::{Map, Value, json};

use super::schemas::{closed, hex, name, refer, time};
use crate::api::published;

const TOKEN_ID: &str = "ed17574386854bf78a67040be0a770b0";
const USER_ID: &str = "7c5dae5552338874e5053f2534d2767a";
const POLICY_ID: &str = "f267e341f3dd4697bd3b9f71dd96247f";
const GROUP_ID: &str = "a1c0fec57cf94af79479a6d827fa518c";
const GROUP_NAME: &str = "Access: Service Tokens Write";
const ACCOUNT_KEY: &str = "com.cloudflare.api.account.023e105f4ecef8ad9ca31a8372d0c353";
/// What the key of a resource can be; the value is `*`, or for an account also an object whose keys are zones.
const ACCOUNTS: &str = r"^com\.cloudflare\.api\.account\.([0-9a-f]{32}|\*)$";
const ZONES: &str = r"^com\.cloudflare\.api\.account\.zone\.([0-9a-f]{32}|\*)$";
const USERS: &str = r"^com\.cloudflare\.api\.user\.([0-9a-f]{32}|\*)$";
const FOREIGN: &str = r"^com\.cloudflare\.edge\.[\s\S]";

/// The schemas of this file, by name.
pub(super) fn all() -> Map<String, Value> {
    let verification = json!({
        "expires_on": {"type": "string"}, "id": refer("ApiTokenId"), "not_before": {"type": "string"},
        "status": {"const": "active"},
    });
    let named = [
        ("PermissionGroupId", permission_group_id()),
        ("PermissionGroup", permission_group()),
        (
            "AddressLists",
            closed(
                json!({
                    "in": {"type": "array", "items": {"type": "string"}}, "not_in": {"type": "array", "items": {"type": "string"}},
                }),
                &["in", "not_in"],
                json!({"in": ["192.0.2.0/24"]}),
            ),
        ),
        (
            "Condition",
            closed(
                json!({
                    "request_ip": refer("AddressLists"), "request.ip": refer("AddressLists"),
                }),
                &["request_ip", "request.ip"],
                json!({"request_ip": {"in": ["192.0.2.0/24"]}}),
            ),
        ),
        ("Resources", resources()),
        ("Policy", policy()),
        ("ApiToken", api_token(Shown::WithoutValue)),
        ("ApiTokenWithValue", api_token(Shown::WithValue)),
        ("DeletedApiToken", closed(json!({"id": refer("ApiTokenId")}), &[], json!({"id": TOKEN_ID}))),
        (
            "Value",
            json!({"type": "string", "description": "The new value, shown this once.", "examples": [published::API_TOKEN]}),
        ),
        (
            "Verification",
            closed(verification, &["expires_on", "not_before"], json!({"id": TOKEN_ID, "status": "active"})),
        ),
        ("ApiTokenDefinition", definition()),
        ("CursorInfo", cursor_info()),
        ("AuditEntry", audit_entry()),
        ("AccessRequest", access_request()),
    ];
    named.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn permission_group_id() -> Value {
    let ids: Vec<_> = PermissionGroup::all().iter().map(|group| group.id.to_string()).collect();
    json!({"type": "string", "enum": ids, "examples": [GROUP_ID], "description": "The same in every account."})
}

fn permission_group() -> Value {
    let scopes = [GroupScope::Account, GroupScope::Zone, GroupScope::User].map(GroupScope::as_str);
    closed(
        json!({
            "id": refer("PermissionGroupId"), "name": {"type": "string"},
            "scopes": {"type": "array", "minItems": 1, "items": {"enum": scopes}},
        }),
        &[],
        json!({"id": GROUP_ID, "name": GROUP_NAME, "scopes": [GroupScope::Account.as_str()]}),
    )
}

fn resources() -> Value {
    let zones = json!({
        "type": "object", "minProperties": 1, "additionalProperties": false, "patternProperties": {ZONES: {"const": "*"}},
    });
    json!({
        "type": "object", "minProperties": 1, "additionalProperties": false,
        "patternProperties": {
            ACCOUNTS: {"anyOf": [{"const": "*"}, zones]}, ZONES: {"const": "*"}, USERS: {"const": "*"}, FOREIGN: {"const": "*"},
        },
        "examples": [{ACCOUNT_KEY: "*"}],
    })
}

fn policy() -> Value {
    let group = json!({
        "type": "object", "required": ["id", "name"], "additionalProperties": false,
        "properties": {"id": refer("PermissionGroupId"), "meta": {}, "name": {"type": "string"}},
    });
    closed(
        json!({
            "effect": {"enum": ["allow", "deny"]}, "id": hex(), "permission_groups": {"type": "array", "minItems": 1, "items": group},
            "resources": refer("Resources"),
        }),
        &[],
        example_policy(),
    )
}

fn example_policy() -> Value {
    json!({
        "effect": "allow", "id": POLICY_ID, "permission_groups": [{"id": GROUP_ID, "name": GROUP_NAME}],
        "resources": {ACCOUNT_KEY: "*"},
    })
}

/// Whether a reply shows the value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    WithoutValue,
    WithValue,
}

fn api_token(shown: Shown) -> Value {
    let mut properties = json!({
        "condition": refer("Condition"),
        "expires_on": {"type": "string", "description": "As it was sent."},
        "id": refer("ApiTokenId"), "issued_on": time(), "last_used_on": time(), "modified_on": time(),
        "name": {"type": "string"},
        "not_before": {"type": "string", "description": "As it was sent."},
        "policies": {"type": "array", "minItems": 1, "items": refer("Policy")},
        "status": {"enum": ["active", "disabled", "expired"]},
    });
    let mut example = json!({
        "id": TOKEN_ID, "issued_on": "2026-06-01T12:00:00Z", "modified_on": "2026-06-01T12:00:00Z", "name": "Service tokens",
        "policies": [example_policy()], "status": "active",
    });
    if shown == Shown::WithValue {
        super::set(&mut properties, "value", json!({"type": "string", "description": "Shown this once."}));
        super::set(&mut example, "value", json!(published::API_TOKEN));
    }
    closed(properties, &["condition", "expires_on", "last_used_on", "not_before"], example)
}

fn definition() -> Value {
    let group = json!({
        "type": "object", "required": ["id"],
        "properties": {"id": refer("PermissionGroupId"), "meta": {"description": "Kept and shown; 4096 bytes at most."}},
    });
    let policy = json!({
        "type": "object", "required": ["effect", "permission_groups", "resources"],
        "properties": {
            "effect": {"enum": ["allow", "deny"]},
            "id": {"type": ["string", "null"], "pattern": "^[0-9a-f]{32}$"},
            "permission_groups": {"type": "array", "minItems": 1, "items": group},
            "resources": refer("Resources"),
        },
    });
    let addresses = json!({
        "type": ["array", "null"],
        "items": {"type": "string", "description": "An address, or a network in CIDR notation.",
            "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}, {"pattern": "^[0-9a-fA-F:.]+/[0-9]{1,3}$"}]},
    });
    let lists = json!({
        "type": ["object", "null"], "additionalProperties": false, "properties": {"in": addresses, "not_in": addresses},
    });
    let moment = json!({"type": ["string", "null"], "format": "date-time"});
    json!({
        "type": "object", "required": ["name", "policies"],
        "properties": {
            "name": name(),
            "status": {"enum": ["active", "disabled", "expired", null], "description": "expired counts as not sent."},
            "policies": {"type": "array", "minItems": 1, "items": policy},
            "condition": {
                "type": ["object", "null"], "additionalProperties": false, "properties": {"request_ip": lists, "request.ip": lists},
                "description": "One of the two spellings.",
            },
            "not_before": moment, "expires_on": moment,
        },
        "examples": [{
            "name": "Service tokens",
            "policies": [{"effect": "allow", "permission_groups": [{"id": GROUP_ID}], "resources": {ACCOUNT_KEY: "*"}}],
        }],
    })
}

fn cursor_info() -> Value {
    let cursor = || json!({"type": "string", "pattern": "^[0-9a-f]{32}$"});
    let cursors = json!({
        "type": "object", "additionalProperties": false, "properties": {"after": cursor()},
        "description": "Empty on the last page.",
    });
    closed(
        json!({"count": {"type": "integer", "minimum": 0}, "cursor": cursor(), "cursors": cursors}),
        &["cursor"],
        json!({
            "count": 1, "cursor": "00065323d1a6f8000000000000000009", "cursors": {"after": "00065323d1a6f8000000000000000009"},
        }),
    )
}

fn access_request() -> Value {
    let text = || json!({"type": "string"});
    closed(
        json!({
            "action": {"const": "login"}, "allowed": {"type": "boolean"}, "app_domain": text(), "app_uid": text(),
            "client_secret": {"enum": ["current", "previous"]}, "connection": {"const": "service_token"},
            "count": {"type": "integer", "minimum": 1}, "created_at": time(), "ip_address": text(), "ray_id": text(),
            "reason": text(), "service_token_id": refer("ServiceTokenId"), "user_email": {"const": ""},
        }),
        &["app_domain", "app_uid", "client_secret", "reason", "service_token_id"],
        json!({
            "action": "login", "allowed": false, "app_domain": "app.example.com", "connection": "service_token", "count": 1,
            "created_at": "2026-06-01T12:00:00Z", "ip_address": "127.0.0.1", "ray_id": "8b9e0f3c6d1a4e5f8b9e0f3c6d1a4e5f",
            "reason": "disabled", "service_token_id": published::SERVICE_TOKEN_ID, "user_email": "",
        }),
    )
}

fn audit_entry() -> Value {
    let text = || json!({"type": "string"});
    let part = |properties: Value, may_be_absent: &[&str]| {
        let mut part = closed(properties, may_be_absent, Value::Null);
        if let Some(part) = part.as_object_mut() {
            part.remove("examples");
        }
        part
    };
    let action = part(
        json!({
            "description": {"type": "string", "description": "The precise name."}, "result": {"const": "success"}, "time": time(),
            "type": {"enum": ["create", "update", "delete"]},
        }),
        &[],
    );
    let actor = part(
        json!({
            "context": {"enum": ["api_key", "api_token"]}, "email": text(), "id": text(), "ip_address": text(), "token_id": hex(),
            "token_name": text(), "type": {"enum": ["user", "account", "system"]},
        }),
        &["context", "email", "id", "ip_address", "token_id", "token_name"],
    );
    let resource = part(
        json!({
            "id": text(), "product": {"enum": ["access", "api_tokens", "accounts"]},
            "response": {"type": "object", "description": "What is different now. Never a secret."},
            "scope": {"const": "accounts"}, "type": text(),
        }),
        &[],
    );
    closed(
        json!({
            "account": refer("AccountReference"), "action": action, "actor": actor,
            "id": {"type": "string", "pattern": "^[0-9]+$"}, "raw": part(json!({"cf_ray_id": hex()}), &[]), "resource": resource,
        }),
        &[],
        json!({
            "account": {"id": published::ACCOUNT_ID, "name": "Example"},
            "action": {"description": "service_token.refresh", "result": "success", "time": "2026-06-01T12:00:00Z", "type": "update"},
            "actor": {
                "context": "api_token", "email": published::EMAIL, "id": USER_ID, "ip_address": "127.0.0.1", "token_id": TOKEN_ID,
                "token_name": "Service tokens", "type": "user",
            },
            "id": "9", "raw": {"cf_ray_id": "8b9e0f3c6d1a4e5f8b9e0f3c6d1a4e5f"},
            "resource": {
                "id": published::SERVICE_TOKEN_ID, "product": "access", "response": {"expires_at": "2026-06-01T13:00:00Z"},
                "scope": "accounts", "type": "service_token",
            },
        }),
    )
}
