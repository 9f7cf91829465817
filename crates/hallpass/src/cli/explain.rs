//! `hallpass explain`: why the gate refused, and what it would do.

use std::fmt::Write as _;
use std::net::IpAddr;

use clap::Args;
use hallpass_client::{ErrorKind, ExplainRequest};
use hallpass_core::time::Timestamp;
use hallpass_core::wire::explanations::{Explanation, Refusal, Rule};

use super::directory::AccountFlag;
use super::output::Format;
use super::table::{self, harmless};
use super::target::Target;
use super::when::dated;
use super::{Exit, Failure};
use crate::world::World;

/// Say why the gate refused a request, or what it would do with one, rule by rule
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Example:\n  hallpass explain --host grafana.example.com --client-id 88bf3b6d86161464f6509f7219099e57.access\n\nREF is the value of the header Hallpass-Ref. Needs the permission Access: Apps and Policies Read on the account; nobody needs to tell a secret for it."
)]
pub(super) struct Explain {
    /// The value of Hallpass-Ref, which came with a refusal
    #[arg(value_name = "REF", required_unless_present = "host", conflicts_with_all = ["host", "path", "client_id", "ip"])]
    reference: Option<String>,
    /// The host that would be asked
    #[arg(long)]
    host: Option<String>,
    /// The path that would be asked
    #[arg(long, default_value = "/")]
    path: String,
    /// The client ID that would be presented, with the right secret
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// The client's address, for rules about addresses; unsaid, 0.0.0.0, which few networks hold
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<IpAddr>,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    account: AccountFlag,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(args: Explain) -> Result<(), Failure> {
    let called = args.target.call()?;
    let explanations = called.client.account(args.account.find(&called).await?).explanations();
    if let Some(reference) = &args.reference {
        let refusal = explanations.of_reference(reference.trim()).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound => Failure::new(
                Exit::NotFound,
                "this reference stands for nothing of this account: it is not whole, comes from another server, or concerns \
                 something that is deleted or another account's; `hallpass explain --host HOST --path PATH` tells what is so now",
            ),
            _ => called.failed(&error),
        })?;
        return args.format.print(&refusal, || describe_refusal(&refusal, World::machine().now()));
    }
    let request = ExplainRequest {
        host: args.host.unwrap_or_default(),
        path: Some(args.path),
        client_id: args.client_id,
        ip: args.ip,
    };
    let explanation = called.ask(explanations.of_request(&request)).await?;
    args.format.print(&explanation, || describe(&explanation))
}

fn describe_refusal(refusal: &Refusal, now: Timestamp) -> String {
    let mut fields =
        vec![("reason", (&refusal.reason).into()), ("when", dated(refusal.refused_at, now).into())];
    fields
        .extend(refusal.app.as_ref().map(|app| ("application", format!("{} ({})", app.name, app.id).into())));
    fields.extend(
        refusal.token.as_ref().map(|token| ("token", format!("{} ({})", token.name, token.id).into())),
    );
    format!("{}\n\n{}", table::fields(&fields), harmless(&refusal.because))
}

fn describe(explanation: &Explanation) -> String {
    let verdict = match explanation.reason.as_deref() {
        Some(reason) => format!("{}, {} ({reason})", explanation.verdict, explanation.status),
        None => format!("{}, {}", explanation.verdict, explanation.status),
    };
    let mut fields = vec![
        ("verdict", verdict.into()),
        ("request", format!("{}{}", explanation.host, explanation.path).into()),
        ("client", (&explanation.client).into()),
    ];
    fields.extend(
        explanation.app.as_ref().map(|app| ("application", format!("{} ({})", app.name, app.id).into())),
    );
    fields.extend(
        explanation.token.as_ref().map(|token| ("token", format!("{} ({})", token.name, token.id).into())),
    );
    let mut text = format!("{}\n\n{}", table::fields(&fields), harmless(&explanation.because));
    for policy in &explanation.policies {
        // Writing to a text cannot fail.
        let _ = write!(
            text,
            "\n\npolicy {:?}, {} ({}): {}\n  {}",
            harmless(&policy.name),
            harmless(&policy.decision),
            policy.id,
            harmless(&policy.outcome).replace('_', " "),
            harmless(&policy.because)
        );
        write_rules(&mut text, &policy.rules, 1);
    }
    text
}

/// A line for each rule, those of a group below it.
fn write_rules(text: &mut String, rules: &[Rule], depth: usize) {
    for rule in rules {
        let names = rule.names.as_deref().map(|names| format!(" {names}")).unwrap_or_default();
        let line = format!("{} {}{names}: {}. {}", rule.part, rule.kind, rule.outcome, rule.because);
        let _ = write!(text, "\n{:indent$}- {}", "", harmless(&line), indent = depth * 2);
        write_rules(text, &rule.inside, depth + 1);
    }
}
