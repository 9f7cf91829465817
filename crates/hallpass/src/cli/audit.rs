//! `hallpass audit`: who did what in an account.

use anyhow::Context as _;
use clap::Args;
use hallpass_client::ListAuditLogs;
use hallpass_core::time::Timestamp;
use hallpass_core::validity::GoDuration;
use hallpass_core::wire::audit::{self, AuditEntry};

use super::Failure;
use super::directory::AccountFlag;
use super::output::Format;
use super::table::{self, Cell, Tone};
use super::target::Target;
use super::when::relative;
use crate::world::World;

/// Show who did what in an account, the newest first
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hallpass audit --last 48h --resource f174e90a-fafe-4643-bbbc-4a0ed4fc8415\n\nNeeds the permission Access: Audit Logs Read on the account."
)]
pub(super) struct Audit {
    /// How far back: hours, minutes and seconds
    #[arg(long, default_value = "24h", value_parser = parse_last, conflicts_with = "since")]
    last: GoDuration,
    /// From this date or time on, instead of --last
    #[arg(long, value_name = "TIME", value_parser = parse_bound)]
    since: Option<Timestamp>,
    /// Up to this date or time; up to now unless this is given
    #[arg(long, value_name = "TIME", value_parser = parse_bound)]
    before: Option<Timestamp>,
    /// Only what was done to the object with this id
    #[arg(long, value_name = "ID")]
    resource: Option<String>,
    /// Only what the user with this e-mail address did
    #[arg(long, value_name = "ADDRESS")]
    actor: Option<String>,
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

fn parse_last(text: &str) -> Result<GoDuration, String> {
    match GoDuration::parse(text) {
        Ok(duration) if duration.as_nanos() > 0 => Ok(duration),
        Ok(_) => Err("must be longer than nothing".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn parse_bound(text: &str) -> Result<Timestamp, String> {
    audit::read_bound(text)
        .map_err(|_| "must be a date, or a date and time like 2027-01-01T00:00:00Z".to_owned())
}

pub(super) async fn run(args: Audit) -> Result<(), Failure> {
    use futures_util::stream::StreamExt as _;

    let called = args.target.call()?;
    let account = args.account.find(&called).await?;
    let now = World::machine().now();
    // What is written while we ask counts as now; the server's clock may be a little ahead, too.
    let soon = now.as_micros().saturating_add(60_000_000);
    let before = args.before.or_else(|| Timestamp::from_micros(soon)).unwrap_or(now);
    let back = now.as_micros().saturating_sub(args.last.as_nanos() / 1_000);
    let since = args.since.or_else(|| Timestamp::from_micros(back)).context("--last reaches back too far")?;
    let mut list = ListAuditLogs::between(since, before);
    list.limit = u32::try_from(args.most.clamp(1, 1_000)).ok();
    list.filters.extend(args.resource.map(|id| ("resource_id", id)));
    list.filters.extend(args.actor.map(|email| ("actor_email", email)));
    let entries = called.client.account(account).audit_logs().all(&list).take(args.most);
    let entries: Vec<AuditEntry> = called.collect(entries).await?;
    args.format.print(&entries, || describe(&entries, now))
}

/// A line for each entry.
fn describe(entries: &[AuditEntry], now: Timestamp) -> String {
    let row = |entry: &AuditEntry| {
        let actor = &entry.actor;
        let who = actor.email.as_ref().or(actor.token_name.as_ref()).or(actor.id.as_ref());
        let name = entry.resource.response.get("name").and_then(serde_json::Value::as_str);
        [
            Cell::from(relative(entry.action.time, now)),
            Cell::from(&entry.action.description),
            Cell::from(&entry.resource.id),
            name.map_or_else(|| Cell::new("", Tone::Dim), |name| Cell::from(name.to_owned())),
            Cell::from(who.cloned().unwrap_or_else(|| actor.kind.clone())),
            Cell::from(actor.ip_address.clone().unwrap_or_default()),
        ]
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    table::table(["WHEN", "ACTION", "ID", "NAME", "WHO", "FROM"], &rows)
}
