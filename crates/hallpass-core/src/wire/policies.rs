//! Policies of applications as JSON: those that belong to one application, and reusable ones.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::body::{Fields, InvalidField};
use super::rules;
use crate::id::PolicyId;
use crate::policy::{self, PolicyDecision};
use crate::rule::Rules;
use crate::service_token::Name;
use crate::time::Timestamp;

/// The highest precedence: every client's integers can hold it.
pub const MAX_PRECEDENCE: u32 = i32::MAX.unsigned_abs();

/// A policy as replies show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Its identifier.
    pub id: PolicyId,
    /// What people call it.
    pub name: String,
    /// `allow`, `deny`, `non_identity` or `bypass`.
    pub decision: String,
    /// One of these must be true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include: Option<Vec<Value>>,
    /// None of these may be true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude: Option<Vec<Value>>,
    /// All of these must be true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require: Option<Vec<Value>>,
    /// Its place among the application's policies; absent where it is shown by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precedence: Option<u32>,
    /// Whether several applications can use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reusable: Option<bool>,
    /// How many applications use it; only among reusable policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_count: Option<u64>,
    /// When it was made, in whole seconds.
    pub created_at: Timestamp,
    /// When it last changed, in whole seconds.
    pub updated_at: Timestamp,
    /// What else was sent.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// What the creator of a policy can say about it.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicySpec {
    /// What people call it.
    pub name: Name,
    /// What it decides.
    pub decision: PolicyDecision,
    /// When.
    pub rules: Rules,
    /// The fields as they were sent, all but those that the server makes.
    pub body: Map<String, Value>,
}

/// What is only ever said by the server.
const SERVER_MADE: [&str; 7] =
    ["id", "uid", "created_at", "updated_at", "reusable", "app_count", "precedence"];
/// What has a field of its own in a reply.
const TYPED: [&str; 5] = ["name", "decision", "include", "exclude", "require"];

impl Policy {
    /// Shows a policy by itself.
    pub fn show(policy: &policy::Policy) -> Self {
        let list = |key: &str| policy.body.get(key).and_then(Value::as_array).cloned();
        let mut more = policy.body.clone();
        more.retain(|key, _| !TYPED.contains(&key.as_str()));
        Self {
            id: policy.id,
            name: policy.name.as_str().to_owned(),
            decision: policy.decision.as_str().to_owned(),
            include: list("include"),
            exclude: list("exclude"),
            require: list("require"),
            precedence: None,
            reusable: Some(policy.app_id.is_none()),
            app_count: None,
            created_at: policy.created_at.floor_second(),
            updated_at: policy.updated_at.floor_second(),
            more,
        }
    }

    /// Shows a policy as one of an application's.
    pub fn show_attached(attached: &policy::AttachedPolicy) -> Self {
        Self { precedence: Some(attached.precedence), ..Self::show(&attached.policy) }
    }

    /// Shows a reusable policy, which so many applications use.
    pub fn show_reusable(policy: &policy::Policy, app_count: u64) -> Self {
        Self { app_count: Some(app_count), ..Self::show(policy) }
    }
}

/// Reads the body of a create or of an update, which replaces everything.
pub fn read(body: &Value) -> Result<PolicySpec, Vec<InvalidField>> {
    let mut fields = Fields::of_body(body)?;
    let spec = read_fields(&mut fields);
    fields.finish(spec)
}

/// Reads the body of a create or of an update of a policy of an application, with its place there if one was sent.
pub fn read_of_app(body: &Value) -> Result<(PolicySpec, Option<u32>), Vec<InvalidField>> {
    let mut fields = Fields::of_body(body)?;
    let precedence = fields.whole_number("precedence", 0..=MAX_PRECEDENCE);
    let spec = read_fields(&mut fields);
    fields.finish(spec.map(|spec| (spec, precedence)))
}

/// Reads a policy; `None` only where an error was noted.
pub(super) fn read_fields(fields: &mut Fields<'_>) -> Option<PolicySpec> {
    for key in ["name", "decision"] {
        if fields.value(key).is_none() {
            fields.refuse(key, format_args!("{key} is a required field"));
        }
    }
    let name = fields.parsed("name", Name::parse);
    let rule = "must be one of: allow, deny, non_identity, bypass";
    let decision = fields.parsed("decision", |text| PolicyDecision::parse(text).ok_or(rule));
    let rules = rules::read(fields);
    let body = fields.kept(&SERVER_MADE);
    Some(PolicySpec { name: name?, decision: decision?, rules, body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_errors_of_a_policy_are_told_at_once() {
        let pointers = |body: Value| {
            let errors = read_of_app(&body).unwrap_err();
            errors.into_iter().map(|error| error.pointer).collect::<Vec<_>>()
        };
        assert_eq!(pointers(json!({})), ["/name", "/decision"]);
        let body =
            json!({"name": " ", "decision": "perhaps", "include": [{}], "require": 5, "precedence": -1});
        assert_eq!(pointers(body), ["/precedence", "/name", "/decision", "/include/0", "/require"]);
    }

    #[test]
    fn what_was_sent_is_kept_but_for_nulls_and_what_the_server_says() {
        let body = json!({
            "name": "n", "decision": "non_identity", "include": [], "session_duration": "24h", "exclude": null, "id": "x",
            "precedence": 3, "reusable": true, "approval_groups": [{"approvals_needed": 1.0}],
        });
        let (spec, precedence) = read_of_app(&body).unwrap();
        assert_eq!(precedence, Some(3));
        let kept = json!({
            "name": "n", "decision": "non_identity", "include": [], "session_duration": "24h",
            "approval_groups": [{"approvals_needed": 1.0}],
        });
        assert_eq!(Value::Object(spec.body.clone()), kept);
        assert_eq!(read(&Value::Object(spec.body.clone())), Ok(spec));
    }
}
