//! `hallpass organization`: what holds for all applications of an account, and which service tokens nobody uses.

use clap::{ArgGroup, Args, Subcommand};
use hallpass_core::time::Timestamp;
use hallpass_core::wire::inactivity::InactiveServiceToken;
use hallpass_core::wire::organizations::Organization as Shown;
use serde_json::Value;

use super::ask::Yes;
use super::body::{self, Body, BodyFlag};
use super::called::LARGEST;
use super::directory::AccountCall;
use super::table::{self, Cell, Tone};
use super::when::{dated, now};
use super::{Failure, parse_name};

/// The field that says what happens to service tokens that nobody uses.
const INACTIVITY: &str = "service_token_inactivity";

/// Show and change the organization of an account, and show the service tokens that nobody uses
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Organization {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the organization
    #[command(after_help = "Example:\n  hallpass organization get")]
    Get(AccountCall),
    /// Change what the flags name of the organization; all else stays
    #[command(
        after_help = "Example:\n  hallpass organization update --service-token-inactivity disable --inactivity-threshold-days 90\n\nThe fields of a --body are merged into what is there, and null takes one away. Another --auth-domain is another issuer: services that check assertions have to know it."
    )]
    Update(Update),
    /// List the service tokens that would be disabled or deleted now because nobody uses them; changes nothing
    #[command(
        after_help = "Example:\n  hallpass organization inactive-tokens --days 90 --json | jq -r '.[].name'"
    )]
    InactiveTokens(InactiveTokens),
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("changes").required(true).multiple(true).args([
    "name", "auth_domain", "service_token_inactivity", "inactivity_threshold_days", "body",
]))]
struct Update {
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    body: BodyFlag,
    #[command(flatten)]
    yes: Yes,
    #[command(flatten)]
    call: AccountCall,
}

#[derive(Debug, Args)]
struct InactiveTokens {
    /// After how many days without use, 30 to 365, whether or not anything is enabled; the organization's own unless it is said
    #[arg(long, value_name = "DAYS")]
    days: Option<u32>,
    #[command(flatten)]
    call: AccountCall,
}

#[derive(Debug, Args)]
struct Fields {
    /// A new name
    #[arg(long, value_parser = parse_name, conflicts_with = "body")]
    name: Option<String>,
    /// The host name that issues assertions
    #[arg(long, value_name = "HOST", conflicts_with = "body")]
    auth_domain: Option<String>,
    /// What is done to service tokens that nobody uses, and that no policy or group names
    #[arg(long, value_name = "ACTION", value_parser = ["off", "disable", "delete"], conflicts_with = "body")]
    service_token_inactivity: Option<String>,
    /// After how many days without use: 30 to 365
    #[arg(long, value_name = "DAYS", conflicts_with = "body")]
    inactivity_threshold_days: Option<u32>,
}

pub(super) async fn run(args: Organization) -> Result<(), Failure> {
    match args.verb {
        Verb::Get(call) => {
            let (called, account) = call.call().await?;
            print(&call, &called.ask(account.organizations().get()).await?)
        }
        Verb::Update(args) => {
            let body = args.body.read()?.unwrap_or_else(|| args.fields.into_body());
            if deletes(&body) {
                args.yes.confirm(
                    "Delete service tokens for good, every time that nobody has used them for so long?",
                )?;
            }
            let (called, account) = args.call.call().await?;
            print(&args.call, &called.ask(account.organizations().merge(&body)).await?)
        }
        Verb::InactiveTokens(args) => {
            let (called, account) = args.call.call().await?;
            let tokens = account.organizations().all_inactive_service_tokens(args.days, LARGEST);
            let tokens: Vec<InactiveServiceToken> = called.collect(tokens).await?;
            args.call.format.print(&tokens, || inactive(&tokens))
        }
    }
}

impl Fields {
    /// What the flags name, to be merged into what is there.
    fn into_body(self) -> Body {
        let mut inactivity = Body::new();
        let action = self.service_token_inactivity;
        body::set(&mut inactivity, "enabled", action.as_ref().map(|action| action != "off"));
        body::set(&mut inactivity, "action", action.filter(|action| action != "off"));
        body::set(&mut inactivity, "inactivity_threshold_days", self.inactivity_threshold_days);
        let mut body = Body::new();
        body::set(&mut body, "name", self.name);
        body::set(&mut body, "auth_domain", self.auth_domain);
        body::set(&mut body, INACTIVITY, Some(inactivity).filter(|rule| !rule.is_empty()));
        body
    }
}

/// Whether tokens are going to be deleted by what is said here.
fn deletes(body: &Body) -> bool {
    let rule = body.get(INACTIVITY);
    let said = |field: &str| rule.and_then(|rule| rule.get(field));
    said("action").and_then(Value::as_str) == Some("delete") && said("enabled") != Some(&Value::Bool(false))
}

fn print(call: &AccountCall, organization: &Shown) -> Result<(), Failure> {
    call.format.print(organization, || details(organization, now()))
}

fn details(organization: &Shown, now: Timestamp) -> String {
    let inactivity = organization.more.get(INACTIVITY).and_then(in_words);
    table::fields(&[
        ("name", (&organization.name).into()),
        ("auth domain", (&organization.auth_domain).into()),
        ("unused tokens", inactivity.map_or_else(|| Cell::new("stay", Tone::Dim), Cell::from)),
        ("created", dated(organization.created_at, now).into()),
        ("updated", dated(organization.updated_at, now).into()),
    ])
}

/// What happens to service tokens that nobody uses; nothing where it is not enabled.
fn in_words(rule: &Value) -> Option<String> {
    let action = match (rule.get("enabled")?.as_bool()?, rule.get("action")?.as_str()?) {
        (true, "disable") => "disabled",
        (true, "delete") => "deleted",
        _ => return None,
    };
    Some(format!("are {action} after {} days", rule.get("inactivity_threshold_days")?))
}

/// A line for each token.
fn inactive(tokens: &[InactiveServiceToken]) -> String {
    let row = |token: &InactiveServiceToken| {
        let tone = if token.action == "delete" { Tone::Bad } else { Tone::Warning };
        [
            Cell::from(&token.name),
            Cell::from(token.id),
            Cell::from(format!("{} days", token.inactive_days)),
            Cell::new(&token.action, tone),
        ]
    };
    let rows: Vec<_> = tokens.iter().map(row).collect();
    table::table(["NAME", "ID", "UNUSED FOR", "ACTION"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_happens_to_unused_tokens_is_told_in_words() {
        let rule = |enabled: bool, action: &str| json!({"enabled": enabled, "action": action, "inactivity_threshold_days": 90});
        assert_eq!(in_words(&rule(true, "disable")).unwrap(), "are disabled after 90 days");
        assert_eq!(in_words(&rule(true, "delete")).unwrap(), "are deleted after 90 days");
        for off in [rule(false, "delete"), rule(true, "other"), json!({"enabled": true}), json!(null)] {
            assert_eq!(in_words(&off), None);
        }
    }
}
