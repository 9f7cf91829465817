//! Groups of rules as JSON.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::body::{Fields, InvalidField};
use super::rules;
use crate::id::GroupId;
use crate::policy;
use crate::rule::Rules;
use crate::service_token::Name;
use crate::time::Timestamp;

/// A group as replies show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its identifier.
    pub id: GroupId,
    /// What people call it.
    pub name: String,
    /// One of these must be true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include: Option<Vec<Value>>,
    /// None of these may be true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude: Option<Vec<Value>>,
    /// All of these must be true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require: Option<Vec<Value>>,
    /// When it was made, in whole seconds.
    pub created_at: Timestamp,
    /// When it last changed, in whole seconds.
    pub updated_at: Timestamp,
    /// What else was sent.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// What the creator of a group can say about it.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupSpec {
    /// What people call it.
    pub name: Name,
    /// What it stands for.
    pub rules: Rules,
    /// The fields as they were sent, all but those that the server makes.
    pub body: Map<String, Value>,
}

/// What a reply never takes from a request. `is_default` is a boolean there, and a list of rules in what clients expect back.
const NOT_KEPT: [&str; 5] = ["id", "uid", "created_at", "updated_at", "is_default"];
/// What has a field of its own in a reply.
const TYPED: [&str; 4] = ["name", "include", "exclude", "require"];

impl Group {
    /// Shows a group.
    pub fn show(group: &policy::Group) -> Self {
        let list = |key: &str| group.body.get(key).and_then(Value::as_array).cloned();
        let mut more = group.body.clone();
        more.retain(|key, _| !TYPED.contains(&key.as_str()));
        Self {
            id: group.id,
            name: group.name.as_str().to_owned(),
            include: list("include"),
            exclude: list("exclude"),
            require: list("require"),
            created_at: group.created_at.floor_second(),
            updated_at: group.updated_at.floor_second(),
            more,
        }
    }
}

/// Reads the body of a create or of an update, which replaces everything.
pub fn read(body: &Value) -> Result<GroupSpec, Vec<InvalidField>> {
    let mut fields = Fields::of_body(body)?;
    if fields.value("name").is_none() {
        fields.refuse("name", "name is a required field");
    }
    let name = fields.parsed("name", Name::parse);
    let rules = rules::read(&mut fields);
    let body = fields.kept(&NOT_KEPT);
    fields.finish(name.map(|name| GroupSpec { name, rules, body }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_group_never_says_whether_it_is_the_default() {
        let spec = read(&json!({"name": "n", "include": [{"everyone": {}}], "is_default": true})).unwrap();
        assert_eq!(Value::Object(spec.body), json!({"name": "n", "include": [{"everyone": {}}]}));
        assert_eq!(read(&json!({"include": []})).unwrap_err()[0].pointer, "/name");
    }
}
