//! `hallpass group`: rules under a name, which policies and other groups refer to.

use std::fmt::Display;

use clap::{ArgGroup, Args, Subcommand};
use hallpass_client::{Groups, ListGroups};
use hallpass_core::id::GroupId;
use hallpass_core::time::Timestamp;
use hallpass_core::wire::groups as wire;

use super::ask::Sure;
use super::body::{self, Body, BodyFlag};
use super::called::{Called, LARGEST};
use super::directory::{Place, PlaceCall};
use super::find::{self, Named};
use super::rule::{self, RuleFlags};
use super::table::{self, Cell};
use super::when::{dated, now, relative};
use super::{Failure, parse_name};

/// Create, list, change and delete groups of rules
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Group {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a group
    #[command(
        after_help = "Example:\n  hallpass group create office --include ip=192.0.2.0/24 --include ip=2001:db8::/32"
    )]
    Create(Create),
    /// List the groups
    #[command(after_help = "Example:\n  hallpass group list")]
    List(List),
    /// Show one group with its rules
    #[command(after_help = "Example:\n  hallpass group get office")]
    Get(One),
    /// Change what the flags name of a group; all else stays
    #[command(
        after_help = "Example:\n  hallpass group update office --exclude ip=192.0.2.66\n\nThe rules that are named take the place of all of their part; --exclude none takes all away. With --body, all is replaced."
    )]
    Update(Update),
    /// Delete a group that nothing refers to
    #[command(after_help = "Example:\n  hallpass group delete office --yes")]
    Delete(Sure<One>),
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("rules").required(true).args(["include", "body"]))]
struct Create {
    /// What to call it
    #[arg(value_parser = parse_name, required_unless_present = "body", conflicts_with = "body")]
    name: Option<String>,
    #[command(flatten)]
    rules: RuleFlags,
    #[command(flatten)]
    body: BodyFlag,
    #[command(flatten)]
    call: PlaceCall,
}

#[derive(Debug, Args)]
struct List {
    /// Only those whose name or id holds this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    #[command(flatten)]
    call: PlaceCall,
}

#[derive(Debug, Args)]
struct One {
    /// Its id or exact name
    #[arg(value_name = "GROUP")]
    wanted: String,
    #[command(flatten)]
    call: PlaceCall,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("changes").required(true).multiple(true).args([
    "name", "include", "require", "exclude", "body",
]))]
struct Update {
    /// A new name
    #[arg(long, value_parser = parse_name, conflicts_with = "body")]
    name: Option<String>,
    #[command(flatten)]
    rules: RuleFlags,
    #[command(flatten)]
    body: BodyFlag,
    #[command(flatten)]
    one: One,
}

pub(super) async fn run(args: Group) -> Result<(), Failure> {
    match args.verb {
        Verb::Create(args) => create(args).await,
        Verb::List(args) => list(args).await,
        Verb::Get(one) => {
            let (_, _, group) = one.find().await?;
            print(&one.call, &group)
        }
        Verb::Update(args) => update(args).await,
        Verb::Delete(args) => {
            let (called, place, group) = args.one.find().await?;
            let groups = place.groups();
            args.yes.delete(&called, &args.one.call.format, &group, groups.delete(group.id)).await
        }
    }
}

async fn create(args: Create) -> Result<(), Failure> {
    let given = args.body.read()?;
    let (called, place) = args.call.call().await?;
    let body = match given {
        Some(body) => body,
        None => described(Body::new(), args.name, &args.rules, &called, &place).await?,
    };
    print(&args.call, &called.ask(place.groups().create(&body)).await?)
}

async fn list(args: List) -> Result<(), Failure> {
    let (called, place) = args.call.call().await?;
    let which = ListGroups { search: args.search, ..everything() };
    let groups: Vec<wire::Group> = called.collect(place.groups().all(&which)).await?;
    args.call.format.print(&groups, || listed(&groups, now()))
}

async fn update(args: Update) -> Result<(), Failure> {
    let given = args.body.read()?;
    let (called, place, group) = args.one.find().await?;
    let body = match given {
        Some(body) => body,
        None => described(body::of(&group, &[])?, args.name, &args.rules, &called, &place).await?,
    };
    print(&args.one.call, &called.ask(place.groups().update(group.id, &body)).await?)
}

/// A body with what the flags say of it.
async fn described(
    mut body: Body,
    name: Option<String>,
    rules: &RuleFlags,
    called: &Called,
    place: &Place,
) -> Result<Body, Failure> {
    body::set(&mut body, "name", name);
    rules.write(&mut body, called, place).await?;
    Ok(body)
}

impl One {
    async fn find(&self) -> Result<(Called, Place, wire::Group), Failure> {
        let (called, place) = self.call.call().await?;
        let group = find(&called, &place.groups(), &self.wanted).await?;
        Ok((called, place, group))
    }
}

impl Named for wire::Group {
    const KIND: &'static str = "group";

    fn id(&self) -> impl Display {
        self.id
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// The whole list, in the largest pages.
fn everything() -> ListGroups {
    ListGroups { paging: LARGEST, ..ListGroups::default() }
}

/// The group that is meant.
async fn find(called: &Called, groups: &Groups, wanted: &str) -> Result<wire::Group, Failure> {
    let by_id = |id: GroupId| called.ask(groups.get(id));
    find::by_id_or_name(wanted, by_id, called.collect(groups.all(&everything()))).await
}

/// Its identifier, which need not be looked for where it is what was said.
pub(super) async fn find_id(called: &Called, groups: &Groups, wanted: &str) -> Result<GroupId, Failure> {
    match wanted.parse() {
        Ok(id) => Ok(id),
        Err(_) => Ok(find(called, groups, wanted).await?.id),
    }
}

fn print(call: &PlaceCall, group: &wire::Group) -> Result<(), Failure> {
    call.format.print(group, || details(group, now()))
}

/// A line for each group.
fn listed(groups: &[wire::Group], now: Timestamp) -> String {
    let row = |group: &wire::Group| {
        let parts = [&group.include, &group.require, &group.exclude];
        let rules: usize = parts.into_iter().flatten().map(Vec::len).sum();
        [
            Cell::from(&group.name),
            Cell::from(group.id),
            Cell::from(rules),
            Cell::from(relative(group.updated_at, now)),
        ]
    };
    table::table(["NAME", "ID", "RULES", "UPDATED"], &groups.iter().map(row).collect::<Vec<_>>())
}

/// Everything about one group.
fn details(group: &wire::Group, now: Timestamp) -> String {
    let mut fields = vec![("name", Cell::from(&group.name)), ("id", group.id.into())];
    fields.extend(rule::fields(group.include.as_ref(), group.require.as_ref(), group.exclude.as_ref()));
    fields.push(("created", dated(group.created_at, now).into()));
    fields.push(("updated", dated(group.updated_at, now).into()));
    table::fields(&fields)
}
