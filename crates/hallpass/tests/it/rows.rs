//! What a store holds, read past the API by SQL: to show that nothing was written, and what became of each digest.

use hallpass::store::Location;
use hallpass_core::secret::{ClientSecret, SecretKind};

use crate::harness::{Place, TestServer};
use crate::inspect::Database;

/// Every table but those that are written in the background, with its columns.
const TABLES: [(&str, &[&str]); 21] = [
    ("meta", &["key", "value"]),
    ("revision", &["n"]),
    ("changes", &["revision", "kind", "object_id"]),
    (
        "audit",
        &[
            "revision",
            "at",
            "actor",
            "actor_id",
            "account_id",
            "action",
            "object_id",
            "detail",
            "client",
            "actor_user_id",
        ],
    ),
    ("accounts", &["id", "name", "created_at"]),
    ("zones", &["id", "account_id", "name", "created_at"]),
    ("users", &["id", "email", "created_at"]),
    ("memberships", &["id", "user_id", "account_id"]),
    (
        "service_tokens",
        &[
            "id",
            "account_id",
            "zone_id",
            "client_id",
            "name",
            "search_name",
            "duration",
            "expires_at",
            "enabled",
            "secret_version",
            "previous_secret_expires_at",
            "previous_secret_until",
            "rotated_at",
            "created_at",
            "updated_at",
        ],
    ),
    (
        "organizations",
        &["account_id", "auth_domain", "body", "key_rotation_interval_days", "created_at", "updated_at"],
    ),
    // All but the encrypted half, which is no text.
    (
        "signing_keys",
        &[
            "kid",
            "account_id",
            "state",
            "modulus",
            "certificate",
            "created_at",
            "signs_since",
            "published_until",
        ],
    ),
    (
        "api_tokens",
        &[
            "id",
            "user_id",
            "account_id",
            "name",
            "enabled",
            "policies",
            "condition",
            "not_before",
            "expires_on",
            "issued_on",
            "modified_on",
        ],
    ),
    (
        "apps",
        &["id", "account_id", "zone_id", "name", "aud", "body", "revoked_before", "created_at", "updated_at"],
    ),
    ("app_patterns", &["pattern", "app_id"]),
    ("policies", &["id", "account_id", "zone_id", "app_id", "name", "body", "created_at", "updated_at"]),
    ("app_policies", &["app_id", "policy_id", "precedence"]),
    ("rule_groups", &["id", "account_id", "zone_id", "name", "body", "created_at", "updated_at"]),
    ("policy_service_tokens", &["policy_id", "service_token_id"]),
    ("policy_groups", &["policy_id", "group_id"]),
    ("group_service_tokens", &["owner_id", "service_token_id"]),
    ("group_groups", &["owner_id", "group_id"]),
];

/// The digests of one owner, in hex.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Digests {
    pub(crate) current: Option<String>,
    pub(crate) previous: Option<String>,
}

/// The texts that a query of one column finds.
pub(crate) async fn texts(place: &Place, sql: &str) -> Vec<String> {
    let mut database = Database::open(&place.location).await;
    let rows = database.rows::<(String,)>(sql).await;
    rows.into_iter().map(|(text,)| text).collect()
}

/// Every row of every table, digests included.
pub(crate) async fn dump(place: &Place) -> Vec<String> {
    let mut parts: Vec<_> = TABLES
        .iter()
        .map(|(table, columns)| {
            let columns: Vec<_> =
                columns.iter().map(|column| format!("COALESCE(CAST({column} AS TEXT), '-')")).collect();
            format!("SELECT '{table}: ' || {} FROM {table}", columns.join(" || ' | ' || "))
        })
        .collect();
    parts.push(format!(
        "SELECT 'digests: ' || kind || ' ' || owner_id || ' ' || slot || ' ' || {} FROM digests",
        hex(place)
    ));
    let mut rows = texts(place, &parts.join(" UNION ALL ")).await;
    rows.sort();
    rows
}

/// The revision: how many changes the store has seen.
pub(crate) async fn revision(place: &Place) -> String {
    texts(place, "SELECT CAST(n AS TEXT) FROM revision").await.remove(0)
}

/// What the audit says of an object, oldest first: `action detail`.
pub(crate) async fn audit(place: &Place, object: &str) -> Vec<String> {
    let sql =
        format!("SELECT action || ' ' || detail FROM audit WHERE object_id = '{object}' ORDER BY revision");
    texts(place, &sql).await
}

/// The stored digests of an object.
pub(crate) async fn digests(place: &Place, owner: &str) -> Digests {
    let sql = format!("SELECT slot || ' ' || {} FROM digests WHERE owner_id = '{owner}'", hex(place));
    let mut found = Digests::default();
    for row in texts(place, &sql).await {
        match row.split_once(' ').unwrap() {
            ("current", digest) => found.current = Some(digest.to_owned()),
            (_, digest) => found.previous = Some(digest.to_owned()),
        }
    }
    found
}

/// What is stored of a service token's secrets, if these are they.
pub(crate) fn digests_of(server: &TestServer, id: &str, current: &str, previous: Option<&str>) -> Digests {
    let digest = |secret: &str| {
        let secret = ClientSecret::presented(secret);
        let digest = server.store.digest(SecretKind::ServiceToken, id, &secret);
        let digits: Vec<_> = digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        digits.concat()
    };
    Digests { current: Some(digest(current)), previous: previous.map(digest) }
}

fn hex(place: &Place) -> &'static str {
    match place.location {
        Location::Directory(_) => "lower(hex(digest))",
        Location::Postgres(_) => "encode(digest, 'hex')",
    }
}
