//! API tokens as JSON.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::RevealedSecret;
use super::body::{Fields, InvalidField};
use crate::api_token::{
    self, Condition as Rule, ConditionKey, Effect, GroupReference, Policy as Statement, Status,
    TokenStanding, WrittenTime,
};
use crate::id::{ApiTokenId, PermissionGroupId, TokenPolicyId};
use crate::network::WrittenNetwork;
use crate::permission;
use crate::resource::Resource;
use crate::secret::ClientSecret;
use crate::service_token::Name;
use crate::time::{InvalidTimestamp, Timestamp};

/// What a client may note on a permission group, in bytes: it is kept and sent back.
const MAX_META: usize = 4_096;

/// An API token as replies show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiToken {
    /// From where it may be used; absent if from anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// Until when it may be used, as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_on: Option<String>,
    /// Its identifier.
    pub id: ApiTokenId,
    /// When it was made, in whole seconds.
    pub issued_on: Timestamp,
    /// When it was last used, in whole seconds; absent if never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_on: Option<Timestamp>,
    /// When it last changed, in whole seconds.
    pub modified_on: Timestamp,
    /// What people call it.
    pub name: String,
    /// From when on it may be used, as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// What it may do.
    pub policies: Vec<Policy>,
    /// `active`, `disabled` or `expired`.
    pub status: String,
    /// The secret: only in the reply to create.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<RevealedSecret>,
}

/// What `verify` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Until when the token may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_on: Option<String>,
    /// Its identifier.
    pub id: ApiTokenId,
    /// From when on it may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// `active`.
    pub status: String,
}

/// One policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// `allow` or `deny`.
    pub effect: String,
    /// Its identifier.
    pub id: TokenPolicyId,
    /// What it gives or takes.
    pub permission_groups: Vec<PolicyGroup>,
    /// On what, as it was sent, with sorted keys.
    pub resources: Map<String, Value>,
}

/// A permission group in a policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyGroup {
    /// Its identifier.
    pub id: PermissionGroupId,
    /// The sender's notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<Value>,
    /// Its name; empty where a server does not say.
    #[serde(default)]
    pub name: String,
}

/// A permission group in the list of all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermissionGroup {
    /// Its identifier.
    pub id: PermissionGroupId,
    /// Its name.
    pub name: String,
    /// On what it acts.
    pub scopes: Vec<String>,
}

/// From where a token may be used, under the key that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The newer spelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_ip: Option<AddressLists>,
    /// The older spelling.
    #[serde(default, rename = "request.ip", skip_serializing_if = "Option::is_none")]
    pub request_dot_ip: Option<AddressLists>,
}

/// Addresses and networks, each as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressLists {
    /// Only these.
    #[serde(default, rename = "in", skip_serializing_if = "Option::is_none")]
    pub within: Option<Vec<String>>,
    /// Never these.
    #[serde(default, rename = "not_in", skip_serializing_if = "Option::is_none")]
    pub not_within: Option<Vec<String>>,
}

/// What the sender of a create or update says about a token.
#[derive(Debug, Clone)]
pub struct ApiTokenSpec {
    /// What people call it.
    pub name: Name,
    /// Whether it is to be used; kept if absent.
    pub status: Option<Status>,
    /// What it may do.
    pub policies: Vec<Statement>,
    /// From where.
    pub condition: Option<Rule>,
    /// From when on.
    pub not_before: Option<WrittenTime>,
    /// Until when.
    pub expires_on: Option<WrittenTime>,
}

impl ApiToken {
    /// Shows a token; its secret only where one was just made.
    pub fn show(
        token: &api_token::ApiToken,
        last_used_on: Option<Timestamp>,
        secret: Option<&ClientSecret>,
        now: Timestamp,
    ) -> Self {
        Self {
            condition: token.condition.as_ref().map(Condition::show),
            expires_on: token.expires_on.as_ref().map(|time| time.text.clone()),
            id: token.id,
            issued_on: token.issued_on.floor_second(),
            last_used_on: last_used_on.map(Timestamp::floor_second),
            modified_on: token.modified_on.floor_second(),
            name: token.name.as_str().to_owned(),
            not_before: token.not_before.as_ref().map(|time| time.text.clone()),
            policies: token.policies.iter().map(Policy::show).collect(),
            status: standing_text(token.standing(now)).to_owned(),
            value: secret.map(RevealedSecret::of),
        }
    }
}

impl Verification {
    /// What `verify` says of a token.
    pub fn show(token: &api_token::ApiToken, now: Timestamp) -> Self {
        Self {
            expires_on: token.expires_on.as_ref().map(|time| time.text.clone()),
            id: token.id,
            not_before: token.not_before.as_ref().map(|time| time.text.clone()),
            status: standing_text(token.standing(now)).to_owned(),
        }
    }
}

fn standing_text(standing: TokenStanding) -> &'static str {
    match standing {
        TokenStanding::Active => "active",
        TokenStanding::Disabled => "disabled",
        TokenStanding::Expired => "expired",
    }
}

impl Policy {
    /// Shows a policy.
    pub fn show(policy: &Statement) -> Self {
        let show_group = |group: &GroupReference| PolicyGroup {
            id: group.id,
            meta: group.meta.clone(),
            name: permission::PermissionGroup::find(group.id)
                .map_or_else(String::new, |group| group.name.to_owned()),
        };
        Self {
            effect: match policy.effect {
                Effect::Allow => "allow",
                Effect::Deny => "deny",
            }
            .to_owned(),
            id: policy.id,
            permission_groups: policy.groups.iter().map(show_group).collect(),
            resources: policy.resources.clone(),
        }
    }
}

impl PermissionGroup {
    /// Shows a group.
    pub fn show(group: &permission::PermissionGroup) -> Self {
        Self { id: group.id, name: group.name.to_owned(), scopes: vec![group.scope.as_str().to_owned()] }
    }
}

impl Condition {
    /// Shows a condition.
    pub fn show(rule: &Rule) -> Self {
        let texts = |networks: &Vec<WrittenNetwork>| {
            networks.iter().map(|network| network.as_str().to_owned()).collect()
        };
        let lists = AddressLists {
            within: rule.within.as_ref().map(texts),
            not_within: rule.not_within.as_ref().map(texts),
        };
        match rule.spelling {
            ConditionKey::RequestIp => Self { request_ip: Some(lists), request_dot_ip: None },
            ConditionKey::RequestDotIp => Self { request_ip: None, request_dot_ip: Some(lists) },
        }
    }
}

/// Reads the body of a create or an update; `new_id` supplies identifiers for policies that come without one.
pub fn read_token(
    body: &Value,
    new_id: &mut dyn FnMut() -> TokenPolicyId,
) -> Result<ApiTokenSpec, Vec<InvalidField>> {
    let mut fields = Fields::of_body(body)?;
    if fields.value("name").is_none() {
        fields.refuse("name", "name is a required field");
    }
    let name = fields.parsed("name", Name::parse);
    let status = fields.text("status").and_then(|text| match text {
        "active" => Some(Status::Active),
        "disabled" => Some(Status::Disabled),
        // A client may send back what it was shown; expiry follows from the dates.
        "expired" => None,
        _ => {
            fields.refuse("status", "status must be \"active\" or \"disabled\"");
            None
        }
    });
    if fields.value("policies").is_none() {
        fields.refuse("policies", "policies is a required field");
    }
    let list = fields.list("policies");
    let policies = list.map(|list| read_policies(list, "/policies", new_id));
    let policies = match policies {
        Some(Ok(policies)) if policies.is_empty() => {
            fields.refuse("policies", "policies must hold at least one policy");
            None
        }
        Some(Ok(policies)) => Some(policies),
        Some(Err(errors)) => {
            fields.refuse_all(errors);
            None
        }
        None => None,
    };
    let condition = match fields.object("condition").map(|object| read_condition(object, "/condition")) {
        Some(Ok(condition)) => condition,
        Some(Err(errors)) => {
            fields.refuse_all(errors);
            None
        }
        None => None,
    };
    let not_before = fields.parsed("not_before", read_time);
    let expires_on = fields.parsed("expires_on", read_time);
    if let (Some(start), Some(end)) = (&not_before, &expires_on)
        && start.at >= end.at
    {
        fields.refuse("expires_on", "expires_on must be later than not_before");
    }
    let spec = match (name, policies) {
        (Some(name), Some(policies)) => {
            Some(ApiTokenSpec { name, status, policies, condition, not_before, expires_on })
        }
        _ => None,
    };
    fields.finish(spec)
}

/// Reads a time and keeps its text.
pub fn read_time(text: &str) -> Result<WrittenTime, InvalidTimestamp> {
    Ok(WrittenTime { at: text.parse()?, text: text.to_owned() })
}

/// Reads a list of policies found at `pointer`.
pub fn read_policies(
    list: &[Value],
    pointer: &str,
    new_id: &mut dyn FnMut() -> TokenPolicyId,
) -> Result<Vec<Statement>, Vec<InvalidField>> {
    each(list, pointer, |value, pointer| read_policy(value, pointer, new_id))
}

fn read_policy(
    object: &Map<String, Value>,
    pointer: String,
    new_id: &mut dyn FnMut() -> TokenPolicyId,
) -> Result<Statement, Vec<InvalidField>> {
    let mut fields = Fields::of_object(object, pointer);
    for required in ["effect", "permission_groups", "resources"] {
        if fields.value(required).is_none() {
            fields.refuse(required, format_args!("{required} is a required field"));
        }
    }
    let id = fields.parsed("id", str::parse).unwrap_or_else(new_id);
    let effect = fields.parsed("effect", |text| match text {
        "allow" => Ok(Effect::Allow),
        "deny" => Ok(Effect::Deny),
        _ => Err("effect must be \"allow\" or \"deny\""),
    });
    let at = fields.pointer_to("permission_groups");
    let groups = match fields.list("permission_groups").map(|list| each(list, &at, read_group)) {
        Some(Ok(groups)) if groups.is_empty() => {
            fields.refuse("permission_groups", "permission_groups must hold at least one group");
            None
        }
        Some(Ok(groups)) => Some(groups),
        Some(Err(errors)) => {
            fields.refuse_all(errors);
            None
        }
        None => None,
    };
    let resources = fields.object("resources");
    let reach = match resources.map(Resource::parse_all) {
        Some(Ok(reach)) if reach.is_empty() => {
            fields.refuse("resources", "resources must name at least one resource");
            None
        }
        Some(Ok(reach)) => Some(reach),
        Some(Err(error)) => {
            let mut at = Fields::of_object(object, fields.pointer_to("resources"));
            let (last, parents) =
                error.path.split_last().map_or(("", &[] as &[String]), |(last, rest)| (last, rest));
            for parent in parents {
                at = Fields::of_object(object, at.pointer_to(parent));
            }
            at.refuse(last, error.rule);
            fields.refuse_all(at.finish(None::<()>).err().unwrap_or_default());
            None
        }
        None => None,
    };
    let policy = match (effect, groups, reach, resources) {
        (Some(effect), Some(groups), Some(reach), Some(resources)) => {
            Some(Statement { id, effect, groups, reach, resources: resources.clone() })
        }
        _ => None,
    };
    fields.finish(policy)
}

fn read_group(object: &Map<String, Value>, pointer: String) -> Result<GroupReference, Vec<InvalidField>> {
    let mut fields = Fields::of_object(object, pointer);
    if fields.value("id").is_none() {
        fields.refuse("id", "id is a required field");
    }
    let known = |text: &str| {
        let id = text.parse::<PermissionGroupId>().ok();
        id.filter(|id| permission::PermissionGroup::find(*id).is_some())
            .ok_or("is not the id of a permission group; list them with GET …/tokens/permission_groups")
    };
    let id = fields.parsed("id", known);
    let meta = fields.value("meta").cloned();
    if meta.as_ref().is_some_and(|meta| meta.to_string().len() > MAX_META) {
        fields.refuse("meta", "meta must have at most 4096 bytes");
    }
    fields.finish(id.map(|id| GroupReference { id, meta }))
}

/// Reads a condition found at `pointer`; `None` if it does not restrict anything.
pub fn read_condition(object: &Map<String, Value>, pointer: &str) -> Result<Option<Rule>, Vec<InvalidField>> {
    let mut fields = Fields::of_object(object, pointer.to_owned());
    let newer = fields.object("request_ip");
    let older = fields.object("request.ip");
    if newer.is_some() && older.is_some() {
        fields.refuse("request.ip", "send either request_ip or request.ip, not both");
    }
    // An unknown condition would be one that is silently not enforced.
    for key in object.keys().filter(|key| !matches!(key.as_str(), "request_ip" | "request.ip")) {
        fields.refuse(key, "is not a condition that Hallpass knows: only request_ip");
    }
    let found = newer.map(|lists| (ConditionKey::RequestIp, "request_ip", lists));
    let found = found.or_else(|| older.map(|lists| (ConditionKey::RequestDotIp, "request.ip", lists)));
    let rule = found.map(|(spelling, key, lists)| {
        let mut lists = Fields::of_object(lists, fields.pointer_to(key));
        let within = read_networks(&mut lists, "in");
        let not_within = read_networks(&mut lists, "not_in");
        // A misspelt list would be one that is silently not enforced.
        for key in lists.keys().filter(|key| !matches!(key.as_str(), "in" | "not_in")) {
            lists.refuse(key, "is not a list that Hallpass knows: only in and not_in");
        }
        fields.refuse_all(lists.finish(None::<()>).err().unwrap_or_default());
        Rule { spelling, within, not_within }
    });
    fields.finish(Some(rule))
}

fn read_networks(fields: &mut Fields<'_>, key: &str) -> Option<Vec<WrittenNetwork>> {
    let list = fields.list(key)?;
    let mut networks = Vec::with_capacity(list.len());
    for (n, value) in list.iter().enumerate() {
        match value.as_str().and_then(WrittenNetwork::parse) {
            Some(network) => networks.push(network),
            None => fields.refuse_all(vec![InvalidField {
                pointer: format!("{}/{n}", fields.pointer_to(key)),
                message: "must be an IP address or a network in CIDR notation".to_owned(),
            }]),
        }
    }
    Some(networks)
}

/// Reads each object of a list, and gathers what is wrong with any.
fn each<T>(
    list: &[Value],
    pointer: &str,
    mut read: impl FnMut(&Map<String, Value>, String) -> Result<T, Vec<InvalidField>>,
) -> Result<Vec<T>, Vec<InvalidField>> {
    let mut good = Vec::with_capacity(list.len());
    let mut errors = Vec::new();
    for (n, value) in list.iter().enumerate() {
        let pointer = format!("{pointer}/{n}");
        match value.as_object() {
            Some(object) => match read(object, pointer) {
                Ok(value) => good.push(value),
                Err(found) => errors.extend(found),
            },
            None => errors.push(InvalidField { pointer, message: "must be an object".to_owned() }),
        }
    }
    if errors.is_empty() { Ok(good) } else { Err(errors) }
}
