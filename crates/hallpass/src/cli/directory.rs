//! `hallpass account`, `zone` and `user`: what the credential reaches; and the account or zone that a verb is about.

use std::fmt::Display;

use clap::{Args, Subcommand};
use hallpass_client::{Apps, Groups, Policies, ServiceTokens};
use hallpass_core::id::{AccountId, ZoneId};
use hallpass_core::time::Timestamp;
use hallpass_core::wire::accounts;

use super::called::Called;
use super::find::{self, Named};
use super::local::{self, AddAccount, AddUser, AddZone};
use super::output::Format;
use super::table::{self, Cell};
use super::target::Target;
use super::when::{dated, now};
use super::{Exit, Failure};

/// List the accounts, or add one
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Account {
    #[command(subcommand)]
    verb: AccountVerb,
}

#[derive(Debug, Subcommand)]
enum AccountVerb {
    /// List the accounts that the credential reaches
    #[command(after_help = "Example:\n  hallpass account list")]
    List(Show),
    /// Add an account, on the store itself
    #[command(
        after_help = "Example:\n  hallpass account add --name 'Second account' --member admin@example.com"
    )]
    Add(AddAccount),
}

/// List the zones, or add one
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Zone {
    #[command(subcommand)]
    verb: ZoneVerb,
}

#[derive(Debug, Subcommand)]
enum ZoneVerb {
    /// List the zones that the credential reaches
    #[command(after_help = "Example:\n  hallpass zone list")]
    List(Show),
    /// Add a zone to an account, on the store itself
    #[command(after_help = "Example:\n  hallpass zone add --name example.org")]
    Add(AddZone),
}

/// Show the user, or add one
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct User {
    #[command(subcommand)]
    verb: UserVerb,
}

#[derive(Debug, Subcommand)]
enum UserVerb {
    /// Show the user whose credential it is
    #[command(after_help = "Example:\n  hallpass user get")]
    Get(Show),
    /// Add a user, on the store itself, and show the global key once
    #[command(after_help = "Example:\n  hallpass user add --email ada@example.org")]
    Add(AddUser),
}

#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run_account(args: Account) -> Result<(), Failure> {
    let args = match args.verb {
        AccountVerb::List(args) => args,
        AccountVerb::Add(args) => return local::add_account(args).await,
    };
    let called = args.target.call()?;
    let accounts: Vec<accounts::Account> = called.collect(called.client.accounts().all()).await?;
    args.format.print(&accounts, || list_of_accounts(&accounts, now()))
}

pub(super) async fn run_zone(args: Zone) -> Result<(), Failure> {
    let args = match args.verb {
        ZoneVerb::List(args) => args,
        ZoneVerb::Add(args) => return local::add_zone(args).await,
    };
    let called = args.target.call()?;
    let zones: Vec<accounts::Zone> = called.collect(called.client.zones().all()).await?;
    args.format.print(&zones, || list_of_zones(&zones, now()))
}

pub(super) async fn run_user(args: User) -> Result<(), Failure> {
    let args = match args.verb {
        UserVerb::Get(args) => args,
        UserVerb::Add(args) => return local::add_user(args).await,
    };
    let called = args.target.call()?;
    let user = called.ask(called.client.user().get()).await?;
    let text = || {
        let created = dated(user.created_on, now());
        table::fields(&[
            ("e-mail", (&user.email).into()),
            ("id", user.id.into()),
            ("created", created.into()),
        ])
    };
    args.format.print(&user, text)
}

fn list_of_accounts(accounts: &[accounts::Account], now: Timestamp) -> String {
    let row = |account: &accounts::Account| {
        [Cell::from(&account.name), account.id.into(), dated(account.created_on, now).into()]
    };
    table::table(["NAME", "ID", "CREATED"], &accounts.iter().map(row).collect::<Vec<_>>())
}

fn list_of_zones(zones: &[accounts::Zone], now: Timestamp) -> String {
    let row = |zone: &accounts::Zone| {
        let created = dated(zone.created_on, now);
        [Cell::from(&zone.name), zone.id.into(), (&zone.account.name).into(), created.into()]
    };
    table::table(["NAME", "ID", "ACCOUNT", "CREATED"], &zones.iter().map(row).collect::<Vec<_>>())
}

impl Named for accounts::Account {
    const KIND: &'static str = "account";

    fn id(&self) -> impl Display {
        self.id
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for accounts::Zone {
    const KIND: &'static str = "zone";

    fn id(&self) -> impl Display {
        self.id
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// The flag of verbs that are about an account.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server and credentials")]
pub(super) struct AccountFlag {
    /// Id or name of the account, or the variable `HALLPASS_ACCOUNT_ID`; need not be said where the credential reaches only one
    #[arg(long, value_name = "ID|NAME")]
    account: Option<String>,
}

/// The flags of verbs that are about an account or a zone.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server and credentials")]
pub(super) struct PlaceFlags {
    #[command(flatten)]
    account: AccountFlag,
    /// Id or name of a zone, for what was made there, instead of the account's
    #[arg(long, value_name = "ID|NAME", conflicts_with = "account")]
    zone: Option<String>,
}

impl AccountFlag {
    /// Whether the flag is given.
    pub(super) fn is_given(&self) -> bool {
        self.account.is_some()
    }

    /// The account that is meant: by id, which need not be listed, or by name; unsaid, the only one that the credential reaches.
    pub(super) async fn find(&self, called: &Called) -> Result<AccountId, Failure> {
        let wanted = self.account.as_ref().or(called.account.as_ref());
        if let Some(id) = wanted.and_then(|wanted| wanted.parse().ok()) {
            return Ok(id);
        }
        let all: Vec<accounts::Account> = called.collect(called.client.accounts().all()).await?;
        let found = match wanted {
            Some(wanted) => find::one(wanted, all),
            None => find::only(all, "--account"),
        };
        Ok(found?.id)
    }
}

/// What verbs take that are about an account: how they answer, and whom they call.
#[derive(Debug, Args)]
pub(super) struct AccountCall {
    #[command(flatten)]
    pub(super) format: Format,
    #[command(flatten)]
    account: AccountFlag,
    #[command(flatten)]
    target: Target,
}

/// What verbs take that are about an account or a zone.
#[derive(Debug, Args)]
pub(super) struct PlaceCall {
    #[command(flatten)]
    pub(super) format: Format,
    #[command(flatten)]
    place: PlaceFlags,
    #[command(flatten)]
    target: Target,
}

/// The account or the zone that a verb is about.
#[derive(Debug)]
pub(super) enum Place {
    Account(hallpass_client::Account),
    Zone(hallpass_client::Zone),
}

impl AccountCall {
    /// Makes ready to call, and finds the account.
    pub(super) async fn call(&self) -> Result<(Called, hallpass_client::Account), Failure> {
        let called = self.target.call()?;
        let account = called.client.account(self.account.find(&called).await?);
        Ok((called, account))
    }
}

impl PlaceCall {
    /// Makes ready to call, and finds the account or zone.
    pub(super) async fn call(&self) -> Result<(Called, Place), Failure> {
        let called = self.target.call()?;
        let place = self.place.find(&called).await?;
        Ok((called, place))
    }
}

impl PlaceFlags {
    /// The account or zone that is meant.
    pub(super) async fn find(&self, called: &Called) -> Result<Place, Failure> {
        match &self.zone {
            Some(zone) => Ok(Place::Zone(called.client.zone(find_zone(called, zone).await?))),
            None => Ok(Place::Account(called.client.account(self.account.find(called).await?))),
        }
    }
}

impl Place {
    pub(super) fn service_tokens(&self) -> ServiceTokens {
        match self {
            Self::Account(account) => account.service_tokens(),
            Self::Zone(zone) => zone.service_tokens(),
        }
    }

    pub(super) fn apps(&self) -> Apps {
        match self {
            Self::Account(account) => account.apps(),
            Self::Zone(zone) => zone.apps(),
        }
    }

    pub(super) fn groups(&self) -> Groups {
        match self {
            Self::Account(account) => account.groups(),
            Self::Zone(zone) => zone.groups(),
        }
    }

    /// The reusable policies, of which a zone has none.
    pub(super) fn policies(&self) -> Result<Policies, Failure> {
        match self {
            Self::Account(account) => Ok(account.policies()),
            Self::Zone(_) => {
                let message = "reusable policies are the account's, not a zone's: leave --zone out";
                Err(Failure::new(Exit::Usage, message))
            }
        }
    }
}

/// The zone that is meant: by id, which need not be listed, or by name.
async fn find_zone(called: &Called, wanted: &str) -> Result<ZoneId, Failure> {
    if let Ok(id) = wanted.parse() {
        return Ok(id);
    }
    let all: Vec<accounts::Zone> = called.collect(called.client.zones().all()).await?;
    Ok(find::one(wanted, all)?.id)
}
