//! `hallpass token import`: service tokens that were issued elsewhere. Hallpass then accepts the same client ID and secret, and
//! no client has to change. It writes to the store itself, and a running server follows.

mod token_file;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{ArgGroup, Args};
use hallpass_core::caller::{Grant, Scope, SystemReason};
use hallpass_core::id::ZoneId;
use hallpass_core::service_token::{NewServiceToken, ServiceToken};
use hallpass_core::time::Timestamp;
use hallpass_core::wire::service_tokens as wire;
use serde::Serialize;
use serde_json::{Map, Value};

use super::local::{find_account, open_founded};
use super::output::{json, print};
use super::{Exit, Failure, StoreArgs};
use crate::store::accounts::Account;
use crate::store::error::{Refusal, WriteError};
use crate::store::{FirstToken, Store};
use crate::world::World;
use token_file::{Format, Line, describe};

/// All tokens of a file are one transaction, during which nobody else writes.
const MOST_TOKENS: usize = 10_000;
const MOST_BYTES: u64 = 16 << 20;
/// More than any secret has.
const MOST_SECRET: u64 = 4_096;
/// How many tokens are listed for people.
const MOST_SHOWN: usize = 50;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("source").required(true).args(["client_id", "file"])))]
pub(super) struct Import {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    one: One,
    /// File with many tokens, `*.csv` or `*.jsonl`; all of them are imported, or none
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The account that will own them, by id or name; may be left out where there is one account
    #[arg(long, value_name = "ID|NAME")]
    account: Option<String>,
    /// The zone for which they are, by id or name
    #[arg(long, value_name = "ID|NAME")]
    zone: Option<String>,
    /// Look at everything, and import nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One token, but for its secret.
#[derive(Debug, Args)]
struct One {
    /// The token's client ID; its secret is read from standard input
    #[arg(long, value_name = "ID", requires = "secret_stdin")]
    client_id: Option<String>,
    /// Read the secret from standard input: arguments can be seen by other users of the machine
    #[arg(long, requires = "client_id")]
    secret_stdin: bool,
    /// What to call it; the client ID, unless this is given
    #[arg(long, value_name = "NAME", requires = "client_id")]
    name: Option<String>,
    /// How long it is good for, from now on and from each refresh; one year (8760h), unless this is given
    #[arg(long, value_name = "DURATION", requires = "client_id")]
    duration: Option<String>,
    /// When it expires, unless that is to be counted from now
    #[arg(long, value_name = "TIME", requires = "client_id")]
    expires_at: Option<String>,
    /// Import it switched off
    #[arg(long, requires = "client_id")]
    disabled: bool,
}

/// What was imported; never a secret.
#[derive(Serialize)]
struct Imported {
    account_id: String,
    dry_run: bool,
    tokens: Vec<wire::ServiceToken>,
}

/// What stands in the way of an import: on which line, and what.
#[derive(Default)]
struct Complaints {
    malformed: Vec<(u64, String)>,
    taken: Vec<(u64, String)>,
}

pub(super) async fn run(args: Import) -> Result<(), Failure> {
    let lines = args.read()?;
    let world = World::machine();
    let store = open_founded(&args.store, &world).await?;
    let account = find_account(&store, args.account.as_deref())?;
    let zone = args.zone.as_deref().map(|wanted| find_zone(&store, &account, wanted)).transpose()?;
    let now = world.now();
    let mut complaints = Complaints::default();
    let mut tokens = Vec::new();
    let mut seen = HashMap::new();
    for Line { number, token } in lines {
        let described = match token {
            Ok(described) => described,
            Err(rules) => {
                complaints.malformed.extend(rules.into_iter().map(|rule| (number, rule)));
                continue;
            }
        };
        if let Some(first) = seen.insert(described.client_id.digits().to_owned(), number) {
            complaints.malformed.push((number, format!("has the client ID of line {first}")));
        }
        let client_id = described.client_id.clone();
        let holder = store.holder(&client_id).await.context("cannot read the store")?;
        if let Some(holder) = holder {
            let (id, account) = (holder.id, holder.account_id);
            let complaint = format!(
                "client ID {client_id} belongs to service token {id} ({}) of account {account} already",
                holder.name
            );
            complaints.taken.push((number, complaint));
        }
        let new = NewServiceToken {
            id: world.service_token_id(),
            account_id: account.id,
            zone_id: zone,
            client_id,
            spec: described.spec,
        };
        match ServiceToken::import(new, described.expires_at, now) {
            Ok(token) => tokens.push(FirstToken { token, secret: described.secret }),
            Err(rule) => complaints.malformed.push((number, rule.to_string())),
        }
    }
    complaints.into_result(args.file.as_deref().map(|file| file.display().to_string()))?;
    let imported = Imported {
        account_id: account.id.to_string(),
        dry_run: args.dry_run,
        tokens: tokens.iter().map(|first| wire::ServiceToken::show(&first.token, None, None)).collect(),
    };
    if !args.dry_run {
        write(&store, &world, &account, zone, tokens, now).await?;
    }
    store.close().await;
    print(&if args.json { json(&imported)? } else { imported.describe(&account) })
}

async fn write(
    store: &Store,
    world: &World,
    account: &Account,
    zone: Option<ZoneId>,
    tokens: Vec<FirstToken<ServiceToken>>,
    now: Timestamp,
) -> Result<(), Failure> {
    let scope = match zone {
        Some(zone) => Scope::Zone { zone, account: account.id },
        None => Scope::Account(account.id),
    };
    let grant = Grant::system(SystemReason::Import, scope, world.request_id());
    match store.import(&grant, tokens, now).await {
        Ok(()) => Ok(()),
        Err(WriteError::Refused(Refusal::Conflict)) => Err(Failure::new(
            Exit::AlreadyDone,
            "nothing was imported: somebody else imported one of these client IDs at the same time; do it again to see which",
        )),
        Err(error) => Err(Failure::new(Exit::Failed, format!("cannot write to the store: {error}"))),
    }
}

impl Import {
    /// What is to be imported, as it was described.
    fn read(&self) -> Result<Vec<Line>, Failure> {
        let lines = if let Some(file) = &self.file {
            let format = Format::of(file).ok_or_else(|| {
                Failure::new(Exit::Usage, "the file's name must end in .csv, .jsonl or .ndjson")
            })?;
            let named = || format!("cannot read {}", file.display());
            let opened = File::open(file).with_context(named)?;
            format.read(&read_at_most(opened, MOST_BYTES).with_context(named)?)
        } else {
            let secret = read_at_most(io::stdin().lock(), MOST_SECRET)
                .context("cannot read the secret from standard input")?;
            vec![Line { number: 1, token: describe(&self.one.row(secret.trim())) }]
        };
        match lines.len() {
            0 => Err(Failure::new(Exit::Usage, "the file holds no token")),
            1..=MOST_TOKENS => Ok(lines),
            _ => Err(Failure::new(
                Exit::Usage,
                format!("the file holds more than {MOST_TOKENS} tokens: split it"),
            )),
        }
    }
}

impl One {
    /// The one token of the command line, as a file would describe it.
    fn row(&self, secret: &str) -> Map<String, Value> {
        let mut row = Map::new();
        let texts = [
            ("client_id", self.client_id.as_deref()),
            ("client_secret", Some(secret).filter(|secret| !secret.is_empty())),
            ("name", self.name.as_deref()),
            ("duration", self.duration.as_deref()),
            ("expires_at", self.expires_at.as_deref()),
        ];
        for (column, text) in texts {
            row.extend(text.map(|text| (column.to_owned(), Value::from(text))));
        }
        row.insert("enabled".to_owned(), Value::Bool(!self.disabled));
        row
    }
}

impl Imported {
    fn describe(&self, account: &Account) -> String {
        let did =
            if self.dry_run { "Nothing is wrong; without --dry-run, this would import" } else { "Imported" };
        let count = match self.tokens.len() {
            1 => "1 service token".to_owned(),
            count => format!("{count} service tokens"),
        };
        let mut text = format!("{did} {count} into account {} ({}).\n", account.name, account.id);
        // Writing to a text cannot fail.
        for token in self.tokens.iter().take(MOST_SHOWN) {
            let off = if token.enabled { "" } else { ", disabled" };
            let _ = write!(
                text,
                "\n  {}  {}  until {}{off}  {}",
                token.id, token.client_id, token.expires_at, token.name
            );
        }
        if self.tokens.len() > MOST_SHOWN {
            let _ = write!(text, "\n  and {} more", self.tokens.len() - MOST_SHOWN);
        }
        text
    }
}

impl Complaints {
    /// All of them at once: nothing was imported.
    fn into_result(self, file: Option<String>) -> Result<(), Failure> {
        let exit = match (self.malformed.is_empty(), self.taken.is_empty()) {
            (true, true) => return Ok(()),
            (true, false) => Exit::AlreadyDone,
            (false, _) => Exit::Usage,
        };
        let mut all = self.malformed;
        all.extend(self.taken);
        all.sort_by_key(|(number, _)| *number);
        let message = if let Some(file) = file {
            let lines: Vec<_> =
                all.iter().map(|(number, what)| format!("\n  line {number}: {what}")).collect();
            format!("nothing was imported from {file}:{}", lines.concat())
        } else {
            let all: Vec<_> = all.into_iter().map(|(_, what)| what).collect();
            format!("nothing was imported: {}", all.join("; "))
        };
        Err(Failure::new(exit, message))
    }
}

/// The zone of this account that is meant, by its id or its name.
fn find_zone(store: &Store, account: &Account, wanted: &str) -> Result<ZoneId, Failure> {
    let zones = store.callers().zones();
    let found = zones
        .iter()
        .find(|zone| zone.account_id == account.id && (zone.id.to_string() == wanted || zone.name == wanted));
    let absent = || Failure::new(Exit::Usage, format!("account {} has no such zone", account.name));
    Ok(found.ok_or_else(absent)?.id)
}

fn read_at_most(source: impl io::Read, most: u64) -> io::Result<String> {
    let mut text = String::new();
    source.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {most} bytes")));
    }
    Ok(text)
}
