//! A host has one owner (compatibility, D27): whatever lies on it, below it or behind a wildcard over it, no other account can
//! open, nor publish keys there.

use hallpass_core::app::{App, Pattern, hosts_meet};
use hallpass_core::id::AccountId;

use super::engine::{Tx, on_engine};
use super::error::Refusal;
use super::guarded::{refuse, texts};

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

/// A host belongs to one account, and a host and path to one of its applications. Those of a zone's routes lie in the zone.
pub(super) async fn check(tx: &mut Tx, app: &App) -> Result<Result<(), Refusal>, sqlx::Error> {
    const ZONE: &str = "SELECT name FROM zones WHERE id = $1";
    const OWNER: &str =
        "SELECT a.id, a.name FROM app_patterns p JOIN apps a ON a.id = p.app_id WHERE p.pattern = $1";
    if let Some(zone) = app.zone_id {
        let name = texts::<(String,)>(tx, ZONE, &zone.to_string()).await?.into_iter().next();
        let name = name.map(|(name,)| name.to_ascii_lowercase()).unwrap_or_default();
        let inside =
            |host: &str| host == name || host.strip_suffix(&name).is_some_and(|rest| rest.ends_with('.'));
        if !app.patterns.iter().all(|pattern| inside(pattern.host())) {
            return Ok(Err(refuse("/domain", "domain does not belong to zone")));
        }
    }
    if let Some(host) = of_another(tx, app.account_id, app.patterns.iter().map(Pattern::host)).await? {
        return Ok(Err(Refusal::PatternTaken(format!(
            "{host} belongs to another account, whole or in part"
        ))));
    }
    for pattern in &app.patterns {
        let owner = texts::<(String, String)>(tx, OWNER, pattern.as_str()).await?.into_iter().next();
        if let Some((id, name)) = owner.filter(|(id, _)| *id != app.id.to_string()) {
            let what = format!("{} belongs to application \"{name}\" ({id})", pattern.as_str());
            return Ok(Err(Refusal::PatternTaken(what)));
        }
    }
    Ok(Ok(()))
}
