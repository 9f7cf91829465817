//! What the gate judges and signs by: policies that no machine can satisfy, and signing keys that sign nothing.

use std::collections::{BTreeMap, BTreeSet};

use hallpass_core::app::App;
use hallpass_core::evaluation::fits_no_machine;
use hallpass_core::id::{AccountId, GroupId, PolicyId};
use hallpass_core::policy::{Policy, PolicyDecision};
use hallpass_core::rule::Rules;

use super::database::failed;
use super::{Finding, Severity, count};
use crate::server_key::ServerKey;
use crate::store::diagnosis::{GateLook, KeyLook, Look};
use crate::store::error::StoreError;

const POLICIES: &str = "policies";
const SIGNING_KEYS: &str = "signing keys";
/// How much is listed, of each sort.
const MOST: usize = 10;
/// How many applications of a policy are named.
const MOST_APPS: usize = 3;

/// `key` is the server key that was given, if there is one.
pub(super) async fn examine(look: &Look, key: Option<&ServerKey>, findings: &mut Vec<Finding>) {
    match seen(look, key).await {
        Ok(seen) => {
            findings.extend(judge_policies(&seen));
            findings.extend(judge_keys(&seen));
        }
        Err(error) => findings.push(failed(&error)),
    }
}

async fn seen(look: &Look, key: Option<&ServerKey>) -> Result<GateLook, StoreError> {
    // Under another store's key nothing opens, which the check of the server key has said already.
    let fits = look.meta("server_key").await?;
    let key = key.filter(|key| fits.is_none_or(|fits| fits == key.fingerprint()));
    look.gate(key).await
}

fn judge_policies(seen: &GateLook) -> Vec<Finding> {
    let groups: BTreeMap<GroupId, &Rules> =
        seen.guarded.groups.iter().map(|group| (group.id, &group.rules)).collect();
    let mut users = BTreeMap::<PolicyId, Vec<&App>>::new();
    for app in &seen.guarded.apps {
        for attached in &app.policies {
            users.entry(attached.policy.id).or_default().push(app);
        }
    }
    let unfit =
        seen.policies.iter().filter(|policy| fits_no_machine(policy.decision, &policy.rules, &groups));
    let users_of = |policy: &Policy| users.get(&policy.id).map(Vec::as_slice).unwrap_or_default();
    let findings: Vec<_> = unfit.map(|policy| judge_policy(policy, users_of(policy))).collect();
    if findings.is_empty() {
        let what = "no Service Auth or Bypass policy asks for what no machine can satisfy";
        return vec![Finding::ok(POLICIES, what)];
    }
    shortened(findings, |more| {
        let what = format!("{more} more of the policies can be satisfied by no machine");
        Finding::note(POLICIES, what, "look at those above first, and ask again")
    })
}

fn judge_policy(policy: &Policy, apps: &[&App]) -> Finding {
    let what = format!(
        "policy {:?} ({}) of account {} can be satisfied by no machine; {}",
        policy.name.as_str(),
        policy.id,
        policy.account_id,
        used_by(apps),
    );
    let what_to_do = if policy.decision == PolicyDecision::Bypass {
        "a Bypass policy asks nobody who they are, so rules about tokens are never true in it: make it a Service Auth policy \
         (decision non_identity), or give its include an address or everyone, and take out of its require what needs a token, a \
         human or a device, and out of its exclude what is always true"
    } else {
        "give its include what a machine can satisfy (a service token, an address, a group of these), and take out of its require \
         what needs a human or a device, and out of its exclude what is always true"
    };
    let finding = if apps.is_empty() { Finding::note } else { Finding::warning };
    finding(POLICIES, what, what_to_do)
}

/// `application "a" (id) uses it`, `applications "a" (id), "b" (id) use it`.
fn used_by(apps: &[&App]) -> String {
    let named = apps.iter().take(MOST_APPS).map(|app| format!("{:?} ({})", app.name.as_str(), app.id));
    let named = named.collect::<Vec<_>>().join(", ");
    match apps.len() {
        0 => "no application uses it".to_owned(),
        1 => format!("application {named} uses it"),
        2..=MOST_APPS => format!("applications {named} use it"),
        all => format!("applications {named} and {} more use it", all - MOST_APPS),
    }
}

fn judge_keys(seen: &GateLook) -> Vec<Finding> {
    let protected: BTreeSet<AccountId> = seen.guarded.apps.iter().map(|app| app.account_id).collect();
    let with_keys: BTreeSet<_> = seen.keys.iter().map(|key| key.account_id).collect();
    let signing: BTreeSet<_> = seen.keys.iter().filter(|key| key.signs).map(|key| key.account_id).collect();
    let mut findings: Vec<_> =
        seen.keys.iter().filter(|key| key.opens == Some(false)).map(judge_closed).collect();
    for account in protected.difference(&signing) {
        findings.push(if with_keys.contains(account) {
            Finding::problem(
                SIGNING_KEYS,
                format!("account {account} has applications, and of its signing keys none signs: no service token passes there"),
                "somebody deleted rows past Hallpass: restore a whole backup, and see who else can write to the database",
            )
        } else {
            Finding::warning(
                SIGNING_KEYS,
                format!("account {account} has applications and no signing key: no service token passes there"),
                format!("start a server with the gate, which makes the keys, or: hallpass key rotate --account {account}"),
            )
        });
    }
    if findings.is_empty() {
        let tried = seen.keys.iter().all(|key| key.opens.is_some());
        let what = match seen.keys.len() {
            0 => "no application needs a signing key yet".to_owned(),
            _ if !tried => {
                "each account that has applications has a key that signs; without the right server key, none was opened".to_owned()
            }
            keys => format!(
                "{} looked at: each opens under the server key, and each account that has applications has one that signs",
                count(keys, "signing key")
            ),
        };
        return vec![Finding::ok(SIGNING_KEYS, what)];
    }
    shortened(findings, |more| {
        let what = format!("{more} more of the signing keys do not open, or are not there");
        Finding::note(SIGNING_KEYS, what, "look at those above first, and ask again")
    })
}

/// A key whose private half is of no use.
fn judge_closed(key: &KeyLook) -> Finding {
    let KeyLook { account_id, kid, signs, .. } = key;
    let not_open = "does not open under the server key, or is not the one that is published";
    if *signs {
        Finding::problem(
            SIGNING_KEYS,
            format!(
                "the signing key {kid} of account {account_id} {not_open}: no service token passes there"
            ),
            format!(
                "restore a whole backup; or rotate the account's keys, and once more if the next one does not open either: \
                 hallpass key rotate --account {account_id}"
            ),
        )
    } else {
        Finding::warning(
            SIGNING_KEYS,
            format!(
                "the next signing key {kid} of account {account_id} {not_open}: from the next rotation on, no service token passes there"
            ),
            format!(
                "restore a whole backup; or rotate the account's keys twice, at a time when nobody has to pass for some minutes: \
                 hallpass key rotate --account {account_id}"
            ),
        )
    }
}

/// The worst first; of what is too much to be listed, the number.
fn shortened(mut findings: Vec<Finding>, more: impl FnOnce(usize) -> Finding) -> Vec<Finding> {
    findings.sort_by_key(|finding| match finding.severity {
        Severity::Problem => 0,
        Severity::Warning => 1,
        Severity::Note | Severity::Ok => 2,
    });
    let left_out = findings.len().saturating_sub(MOST);
    if left_out > 0 {
        findings.truncate(MOST);
        findings.push(more(left_out));
    }
    findings
}
