//! Rules in the short spelling of the command line, read and shown: `service_token=deploy`, `ip=10.0.0.0/8`, `everyone`.

use clap::Args;
use hallpass_core::network::WrittenNetwork;
use serde_json::{Value, json};

use super::body::Body;
use super::called::Called;
use super::directory::Place;
use super::table::Cell;
use super::{Exit, Failure, group, token};

/// Kinds that say all by themselves.
const BARE: [&str; 2] = ["any_valid_service_token", "everyone"];
/// Kinds with a value, and the field in which it stands.
const VALUED: [(&str, &str); 3] = [("service_token", "token_id"), ("group", "id"), ("ip", "ip")];

/// The flags of verbs that write rules.
#[derive(Debug, Args)]
pub(super) struct RuleFlags {
    /// One of these must be true: `any_valid_service_token`, `service_token=TOKEN`, `ip=NETWORK`, `group=GROUP`, `everyone`, or a
    /// rule as JSON; may be repeated; `none` alone leaves no rule. Tokens and groups by id or name
    #[arg(long, value_name = "RULE", value_parser = parse, conflicts_with = "body")]
    include: Vec<WrittenRule>,
    /// All of these must be true, too; may be repeated; `none` alone leaves no rule
    #[arg(long, value_name = "RULE", value_parser = parse, conflicts_with = "body")]
    require: Vec<WrittenRule>,
    /// None of these may be true; may be repeated; `none` alone leaves no rule
    #[arg(long, value_name = "RULE", value_parser = parse, conflicts_with = "body")]
    exclude: Vec<WrittenRule>,
}

/// A rule as it was written.
#[derive(Debug, Clone, PartialEq)]
enum WrittenRule {
    /// `none`: a part without rules.
    None,
    /// As the API takes it.
    Whole(Value),
    /// A service token: its id, client ID or exact name.
    ServiceToken(String),
    /// A group: its id or exact name.
    Group(String),
}

fn parse(text: &str) -> Result<WrittenRule, String> {
    if text.trim_start().starts_with('{') {
        let rule: Body =
            serde_json::from_str(text).map_err(|error| format!("is no rule as JSON: {error}"))?;
        return Ok(WrittenRule::Whole(rule.into()));
    }
    match text.split_once('=') {
        None if text == "none" => Ok(WrittenRule::None),
        None if BARE.contains(&text) => Ok(WrittenRule::Whole(json!({text: {}}))),
        Some(("service_token", token)) if !token.is_empty() => {
            Ok(WrittenRule::ServiceToken(token.to_owned()))
        }
        Some(("group", group)) if !group.is_empty() => Ok(WrittenRule::Group(group.to_owned())),
        Some(("ip", network)) => match WrittenNetwork::parse(network) {
            Some(network) => Ok(WrittenRule::Whole(json!({"ip": {"ip": network.as_str()}}))),
            None => Err("ip must be an address, or a network in CIDR notation".to_owned()),
        },
        _ => Err("must be any_valid_service_token, service_token=TOKEN, ip=NETWORK, group=GROUP, everyone, \
                  none, or a rule as JSON"
            .to_owned()),
    }
}

impl RuleFlags {
    /// Writes the parts that were named into a body, each as a whole. Names are looked for in the account or zone.
    pub(super) async fn write(&self, body: &mut Body, called: &Called, place: &Place) -> Result<(), Failure> {
        let parts = [("include", &self.include), ("require", &self.require), ("exclude", &self.exclude)];
        for (part, written) in parts.into_iter().filter(|(_, written)| !written.is_empty()) {
            if written.len() > 1 && written.contains(&WrittenRule::None) {
                let message = format!("--{part} none takes all rules away, and stands alone");
                return Err(Failure::new(Exit::Usage, message));
            }
            let mut rules = Vec::with_capacity(written.len());
            for rule in written {
                rules.extend(rule.in_full(called, place).await?);
            }
            body.insert(part.to_owned(), rules.into());
        }
        Ok(())
    }
}

impl WrittenRule {
    /// The rule as the API takes it.
    async fn in_full(&self, called: &Called, place: &Place) -> Result<Option<Value>, Failure> {
        Ok(match self {
            Self::None => None,
            Self::Whole(rule) => Some(rule.clone()),
            Self::ServiceToken(wanted) => {
                let id = token::find_id(called, &place.service_tokens(), wanted).await?;
                Some(json!({"service_token": {"token_id": id}}))
            }
            Self::Group(wanted) => {
                let id = group::find_id(called, &place.groups(), wanted).await?;
                Some(json!({"group": {"id": id}}))
            }
        })
    }
}

/// A line for each rule, those of `include` first.
pub(super) fn fields(
    include: Option<&Vec<Value>>,
    require: Option<&Vec<Value>>,
    exclude: Option<&Vec<Value>>,
) -> Vec<(&'static str, Cell)> {
    let parts = [("include", include), ("require", require), ("exclude", exclude)];
    let line = |part| move |rule| (part, Cell::from(spelled(rule)));
    parts.into_iter().flat_map(|(part, rules)| rules.into_iter().flatten().map(line(part))).collect()
}

/// A rule in the spelling that the flags take: short where there is a short one, else JSON.
fn spelled(rule: &Value) -> String {
    let bare = || BARE.into_iter().find(|kind| *rule == json!({*kind: {}}));
    let valued = || {
        VALUED.into_iter().find_map(|(kind, field)| {
            let value = rule.get(kind)?.get(field)?.as_str()?;
            (*rule == json!({kind: {field: value}})).then(|| format!("{kind}={value}"))
        })
    };
    bare().map(str::to_owned).or_else(valued).unwrap_or_else(|| rule.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "f174e90a-fafe-4643-bbbc-4a0ed4fc8415";

    #[test]
    fn each_kind_has_a_short_spelling() {
        for (text, rule) in [
            ("everyone", json!({"everyone": {}})),
            ("any_valid_service_token", json!({"any_valid_service_token": {}})),
            ("ip=10.0.0.0/8", json!({"ip": {"ip": "10.0.0.0/8"}})),
            ("ip=2001:db8::1", json!({"ip": {"ip": "2001:db8::1"}})),
            (
                " {\"email\": {\"email\": \"ada@example.org\"}}",
                json!({"email": {"email": "ada@example.org"}}),
            ),
        ] {
            assert_eq!(parse(text), Ok(WrittenRule::Whole(rule)), "{text}");
        }
        assert_eq!(parse("none"), Ok(WrittenRule::None));
        assert_eq!(parse("service_token=a=b c"), Ok(WrittenRule::ServiceToken("a=b c".to_owned())));
        assert_eq!(parse("group=office"), Ok(WrittenRule::Group("office".to_owned())));
    }

    #[test]
    fn what_is_no_rule_is_refused_with_the_rules_that_there_are() {
        let wrong = [
            "",
            "nobody",
            "Everyone",
            "everyone=",
            "service_token",
            "service_token=",
            "group=",
            "email=ada@example.org",
        ];
        for text in wrong {
            let error = parse(text).unwrap_err();
            assert!(error.contains("service_token=TOKEN"), "{text}: {error}");
        }
        assert!(parse("ip=office").unwrap_err().contains("CIDR"));
        assert!(parse("{everyone}").unwrap_err().contains("JSON"));
    }

    #[test]
    fn what_is_shown_can_be_written_again() {
        for (rule, text) in [
            (json!({"everyone": {}}), "everyone".to_owned()),
            (json!({"ip": {"ip": "192.0.2.0/24"}}), "ip=192.0.2.0/24".to_owned()),
            (json!({"service_token": {"token_id": ID}}), format!("service_token={ID}")),
            (json!({"group": {"id": ID}}), format!("group={ID}")),
        ] {
            assert_eq!(spelled(&rule), text);
            assert!(parse(&text).is_ok(), "{text}");
        }
        // Nothing is left out for shortness.
        for rule in [
            json!({"everyone": {"note": 1}}),
            json!({"group": {"id": ID, "name": "n"}}),
            json!({"geo": {"country_code": "DE"}}),
        ] {
            assert_eq!(parse(&spelled(&rule)), Ok(WrittenRule::Whole(rule)));
        }
    }
}
