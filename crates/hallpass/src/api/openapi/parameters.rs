//! What can stand behind the question mark.

use hallpass_core::wire::inactivity::THRESHOLD;
use serde_json::{Value, json};

use crate::api::access_log;
use crate::api::audit::{FILTERS, LIMIT, MOST, MOST_VALUES};

fn parameter(name: &str, description: &str, schema: Value) -> Value {
    // An empty one counts as not given.
    let mut parameter =
        json!({"name": name, "in": "query", "description": description, "allowEmptyValue": true});
    super::set(&mut parameter, "schema", schema);
    parameter
}

/// Which page of a list.
pub(super) fn paging() -> Vec<Value> {
    let number = || json!({"type": "integer", "minimum": 0, "maximum": u64::MAX});
    vec![
        parameter("page", "From 1. 0 means not given. A page past the end is empty.", number()),
        parameter("per_page", "1000 at most, and if not given. 0 means not given.", number()),
    ]
}

/// How many days a dry run is about, and which page of it.
pub(super) fn inactive_query() -> Vec<Value> {
    let days = json!({"type": "integer", "minimum": 30, "maximum": 365});
    let description =
        "After how many days; the organization's own unless it is given, needed where it names none.";
    let mut all = vec![parameter(THRESHOLD, description, days)];
    all.extend(paging());
    all
}

pub(super) fn text(name: &str, description: &str) -> Value {
    parameter(name, description, json!({"type": "string"}))
}

pub(super) fn flag(name: &str, description: &str) -> Value {
    parameter(name, description, json!({"type": "string", "enum": ["true", "false"]}))
}

pub(super) fn direction() -> Value {
    parameter(
        "direction",
        "The order.",
        json!({"type": "string", "enum": ["asc", "desc"], "default": "desc"}),
    )
}

/// Window, page and filters of the access log.
pub(super) fn access_query() -> Vec<Value> {
    let bound =
        |name, description| parameter(name, description, json!({"type": "string", "format": "date-time"}));
    let limit = json!({"type": "integer", "minimum": 0, "maximum": u64::MAX, "default": access_log::LIMIT});
    let mut all = paging();
    all.extend([
        parameter("limit", "The older name of per_page. 0 means not given.", limit),
        direction(),
        bound("since", "Entries at this time or later."),
        bound("until", "Entries at this time or earlier."),
        flag("allowed", "Only what was accepted, or only what was refused."),
        parameter("app_uid", "The application.", super::reference("AppId")),
        text("email", "Machines have none: with one, nothing fits."),
        text("ray_id", "The entry with this identifier."),
        parameter("service_token_id", "The service token.", super::reference("ServiceTokenId")),
    ]);
    all
}

/// Window, page and filters of the audit log.
pub(super) fn audit_query() -> Vec<Value> {
    let bound = |name, description| {
        let schema = json!({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}]});
        let example = if name == "since" { "2026-06-01" } else { "2026-06-02T12:00:00Z" };
        json!({"name": name, "in": "query", "required": true, "description": description, "schema": schema, "example": example})
    };
    let limit = json!({"type": "integer", "minimum": 0, "maximum": u64::MAX, "default": LIMIT});
    let mut all = vec![
        bound("since", "Entries at this time or later."),
        bound("before", "Entries earlier than this time."),
        direction(),
        parameter("limit", &format!("How many; {MOST} at most. 0 means not given."), limit),
        parameter("cursor", "From an earlier reply.", json!({"type": "string", "pattern": "^[0-9a-f]{32}$"})),
    ];
    for (name, _) in FILTERS {
        for (name, what) in [(name.to_owned(), "Only these."), (format!("{name}.not"), "None of these.")] {
            let schema = json!({"type": "array", "items": {"type": "string"}, "maxItems": MOST_VALUES});
            all.push(json!({
                "name": name, "in": "query", "description": what, "style": "form", "explode": true, "schema": schema,
            }));
        }
    }
    all
}
