//! A host has one owner (compatibility, D27): whatever lies on it, below it or behind a wildcard over it, no other account can
//! open, nor publish keys there.

use hallpass_core::app::hosts_meet;
use hallpass_core::id::AccountId;

use super::engine::{Tx, on_engine};

/// The first of these hosts, with their `*`, on which another account has an application, or by which its organization issues.
pub(super) async fn of_another<'h>(
    tx: &mut Tx,
    account: AccountId,
    hosts: impl Iterator<Item = &'h str>,
) -> Result<Option<&'h str>, sqlx::Error> {
    let text = "SELECT p.pattern FROM app_patterns p JOIN apps a ON a.id = p.app_id WHERE a.account_id <> $1 \
                UNION ALL SELECT auth_domain FROM organizations WHERE account_id <> $1";
    let taken: Vec<String> = on_engine!(Tx, tx, conn => {
        sqlx::query_scalar(text).bind(account.to_string()).fetch_all(conn).await?
    });
    let host_of = |pattern: &str| pattern.split('/').next().unwrap_or_default().to_ascii_lowercase();
    let taken: Vec<_> = taken.iter().map(|pattern| host_of(pattern)).collect();
    let mut hosts = hosts;
    Ok(hosts.find(|host| taken.iter().any(|taken| hosts_meet(host, taken))))
}
