//! What rules refer to: service tokens and groups of the same account. Nothing that is referred to can be deleted.

use std::collections::{BTreeMap, BTreeSet};

use hallpass_core::id::{AccountId, GroupId, ServiceTokenId};
use hallpass_core::rule::{Rule, Rules};

use super::batch::Batch;
use super::engine::Tx;
use super::error::Refusal;
use super::guarded::{refuse, run, texts};

/// How deep groups may be nested: what is decided on every request must have an end.
const MOST_LEVELS: usize = 8;

/// Who refers to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Policy,
    Group,
}

/// Looks whether everything that rules refer to is there and the account's own. What is another's is as absent as what never was.
/// `pointer` is where the rules' owner stands in the body.
pub(super) async fn check(
    tx: &mut Tx,
    batch: &Batch,
    account: AccountId,
    rules: &Rules,
    pointer: &str,
) -> Result<Result<(), Refusal>, sqlx::Error> {
    const TOKEN: &str = "SELECT account_id FROM service_tokens WHERE id = $1";
    const GROUP: &str = "SELECT account_id FROM rule_groups WHERE id = $1";
    let parts = [("include", &rules.include), ("exclude", &rules.exclude), ("require", &rules.require)];
    for (part, list) in parts {
        for (n, rule) in list.iter().enumerate() {
            let (what, path, owner) = match rule {
                Rule::ServiceToken(id) => {
                    // A token may be gone although its row is still there, until the batch is written.
                    let owner = match batch.held(*id) {
                        Some(token) => token.map(|token| token.account_id.to_string()),
                        None => owner_of(tx, TOKEN, &id.to_string()).await?,
                    };
                    ("service token", "service_token/token_id", owner)
                }
                Rule::Group(id) => ("group", "group/id", owner_of(tx, GROUP, &id.to_string()).await?),
                Rule::AnyValidServiceToken | Rule::Ip(_) | Rule::Everyone | Rule::NoMachine => continue,
            };
            if owner != Some(account.to_string()) {
                let message = format!("there is no such {what} in this account");
                return Ok(Err(refuse(format!("{pointer}/{part}/{n}/{path}"), message)));
            }
        }
    }
    Ok(Ok(()))
}

async fn owner_of(tx: &mut Tx, text: &'static str, id: &str) -> Result<Option<String>, sqlx::Error> {
    Ok(texts::<(String,)>(tx, text, id).await?.into_iter().next().map(|(account,)| account))
}

/// Writes down what rules refer to, in place of what they referred to before.
pub(super) async fn write(tx: &mut Tx, owner: Owner, id: &str, rules: &Rules) -> Result<(), sqlx::Error> {
    let (forget, tokens, groups) = match owner {
        Owner::Policy => (
            [
                "DELETE FROM policy_service_tokens WHERE policy_id = $1",
                "DELETE FROM policy_groups WHERE policy_id = $1",
            ],
            "INSERT INTO policy_service_tokens (policy_id, service_token_id) VALUES ($1, $2)",
            "INSERT INTO policy_groups (policy_id, group_id) VALUES ($1, $2)",
        ),
        Owner::Group => (
            [
                "DELETE FROM group_service_tokens WHERE owner_id = $1",
                "DELETE FROM group_groups WHERE owner_id = $1",
            ],
            "INSERT INTO group_service_tokens (owner_id, service_token_id) VALUES ($1, $2)",
            "INSERT INTO group_groups (owner_id, group_id) VALUES ($1, $2)",
        ),
    };
    for text in forget {
        run(tx, text, &[id]).await?;
    }
    for token in rules.service_tokens().collect::<BTreeSet<_>>() {
        run(tx, tokens, &[id, &token.to_string()]).await?;
    }
    for group in rules.groups().collect::<BTreeSet<_>>() {
        run(tx, groups, &[id, &group.to_string()]).await?;
    }
    Ok(())
}

/// Which policies and groups refer to a service token, in words; empty if none does.
pub(super) async fn users_of_token(tx: &mut Tx, id: ServiceTokenId) -> Result<String, sqlx::Error> {
    const POLICIES: &str = "SELECT p.id, p.name, COALESCE(a.name, '') FROM policy_service_tokens r \
        JOIN policies p ON p.id = r.policy_id LEFT JOIN apps a ON a.id = p.app_id WHERE r.service_token_id = $1 ORDER BY p.id LIMIT 11";
    const GROUPS: &str = "SELECT g.id, g.name, '' FROM group_service_tokens r JOIN rule_groups g ON g.id = r.owner_id \
        WHERE r.service_token_id = $1 ORDER BY g.id LIMIT 11";
    users(tx, POLICIES, GROUPS, &id.to_string()).await
}

/// Which policies and groups refer to a group, in words; empty if none does.
pub(super) async fn users_of_group(tx: &mut Tx, id: GroupId) -> Result<String, sqlx::Error> {
    const POLICIES: &str = "SELECT p.id, p.name, COALESCE(a.name, '') FROM policy_groups r JOIN policies p ON p.id = r.policy_id \
        LEFT JOIN apps a ON a.id = p.app_id WHERE r.group_id = $1 ORDER BY p.id LIMIT 11";
    const GROUPS: &str = "SELECT g.id, g.name, '' FROM group_groups r JOIN rule_groups g ON g.id = r.owner_id \
        WHERE r.group_id = $1 ORDER BY g.id LIMIT 11";
    users(tx, POLICIES, GROUPS, &id.to_string()).await
}

async fn users(
    tx: &mut Tx,
    policies: &'static str,
    groups: &'static str,
    id: &str,
) -> Result<String, sqlx::Error> {
    let mut named = Vec::new();
    for (id, name, app) in texts::<(String, String, String)>(tx, policies, id).await? {
        let of_app = if app.is_empty() { String::new() } else { format!(" of application \"{app}\"") };
        named.push(format!("policy \"{name}\" ({id}){of_app}"));
    }
    for (id, name, _) in texts::<(String, String, String)>(tx, groups, id).await? {
        named.push(format!("group \"{name}\" ({id})"));
    }
    Ok(in_words(named))
}

/// A list of users of something, not endless.
pub(super) fn in_words(mut named: Vec<String>) -> String {
    const MOST_NAMED: usize = 10;
    if named.len() > MOST_NAMED {
        named.truncate(MOST_NAMED);
        named.push("and more".to_owned());
    }
    named.join(", ")
}

/// Looks whether a group may have these rules: no group is part of itself, and there is an end to how deep they are nested.
pub(super) async fn check_nesting(
    tx: &mut Tx,
    account: AccountId,
    id: GroupId,
    rules: &Rules,
) -> Result<Result<(), Refusal>, sqlx::Error> {
    const EDGES: &str = "SELECT r.owner_id, r.group_id FROM group_groups r JOIN rule_groups g ON g.id = r.owner_id \
        WHERE g.account_id = $1";
    let mut parts = BTreeMap::<String, Vec<String>>::new();
    for (owner, part) in texts::<(String, String)>(tx, EDGES, &account.to_string()).await? {
        parts.entry(owner).or_default().push(part);
    }
    let mut owners = BTreeMap::<String, Vec<String>>::new();
    for (owner, of) in parts.iter().filter(|(owner, _)| **owner != id.to_string()) {
        for part in of {
            owners.entry(part.clone()).or_default().push(owner.clone());
        }
    }
    let id = id.to_string();
    parts.insert(id.clone(), rules.groups().map(|group| group.to_string()).collect());
    let (below, above) = (levels(&parts, &id), levels(&owners, &id));
    Ok(match (below, above) {
        (Some(below), Some(above)) if below + above <= MOST_LEVELS => Ok(()),
        (Some(_), Some(_)) => {
            Err(refuse("", format!("groups may be nested {MOST_LEVELS} levels deep at most")))
        }
        _ => Err(refuse("", "a group cannot be part of itself, directly or through other groups")),
    })
}

/// How many levels lie below a group; `None` if it is below itself, or the levels have no end in sight.
fn levels(below: &BTreeMap<String, Vec<String>>, id: &str) -> Option<usize> {
    let mut level = BTreeSet::from([id]);
    let mut count = 0;
    loop {
        level = level.iter().filter_map(|group| below.get(*group)).flatten().map(String::as_str).collect();
        if level.is_empty() {
            return Some(count);
        }
        count += 1;
        if level.contains(id) || count > below.len() {
            return None;
        }
    }
}
