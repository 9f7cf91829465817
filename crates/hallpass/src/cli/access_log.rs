//! `hallpass access-log`: what the gate decided.

use anyhow::Context as _;
use clap::Args;
use futures_util::stream::StreamExt as _;
use hallpass_client::{Account, ListAccessRequests, ListServiceTokens, Paging};
use hallpass_core::time::Timestamp;
use hallpass_core::validity::GoDuration;
use hallpass_core::wire::access_log::AccessRequest;
use hallpass_core::wire::service_tokens::ServiceToken;

use super::called::{Called, LARGEST};
use super::directory::AccountFlag;
use super::output::Format;
use super::table::{self, Cell, Tone};
use super::target::Target;
use super::when::relative;
use super::{Failure, token};
use crate::world::World;

/// Show whom the gate let in and whom it refused, the newest first
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hallpass access-log --since 1h --token ci --refused\n\nNeeds the permission Access: Audit Logs Read on the account. What was accepted stands there once a minute, with the number of requests."
)]
pub(super) struct AccessLog {
    /// How far back: hours, minutes and seconds such as 1h30m, or a date and time such as 2027-01-01T00:00:00Z
    #[arg(long, value_name = "DURATION|TIME", default_value = "24h", value_parser = parse_since)]
    since: Since,
    /// Only what this service token asked: its id, client ID or exact name
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Only what was refused
    #[arg(long)]
    refused: bool,
    /// How many entries at most
    #[arg(long, default_value = "100", value_name = "N")]
    most: usize,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    account: AccountFlag,
    #[command(flatten)]
    target: Target,
}

/// Where the part of the log that is wanted begins.
#[derive(Debug, Clone)]
enum Since {
    Ago(GoDuration),
    At(Timestamp),
}

fn parse_since(text: &str) -> Result<Since, String> {
    if let Ok(at) = text.parse() {
        return Ok(Since::At(at));
    }
    match GoDuration::parse(text) {
        Ok(duration) if duration.as_nanos() > 0 => Ok(Since::Ago(duration)),
        Ok(_) => Err("must be longer than nothing".to_owned()),
        Err(_) => {
            Err("must be a duration such as 1h30m, or a date and time such as 2027-01-01T00:00:00Z"
                .to_owned())
        }
    }
}

pub(super) async fn run(args: AccessLog) -> Result<(), Failure> {
    let called = args.target.call()?;
    let account = called.client.account(args.account.find(&called).await?);
    let now = World::machine().now();
    let since = match args.since {
        Since::At(at) => at,
        Since::Ago(ago) => Timestamp::from_micros(now.as_micros().saturating_sub(ago.as_nanos() / 1_000))
            .context("--since reaches back too far")?,
    };
    let service_token = match &args.token {
        Some(wanted) => Some(token::find(&called, &account.service_tokens(), wanted).await?.id),
        None => None,
    };
    let list = ListAccessRequests {
        since: Some(since),
        allowed: args.refused.then_some(false),
        service_token,
        paging: Paging { per_page: u64::try_from(args.most.clamp(1, 1_000)).ok(), ..Paging::default() },
        ..ListAccessRequests::default()
    };
    let entries = account.access_requests().all(&list).take(args.most);
    let entries: Vec<AccessRequest> = called.collect(entries).await?;
    let tokens = names(&called, &account).await;
    args.format.print(&entries, || describe(&entries, &tokens, now))
}

/// The service tokens, for their names: whoever may read the log need not be allowed to list them.
async fn names(called: &Called, account: &Account) -> Vec<ServiceToken> {
    let all = ListServiceTokens { paging: LARGEST, ..ListServiceTokens::default() };
    called.collect(account.service_tokens().all(&all)).await.unwrap_or_default()
}

/// A line for each entry.
fn describe(entries: &[AccessRequest], tokens: &[ServiceToken], now: Timestamp) -> String {
    let row = |entry: &AccessRequest| {
        let verdict = match &entry.reason {
            None => Cell::from("allowed"),
            Some(reason) => Cell::new(reason, Tone::Bad),
        };
        let token = entry.service_token_id.map(|id| {
            let named = tokens.iter().find(|token| token.id == id);
            named.map_or_else(|| id.to_string(), |token| token.name.clone())
        });
        [
            Cell::from(relative(entry.created_at, now)),
            verdict,
            Cell::from(token.unwrap_or_default()),
            Cell::from(entry.app_domain.clone().unwrap_or_default()),
            Cell::from(&entry.ip_address),
            Cell::from(entry.count),
        ]
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    table::table(["WHEN", "VERDICT", "TOKEN", "APPLICATION", "FROM", "REQUESTS"], &rows)
}
