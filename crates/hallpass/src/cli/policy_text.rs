//! What people read about policies.

use hallpass_core::time::Timestamp;
use hallpass_core::wire::policies::Policy;

use super::rule;
use super::table::{self, Cell, Tone};
use super::when::dated;

/// A line for each reusable policy.
pub(super) fn list_of_reusable(policies: &[Policy]) -> String {
    let row = |policy: &Policy| {
        [
            Cell::from(&policy.name),
            Cell::from(policy.id),
            Cell::from(&policy.decision),
            Cell::from(policy.app_count.unwrap_or(0)),
        ]
    };
    table::table(["NAME", "ID", "DECISION", "APPLICATIONS"], &policies.iter().map(row).collect::<Vec<_>>())
}

/// A line for each policy of an application, in the order in which they are asked.
pub(super) fn list_of_app(policies: &[Policy]) -> String {
    let row = |policy: &Policy| {
        [
            Cell::from(policy.precedence.unwrap_or(0)),
            Cell::from(&policy.name),
            Cell::from(policy.id),
            Cell::from(&policy.decision),
            Cell::from(yes_or_no(is_reusable(policy))),
        ]
    };
    let rows: Vec<_> = policies.iter().map(row).collect();
    table::table(["PRECEDENCE", "NAME", "ID", "DECISION", "REUSABLE"], &rows)
}

/// Everything about one policy.
pub(super) fn details(policy: &Policy, now: Timestamp) -> String {
    let mut fields = vec![
        ("name", Cell::from(&policy.name)),
        ("id", policy.id.into()),
        ("decision", (&policy.decision).into()),
        ("reusable", yes_or_no(is_reusable(policy)).into()),
    ];
    fields.extend(policy.precedence.map(|precedence| ("precedence", precedence.into())));
    fields.extend(policy.app_count.map(|count| ("applications", count.into())));
    if policy.include.as_ref().is_none_or(Vec::is_empty) {
        fields.push(("include", Cell::new("nothing: it is true of nobody", Tone::Warning)));
    }
    fields.extend(rule::fields(policy.include.as_ref(), policy.require.as_ref(), policy.exclude.as_ref()));
    fields.push(("created", dated(policy.created_at, now).into()));
    fields.push(("updated", dated(policy.updated_at, now).into()));
    table::fields(&fields)
}

/// Whether several applications can use it.
pub(super) fn is_reusable(policy: &Policy) -> bool {
    policy.reusable == Some(true)
}

fn yes_or_no(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}
