//! What people read about service tokens.

use hallpass_core::time::Timestamp;
use hallpass_core::wire::service_tokens::{LastUse, ServiceToken};

use super::table::{self, Cell, Tone, harmless};
use super::when::{dated, relative};

/// An expiry is told apart this long before: a week, in microseconds.
const SOON: i64 = 7 * 86_400 * 1_000_000;

/// Whether it can be used, as one word.
fn status(token: &ServiceToken, now: Timestamp) -> Cell {
    if !token.enabled {
        Cell::new("disabled", Tone::Dim)
    } else if token.expires_at <= now {
        Cell::new("expired", Tone::Bad)
    } else {
        "active".into()
    }
}

/// How urgent an expiry is.
pub(super) fn urgency(expires_at: Timestamp, now: Timestamp) -> Tone {
    if expires_at <= now {
        Tone::Bad
    } else if now.checked_add_micros(SOON).is_some_and(|soon| expires_at <= soon) {
        Tone::Warning
    } else {
        Tone::Plain
    }
}

/// A line for each token.
pub(super) fn list(tokens: &[ServiceToken], now: Timestamp) -> String {
    let row = |token: &ServiceToken| {
        [
            Cell::from(&token.name),
            Cell::from(token.id),
            status(token, now),
            Cell::new(relative(token.expires_at, now), urgency(token.expires_at, now)),
            token.last_seen_at.map_or_else(|| Cell::new("never", Tone::Dim), |at| relative(at, now).into()),
        ]
    };
    let rows: Vec<_> = tokens.iter().map(row).collect();
    table::table(["NAME", "ID", "STATUS", "EXPIRES", "LAST SEEN"], &rows)
}

/// A line for each application and secret.
pub(super) fn uses(uses: &[LastUse], now: Timestamp) -> String {
    let row = |last: &LastUse| {
        let which = if last.current { "current" } else { "earlier" };
        [
            last.app_domain.as_ref().map_or_else(|| Cell::from(last.app_uid), Cell::from),
            Cell::from(last.client_secret_version),
            Cell::new(which, if last.current { Tone::Plain } else { Tone::Warning }),
            Cell::from(relative(last.last_seen_at, now)),
        ]
    };
    let rows: Vec<_> = uses.iter().map(row).collect();
    table::table(["APPLICATION", "SECRET VERSION", "SECRET", "LAST SEEN"], &rows)
}

/// Everything about one token, but for its secret.
pub(super) fn details(token: &ServiceToken, now: Timestamp) -> String {
    let expires = Cell::new(dated(token.expires_at, now), urgency(token.expires_at, now));
    let mut fields = vec![
        ("name", Cell::from(&token.name)),
        ("id", token.id.into()),
        ("client ID", (&token.client_id).into()),
        ("status", status(token, now)),
        ("duration", (&token.duration).into()),
        ("expires", expires),
        ("secret version", token.client_secret_version.into()),
    ];
    if let Some(until) = token.previous_client_secret_expires_at {
        let word = if until > now { "counts until" } else { "ended" };
        fields.push(("previous secret", format!("{word} {}", dated(until, now)).into()));
    }
    fields.push(("created", dated(token.created_at, now).into()));
    fields.push(("updated", dated(token.updated_at, now).into()));
    let never = || Cell::new("never", Tone::Dim);
    fields.push(("last seen", token.last_seen_at.map_or_else(never, |at| dated(at, now).into())));
    table::fields(&fields)
}

/// A token with its new secret, and how both halves are sent. `done` says what has happened.
pub(super) fn revealed(done: &str, token: &ServiceToken, secret: &str, now: Timestamp) -> String {
    let mut fields = vec![
        ("  id", Cell::from(token.id)),
        ("  client ID", (&token.client_id).into()),
        ("  client secret", secret.into()),
        ("  expires", dated(token.expires_at, now).into()),
    ];
    if let Some(until) = token.previous_client_secret_expires_at.filter(|until| *until > now) {
        fields.push(("  previous secret", format!("counts until {}", dated(until, now)).into()));
    }
    format!(
        "{done} {:?}. Its secret is shown this once; keep it safe.\n\n{}\n\n\
         Send both halves in the headers CF-Access-Client-Id and CF-Access-Client-Secret:\n\n  \
         curl https://service.example.com -H 'CF-Access-Client-Id: {}' -H 'CF-Access-Client-Secret: {}'",
        harmless(&token.name),
        table::fields(&fields),
        token.client_id,
        harmless(secret),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn token(more: &serde_json::Value) -> ServiceToken {
        let mut token = json!({
            "client_id": "88bf3b6d86161464f6509f7219099e57.access",
            "client_secret_version": 1,
            "created_at": "2026-05-01T12:00:00Z",
            "duration": "8760h",
            "enabled": true,
            "expires_at": "2027-05-01T12:00:00Z",
            "id": "f174e90a-fafe-4643-bbbc-4a0ed4fc8415",
            "name": "deploy",
            "updated_at": "2026-06-01T11:00:00Z",
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
            token(&json!({"last_seen_at": "2026-06-01T10:00:00Z"})),
            token(&json!({"name": "nightly backup", "expires_at": "2026-06-04T12:00:00Z"})),
            token(&json!({"name": "old", "expires_at": "2026-05-31T12:00:00Z"})),
            token(&json!({"name": "off", "enabled": false, "expires_at": "2999-12-31T23:59:59Z"})),
        ];
        let text = list(&tokens, now());
        insta::assert_snapshot!(plain(&text), @r"
            NAME            ID                                    STATUS    EXPIRES       LAST SEEN
            deploy          f174e90a-fafe-4643-bbbc-4a0ed4fc8415  active    in 11 months  2 hours ago
            nightly backup  f174e90a-fafe-4643-bbbc-4a0ed4fc8415  active    in 3 days     never
            old             f174e90a-fafe-4643-bbbc-4a0ed4fc8415  expired   24 hours ago  never
            off             f174e90a-fafe-4643-bbbc-4a0ed4fc8415  disabled  never         never
        ");
        assert!(text.contains("\u{1b}[33min 3 days") && text.contains("\u{1b}[31mexpired"), "{text:?}");
    }

    #[test]
    fn the_details_leave_out_what_never_was() {
        insta::assert_snapshot!(plain(&details(&token(&json!({})), now())), @r"
            name            deploy
            id              f174e90a-fafe-4643-bbbc-4a0ed4fc8415
            client ID       88bf3b6d86161464f6509f7219099e57.access
            status          active
            duration        8760h
            expires         2027-05-01T12:00:00Z (in 11 months)
            secret version  1
            created         2026-05-01T12:00:00Z (31 days ago)
            updated         2026-06-01T11:00:00Z (1 hour ago)
            last seen       never
        ");
        let rotated = json!({"client_secret_version": 2, "previous_client_secret_expires_at": "2026-06-02T12:00:00Z",
            "last_seen_at": "2026-06-01T11:59:30Z"});
        insta::assert_snapshot!(plain(&details(&token(&rotated), now())), @r"
            name             deploy
            id               f174e90a-fafe-4643-bbbc-4a0ed4fc8415
            client ID        88bf3b6d86161464f6509f7219099e57.access
            status           active
            duration         8760h
            expires          2027-05-01T12:00:00Z (in 11 months)
            secret version   2
            previous secret  counts until 2026-06-02T12:00:00Z (in 24 hours)
            created          2026-05-01T12:00:00Z (31 days ago)
            updated          2026-06-01T11:00:00Z (1 hour ago)
            last seen        2026-06-01T11:59:30Z (just now)
        ");
    }

    #[test]
    fn uses_tell_the_current_secret_from_those_before_it() {
        let last = |more: serde_json::Value| -> LastUse {
            let mut last = json!({"app_uid": "f174e90a-fafe-4643-bbbc-4a0ed4fc8415", "last_seen_at": "2026-06-01T10:00:00Z"});
            last.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value(last).unwrap()
        };
        let uses_of_it = [
            last(json!({"app_domain": "wiki.example.com", "client_secret_version": 2, "current": true})),
            last(json!({"client_secret_version": 1, "current": false})),
        ];
        let text = uses(&uses_of_it, now());
        insta::assert_snapshot!(plain(&text), @r"
            APPLICATION                           SECRET VERSION  SECRET   LAST SEEN
            wiki.example.com                      2               current  2 hours ago
            f174e90a-fafe-4643-bbbc-4a0ed4fc8415  1               earlier  2 hours ago
        ");
        assert!(text.contains("\u{1b}[33mearlier"), "{text:?}");
    }

    #[test]
    fn a_new_secret_comes_with_what_one_does_with_it() {
        let text = revealed("Made the service token", &token(&json!({})), "cfast_example", now());
        insta::assert_snapshot!(plain(&text), @r#"
            Made the service token "deploy". Its secret is shown this once; keep it safe.

              id             f174e90a-fafe-4643-bbbc-4a0ed4fc8415
              client ID      88bf3b6d86161464f6509f7219099e57.access
              client secret  cfast_example
              expires        2027-05-01T12:00:00Z (in 11 months)

            Send both halves in the headers CF-Access-Client-Id and CF-Access-Client-Secret:

              curl https://service.example.com -H 'CF-Access-Client-Id: 88bf3b6d86161464f6509f7219099e57.access' -H 'CF-Access-Client-Secret: cfast_example'
        "#);
    }
}
