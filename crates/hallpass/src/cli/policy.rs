//! `hallpass policy`: the verbs for policies, those of one application and the account's reusable ones. What they print is in
//! `policy_text.rs`.

use std::fmt::Display;

use clap::{ArgGroup, Args, Subcommand};
use futures_util::TryStreamExt as _;
use hallpass_client::{AppPolicies, Deleted, Error, ListPolicies, Policies};
use hallpass_core::id::PolicyId;
use hallpass_core::wire::policies as wire;

use super::ask::Sure;
use super::body::{self, Body, BodyFlag};
use super::called::{Called, LARGEST};
use super::directory::{AccountCall, Place, PlaceCall};
use super::find::{self, Named};
use super::output::Format;
use super::rule::RuleFlags;
use super::when::now;
use super::{Failure, app, parse_name, policy_text};

/// Create, list, change and delete policies: who may pass
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Policy {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a policy: a reusable one, or one that belongs to an application
    #[command(
        after_help = "Example:\n  hallpass policy create machines --include service_token=deploy --require ip=10.0.0.0/8"
    )]
    Create(Create),
    /// List the reusable policies, or those that an application uses
    #[command(after_help = "Example:\n  hallpass policy list --app wiki")]
    List(List),
    /// Show one policy with its rules
    #[command(after_help = "Example:\n  hallpass policy get machines")]
    Get(One),
    /// Change what the flags name of a policy; all else stays
    #[command(
        after_help = "Example:\n  hallpass policy update machines --include any_valid_service_token --require none\n\nThe rules that are named take the place of all of their part; --require none takes all away. With --body, all is replaced."
    )]
    Update(Update),
    /// Delete a policy: a reusable one that no application uses, or one that belongs to an application
    #[command(after_help = "Example:\n  hallpass policy delete machines --yes")]
    Delete(Sure<One>),
    /// Make a policy of an application one that others can use, too
    #[command(
        after_help = "Example:\n  hallpass policy make-reusable machines --app wiki\n\nIt lets in whom it let in before. There is no way back."
    )]
    MakeReusable(MakeReusable),
}

/// Which policies, and whom to call about them.
#[derive(Debug, Args)]
struct Among {
    /// The application whose policies are meant, by id, exact name, or first host and path; unsaid, the account's reusable ones
    #[arg(long, value_name = "APP")]
    app: Option<String>,
    #[command(flatten)]
    call: PlaceCall,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("rules").required(true).args(["include", "body"]))]
struct Create {
    /// What to call it
    #[arg(value_parser = parse_name, required_unless_present = "body", conflicts_with = "body")]
    name: Option<String>,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    body: BodyFlag,
    #[command(flatten)]
    among: Among,
}

#[derive(Debug, Args)]
struct Fields {
    /// What happens to a request that it is true of; machines pass by `non_identity`, which a new one has unless it is said
    #[arg(long, value_name = "DECISION", value_parser = ["non_identity", "bypass", "allow", "deny"], conflicts_with = "body")]
    decision: Option<String>,
    #[command(flatten)]
    rules: RuleFlags,
    /// Its place among the policies of --app: the lowest number is asked first
    #[arg(long, value_name = "N", requires = "app", conflicts_with = "body")]
    precedence: Option<u32>,
}

#[derive(Debug, Args)]
struct List {
    /// Only those whose name or id holds this text
    #[arg(long, value_name = "TEXT", conflicts_with = "app")]
    search: Option<String>,
    #[command(flatten)]
    among: Among,
}

#[derive(Debug, Args)]
struct One {
    /// Its id or exact name
    #[arg(value_name = "POLICY")]
    wanted: String,
    #[command(flatten)]
    among: Among,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("changes").required(true).multiple(true).args([
    "name", "decision", "include", "require", "exclude", "precedence", "body",
]))]
struct Update {
    /// A new name
    #[arg(long, value_parser = parse_name, conflicts_with = "body")]
    name: Option<String>,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    body: BodyFlag,
    #[command(flatten)]
    one: One,
}

#[derive(Debug, Args)]
struct MakeReusable {
    /// Its id or exact name
    #[arg(value_name = "POLICY")]
    wanted: String,
    /// The application that it belongs to, by id, exact name, or first host and path
    #[arg(long, value_name = "APP")]
    app: String,
    #[command(flatten)]
    call: AccountCall,
}

pub(super) async fn run(args: Policy) -> Result<(), Failure> {
    match args.verb {
        Verb::Create(args) => create(args).await,
        Verb::List(args) => list(args).await,
        Verb::Get(one) => {
            let (_, policy) = one.find().await?;
            print(&one.among.call.format, &policy)
        }
        Verb::Update(args) => update(args).await,
        Verb::Delete(args) => {
            let (found, policy) = args.one.find().await?;
            let format = &args.one.among.call.format;
            args.yes.delete(&found.called, format, &policy, found.policies.delete(policy.id)).await
        }
        Verb::MakeReusable(args) => make_reusable(args).await,
    }
}

async fn create(args: Create) -> Result<(), Failure> {
    let given = args.body.read()?;
    let found = args.among.find().await?;
    let body = match given {
        Some(body) => body,
        None => args.fields.write(Body::new(), args.name, &found).await?,
    };
    print(&args.among.call.format, &found.called.ask(found.policies.create(&body)).await?)
}

async fn list(args: List) -> Result<(), Failure> {
    let found = args.among.find().await?;
    let policies = found.called.ask(found.policies.all(args.search)).await?;
    let text = || match found.policies {
        AnyPolicies::Reusable(_) => policy_text::list_of_reusable(&policies),
        AnyPolicies::App(_) => policy_text::list_of_app(&policies),
    };
    args.among.call.format.print(&policies, text)
}

async fn update(args: Update) -> Result<(), Failure> {
    let given = args.body.read()?;
    let (found, policy) = args.one.find().await?;
    let body = match given {
        Some(body) => body,
        None => args.fields.write(body::of(&policy, &["reusable", "app_count"])?, args.name, &found).await?,
    };
    let updated = found.called.ask(found.policies.update(policy.id, &body)).await?;
    print(&args.one.among.call.format, &updated)
}

async fn make_reusable(args: MakeReusable) -> Result<(), Failure> {
    let (called, account) = args.call.call().await?;
    let policies = account.apps().policies(app::find_id(&called, &account.apps(), &args.app).await?);
    let id = find(&called, &AnyPolicies::App(policies.clone()), &args.wanted).await?.id;
    print(&args.call.format, &called.ask(policies.make_reusable(id)).await?)
}

/// Where policies are: the account's reusable ones, or those that an application uses.
enum AnyPolicies {
    Reusable(Policies),
    App(AppPolicies),
}

impl AnyPolicies {
    async fn create(&self, policy: &Body) -> Result<wire::Policy, Error> {
        match self {
            Self::Reusable(policies) => policies.create(policy).await,
            Self::App(policies) => policies.create(policy).await,
        }
    }

    /// All of them; of the reusable ones, those in which a text occurs.
    async fn all(&self, search: Option<String>) -> Result<Vec<wire::Policy>, Error> {
        match self {
            Self::Reusable(policies) => {
                let which = ListPolicies { search, paging: LARGEST, ..ListPolicies::default() };
                policies.all(&which).try_collect().await
            }
            Self::App(policies) => policies.all(&LARGEST).try_collect().await,
        }
    }

    async fn get(&self, id: PolicyId) -> Result<wire::Policy, Error> {
        match self {
            Self::Reusable(policies) => policies.get(id).await,
            Self::App(policies) => policies.get(id).await,
        }
    }

    async fn update(&self, id: PolicyId, policy: &Body) -> Result<wire::Policy, Error> {
        match self {
            Self::Reusable(policies) => policies.update(id, policy).await,
            Self::App(policies) => policies.update(id, policy).await,
        }
    }

    async fn delete(&self, id: PolicyId) -> Result<Deleted, Error> {
        match self {
            Self::Reusable(policies) => policies.delete(id).await,
            Self::App(policies) => policies.delete(id).await,
        }
    }
}

/// Where the policies are that a verb is about.
struct Found {
    called: Called,
    place: Place,
    policies: AnyPolicies,
}

impl Among {
    async fn find(&self) -> Result<Found, Failure> {
        let (called, place) = self.call.call().await?;
        let policies = match &self.app {
            None => AnyPolicies::Reusable(place.policies()?),
            Some(wanted) => {
                let apps = place.apps();
                AnyPolicies::App(apps.policies(app::find_id(&called, &apps, wanted).await?))
            }
        };
        Ok(Found { called, place, policies })
    }
}

impl One {
    async fn find(&self) -> Result<(Found, wire::Policy), Failure> {
        let found = self.among.find().await?;
        let policy = find(&found.called, &found.policies, &self.wanted).await?;
        Ok((found, policy))
    }
}

impl Fields {
    /// A body with what the flags say of it.
    async fn write(self, mut body: Body, name: Option<String>, found: &Found) -> Result<Body, Failure> {
        body::set(&mut body, "name", name);
        body.entry("decision").or_insert_with(|| "non_identity".into());
        body::set(&mut body, "decision", self.decision);
        body::set(&mut body, "precedence", self.precedence);
        self.rules.write(&mut body, &found.called, &found.place).await?;
        Ok(body)
    }
}

impl Named for wire::Policy {
    const KIND: &'static str = "policy";

    fn id(&self) -> impl Display {
        self.id
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// The policy that is meant.
async fn find(called: &Called, policies: &AnyPolicies, wanted: &str) -> Result<wire::Policy, Failure> {
    let by_id = |id: PolicyId| called.ask(policies.get(id));
    find::by_id_or_name(wanted, by_id, called.ask(policies.all(None))).await
}

/// The identifier of a reusable policy, which need not be looked for where it is what was said.
pub(super) async fn find_id(called: &Called, place: &Place, wanted: &str) -> Result<PolicyId, Failure> {
    match wanted.parse() {
        Ok(id) => Ok(id),
        Err(_) => Ok(find(called, &AnyPolicies::Reusable(place.policies()?), wanted).await?.id),
    }
}

fn print(format: &Format, policy: &wire::Policy) -> Result<(), Failure> {
    format.print(policy, || policy_text::details(policy, now()))
}
