//! `hallpass api-token`: the verbs for API tokens, by way of the API. What they print is in `api_token_text.rs`.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use hallpass_client::{
    ApiTokenPolicy, ApiTokens, CreateApiToken, Effect, ErrorKind, GroupInPolicy, ListApiTokens,
    ListPermissionGroups,
};
use hallpass_core::id::{ApiTokenId, PermissionGroupId, TokenPolicyId};
use hallpass_core::network::WrittenNetwork;
use hallpass_core::permission::GroupScope;
use hallpass_core::time::Timestamp;
use hallpass_core::wire::RevealedSecret;
use hallpass_core::wire::api_tokens::{self as wire, AddressLists, Condition, PermissionGroup};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::ask::{Sure, Yes};
use super::called::{Called, LARGEST};
use super::directory::AccountFlag;
use super::find::{self, Named};
use super::output::{Format, SecretFormat};
use super::table::harmless;
use super::target::Target;
use super::when::now;
use super::{Exit, Failure, api_token_text, body, parse_name};

/// Create, list, verify, roll and delete API tokens
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct ApiToken {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make an API token, and show its secret this once
    #[command(
        after_help = "Example:\n  hallpass api-token create refresher --permission 'Access: Service Tokens Write'"
    )]
    Create(Create),
    /// List the API tokens
    #[command(after_help = "Example:\n  hallpass api-token list")]
    List(List),
    /// Show one API token with its policies
    #[command(after_help = "Example:\n  hallpass api-token get refresher")]
    Get(One),
    /// Say whether the API token that the call is made with can be used
    #[command(after_help = "Example:\n  hallpass api-token verify")]
    Verify(List),
    /// Replace the secret of an API token, and show the new one this once; the old one ends at once
    #[command(after_help = "Example:\n  hallpass api-token roll refresher --yes --secret-only > token.txt")]
    Roll(Roll),
    /// Delete an API token
    #[command(after_help = "Example:\n  hallpass api-token delete refresher --yes")]
    Delete(Sure<One>),
    /// List what --permission can name
    #[command(after_help = "Example:\n  hallpass api-token permissions")]
    Permissions(List),
}

/// Whose API tokens.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server and credentials")]
struct OwnerFlags {
    #[command(flatten)]
    account: AccountFlag,
    /// The user's own API tokens instead of the account's
    #[arg(long, conflicts_with = "account")]
    user: bool,
}

#[derive(Debug, Args)]
struct Create {
    /// What to call it
    #[arg(value_parser = parse_name)]
    name: String,
    /// Permission group that it gets on the account, by name or id; may be repeated
    #[arg(long, value_name = "ID|NAME", required_unless_present = "policies")]
    permission: Vec<String>,
    /// JSON file, or - for standard input, with a list of policies, as the API takes them, for all that --permission cannot say
    #[arg(long, value_name = "FILE|-", conflicts_with = "permission")]
    policies: Option<PathBuf>,
    /// Address or network from which alone it may be used; may be repeated
    #[arg(long, value_name = "CIDR", value_parser = parse_network)]
    allow_from: Vec<String>,
    /// Until when it may be used: a date and time such as 2027-01-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    expires_on: Option<Timestamp>,
    #[command(flatten)]
    format: SecretFormat,
    #[command(flatten)]
    owner: OwnerFlags,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    owner: OwnerFlags,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
struct One {
    /// Its id or exact name
    #[arg(value_name = "TOKEN")]
    wanted: String,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    owner: OwnerFlags,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
struct Roll {
    /// Its id or exact name
    #[arg(value_name = "TOKEN")]
    wanted: String,
    #[command(flatten)]
    format: SecretFormat,
    #[command(flatten)]
    yes: Yes,
    #[command(flatten)]
    owner: OwnerFlags,
    #[command(flatten)]
    target: Target,
}

fn parse_network(text: &str) -> Result<String, String> {
    match WrittenNetwork::parse(text) {
        Some(network) => Ok(network.as_str().to_owned()),
        None => Err("must be an IP address or a network in CIDR notation".to_owned()),
    }
}

pub(super) async fn run(args: ApiToken) -> Result<(), Failure> {
    match args.verb {
        Verb::Create(args) => create(args).await,
        Verb::List(args) => list(&args).await,
        Verb::Get(args) => get(&args).await,
        Verb::Verify(args) => verify(&args).await,
        Verb::Roll(args) => roll(&args).await,
        Verb::Delete(args) => delete(&args).await,
        Verb::Permissions(args) => permissions(&args).await,
    }
}

async fn create(args: Create) -> Result<(), Failure> {
    let called = args.target.call()?;
    let policies = match &args.policies {
        Some(file) => read_policies(file)?,
        None => vec![account_policy(&called, &args).await?],
    };
    let within = (!args.allow_from.is_empty()).then_some(args.allow_from);
    let lists = |within| AddressLists { within: Some(within), not_within: None };
    let new = CreateApiToken {
        name: args.name,
        policies,
        condition: within.map(|within| Condition { request_ip: Some(lists(within)), request_dot_ip: None }),
        not_before: None,
        expires_on: args.expires_on.map(|at| at.to_string()),
    };
    let tokens = args.owner.api_tokens(&called).await?;
    let made = called.ask(tokens.create(&new)).await?;
    let secret = made.value.as_ref().map(RevealedSecret::as_str);
    let secret = secret.ok_or_else(|| Failure::new(Exit::Failed, "the reply holds no secret"))?;
    let text = || api_token_text::revealed("Made the API token", &made, secret);
    args.format.print(&made, secret, text, "it is shown only once: roll the token to get another one")
}

async fn list(args: &List) -> Result<(), Failure> {
    let called = args.target.call()?;
    let tokens = args.owner.api_tokens(&called).await?;
    let tokens = called.collect(tokens.all(&everything())).await?;
    args.format.print(&tokens, || api_token_text::list(&tokens, now()))
}

async fn get(args: &One) -> Result<(), Failure> {
    let (_, _, token) = args.find().await?;
    args.format.print(&token, || api_token_text::details(&token, now()))
}

async fn verify(args: &List) -> Result<(), Failure> {
    let called = args.target.call()?;
    let users = called.client.user().api_tokens();
    let said = args.owner.user || args.owner.account.is_given();
    let verified = if said {
        called.ask(args.owner.api_tokens(&called).await?.verify()).await?
    } else {
        // Nothing says whose token it is: it can be verified at one of the two places only.
        match users.verify().await {
            Ok(verified) => verified,
            // Refused there, it may be an account's; a server that does not answer is not asked twice.
            Err(error) if !matches!(error.kind(), ErrorKind::Unauthenticated | ErrorKind::Forbidden) => {
                return Err(called.failed(&error));
            }
            Err(error) => match args.owner.account.find(&called).await {
                Ok(account) => called.ask(called.client.account(account).api_tokens().verify()).await?,
                Err(_) => return Err(called.failed(&error)),
            },
        }
    };
    args.format.print(&verified, || api_token_text::verified(&verified, now()))
}

async fn roll(args: &Roll) -> Result<(), Failure> {
    let called = args.target.call()?;
    let tokens = args.owner.api_tokens(&called).await?;
    let token = find(&called, &tokens, &args.wanted).await?;
    let question =
        format!("Roll {:?} ({}), so that its present secret ends at once?", harmless(&token.name), token.id);
    args.yes.confirm(&question)?;
    let secret = called.ask(tokens.roll(token.id)).await?;
    let text = || api_token_text::revealed("Rolled the API token", &token, secret.as_str());
    args.format.print(&secret, secret.as_str(), text, "it is shown only once: roll again to get another one")
}

async fn delete(args: &Sure<One>) -> Result<(), Failure> {
    let (called, tokens, token) = args.one.find().await?;
    args.yes.delete(&called, &args.one.format, &token, tokens.delete(token.id)).await
}

async fn permissions(args: &List) -> Result<(), Failure> {
    let called = args.target.call()?;
    let groups = groups(&called, &args.owner.api_tokens(&called).await?).await?;
    args.format.print(&groups, || api_token_text::permissions(&groups))
}

impl OwnerFlags {
    async fn api_tokens(&self, called: &Called) -> Result<ApiTokens, Failure> {
        if self.user {
            return Ok(called.client.user().api_tokens());
        }
        Ok(called.client.account(self.account.find(called).await?).api_tokens())
    }
}

impl One {
    async fn find(&self) -> Result<(Called, ApiTokens, wire::ApiToken), Failure> {
        let called = self.target.call()?;
        let tokens = self.owner.api_tokens(&called).await?;
        let token = find(&called, &tokens, &self.wanted).await?;
        Ok((called, tokens, token))
    }
}

/// The permission groups that act on accounts.
async fn groups(called: &Called, tokens: &ApiTokens) -> Result<Vec<PermissionGroup>, Failure> {
    let on_accounts = GroupScope::Account.as_str().to_owned();
    let which =
        ListPermissionGroups { scope: Some(on_accounts), paging: LARGEST, ..ListPermissionGroups::default() };
    called.collect(tokens.permission_groups().all(&which)).await
}

/// The policy that gives the named groups on the account.
async fn account_policy(called: &Called, args: &Create) -> Result<ApiTokenPolicy, Failure> {
    let account = args.owner.account.find(called).await?;
    let all = groups(called, &args.owner.api_tokens(called).await?).await?;
    let ids = args.permission.iter().map(|wanted| find::one(wanted, all.clone()).map(|group| group.id));
    Ok(ApiTokenPolicy::allow_on_account(account, &ids.collect::<Result<Vec<_>, _>>()?))
}

/// A policy in a file, written as in the body of a create; what `get --json` shows will do as well.
#[derive(Deserialize)]
struct WrittenPolicy {
    id: Option<TokenPolicyId>,
    effect: WrittenEffect,
    permission_groups: Vec<WrittenGroup>,
    resources: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenEffect {
    Allow,
    Deny,
}

#[derive(Deserialize)]
struct WrittenGroup {
    id: PermissionGroupId,
    meta: Option<Value>,
}

fn read_policies(file: &Path) -> Result<Vec<ApiTokenPolicy>, Failure> {
    let written: Vec<WrittenPolicy> = body::read("policies", file)?;
    let read = |policy: WrittenPolicy| ApiTokenPolicy {
        id: policy.id,
        effect: match policy.effect {
            WrittenEffect::Allow => Effect::Allow,
            WrittenEffect::Deny => Effect::Deny,
        },
        permission_groups: policy
            .permission_groups
            .into_iter()
            .map(|group| GroupInPolicy { id: group.id, meta: group.meta })
            .collect(),
        resources: policy.resources,
    };
    Ok(written.into_iter().map(read).collect())
}

/// The whole list, expired ones too, in the largest pages.
fn everything() -> ListApiTokens {
    ListApiTokens { include_expired: Some(true), paging: LARGEST, ..ListApiTokens::default() }
}

impl Named for wire::ApiToken {
    const KIND: &'static str = "API token";

    fn id(&self) -> impl Display {
        self.id
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for PermissionGroup {
    const KIND: &'static str = "permission group for accounts";

    fn id(&self) -> impl Display {
        self.id
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// The token that is meant.
async fn find(called: &Called, tokens: &ApiTokens, wanted: &str) -> Result<wire::ApiToken, Failure> {
    let by_id = |id: ApiTokenId| called.ask(tokens.get(id));
    find::by_id_or_name(wanted, by_id, called.collect(tokens.all(&everything()))).await
}
