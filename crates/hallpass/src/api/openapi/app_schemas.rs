//! Applications, policies and groups. Replies echo what was sent beyond the fields that are described, so they are open.

use serde_json::{Map, Value, json};

use super::schemas::{UUID, closed, name, refer, time};
use crate::api::published::SERVICE_TOKEN_ID;

const APP_ID: &str = "f1a0bd7c-6f3b-4e0b-9b38-5f1a1f5c3b11";
const POLICY_ID: &str = "4c0f2d6a-8a55-4f0c-8f5e-0d8f3c1b2a22";
const GROUP_ID: &str = "7d1e3f5b-9c66-4a1d-9a6f-1e9a4d2c3b33";
const AUD: &str = "737646a56ab1df6ec9bddc7e5ca84eaf3b0768850f3ffb5d74f1534911fe3893";

/// The schemas of this file, by name.
pub(super) fn all() -> Map<String, Value> {
    let id = |description: &str, example: &str| json!({"type": "string", "pattern": UUID, "description": description, "examples": [example]});
    let named = [
        ("AppId", id("An application. It is not its audience tag.", APP_ID)),
        ("PolicyId", id("A policy of applications.", POLICY_ID)),
        ("GroupId", id("A group of rules.", GROUP_ID)),
        ("Nothing", closed(json!({}), &[], json!({}))),
        (
            "DeletedAccessObject",
            closed(json!({"id": {"type": "string", "pattern": UUID}}), &[], json!({"id": APP_ID})),
        ),
        ("AccessRule", rule()),
        ("AccessApp", app()),
        ("AccessAppDefinition", app_definition()),
        ("AccessPolicy", policy()),
        ("AccessPolicyDefinition", policy_definition()),
        ("AccessGroup", group()),
        ("AccessGroupDefinition", group_definition()),
    ];
    named.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// Opens a closed schema: other fields may be there.
fn open(mut schema: Value) -> Value {
    super::set(&mut schema, "additionalProperties", json!(true));
    schema
}

fn rule() -> Value {
    json!({
        "type": "object", "minProperties": 1, "maxProperties": 1,
        "description": "One key, the kind: service_token, any_valid_service_token, ip, everyone and group can be true of a machine. \
            Kinds that need a human, a device or another service are kept, and never are.",
        "additionalProperties": {"type": "object"},
        "examples": [{"service_token": {"token_id": SERVICE_TOKEN_ID}}, {"everyone": {}}, {"ip": {"ip": "192.0.2.0/24"}}],
    })
}

fn rules() -> Value {
    json!({"type": "array", "items": refer("AccessRule")})
}

fn decision() -> Value {
    json!({"type": "string", "enum": ["allow", "deny", "non_identity", "bypass"]})
}

fn example_rules() -> Value {
    json!([{"service_token": {"token_id": SERVICE_TOKEN_ID}}])
}

fn example_policy() -> Value {
    json!({
        "created_at": "2026-06-01T12:00:00Z", "decision": "non_identity", "id": POLICY_ID, "include": example_rules(),
        "name": "CI", "precedence": 1, "reusable": false, "updated_at": "2026-06-01T12:00:00Z",
    })
}

fn policy() -> Value {
    let properties = json!({
        "app_count": {"type": "integer", "minimum": 0, "description": "How many applications use it."},
        "created_at": time(), "decision": decision(), "exclude": rules(), "id": refer("PolicyId"), "include": rules(),
        "name": {"type": "string"}, "precedence": {"type": "integer", "minimum": 0, "maximum": i32::MAX}, "require": rules(),
        "reusable": {"type": "boolean"}, "updated_at": time(),
    });
    open(closed(properties, &["app_count", "exclude", "include", "precedence", "require"], example_policy()))
}

fn policy_definition() -> Value {
    json!({
        "type": "object", "required": ["name", "decision"],
        "properties": {
            "name": name(), "decision": decision(), "include": rules(), "exclude": rules(), "require": rules(),
            "precedence": {"type": ["integer", "null"], "minimum": 0, "maximum": i32::MAX, "description": "In an application alone."},
        },
        "examples": [{"name": "CI", "decision": "non_identity", "include": example_rules()}],
    })
}

fn app() -> Value {
    let strings = || json!({"type": "array", "items": {"type": "string"}});
    let properties = json!({
        "allowed_idps": {"type": "array"}, "app_launcher_visible": {"type": "boolean"},
        "aud": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "What assertions for it carry in aud."},
        "auto_redirect_to_identity": {"type": "boolean"}, "created_at": time(),
        "destinations": {"type": "array", "items": {"type": "object"}}, "domain": {"type": "string"},
        "http_only_cookie_attribute": {"type": "boolean"}, "id": refer("AppId"), "name": {"type": "string"},
        "policies": {"type": "array", "items": refer("AccessPolicy")}, "self_hosted_domains": strings(),
        "session_duration": {"type": "string"}, "type": {"const": "self_hosted"}, "uid": refer("AppId"), "updated_at": time(),
    });
    let example = json!({
        "allowed_idps": [], "app_launcher_visible": true, "aud": AUD, "auto_redirect_to_identity": false,
        "created_at": "2026-06-01T12:00:00Z", "destinations": [{"type": "public", "uri": "grafana.example.com"}],
        "domain": "grafana.example.com", "http_only_cookie_attribute": true, "id": APP_ID, "name": "Grafana",
        "policies": [example_policy()], "self_hosted_domains": ["grafana.example.com"], "session_duration": "24h",
        "type": "self_hosted", "uid": APP_ID, "updated_at": "2026-06-01T12:00:00Z",
    });
    open(closed(properties, &[], example))
}

fn app_definition() -> Value {
    let inline = json!({"allOf": [refer("AccessPolicyDefinition")], "description": "A policy of the application's own."});
    let known = json!({
        "type": "object", "required": ["id"], "properties": {"id": refer("PolicyId"), "precedence": {"type": ["integer", "null"], "minimum": 0, "maximum": i32::MAX}},
    });
    json!({
        "type": "object", "required": ["type"],
        "properties": {
            "type": {"const": "self_hosted"},
            "name": {"anyOf": [name(), {"type": "null"}]},
            "domain": {"type": ["string", "null"], "description": "A host, and a path if need be; * stands for a part of either."},
            "destinations": {"type": ["array", "null"], "items": {"type": "object"}},
            "self_hosted_domains": {"type": ["array", "null"], "items": {"type": "string"}},
            "session_duration": {"type": ["string", "null"], "description": "Go's grammar. An assertion is good for a day at most."},
            "read_service_tokens_from_header": {"type": ["string", "null"]},
            "service_auth_401_redirect": {"type": ["boolean", "null"]},
            "policies": {"type": ["array", "null"], "items": {"anyOf": [refer("PolicyId"), known, inline]}},
        },
        "examples": [{
            "type": "self_hosted", "domain": "grafana.example.com", "name": "Grafana",
            "policies": [{"name": "CI", "decision": "non_identity", "include": example_rules()}],
        }],
    })
}

fn group() -> Value {
    let properties = json!({
        "created_at": time(), "exclude": rules(), "id": refer("GroupId"), "include": rules(), "name": {"type": "string"},
        "require": rules(), "updated_at": time(),
    });
    let example = json!({
        "created_at": "2026-06-01T12:00:00Z", "id": GROUP_ID, "include": example_rules(), "name": "Machines",
        "updated_at": "2026-06-01T12:00:00Z",
    });
    open(closed(properties, &["exclude", "include", "require"], example))
}

fn group_definition() -> Value {
    json!({
        "type": "object", "required": ["name"],
        "properties": {"name": name(), "include": rules(), "exclude": rules(), "require": rules()},
        "examples": [{"name": "Machines", "include": example_rules()}],
    })
}
