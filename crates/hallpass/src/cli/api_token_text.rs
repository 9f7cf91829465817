//! What people read about API tokens.

use hallpass_core::time::Timestamp;
use hallpass_core::wire::api_tokens::{AddressLists, ApiToken, PermissionGroup, Policy, Verification};
use serde_json::Value;

use super::table::{self, Cell, Tone, harmless};
use super::token_text::urgency;
use super::when::{dated, relative};

/// A line for each token.
pub(super) fn list(tokens: &[ApiToken], now: Timestamp) -> String {
    let row = |token: &ApiToken| {
        [
            Cell::from(&token.name),
            Cell::from(token.id),
            status(&token.status),
            expiry(token.expires_on.as_deref(), now, relative),
            token.last_used_on.map_or_else(|| Cell::new("never", Tone::Dim), |at| relative(at, now).into()),
        ]
    };
    let rows: Vec<_> = tokens.iter().map(row).collect();
    table::table(["NAME", "ID", "STATUS", "EXPIRES", "LAST USED"], &rows)
}

/// Everything about one token, but for its secret.
pub(super) fn details(token: &ApiToken, now: Timestamp) -> String {
    let mut fields = vec![
        ("name", Cell::from(&token.name)),
        ("id", token.id.into()),
        ("status", status(&token.status)),
        ("expires", expiry(token.expires_on.as_deref(), now, dated)),
    ];
    if let Some(start) = token.not_before.as_deref() {
        fields.push(("not before", dated_text(start, now).into()));
    }
    if let Some(condition) = &token.condition {
        let lists = condition.request_ip.iter().chain(&condition.request_dot_ip);
        fields.extend(lists.flat_map(networks));
    }
    fields.extend(token.policies.iter().map(|policy| ("policy", policy_text(policy).into())));
    fields.push(("issued", dated(token.issued_on, now).into()));
    fields.push(("modified", dated(token.modified_on, now).into()));
    let never = || Cell::new("never", Tone::Dim);
    fields.push(("last used", token.last_used_on.map_or_else(never, |at| dated(at, now).into())));
    table::fields(&fields)
}

/// A token with its new secret. `done` says what has happened.
pub(super) fn revealed(done: &str, token: &ApiToken, secret: &str) -> String {
    let fields = [("  id", Cell::from(token.id)), ("  API token", secret.into())];
    format!(
        "{done} {:?}. Its secret is shown this once; keep it safe.\n\n{}\n\n\
         Send it in the header Authorization: Bearer …, or put it into HALLPASS_API_TOKEN.",
        harmless(&token.name),
        table::fields(&fields),
    )
}

/// What a verification says.
pub(super) fn verified(token: &Verification, now: Timestamp) -> String {
    table::fields(&[
        ("id", token.id.into()),
        ("status", status(&token.status)),
        ("expires", expiry(token.expires_on.as_deref(), now, dated)),
    ])
}

/// A line for each permission group.
pub(super) fn permissions(groups: &[PermissionGroup]) -> String {
    let row = |group: &PermissionGroup| [Cell::from(group.id), Cell::from(&group.name)];
    table::table(["ID", "NAME"], &groups.iter().map(row).collect::<Vec<_>>())
}

fn status(status: &str) -> Cell {
    let tone = match status {
        "active" => Tone::Plain,
        "disabled" => Tone::Dim,
        _ => Tone::Bad,
    };
    Cell::new(status, tone)
}

fn expiry(expires_on: Option<&str>, now: Timestamp, told: fn(Timestamp, Timestamp) -> String) -> Cell {
    match expires_on.map(|text| (text, text.parse::<Timestamp>())) {
        None => Cell::new("never", Tone::Plain),
        Some((_, Ok(at))) => Cell::new(told(at, now), urgency(at, now)),
        Some((text, Err(_))) => text.into(),
    }
}

fn dated_text(text: &str, now: Timestamp) -> String {
    text.parse().map_or_else(|_| text.to_owned(), |at| dated(at, now))
}

fn networks(lists: &AddressLists) -> Vec<(&'static str, Cell)> {
    let line = |name, networks: &Option<Vec<String>>| {
        networks.as_ref().map(|networks| (name, Cell::from(networks.join(", "))))
    };
    line("only from", &lists.within).into_iter().chain(line("never from", &lists.not_within)).collect()
}

/// `allow: Access: Service Tokens Read, Access: Service Tokens Write; on com.cloudflare.api.account.…`
fn policy_text(policy: &Policy) -> String {
    let groups: Vec<_> = policy
        .permission_groups
        .iter()
        .map(|group| if group.name.is_empty() { group.id.to_string() } else { group.name.clone() })
        .collect();
    let resources: Vec<_> = policy
        .resources
        .iter()
        .map(|(resource, what)| match what {
            Value::String(all) if all == "*" => resource.clone(),
            other => format!("{resource} {other}"),
        })
        .collect();
    format!("{} {} on {}", policy.effect, groups.join(", "), resources.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn token(more: &Value) -> ApiToken {
        let mut token = json!({
            "id": "ed17574386854bf78a67040be0a770b0",
            "issued_on": "2026-05-01T12:00:00Z",
            "modified_on": "2026-05-01T12:00:00Z",
            "name": "refresher",
            "policies": [{
                "effect": "allow",
                "id": "f267e341f3dd4697bd3b9f71dd96247f",
                "permission_groups": [
                    {"id": "91f7ce32fa614d73b7e1fc8f0e78582b", "name": "Access: Service Tokens Read"},
                    {"id": "a1c0fec57cf94af79479a6d827fa518c", "name": ""},
                ],
                "resources": {"com.cloudflare.api.account.023e105f4ecef8ad9ca31a8372d0c353": "*"},
            }],
            "status": "active",
        });
        token.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(token).unwrap()
    }

    fn now() -> Timestamp {
        "2026-06-01T12:00:00Z".parse().unwrap()
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_list_tells_at_a_glance_what_needs_attention() {
        let tokens = [
            token(&json!({"last_used_on": "2026-06-01T10:00:00Z"})),
            token(&json!({"name": "old", "status": "expired", "expires_on": "2026-05-31T12:00:00Z"})),
            token(&json!({"name": "odd", "status": "disabled", "expires_on": "someday"})),
        ];
        insta::assert_snapshot!(plain(&list(&tokens, now())), @r"
            NAME       ID                                STATUS    EXPIRES       LAST USED
            refresher  ed17574386854bf78a67040be0a770b0  active    never         2 hours ago
            old        ed17574386854bf78a67040be0a770b0  expired   24 hours ago  never
            odd        ed17574386854bf78a67040be0a770b0  disabled  someday       never
        ");
    }

    #[test]
    fn the_details_tell_what_it_may_do_and_from_where() {
        let more = json!({"condition": {"request_ip": {"in": ["10.0.0.0/8", "::1"], "not_in": ["10.1.0.0/16"]}},
            "expires_on": "2026-06-04T12:00:00Z", "not_before": "2026-05-04T12:00:00Z"});
        insta::assert_snapshot!(plain(&details(&token(&more), now())), @r"
            name        refresher
            id          ed17574386854bf78a67040be0a770b0
            status      active
            expires     2026-06-04T12:00:00Z (in 3 days)
            not before  2026-05-04T12:00:00Z (28 days ago)
            only from   10.0.0.0/8, ::1
            never from  10.1.0.0/16
            policy      allow Access: Service Tokens Read, a1c0fec57cf94af79479a6d827fa518c on com.cloudflare.api.account.023e105f4ecef8ad9ca31a8372d0c353
            issued      2026-05-01T12:00:00Z (31 days ago)
            modified    2026-05-01T12:00:00Z (31 days ago)
            last used   never
        ");
    }
}
