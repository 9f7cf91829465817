//! What people read about applications.

use hallpass_core::time::Timestamp;
use hallpass_core::wire::apps::App;
use hallpass_core::wire::policies::Policy;
use serde_json::Value;

use super::policy_text::is_reusable;
use super::table::{self, Cell, Tone};
use super::when::dated;

/// A line for each application.
pub(super) fn list(apps: &[App]) -> String {
    let row = |app: &App| {
        let more = app.self_hosted_domains.len().saturating_sub(1);
        let domain = if more > 0 { format!("{} and {more} more", app.domain) } else { app.domain.clone() };
        let policies = app.policies.len();
        let tone = if policies == 0 { Tone::Warning } else { Tone::Plain };
        [Cell::from(&app.name), Cell::from(app.id), Cell::from(domain), Cell::new(policies.to_string(), tone)]
    };
    table::table(["NAME", "ID", "DOMAIN", "POLICIES"], &apps.iter().map(row).collect::<Vec<_>>())
}

/// What people want to know of one application.
pub(super) fn details(app: &App, now: Timestamp) -> String {
    let mut fields = vec![("name", Cell::from(&app.name)), ("id", app.id.into())];
    let domains: Vec<&String> = if app.self_hosted_domains.is_empty() {
        vec![&app.domain]
    } else {
        app.self_hosted_domains.iter().collect()
    };
    fields.extend(domains.into_iter().map(|domain| ("domain", Cell::from(domain))));
    fields.push(("audience", (&app.aud).into()));
    fields.push(("session duration", (&app.session_duration).into()));
    if let Some(header) = app.more.get("read_service_tokens_from_header").and_then(Value::as_str) {
        fields.push(("credential header", header.into()));
    }
    if app.more.get("service_auth_401_redirect") == Some(&Value::Bool(true)) {
        fields.push(("no credential", "is answered by 401".into()));
    }
    if app.policies.is_empty() {
        fields.push(("policy", Cell::new("none: nobody passes", Tone::Warning)));
    }
    fields.extend(app.policies.iter().map(|policy| ("policy", policy_line(policy).into())));
    fields.push(("created", dated(app.created_at, now).into()));
    fields.push(("updated", dated(app.updated_at, now).into()));
    table::fields(&fields)
}

/// `1: non_identity, machines (f174e90a-…), reusable`
fn policy_line(policy: &Policy) -> String {
    let place = policy.precedence.map(|precedence| format!("{precedence}: ")).unwrap_or_default();
    let reusable = if is_reusable(policy) { ", reusable" } else { "" };
    format!("{place}{}, {} ({}){reusable}", policy.decision, policy.name, policy.id)
}
