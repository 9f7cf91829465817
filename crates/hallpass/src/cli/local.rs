//! `hallpass account add`, `zone add`, `user add`: what an operator adds on the store itself. A running server follows.

use clap::Args;
use hallpass_core::caller::{Grant, Scope, SystemReason};
use hallpass_core::id::AccountId;
use hallpass_core::secret::SecretKind;
use serde::Serialize;

use super::bootstrap::parse_email;
use super::{Exit, Failure, StoreArgs, output, parse_name};
use crate::store::accounts::{Account, Membership, User, Zone};
use crate::store::error::{Refusal, WriteError};
use crate::store::{self, Founding, Store};
use crate::world::World;

#[derive(Debug, Args)]
pub(super) struct AddAccount {
    #[command(flatten)]
    store: StoreArgs,
    /// Name of the account
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: String,
    /// E-mail address of a user who becomes a member of it (repeat for more)
    #[arg(long, value_name = "ADDRESS", value_parser = parse_email)]
    member: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct AddZone {
    #[command(flatten)]
    store: StoreArgs,
    /// The account that owns it, by id or name; may be left out where there is one account
    #[arg(long, value_name = "ID|NAME")]
    account: Option<String>,
    /// Domain name of the zone
    #[arg(long, value_name = "DOMAIN", value_parser = parse_domain)]
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct AddUser {
    #[command(flatten)]
    store: StoreArgs,
    /// E-mail address of the user
    #[arg(long, value_name = "ADDRESS", value_parser = parse_email)]
    email: String,
    /// An account of which the user becomes a member, by id or name (repeat for more); may be left out where there is one
    #[arg(long, value_name = "ID|NAME")]
    account: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct AddedAccount<'a> {
    account_id: String,
    name: &'a str,
    members: &'a [String],
}

#[derive(Serialize)]
struct AddedZone<'a> {
    zone_id: String,
    name: &'a str,
    account_id: String,
}

#[derive(Serialize)]
struct AddedUser<'a> {
    user_id: String,
    email: &'a str,
    accounts: Vec<String>,
    api_key: &'a str,
}

pub(super) async fn add_account(args: AddAccount) -> Result<(), Failure> {
    let world = World::machine();
    let store = open_founded(&args.store, &world).await?;
    if store.callers().accounts().iter().any(|account| account.name == args.name) {
        return Err(taken("there is an account with this name already"));
    }
    let account = Account { id: world.account_id(), name: args.name, created_at: world.now() };
    let mut memberships = Vec::new();
    for email in &args.member {
        let user = store.callers().user_by_email(email);
        let user = user.ok_or_else(|| Failure::new(Exit::Usage, format!("there is no user {email}")))?.user;
        let known = memberships.iter().any(|membership: &Membership| membership.user_id == user.id);
        if !known {
            let id = world.membership_id();
            memberships.push(Membership { id, user_id: user.id, account_id: account.id });
        }
    }
    let more = Founding { accounts: vec![account.clone()], memberships, ..Founding::default() };
    write(&store, &world, account.id, more, "it was added meanwhile").await?;
    let added =
        AddedAccount { account_id: account.id.to_string(), name: &account.name, members: &args.member };
    let text = if args.json {
        output::json(&added)?
    } else {
        format!("Added the account.\n\n  account id   {}\n  name         {}", account.id, account.name)
    };
    // What was done is in the one file before anybody hears of it.
    store.close().await;
    output::print(&text)
}

pub(super) async fn add_zone(args: AddZone) -> Result<(), Failure> {
    let world = World::machine();
    let store = open_founded(&args.store, &world).await?;
    let account = find_account(&store, args.account.as_deref())?;
    if let Some(zone) = store.callers().zones().iter().find(|zone| zone.name == args.name) {
        let message =
            format!("this zone exists already, with the id {}, in account {}", zone.id, zone.account_id);
        return Err(taken(message));
    }
    let zone = Zone { id: world.zone_id(), account_id: account.id, name: args.name, created_at: world.now() };
    let more = Founding { zones: vec![zone.clone()], ..Founding::default() };
    write(&store, &world, account.id, more, "it was added meanwhile, or its account is gone").await?;
    let added =
        AddedZone { zone_id: zone.id.to_string(), name: &zone.name, account_id: account.id.to_string() };
    let text = if args.json {
        output::json(&added)?
    } else {
        format!(
            "Added the zone.\n\n  zone id      {}\n  name         {}\n  account      {} ({})",
            zone.id, zone.name, account.name, account.id
        )
    };
    store.close().await;
    output::print(&text)
}

pub(super) async fn add_user(args: AddUser) -> Result<(), Failure> {
    const EXISTS: &str = "there is a user with this e-mail address already";
    let world = World::machine();
    let store = open_founded(&args.store, &world).await?;
    let mut accounts: Vec<Account> = Vec::new();
    if args.account.is_empty() {
        accounts.push(find_account(&store, None)?);
    }
    for wanted in &args.account {
        let account = find_account(&store, Some(wanted))?;
        if !accounts.contains(&account) {
            accounts.push(account);
        }
    }
    if store.callers().user_by_email(&args.email).is_some() {
        return Err(taken(EXISTS));
    }
    let user = User { id: world.user_id(), email: args.email, created_at: world.now() };
    let member_of = |account: &Account| Membership {
        id: world.membership_id(),
        user_id: user.id,
        account_id: account.id,
    };
    let memberships: Vec<_> = accounts.iter().map(member_of).collect();
    let key = world.mint(SecretKind::GlobalKey);
    let more = Founding { users: vec![(user.clone(), key.clone())], memberships, ..Founding::default() };
    // The audit notes it under the first of the accounts.
    let scope = accounts.first().map_or_else(|| AccountId::from_bytes([0; 16]), |account| account.id);
    write(&store, &world, scope, more, EXISTS).await?;
    let shown = key.reveal();
    let added = AddedUser {
        user_id: user.id.to_string(),
        email: &user.email,
        accounts: accounts.iter().map(|account| account.id.to_string()).collect(),
        api_key: shown,
    };
    let text = if args.json {
        output::json(&added)?
    } else {
        format!(
            "Added the user. The key is shown this once; keep it safe.\n\n  user id      {}\n  e-mail       {}\n  API key      {shown}\n  accounts     {}",
            user.id,
            user.email,
            accounts.iter().map(|account| account.name.as_str()).collect::<Vec<_>>().join(", "),
        )
    };
    store.close().await;
    output::print(&text)
        .map_err(|failure| anyhow::anyhow!("{failure}; the user was added, and the key is lost"))?;
    Ok(())
}

/// Opens a store that has its first account. Where there is none, nothing is made: a mistyped directory stays empty.
pub(super) async fn open_founded(args: &StoreArgs, world: &World) -> Result<Store, Failure> {
    let empty = || {
        let message = format!(
            "there is no store with an account; make its first one with: hallpass bootstrap {}",
            args.describe()
        );
        Failure::new(Exit::NotBootstrapped, message)
    };
    let settings = args.settings()?;
    if settings.database.is_none() && !store::exists(&settings.data) {
        return Err(empty());
    }
    let store = args.open(world).await?;
    if store.is_founded() { Ok(store) } else { Err(empty()) }
}

/// The account that is meant, by its id or its name; without either, the only one.
pub(super) fn find_account(store: &Store, wanted: Option<&str>) -> Result<Account, Failure> {
    let accounts = store.callers().accounts();
    let meant = |account: &&Account| {
        wanted.is_none_or(|wanted| account.id.to_string() == wanted || account.name == wanted)
    };
    let mut found = accounts.iter().filter(meant);
    match (found.next(), found.next(), wanted) {
        (Some(account), None, _) => Ok(account.clone()),
        (None, _, _) => {
            Err(Failure::new(Exit::Usage, format!("there is no such account; {}", list(&accounts))))
        }
        (Some(_), Some(_), Some(_)) => Err(Failure::new(
            Exit::Usage,
            format!("several accounts have this name: give its id; {}", list(&accounts)),
        )),
        (Some(_), Some(_), None) => Err(Failure::new(
            Exit::Usage,
            format!("there are several accounts: name one with --account; {}", list(&accounts)),
        )),
    }
}

fn list(accounts: &[Account]) -> String {
    const MOST: usize = 20;
    let shown: Vec<_> =
        accounts.iter().take(MOST).map(|account| format!("{} ({})", account.name, account.id)).collect();
    let more = if accounts.len() > MOST { ", and more" } else { "" };
    format!("there are: {}{more}", shown.join(", "))
}

async fn write(
    store: &Store,
    world: &World,
    account: AccountId,
    more: Founding,
    conflict: &str,
) -> Result<(), Failure> {
    let grant = Grant::system(SystemReason::CommandLine, Scope::Account(account), world.request_id());
    match store.add(&grant, more, world.now()).await {
        Ok(()) => Ok(()),
        Err(WriteError::Refused(Refusal::Conflict)) => Err(taken(conflict)),
        Err(error) => Err(Failure::new(Exit::Failed, format!("cannot write to the store: {error}"))),
    }
}

fn taken(message: impl Into<String>) -> Failure {
    Failure::new(Exit::AlreadyDone, message)
}

/// A domain name, in lower case.
pub(super) fn parse_domain(text: &str) -> Result<String, String> {
    let name = text.to_lowercase();
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if name.len() <= 253 && name.split('.').all(label_fits) {
        Ok(name)
    } else {
        Err("must be a domain name like example.org".to_owned())
    }
}
