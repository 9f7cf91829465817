//! Organizations as JSON. Fields that say nothing to a machine are kept as they were sent, and echoed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::body::{Fields, InvalidField};
use super::inactivity::{INACTIVITY, read_inactivity};
use crate::id::AccountId;
use crate::organization::{self, AuthDomain, Inactivity};
use crate::service_token::Name;
use crate::time::Timestamp;

/// How large all that is kept of an organization may be: a merge adds to what is there.
const MOST_BYTES: usize = 64 * 1024;
const STRICT: &str = "strict_service_token_auth";
/// What replies show in any case.
const FLAGS: [&str; 3] = ["allow_authenticate_via_warp", "auto_redirect_to_identity", "is_ui_read_only"];

/// An organization as replies show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are the original's fields, and independent of each other"
)]
pub struct Organization {
    /// Stored and echoed.
    #[serde(default)]
    pub allow_authenticate_via_warp: bool,
    /// The host name that issues assertions.
    pub auth_domain: String,
    /// Stored and echoed.
    #[serde(default)]
    pub auto_redirect_to_identity: bool,
    /// When it was made, in whole seconds.
    pub created_at: Timestamp,
    /// Stored and echoed.
    #[serde(default)]
    pub is_ui_read_only: bool,
    /// What people call it.
    pub name: String,
    /// Whether requests that present a service token are answered strictly: always, here.
    #[serde(default)]
    pub strict_service_token_auth: bool,
    /// When it last changed, in whole seconds.
    pub updated_at: Timestamp,
    /// All other fields, as they were sent.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Organization {
    /// Shows an organization.
    pub fn show(organization: &organization::Organization) -> Self {
        let flag = |name: &str| organization.body.get(name).and_then(Value::as_bool).unwrap_or(false);
        let [warp, redirect, read_only] = FLAGS.map(flag);
        let shown = |key: &str| FLAGS.contains(&key) || ["auth_domain", "name"].contains(&key);
        let others = organization.body.iter().filter(|(key, _)| !shown(key));
        Self {
            allow_authenticate_via_warp: warp,
            auth_domain: organization.auth_domain.clone(),
            auto_redirect_to_identity: redirect,
            created_at: organization.created_at.floor_second(),
            is_ui_read_only: read_only,
            name: organization.name.clone(),
            strict_service_token_auth: true,
            updated_at: organization.updated_at.floor_second(),
            more: others.map(|(key, value)| (key.clone(), value.clone())).collect(),
        }
    }
}

/// What an organization says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct OrganizationSpec {
    /// The host name that issues assertions.
    pub auth_domain: String,
    /// What people call it.
    pub name: String,
    /// What happens to service tokens that nobody uses.
    pub inactivity: Option<Inactivity>,
    /// The fields as they are kept.
    pub body: Map<String, Value>,
}

/// Reads all that an organization says of itself: a body that replaces everything, or what is stored.
pub fn read(body: &Value, account: AccountId) -> Result<OrganizationSpec, Vec<InvalidField>> {
    let mut fields = Fields::of_body(body)?;
    for required in ["auth_domain", "name"] {
        if fields.value(required).is_none() {
            fields.refuse(required, format_args!("{required} is a required field"));
        }
    }
    let domain = fields.parsed("auth_domain", |text| AuthDomain::parse(text, account));
    let name = fields.parsed("name", Name::parse);
    for flag in FLAGS.into_iter().chain(["deny_unmatched_requests"]) {
        fields.boolean(flag);
    }
    fields.text("ui_read_only_toggle_reason");
    if fields.boolean(STRICT) == Some(false) {
        fields.refuse(STRICT, "strict_service_token_auth cannot be false: Hallpass is always strict");
    }
    let inactivity = fields.object(INACTIVITY).and_then(|object| {
        let mut inner = Fields::of_object(object, fields.pointer_to(INACTIVITY));
        let inactivity = read_inactivity(&mut inner);
        fields.refuse_all(inner.finish(Some(())).err().unwrap_or_default());
        inactivity
    });
    let mut kept = body.as_object().cloned().unwrap_or_default();
    kept.retain(|key, value| {
        !value.is_null() && ![STRICT, "created_at", "updated_at"].contains(&key.as_str())
    });
    let size = serde_json::to_string(&kept).map_or(usize::MAX, |text| text.len());
    if size > MOST_BYTES {
        let message = format!("an organization can be {MOST_BYTES} bytes of JSON at most");
        fields.refuse_all(vec![InvalidField { pointer: String::new(), message }]);
    }
    let spec = domain.zip(name).map(|(domain, name)| OrganizationSpec {
        auth_domain: domain.into(),
        name: name.as_str().to_owned(),
        inactivity,
        body: kept,
    });
    fields.finish(spec)
}

/// How an organization is to be changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// By this body: what it does not say is gone, but for the rules on service tokens and the name.
    Replace(Value),
    /// By this body, merged into what is there (RFC 7396).
    Merge(Value),
}

impl Change {
    /// What becomes of an organization.
    pub fn apply(
        &self,
        before: &organization::Organization,
        now: Timestamp,
    ) -> Result<organization::Organization, Vec<InvalidField>> {
        let (Self::Replace(sent) | Self::Merge(sent)) = self;
        // Says what is wrong with a body that is no object.
        Fields::of_body(sent)?;
        let body = match (self, sent) {
            (Self::Replace(_), sent) => {
                let mut body = sent.as_object().cloned().unwrap_or_default();
                body.entry("name").or_insert_with(|| Value::from(before.name.clone()));
                if let (None, Some(kept)) = (body.get(INACTIVITY), before.body.get(INACTIVITY)) {
                    body.insert(INACTIVITY.to_owned(), kept.clone());
                }
                Value::Object(body)
            }
            (Self::Merge(_), Value::Null) => Value::Object(before.body.clone()),
            (Self::Merge(_), sent) => {
                let mut body = Value::Object(before.body.clone());
                merge(&mut body, sent);
                body
            }
        };
        let spec = read(&body, before.account_id)?;
        let mut after = organization::Organization {
            account_id: before.account_id,
            auth_domain: spec.auth_domain,
            name: spec.name,
            inactivity: spec.inactivity,
            body: spec.body,
            created_at: before.created_at,
            updated_at: before.updated_at,
        };
        if after != *before {
            after.updated_at = now;
        }
        Ok(after)
    }
}

/// A JSON merge patch (RFC 7396): objects are merged, `null` takes away, everything else replaces.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(target) = target {
        for (key, value) in patch {
            if value.is_null() {
                target.remove(key);
            } else {
                merge(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::organization::InactivityAction;
    use serde_json::json;

    const ACCOUNT: &str = "023e105f4ecef8ad9ca31a8372d0c353";

    fn fresh() -> organization::Organization {
        let made = "2026-06-01T12:00:00.25Z".parse().unwrap();
        organization::Organization::new(ACCOUNT.parse().unwrap(), "Example", made)
    }

    fn later() -> Timestamp {
        "2026-06-02T12:00:00Z".parse().unwrap()
    }

    fn pointers(body: &Value) -> Vec<String> {
        let errors = read(body, ACCOUNT.parse().unwrap()).unwrap_err();
        errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn all_errors_of_a_body_are_told_at_once() {
        let body = json!({
            "auth_domain": "no host", "name": " ", "is_ui_read_only": 1, "deny_unmatched_requests": "yes",
            "ui_read_only_toggle_reason": 5, "strict_service_token_auth": false,
            "service_token_inactivity": {"enabled": true, "inactivity_threshold_days": 29, "action": "burn"},
        });
        assert_eq!(
            pointers(&body),
            [
                "/auth_domain",
                "/name",
                "/is_ui_read_only",
                "/deny_unmatched_requests",
                "/ui_read_only_toggle_reason",
                "/strict_service_token_auth",
                "/service_token_inactivity/inactivity_threshold_days",
                "/service_token_inactivity/action",
            ]
        );
        assert_eq!(pointers(&Value::Null), ["/auth_domain", "/name"]);
        assert_eq!(pointers(&json!([])), [""]);
    }

    #[test]
    fn the_rule_on_unused_tokens_is_whole_or_off() {
        let with = |rule: Value| json!({"auth_domain": "a.example", "name": "n", INACTIVITY: rule});
        let read = |rule: Value| read(&with(rule), ACCOUNT.parse().unwrap()).unwrap().inactivity;
        let rule = json!({"enabled": true, "inactivity_threshold_days": 90, "action": "disable"});
        assert_eq!(read(rule), Some(Inactivity { days: 90, action: InactivityAction::Disable }));
        let rule = json!({"enabled": true, "inactivity_threshold_days": 365.0, "action": "delete"});
        assert_eq!(read(rule), Some(Inactivity { days: 365, action: InactivityAction::Delete }));
        for off in [json!({"enabled": false}), json!(null), json!({"enabled": false, "action": "delete"})] {
            assert_eq!(read(off), None);
        }
        assert_eq!(pointers(&with(json!({}))), ["/service_token_inactivity/enabled"]);
        assert_eq!(
            pointers(&with(json!({"enabled": true}))),
            ["/service_token_inactivity/inactivity_threshold_days", "/service_token_inactivity/action"]
        );
        assert_eq!(pointers(&with(json!(true))), ["/service_token_inactivity"]);
    }

    #[test]
    fn a_replacement_forgets_all_but_the_rules_on_service_tokens() {
        let rule = json!({"enabled": true, "inactivity_threshold_days": 90, "action": "disable"});
        let first = json!({
            "auth_domain": "a.example", "name": "First", "login_design": {"logo_path": "x"}, INACTIVITY: rule,
        });
        let first = Change::Replace(first).apply(&fresh(), later()).unwrap();
        let second = Change::Replace(json!({"auth_domain": "b.example"})).apply(&first, later()).unwrap();
        assert_eq!((second.auth_domain.as_str(), second.name.as_str()), ("b.example", "First"));
        assert_eq!(second.inactivity, first.inactivity);
        assert_eq!(second.body.get("login_design"), None);
        let third = json!({"auth_domain": "b.example", INACTIVITY: null});
        assert_eq!(Change::Replace(third).apply(&second, later()).unwrap().inactivity, None);
        assert!(Change::Replace(json!({"name": "n"})).apply(&second, later()).is_err());
        assert!(Change::Replace(json!("n")).apply(&second, later()).is_err());
    }

    #[test]
    fn a_merge_keeps_what_it_does_not_say() {
        let patch =
            json!({"login_design": {"logo_path": "x", "header_text": "y"}, "session_duration": "24h"});
        let first = Change::Merge(patch).apply(&fresh(), later()).unwrap();
        let patch = json!({"login_design": {"logo_path": null}, "session_duration": null, "name": "Other"});
        let second = Change::Merge(patch).apply(&first, later()).unwrap();
        assert_eq!(second.auth_domain, fresh().auth_domain);
        assert_eq!(second.name, "Other");
        assert_eq!(second.body.get("login_design"), Some(&json!({"header_text": "y"})));
        assert_eq!(second.body.get("session_duration"), None);
        assert_eq!(second.updated_at, later());
        for nothing in [Value::Null, json!({}), json!({"strict_service_token_auth": true, "created_at": "x"})]
        {
            assert_eq!(Change::Merge(nothing).apply(&fresh(), later()), Ok(fresh()));
        }
        assert!(Change::Merge(json!({"name": null})).apply(&fresh(), later()).is_err());
    }

    #[test]
    fn what_is_kept_has_a_limit() {
        let patch = Change::Merge(json!({"custom": "x".repeat(MOST_BYTES)}));
        assert_eq!(patch.apply(&fresh(), later()).unwrap_err()[0].pointer, "");
    }

    #[test]
    fn what_is_stored_is_read_as_it_was_written() {
        let body =
            json!({"auth_domain": "a.example", "name": "n", "x": [1], "is_ui_read_only": true, "n": null});
        let spec = read(&body, ACCOUNT.parse().unwrap()).unwrap();
        assert_eq!(read(&Value::Object(spec.body.clone()), ACCOUNT.parse().unwrap()), Ok(spec));
    }

    #[test]
    fn a_reply_shows_the_flags_in_any_case_and_that_it_is_strict() {
        let shown = serde_json::to_value(Organization::show(&fresh())).unwrap();
        let expected = json!({
            "allow_authenticate_via_warp": false,
            "auth_domain": format!("{ACCOUNT}.hallpass.internal"),
            "auto_redirect_to_identity": false,
            "created_at": "2026-06-01T12:00:00Z",
            "is_ui_read_only": false,
            "name": "Example",
            "strict_service_token_auth": true,
            "updated_at": "2026-06-01T12:00:00Z",
        });
        assert_eq!(shown, expected);
    }
}
