//! `hallpass bootstrap`: the first account, zone, user and API token.

use anyhow::Context as _;
use clap::Args;
use hallpass_core::api_token::{ApiToken, Effect, GroupReference, Owner, Policy, Status};
use hallpass_core::caller::{Grant, Scope, SystemReason};
use hallpass_core::permission::{GroupScope, PermissionGroup};
use hallpass_core::resource::{Resource, Which, account_key};
use hallpass_core::secret::{ClientSecret, SecretKind};
use hallpass_core::service_token::Name;
use serde::Serialize;

use super::local::parse_domain;
use super::{Exit, Failure, StoreArgs, output, parse_name};
use crate::store::accounts::{Account, Membership, User, Zone};
use crate::store::error::{Refusal, WriteError};
use crate::store::{FirstToken, Founding, Store};
use crate::world::World;

#[derive(Debug, Args)]
pub(super) struct Bootstrap {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    names: Names,
    /// Print the identifiers and credentials as JSON
    #[arg(long)]
    json: bool,
}

/// What the first objects are called.
#[derive(Debug, Args)]
pub(super) struct Names {
    /// Name of the account
    #[arg(long, default_value = "Main account", value_name = "NAME", value_parser = parse_name)]
    account_name: String,
    /// Domain name of the zone
    #[arg(long, default_value = "example.com", value_name = "DOMAIN", value_parser = parse_domain)]
    zone: String,
    /// E-mail address of the user
    #[arg(long, default_value = "admin@example.com", value_name = "ADDRESS", value_parser = parse_email)]
    email: String,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            account_name: "Main account".to_owned(),
            zone: "example.com".to_owned(),
            email: "admin@example.com".to_owned(),
        }
    }
}

/// An e-mail address, in lower case.
pub(super) fn parse_email(text: &str) -> Result<String, String> {
    let parts: Vec<_> = text.split('@').collect();
    let readable = text.len() <= 254 && text.bytes().all(|byte| byte.is_ascii_graphic());
    match parts.as_slice() {
        [name, domain] if readable && !name.is_empty() && !domain.is_empty() => Ok(text.to_lowercase()),
        _ => Err("must be an address like admin@example.com".to_owned()),
    }
}

/// What to do where the credentials could not be shown.
pub(super) const NOT_SHOWN: &str = "cannot write the credentials to standard output, and they are shown only once: empty this store and bootstrap again";

/// What was made; shown once.
#[derive(Serialize)]
pub(super) struct First {
    account_id: String,
    zone_id: String,
    email: String,
    api_key: String,
    api_token: String,
}

pub(super) async fn run(args: Bootstrap) -> Result<(), Failure> {
    let world = World::machine();
    let store = args.store.open(&world).await?;
    let first = make(&store, &world, args.names).await?;
    let text = if args.json {
        serde_json::to_string(&first).context("cannot write JSON")?
    } else {
        format!("{}\nStart the server with:\n\n  hallpass serve {}", describe(&first), args.store.describe())
    };
    store.close().await;
    output::say(&text).context(NOT_SHOWN)?;
    Ok(())
}

/// Makes the first objects of an empty store.
pub(super) async fn make(store: &Store, world: &World, names: Names) -> Result<First, Failure> {
    let now = world.now();
    let account = Account { id: world.account_id(), name: names.account_name, created_at: now };
    let zone = Zone { id: world.zone_id(), account_id: account.id, name: names.zone, created_at: now };
    let user = User { id: world.user_id(), email: names.email, created_at: now };
    let membership = Membership { id: world.membership_id(), user_id: user.id, account_id: account.id };
    let key = world.mint(SecretKind::GlobalKey);
    let secret = world.mint(SecretKind::AccountApiToken);
    let token = ApiToken {
        id: world.api_token_id(),
        owner: Owner::Account(account.id),
        name: Name::parse("Bootstrap").context("the name is a constant")?,
        status: Status::Active,
        policies: vec![everything(&account, world)].into(),
        condition: None,
        not_before: None,
        expires_on: None,
        issued_on: now,
        modified_on: now,
    };
    let first = First {
        account_id: account.id.to_string(),
        zone_id: zone.id.to_string(),
        email: user.email.clone(),
        api_key: key.reveal().to_owned(),
        api_token: secret.reveal().to_owned(),
    };
    let grant = Grant::system(SystemReason::Bootstrap, Scope::Account(account.id), world.request_id());
    let founding = Founding {
        accounts: vec![account],
        zones: vec![zone],
        users: vec![(user, ClientSecret::presented(key.reveal()))],
        memberships: vec![membership],
        api_tokens: vec![FirstToken { token, secret }],
        ..Founding::default()
    };
    match store.found(&grant, founding, now).await {
        Ok(()) => Ok(first),
        Err(WriteError::Refused(Refusal::Conflict)) => Err(Failure::new(
            Exit::AlreadyDone,
            "this store has been bootstrapped already, and its credentials are shown only once. \
             To add API tokens, call POST /client/v4/accounts/{account_id}/tokens with one that holds \"Account API Tokens Write\", or with the user's e-mail address and key",
        )),
        Err(error) => Err(Failure::new(Exit::Failed, format!("cannot write to the store: {error}"))),
    }
}

/// What makes an account's token all-powerful: every group that opens something, on the whole account.
fn everything(account: &Account, world: &World) -> Policy {
    let of_account = |group: &&PermissionGroup| group.opens.is_some() && group.scope != GroupScope::User;
    let groups = PermissionGroup::all().iter().filter(of_account);
    Policy {
        id: world.token_policy_id(),
        effect: Effect::Allow,
        groups: groups.map(|group| GroupReference { id: group.id, meta: None }).collect(),
        reach: vec![Resource::Account(Which::One(account.id))],
        resources: [(account_key(account.id), "*".into())].into_iter().collect(),
    }
}

/// What was made, for people.
pub(super) fn describe(first: &First) -> String {
    format!(
        "Made the first account. Its credentials are shown this once; keep them safe.\n\n  \
         account id   {}\n  zone id      {}\n  e-mail       {}\n  API key      {}\n  API token    {}\n",
        first.account_id, first.zone_id, first.email, first.api_key, first.api_token
    )
}
