//! Tokens that somebody should look at: about to expire, long unused, or with more power than they need.

use hallpass_core::api_token::{ApiToken, Effect, Owner, Policy, TokenStanding};
use hallpass_core::permission::{GroupScope, PermissionGroup};
use hallpass_core::resource::{Resource, Which};
use hallpass_core::time::Timestamp;

use super::database::failed;
use super::{Finding, Severity, count};
use crate::store::api_tokens::StoredApiToken;
use crate::store::diagnosis::{Expiring, Look, ServiceTokenCounts};
use crate::store::error::StoreError;

const EXPIRY: &str = "expiry";
const USE: &str = "use";
const API_TOKENS: &str = "API tokens";
const DAY: i64 = 86_400_000_000;
/// An expiry is near for so many days.
const SOON: i64 = 30;
/// And very near for so many.
const VERY_SOON: i64 = 7;
/// What was not used for so many days may not be needed.
const IDLE: i64 = 90;
/// How many tokens are listed, of each sort.
const MOST: usize = 10;

pub(super) async fn examine(look: &Look, now: Timestamp, findings: &mut Vec<Finding>) {
    match service_tokens(look, now).await {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(failed(&error)),
    }
    match look.api_tokens().await {
        Ok(tokens) => findings.extend(judge_api_tokens(&tokens, now)),
        Err(error) => findings.push(failed(&error)),
    }
}

async fn service_tokens(look: &Look, now: Timestamp) -> Result<Vec<Finding>, StoreError> {
    let (soon, idle) = (days_from(now, SOON), days_from(now, -IDLE));
    let counts = look.count_service_tokens(now, soon, idle).await?;
    let first = look.expiring(now, soon, i64::try_from(MOST).unwrap_or(i64::MAX)).await?;
    let mut findings = judge_expiry(counts, &first, now);
    findings.extend(judge_use(counts));
    Ok(findings)
}

fn days_from(now: Timestamp, days: i64) -> Timestamp {
    now.checked_add_micros(days * DAY).unwrap_or(now)
}

fn judge_expiry(counts: ServiceTokenCounts, first: &[Expiring], now: Timestamp) -> Vec<Finding> {
    const REFRESH: &str = "refresh those that are still needed: their secrets stay as they are";
    let mut findings = Vec::new();
    for token in first {
        let days = (token.expires_at - now.as_micros()) / DAY;
        let when =
            if days == 0 { "within a day".to_owned() } else { format!("in {}", count(clamp(days), "day")) };
        let what = format!("service token {:?} ({}) expires {when}", token.name, token.id);
        findings.push(if days < VERY_SOON {
            Finding::warning(EXPIRY, what, REFRESH)
        } else {
            Finding::note(EXPIRY, what, REFRESH)
        });
    }
    let more = clamp(counts.expiring).saturating_sub(first.len());
    if more > 0 {
        let what = format!("{} more expire within {SOON} days", count(more, "service token"));
        findings.push(Finding::note(EXPIRY, what, REFRESH));
    }
    if counts.expired > 0 {
        let what = format!("{} expired", have(clamp(counts.expired), "service token"));
        findings.push(Finding::note(
            EXPIRY,
            what,
            "delete those that nobody needs; a refresh brings one back",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            EXPIRY,
            format!("{}; none expires within {SOON} days", count(clamp(counts.total), "service token")),
        ));
    }
    findings
}

/// Without any recorded use, nothing can be said of who is not used.
fn judge_use(counts: ServiceTokenCounts) -> Option<Finding> {
    if counts.seen == 0 {
        let what = "no use of a service token is recorded in this store: which of them are still needed cannot be told from here";
        return (counts.total > 0).then(|| Finding::ok(USE, what));
    }
    if counts.idle == 0 {
        return Some(Finding::ok(
            USE,
            format!("every service token was used within {IDLE} days, or is newer"),
        ));
    }
    let what =
        format!("{} not been seen for {IDLE} days, or ever", have(clamp(counts.idle), "service token"));
    Some(Finding::note(USE, what, "disable those that nobody needs, and delete them when nobody complains"))
}

fn judge_api_tokens(tokens: &[StoredApiToken], now: Timestamp) -> Vec<Finding> {
    let mut active = 0;
    let mut findings = Vec::new();
    for StoredApiToken { token, last_used_on } in tokens {
        if token.standing(now) != TokenStanding::Active {
            continue;
        }
        active += 1;
        findings.extend(judge_api_token(token, *last_used_on, now));
    }
    // The worst first.
    findings.sort_by_key(|finding| finding.severity != Severity::Warning);
    if findings.len() > MOST {
        let more = findings.len() - MOST;
        findings.truncate(MOST);
        let what = format!("{} more can do much, never expire, or are not used", count(more, "API token"));
        findings.push(Finding::note(API_TOKENS, what, "list them, and look at each"));
    }
    if findings.is_empty() {
        let what = format!(
            "{}, with an end, in use, and with no more than a part of the permissions",
            count(active, "active API token")
        );
        findings.push(Finding::ok(API_TOKENS, what));
    }
    findings
}

fn judge_api_token(token: &ApiToken, last_used: Option<Timestamp>, now: Timestamp) -> Option<Finding> {
    let allowed = || token.policies.iter().filter(|policy| policy.effect == Effect::Allow);
    let everywhere = allowed().any(reaches_all);
    let everything = opens_all(token);
    let idle_since = days_from(now, -IDLE);
    let idle = last_used.unwrap_or(token.issued_on) < idle_since;
    let mut reasons = Vec::new();
    let mut advice = Vec::new();
    if everything {
        reasons.push("holds every permission of its owner".to_owned());
    }
    if everywhere {
        reasons.push("reaches all of its owner's accounts or users by a wildcard, later ones too".to_owned());
    }
    if everything || everywhere {
        advice.push("make a token for each purpose, with no more than it needs, and put this one away");
    }
    if token.expires_on.is_none() {
        reasons.push("never expires".to_owned());
        advice.push("give it an end (expires_on)");
    }
    if idle {
        reasons.push(match last_used {
            Some(_) => format!("was not used for {IDLE} days"),
            None => format!("is older than {IDLE} days, and was never used"),
        });
        advice.push("disable it, if nobody needs it");
    }
    if reasons.is_empty() {
        return None;
    }
    let what = format!("API token {:?} ({}) {}", token.name.as_str(), token.id, reasons.join(", "));
    let finding = if everything || everywhere { Finding::warning } else { Finding::note };
    Some(finding(API_TOKENS, what, advice.join("; ")))
}

/// Whether a policy names all accounts or all users instead of one. All zones of one account are no more than that account.
fn reaches_all(policy: &Policy) -> bool {
    policy.reach.iter().any(|resource| match resource {
        Resource::Account(which) => *which == Which::Any,
        Resource::ZoneOf(account, _) => *account == Which::Any,
        Resource::User(which) => *which == Which::Any,
        Resource::Zone(which) => *which == Which::Any,
        Resource::Foreign => false,
    })
}

/// Whether its policies give every permission that an account's token can hold, with nothing denied.
fn opens_all(token: &ApiToken) -> bool {
    let users_too = matches!(token.owner, Owner::User(_));
    let wanted = PermissionGroup::all().iter().filter(|group| users_too || group.scope != GroupScope::User);
    let opens = |effect| {
        move |permission| {
            token.policies.iter().any(|policy: &Policy| policy.effect == effect && policy.opens(permission))
        }
    };
    let (allows, denies) = (opens(Effect::Allow), opens(Effect::Deny));
    let account_wide = wanted.filter(|group| group.scope != GroupScope::Zone).filter_map(|group| group.opens);
    let mut permissions = account_wide.peekable();
    permissions.peek().is_some() && permissions.all(|permission| allows(permission) && !denies(permission))
}

/// `1 token has`, `2 tokens have`.
fn have(n: usize, noun: &str) -> String {
    format!("{} {}", count(n, noun), if n == 1 { "has" } else { "have" })
}

fn clamp(n: i64) -> usize {
    usize::try_from(n).unwrap_or(0)
}
