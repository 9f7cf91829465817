//! The frame of the description, the envelope, service tokens, accounts, zones and users. Replies are closed: they have no
//! fields but these. Requests are open: other fields are ignored.

use serde_json::{Map, Value, json};

use crate::api::{BASE, published};

pub(super) const UUID: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";
/// Go's grammar. That it is above zero and at most 876000h, a pattern cannot say.
const DURATION: &str = r"^(forever|\+?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$";
const USER_ID: &str = "7c5dae5552338874e5053f2534d2767a";
const MEMBERSHIP_ID: &str = "4536bcfad5faccb111b47003c79917fa";

/// Everything but paths and schemas.
pub(super) fn frame() -> Value {
    let header = |description: &str, schema: Value| json!({"description": description, "schema": schema});
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Hallpass",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Service tokens: create, refresh, rotate, revoke.",
            "description": "Every reply but this one is in the envelope: `success`, `errors`, `messages`, `result`. \
                A path or method that is not described here is answered with 404 (7003, 7000) or 405 (10405). \
                `x-required-permissions` lists permission groups; one of them is enough, on the account, zone or user in \
                the path. E-mail and key hold them all. Times are RFC 3339, in UTC.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/", "description": format!("The server itself; an SDK's base URL is its address and {BASE}.")}],
        "components": {
            "securitySchemes": {
                "api_token": {"type": "http", "scheme": "bearer", "description": "An API token, such as `Sn3lZJTBX6kkg7OdcBUAxOO963GEIyGQqnFTOFYY` in the emulator."},
                "api_email": {"type": "apiKey", "in": "header", "name": "X-Auth-Email", "description": "A user's e-mail address; together with the key."},
                "api_key": {"type": "apiKey", "in": "header", "name": "X-Auth-Key", "description": "That user's global key."},
            },
            "headers": {
                "X-Request-Id": header("New for each request; also in the log, and in the audit log.", json!({"type": "string", "pattern": "^[0-9a-f]{32}$"})),
                "Cache-Control": header("Replies are not to be stored.", json!({"type": "string"})),
                "Ratelimit": header("How many requests are left, and in how many seconds the window ends: `\"default\";r=1199;t=300`.", json!({"type": "string"})),
                "Ratelimit-Policy": header("What a window allows: `\"default\";q=1200;w=300`.", json!({"type": "string"})),
                "Retry-After": header("In how many seconds to try again.", json!({"type": "integer", "minimum": 0})),
            },
        },
    })
}

/// The schemas of this file, by name.
pub(super) fn all() -> Map<String, Value> {
    let account = json!({
        "created_on": "2026-06-01T12:00:00Z", "id": published::ACCOUNT_ID, "name": "Example", "type": "standard",
    });
    let named = [
        ("AccountId", id("An account.", published::ACCOUNT_ID)),
        ("ZoneId", id("A zone.", published::ACCOUNT_ID)),
        ("ApiTokenId", id("An API token. It is no secret.", "ed17574386854bf78a67040be0a770b0")),
        (
            "ServiceTokenId",
            json!({"type": "string", "pattern": UUID, "examples": [published::SERVICE_TOKEN_ID]}),
        ),
        (
            "Time",
            json!({"type": "string", "format": "date-time", "pattern": "Z$", "examples": ["2026-06-01T12:00:00Z"]}),
        ),
        ("Success", success()),
        ("Failure", failure()),
        ("ErrorObject", error_object()),
        (
            "Message",
            closed(
                json!({
                    "code": {"type": "integer"}, "message": {"type": "string"}, "type": {"type": "null"},
                }),
                &[],
                json!({"code": 10000, "message": "This API Token is valid and active", "type": null}),
            ),
        ),
        ("ResultInfo", result_info()),
        ("Alive", closed(json!({"status": {"const": "ok"}}), &[], json!({"status": "ok"}))),
        ("Ready", closed(json!({"status": {"const": "ready"}}), &[], json!({"status": "ready"}))),
        ("Ignored", json!({"description": "Any JSON; nobody looks at it.", "examples": [{}]})),
        ("ServiceToken", service_token(Secret::Never)),
        ("ServiceTokenWithSecret", service_token(Secret::Always)),
        ("ServiceTokenMaybeWithSecret", service_token(Secret::IfNew)),
        ("ServiceTokenLastUse", last_use()),
        ("NewServiceToken", new_service_token()),
        ("ServiceTokenEdit", edit()),
        (
            "Rotation",
            json!({
                "type": ["object", "null"],
                "properties": {"previous_client_secret_expires_at": grace()},
                "examples": [{"previous_client_secret_expires_at": "2026-06-02T12:00:00Z"}],
            }),
        ),
        (
            "Account",
            closed(
                json!({
                    "created_on": time(), "id": refer("AccountId"), "name": {"type": "string"}, "type": {"const": "standard"},
                }),
                &[],
                account.clone(),
            ),
        ),
        (
            "AccountReference",
            closed(
                json!({
                    "id": refer("AccountId"), "name": {"type": "string"},
                }),
                &[],
                json!({"id": published::ACCOUNT_ID, "name": "Example"}),
            ),
        ),
        ("Zone", zone()),
        (
            "User",
            closed(
                json!({
                    "created_on": time(), "email": {"type": "string"}, "id": hex(), "modified_on": time(),
                }),
                &[],
                json!({
                    "created_on": "2026-06-01T12:00:00Z", "email": published::EMAIL, "id": USER_ID, "modified_on": "2026-06-01T12:00:00Z",
                }),
            ),
        ),
        (
            "Membership",
            closed(
                json!({
                    "account": refer("Account"), "id": hex(), "status": {"const": "accepted"},
                }),
                &[],
                json!({"account": account, "id": MEMBERSHIP_ID, "status": "accepted"}),
            ),
        ),
    ];
    named.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// An object with these fields and no others. All are there, but for those that are named.
pub(super) fn closed(properties: Value, may_be_absent: &[&str], example: Value) -> Value {
    let names = properties.as_object().into_iter().flat_map(Map::keys);
    let required: Vec<_> = names.filter(|name| !may_be_absent.contains(&name.as_str())).cloned().collect();
    let mut schema = json!({"type": "object", "required": required, "additionalProperties": false});
    super::set(&mut schema, "properties", properties);
    super::set(&mut schema, "examples", Value::Array(vec![example]));
    schema
}

pub(super) fn refer(schema: &str) -> Value {
    super::reference(schema)
}

pub(super) fn hex() -> Value {
    json!({"type": "string", "pattern": "^[0-9a-f]{32}$"})
}

pub(super) fn time() -> Value {
    refer("Time")
}

fn id(description: &str, example: &str) -> Value {
    json!({"type": "string", "pattern": "^[0-9a-f]{32}$", "description": description, "examples": [example]})
}

fn success() -> Value {
    json!({
        "type": "object",
        "description": "The envelope of a success; the operation says what `result` is.",
        "required": ["success", "errors", "messages", "result"],
        "properties": {
            "success": {"const": true},
            "errors": {"type": "array", "maxItems": 0},
            "messages": {"type": "array", "items": refer("Message")},
            "result": {},
        },
    })
}

fn failure() -> Value {
    let example = json!({
        "success": false,
        "errors": [{
            "code": 12130, "message": "access.api.error.invalid_request: duration must be greater than zero",
            "documentation_url": "docs/errors.md#12130", "source": {"pointer": "/duration"},
        }],
        "messages": [], "result": null,
    });
    let mut failure = closed(
        json!({
            "success": {"const": false},
            "errors": {"type": "array", "minItems": 1, "maxItems": 100, "items": refer("ErrorObject")},
            "messages": {"type": "array", "maxItems": 0},
            "result": {"type": "null"},
        }),
        &[],
        example,
    );
    super::set(
        &mut failure,
        "description",
        json!("The envelope of a refusal. Everything that is wrong is told at once."),
    );
    failure
}

fn error_object() -> Value {
    let pointer = json!({"type": "string", "description": "A JSON pointer into the body, or `/name` of a query parameter."});
    let chained = json!({
        "type": "object", "required": ["code", "message"], "additionalProperties": false,
        "properties": {"code": {"enum": [6102, 6103, 6111]}, "message": {"type": "string"}},
    });
    closed(
        json!({
            "code": {"type": "integer"},
            "message": {"type": "string", "description": "For people; it may change."},
            "documentation_url": {"type": "string", "description": "A path in the repository of Hallpass."},
            "source": {"type": "object", "required": ["pointer"], "properties": {"pointer": pointer}, "additionalProperties": false},
            "error_chain": {"type": "array", "minItems": 1, "items": chained},
        }),
        &["documentation_url", "source", "error_chain"],
        json!({
            "code": 12135, "message": "access.api.error.service_token_not_found", "documentation_url": "docs/errors.md#12135",
        }),
    )
}

fn result_info() -> Value {
    let number = || json!({"type": "integer", "minimum": 0});
    closed(
        json!({
            "page": {"type": "integer", "minimum": 1}, "per_page": {"type": "integer", "minimum": 1, "maximum": 1000},
            "count": number(), "total_count": number(), "total_pages": number(),
        }),
        &[],
        json!({"page": 1, "per_page": 1000, "count": 1, "total_count": 1, "total_pages": 1}),
    )
}

/// Whether a reply shows a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secret {
    Never,
    Always,
    IfNew,
}

fn service_token(secret: Secret) -> Value {
    let mut properties = json!({
        "client_id": {"type": "string", "description": "The public half of the credential."},
        "client_secret_version": {"type": "integer", "minimum": 1, "maximum": i32::MAX},
        "created_at": time(),
        "duration": {"type": "string", "description": "As it was sent."},
        "enabled": {"type": "boolean"},
        "expires_at": {"allOf": [time()], "description": "For `forever`, 2999-12-31T23:59:59Z."},
        "id": refer("ServiceTokenId"),
        "last_seen_at": time(),
        "name": {"type": "string"},
        "previous_client_secret_expires_at": time(),
        "updated_at": time(),
    });
    let mut example = json!({
        "client_id": published::CLIENT_ID, "client_secret_version": 1, "created_at": "2026-06-01T12:00:00Z",
        "duration": published::DURATION, "enabled": true, "expires_at": "2026-06-01T13:00:00Z",
        "id": published::SERVICE_TOKEN_ID, "name": published::SERVICE_TOKEN_NAME, "updated_at": "2026-06-01T12:00:00Z",
    });
    let mut may_be_absent = vec!["last_seen_at", "previous_client_secret_expires_at"];
    if secret != Secret::Never {
        super::set(
            &mut properties,
            "client_secret",
            json!({"type": "string", "description": "Shown this once."}),
        );
        super::set(&mut example, "client_secret", json!(published::CLIENT_SECRET));
    }
    if secret == Secret::IfNew {
        may_be_absent.push("client_secret");
    }
    closed(properties, &may_be_absent, example)
}

fn last_use() -> Value {
    closed(
        json!({
            "app_domain": {"type": "string", "description": "The application's first host and path."},
            "app_uid": refer("AppId"),
            "client_secret_version": {"type": "integer", "minimum": 1, "maximum": i32::MAX},
            "current": {"type": "boolean", "description": "Whether it is the token's current secret."},
            "last_seen_at": time(),
        }),
        &["app_domain"],
        json!({
            "app_domain": published::APP_DOMAIN, "app_uid": published::APP_ID, "client_secret_version": 1, "current": true,
            "last_seen_at": "2026-06-01T12:00:00Z",
        }),
    )
}

/// The rules for a name.
pub(super) fn name() -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": 350,
        "allOf": [{"pattern": r"\S"}, {"pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$"}],
    })
}

fn grace() -> Value {
    json!({"type": ["string", "null"], "format": "date-time", "description": "Until when the replaced secret counts."})
}

/// What create and update have in common; `null` counts as not sent.
fn edit() -> Value {
    let mut named = name();
    super::set(&mut named, "type", json!(["string", "null"]));
    json!({
        "type": ["object", "null"],
        "properties": {
            "name": named,
            "duration": {
                "type": ["string", "null"], "minLength": 1, "maxLength": 64, "pattern": DURATION,
                "description": "Go's grammar, above zero and at most 876000h; or forever.",
            },
            "client_secret_version": {
                "type": ["integer", "null"], "minimum": 0, "maximum": i32::MAX,
                "description": "In an update, a higher one than the stored one rotates.",
            },
            "previous_client_secret_expires_at": grace(),
            "enabled": {"type": ["boolean", "null"]},
        },
        "examples": [{"name": published::SERVICE_TOKEN_NAME, "duration": published::DURATION}, {"client_secret_version": 2}],
    })
}

fn new_service_token() -> Value {
    let mut schema = edit();
    super::set(&mut schema, "type", json!("object"));
    super::set(&mut schema, "required", json!(["name"]));
    super::set(
        &mut schema,
        "examples",
        json!([{"name": published::SERVICE_TOKEN_NAME, "duration": published::DURATION}]),
    );
    if let Some(properties) = schema.get_mut("properties") {
        super::set(properties, "name", name());
    }
    schema
}

fn zone() -> Value {
    closed(
        json!({
            "account": refer("AccountReference"), "created_on": time(), "id": refer("ZoneId"), "modified_on": time(),
            "name": {"type": "string"}, "name_servers": {"type": "array", "maxItems": 0}, "paused": {"const": false},
            "status": {"const": "active"}, "type": {"const": "full"},
        }),
        &[],
        json!({
            "account": {"id": published::ACCOUNT_ID, "name": "Example"}, "created_on": "2026-06-01T12:00:00Z",
            "id": published::ACCOUNT_ID, "modified_on": "2026-06-01T12:00:00Z", "name": published::ZONE_NAME,
            "name_servers": [], "paused": false, "status": "active", "type": "full",
        }),
    )
}
