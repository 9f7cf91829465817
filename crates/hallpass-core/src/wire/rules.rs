//! Rules as JSON: objects with exactly one key, which says the kind.

use serde_json::{Map, Value};

use super::body::{Fields, InvalidField};
use crate::network::WrittenNetwork;
use crate::rule::{Rule, Rules};

/// Kinds that need a human, a device or somebody else's service. They are kept as sent and never true of a machine.
const NO_MACHINE: [&str; 24] = [
    "auth_context",
    "auth_method",
    "azureAD",
    "azure_ad",
    "certificate",
    "cloudflare_account_member",
    "common_name",
    "device_posture",
    "email",
    "email_domain",
    "email_list",
    "external_evaluation",
    "geo",
    "github",
    "github-organization",
    "github_organization",
    "gsuite",
    "ip_list",
    "linked_app_token",
    "login_method",
    "oidc",
    "okta",
    "saml",
    "user_risk_score",
];

/// How many rules a policy or a group can have. Every gate holds all of them, and asks them on every request.
const MOST_RULES: usize = 1_000;

/// Reads `include`, `exclude` and `require`; each may be missing.
pub(super) fn read(fields: &mut Fields<'_>) -> Rules {
    let mut part = |key: &str| {
        let pointer = fields.pointer_to(key);
        let mut rules = Vec::new();
        for (n, element) in fields.list(key).unwrap_or_default().iter().enumerate() {
            match read_rule(element, &format!("{pointer}/{n}")) {
                Ok(rule) => rules.push(rule),
                Err(errors) => fields.refuse_all(errors),
            }
        }
        rules
    };
    let rules = Rules { include: part("include"), exclude: part("exclude"), require: part("require") };
    if rules.all().count() > MOST_RULES {
        fields.refuse(
            "include",
            format_args!("include, exclude and require can have {MOST_RULES} rules in all"),
        );
    }
    rules
}

fn read_rule(element: &Value, pointer: &str) -> Result<Rule, Vec<InvalidField>> {
    let refuse =
        |message: &str| vec![InvalidField { pointer: pointer.to_owned(), message: message.to_owned() }];
    let mut entries = element.as_object().into_iter().flatten();
    let (Some((kind, value)), None) = (entries.next(), entries.next()) else {
        return Err(refuse("a rule must be an object with exactly one key, its kind"));
    };
    let object = value.as_object().ok_or_else(|| refuse("what a rule asks for must be an object"))?;
    match kind.as_str() {
        "service_token" => read_id(object, pointer, kind, "token_id").map(Rule::ServiceToken),
        "group" => read_id(object, pointer, kind, "id").map(Rule::Group),
        "ip" => {
            let mut fields = Fields::of_object(object, format!("{pointer}/ip"));
            let rule = "must be an address, or a network in CIDR notation";
            let network = fields.parsed("ip", |text| WrittenNetwork::parse(text).ok_or(rule));
            required(fields, "ip", network).map(Rule::Ip)
        }
        "any_valid_service_token" => Ok(Rule::AnyValidServiceToken),
        "everyone" => Ok(Rule::Everyone),
        known if NO_MACHINE.contains(&known) => Ok(Rule::NoMachine),
        _ => Err(refuse("is not a kind of rule that Hallpass knows")),
    }
}

fn read_id<T: std::str::FromStr<Err = crate::id::InvalidId>>(
    object: &Map<String, Value>,
    pointer: &str,
    kind: &str,
    key: &str,
) -> Result<T, Vec<InvalidField>> {
    let mut fields = Fields::of_object(object, format!("{pointer}/{kind}"));
    let id = fields.parsed(key, str::parse);
    required(fields, key, id)
}

fn required<T>(mut fields: Fields<'_>, key: &str, value: Option<T>) -> Result<T, Vec<InvalidField>> {
    if fields.value(key).is_none() {
        fields.refuse(key, format_args!("{key} is a required field"));
    }
    fields.finish(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ID: &str = "f174e90a-fafe-4643-bbbc-4a0ed4fc8415";

    #[expect(clippy::needless_pass_by_value, reason = "tests hand over what they have just written")]
    fn rules(include: Value) -> Result<Vec<Rule>, Vec<String>> {
        let body = json!({"include": include});
        let mut fields = Fields::of_body(&body).unwrap();
        let rules = read(&mut fields);
        let pointers = |errors: Vec<InvalidField>| errors.into_iter().map(|error| error.pointer).collect();
        fields.finish(Some(rules.include)).map_err(pointers)
    }

    #[test]
    fn what_a_machine_can_satisfy_is_understood() {
        let read = rules(json!([
            {"service_token": {"token_id": ID}}, {"any_valid_service_token": {}}, {"everyone": {}}, {"group": {"id": ID}},
            {"ip": {"ip": "192.0.2.1"}}, {"ip": {"ip": "192.0.2.7/24"}},
        ]));
        let network = |text| Rule::Ip(WrittenNetwork::parse(text).unwrap());
        let expected = vec![
            Rule::ServiceToken(ID.parse().unwrap()),
            Rule::AnyValidServiceToken,
            Rule::Everyone,
            Rule::Group(ID.parse().unwrap()),
            network("192.0.2.1"),
            network("192.0.2.7/24"),
        ];
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn a_thousand_rules_are_enough() {
        let many = |count| Value::Array(vec![json!({"everyone": {}}); count]);
        assert_eq!(rules(many(1_000)).map(|rules| rules.len()), Ok(1_000));
        assert_eq!(rules(many(1_001)), Err(vec!["/include".to_owned()]));
    }

    #[test]
    fn what_needs_a_human_is_kept_whatever_it_holds() {
        for kind in NO_MACHINE {
            assert_eq!(rules(json!([{kind: {"any": ["thing"]}}])), Ok(vec![Rule::NoMachine]), "{kind}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_where_it_stands() {
        for (rule, pointer) in [
            (json!({"unheard_of": {}}), "/include/1"),
            (json!({}), "/include/1"),
            (json!({"everyone": {}, "certificate": {}}), "/include/1"),
            (json!({"everyone": true}), "/include/1"),
            (json!("everyone"), "/include/1"),
            (json!({"service_token": {}}), "/include/1/service_token/token_id"),
            (json!({"service_token": {"token_id": "e9d7.access"}}), "/include/1/service_token/token_id"),
            (json!({"group": {"id": 5}}), "/include/1/group/id"),
            (json!({"ip": {"ip": "10.0.0.0/33"}}), "/include/1/ip/ip"),
        ] {
            assert_eq!(rules(json!([{"everyone": {}}, rule])), Err(vec![pointer.to_owned()]), "{rule}");
        }
        assert_eq!(rules(json!({})), Err(vec!["/include".to_owned()]));
        assert_eq!(rules(Value::Null), Ok(Vec::new()));
    }
}
