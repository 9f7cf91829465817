//! `hallpass token`: the verbs for service tokens, by way of the API. What they print is in `token_text.rs`.

use std::fmt::Display;

use clap::{Args, Subcommand};
use hallpass_client::{
    CreateServiceToken, ErrorKind, ListServiceTokens, Patch, RotateServiceToken, ServiceTokens,
    UpdateServiceToken,
};
use hallpass_core::client_id::ClientId;
use hallpass_core::id::ServiceTokenId;
use hallpass_core::time::Timestamp;
use hallpass_core::validity::{GoDuration, InvalidDuration, Validity};
use hallpass_core::wire::RevealedSecret;
use hallpass_core::wire::service_tokens::{LastUse, ServiceToken};

use super::ask::{Sure, Yes};
use super::called::{Called, LARGEST};
use super::directory::PlaceFlags;
use super::find::{self, Named};
use super::import::{self, Import};
use super::output::{self, Format, SecretFormat};
use super::table::harmless;
use super::target::Target;
use super::when::now;
use super::{Exit, Failure, parse_name, token_text};

/// Create, list, change, refresh, rotate and delete service tokens
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Token {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a service token, and show its secret this once
    #[command(after_help = "Example:\n  hallpass token create deploy --duration 720h")]
    Create(Create),
    /// List the service tokens
    #[command(after_help = "Example:\n  hallpass token list --json | jq -r '.[].name'")]
    List(List),
    /// Show one service token
    #[command(after_help = "Example:\n  hallpass token get deploy")]
    Get(One),
    /// List when each application last accepted each of its secrets: whether anybody still uses the previous one
    #[command(after_help = "Example:\n  hallpass token uses deploy")]
    Uses(One),
    /// Change the name, the duration or the end of the previous secret
    #[command(
        after_help = "Example:\n  hallpass token update deploy --duration 8760h\n\nA new duration counts from now."
    )]
    Update(Update),
    /// Count the duration anew from now; the secret stays
    #[command(after_help = "Example:\n  hallpass token refresh deploy")]
    Refresh(One),
    /// Make a new secret, and show it this once
    #[command(
        after_help = "Example:\n  hallpass token rotate deploy --grace 24h\n\nWithout --grace, the old secret ends at once."
    )]
    Rotate(Rotate),
    /// Let a disabled service token be used again
    #[command(after_help = "Example:\n  hallpass token enable deploy")]
    Enable(One),
    /// Stop a service token from being used, until it is enabled again
    #[command(after_help = "Example:\n  hallpass token disable deploy")]
    Disable(One),
    /// Delete a service token
    #[command(after_help = "Example:\n  hallpass token delete deploy --yes")]
    Delete(Sure<One>),
    /// Take over tokens that were issued elsewhere, on the store itself: their clients need not change
    #[command(
        after_help = "Example:\n  hallpass token import --client-id 88bf3b6d86161464f6509f7219099e57.access --secret-stdin < secret.txt"
    )]
    Import(Import),
}

#[derive(Debug, Args)]
struct Create {
    /// What to call it
    #[arg(value_parser = parse_name)]
    name: String,
    /// How long it is good for: hours, minutes and seconds such as 720h or 1h30m, or `forever` [default: 8760h]
    #[arg(long, value_parser = parse_validity)]
    duration: Option<String>,
    #[command(flatten)]
    format: SecretFormat,
    #[command(flatten)]
    place: PlaceFlags,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
struct List {
    /// Only those whose name holds this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    place: PlaceFlags,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
struct One {
    /// Its id, client ID or exact name
    #[arg(value_name = "TOKEN")]
    wanted: String,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    place: PlaceFlags,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
struct Update {
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    one: One,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Changes {
    /// A new name
    #[arg(long, value_parser = parse_name)]
    name: Option<String>,
    /// A new duration, counted from now: such as 720h or 1h30m, or `forever`
    #[arg(long, value_parser = parse_validity)]
    duration: Option<String>,
    /// When the secret before the last rotation ends: a date and time such as 2027-01-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    previous_secret_expires_at: Option<Timestamp>,
}

#[derive(Debug, Args)]
struct Rotate {
    /// Its id, client ID or exact name
    #[arg(value_name = "TOKEN")]
    wanted: String,
    /// How long the old secret still counts, from now by this machine's clock: such as 24h or 30m
    #[arg(long, value_name = "DURATION", value_parser = parse_grace)]
    grace: Option<GoDuration>,
    #[command(flatten)]
    format: SecretFormat,
    #[command(flatten)]
    yes: Yes,
    #[command(flatten)]
    place: PlaceFlags,
    #[command(flatten)]
    target: Target,
}

fn parse_validity(text: &str) -> Result<String, String> {
    Validity::parse(text).map(|_| text.to_owned()).map_err(|error| in_hours(text, error))
}

/// What is wrong with a duration. The grammar has no days, and many write them.
fn in_hours(text: &str, error: InvalidDuration) -> String {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    match days.and_then(|days| days.checked_mul(24)) {
        Some(hours) => format!("there is no unit for days: {text} is {hours}h"),
        None => error.to_string(),
    }
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    text.parse::<Timestamp>().map_err(|error| error.to_string())
}

fn parse_grace(text: &str) -> Result<GoDuration, String> {
    match Validity::parse(text).map_err(|error| in_hours(text, error))? {
        Validity::For(duration) => Ok(duration),
        Validity::Forever => Err("must be a duration such as 24h".to_owned()),
    }
}

pub(super) async fn run(args: Token) -> Result<(), Failure> {
    let enable = |enabled| UpdateServiceToken { enabled: Some(enabled), ..UpdateServiceToken::default() };
    match args.verb {
        Verb::Create(args) => create(args).await,
        Verb::List(args) => list(args).await,
        Verb::Get(one) => get(&one).await,
        Verb::Uses(one) => uses(&one).await,
        Verb::Update(args) => update(&args.one, &args.changes.into()).await,
        Verb::Refresh(one) => refresh(&one).await,
        Verb::Rotate(args) => rotate(args).await,
        Verb::Enable(one) => update(&one, &enable(true)).await,
        Verb::Disable(one) => update(&one, &enable(false)).await,
        Verb::Delete(args) => delete(args).await,
        Verb::Import(args) => import::run(args).await,
    }
}

/// Makes ready to call, and finds the service tokens of the account or zone.
async fn reach(place: &PlaceFlags, target: &Target) -> Result<(Called, ServiceTokens), Failure> {
    let called = target.call()?;
    let tokens = place.find(&called).await?.service_tokens();
    Ok((called, tokens))
}

async fn create(args: Create) -> Result<(), Failure> {
    let (called, tokens) = reach(&args.place, &args.target).await?;
    let new = CreateServiceToken { duration: args.duration, ..CreateServiceToken::named(args.name) };
    let made = called.ask(tokens.create(&new)).await?;
    let lost = "it is shown only once: delete the token and create it again";
    print_secret(&args.format, "Made the service token", &made, lost)
}

async fn list(args: List) -> Result<(), Failure> {
    let (called, tokens) = reach(&args.place, &args.target).await?;
    let which = ListServiceTokens { search: args.search, ..everything() };
    let tokens = called.collect(tokens.all(&which)).await?;
    args.format.print(&tokens, || token_text::list(&tokens, now()))
}

async fn get(one: &One) -> Result<(), Failure> {
    let (called, tokens) = reach(&one.place, &one.target).await?;
    let token = find(&called, &tokens, &one.wanted).await?;
    one.print(&token)
}

async fn uses(one: &One) -> Result<(), Failure> {
    let (called, tokens) = reach(&one.place, &one.target).await?;
    let id = find_id(&called, &tokens, &one.wanted).await?;
    let uses: Vec<LastUse> = called.collect(tokens.all_last_uses(id, LARGEST)).await?;
    one.format.print(&uses, || token_text::uses(&uses, now()))
}

async fn update(one: &One, change: &UpdateServiceToken) -> Result<(), Failure> {
    let (called, tokens) = reach(&one.place, &one.target).await?;
    let id = find_id(&called, &tokens, &one.wanted).await?;
    one.print(&called.ask(tokens.update(id, change)).await?)
}

async fn refresh(one: &One) -> Result<(), Failure> {
    let (called, tokens) = reach(&one.place, &one.target).await?;
    let id = find_id(&called, &tokens, &one.wanted).await?;
    one.print(&called.ask(tokens.refresh(id)).await?)
}

async fn rotate(args: Rotate) -> Result<(), Failure> {
    let (called, tokens) = reach(&args.place, &args.target).await?;
    let token = find(&called, &tokens, &args.wanted).await?;
    let previous_client_secret_expires_at = if let Some(grace) = &args.grace {
        Some(until(grace)?)
    } else {
        let shown = harmless(&token.name);
        args.yes.confirm(&format!(
            "Rotate {shown:?} ({}) without --grace, so that its present secret ends at once?",
            token.id
        ))?;
        None
    };
    let how = RotateServiceToken { previous_client_secret_expires_at };
    let rotated = called.ask(tokens.rotate(token.id, &how)).await?;
    if previous_client_secret_expires_at.is_some_and(|end| end <= rotated.updated_at) {
        output::complain(
            "warning: by the server's clock, the grace was over before it began, and the old secret has ended",
        );
    }
    let lost = "it is shown only once: rotate again to get another one";
    print_secret(&args.format, "Rotated the service token", &rotated, lost)
}

async fn delete(args: Sure<One>) -> Result<(), Failure> {
    let (called, tokens) = reach(&args.one.place, &args.one.target).await?;
    let token = find(&called, &tokens, &args.one.wanted).await?;
    let shown = harmless(&token.name);
    args.yes.confirm(&format!("Delete {shown:?} ({}) for good?", token.id))?;
    let deleted = called.ask(tokens.delete(token.id)).await?;
    args.one.format.print(&deleted, || format!("Deleted the service token {shown:?} ({}).", token.id))
}

impl One {
    fn print(&self, token: &ServiceToken) -> Result<(), Failure> {
        self.format.print(token, || token_text::details(token, now()))
    }
}

impl From<Changes> for UpdateServiceToken {
    fn from(changes: Changes) -> Self {
        Self {
            name: changes.name,
            duration: changes.duration,
            previous_client_secret_expires_at: changes
                .previous_secret_expires_at
                .map_or(Patch::Keep, Patch::Set),
            ..Self::default()
        }
    }
}

fn print_secret(
    format: &SecretFormat,
    done: &str,
    token: &ServiceToken,
    lost: &'static str,
) -> Result<(), Failure> {
    let secret = token.client_secret.as_ref().map(RevealedSecret::as_str);
    let secret = secret.ok_or_else(|| Failure::new(Exit::Failed, "the reply holds no secret"))?;
    format.print(token, secret, || token_text::revealed(done, token, secret, now()), lost)
}

/// The end of a grace, which counts from this machine's clock.
fn until(grace: &GoDuration) -> Result<Timestamp, Failure> {
    let end = now().ceil_second().checked_add_micros(grace.as_nanos() / 1_000);
    end.ok_or_else(|| Failure::new(Exit::Usage, "the grace ends after the last date that can be written"))
}

/// The whole list, in the largest pages.
fn everything() -> ListServiceTokens {
    ListServiceTokens { paging: LARGEST, ..ListServiceTokens::default() }
}

impl Named for ServiceToken {
    const KIND: &'static str = "service token";

    fn id(&self) -> impl Display {
        self.id
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn alias(&self) -> Option<&str> {
        Some(self.client_id.as_str())
    }
}

/// The token that is meant.
pub(super) async fn find(
    called: &Called,
    tokens: &ServiceTokens,
    wanted: &str,
) -> Result<ServiceToken, Failure> {
    if let Ok(id) = wanted.parse() {
        match tokens.get(id).await {
            // Then somebody is called so.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            found => return found.map_err(|error| called.failed(&error)),
        }
    }
    if let Ok(client_id) = wanted.parse::<ClientId>() {
        let search = ListServiceTokens { search: Some(client_id.digits().to_owned()), ..everything() };
        let found: Vec<ServiceToken> = called.collect(tokens.all(&search)).await?;
        // It belongs to one token, whatever others are called.
        if let Some(holder) = found.into_iter().find(|token| token.client_id.digits() == client_id.digits()) {
            return Ok(holder);
        }
    }
    let named = ListServiceTokens { name: Some(wanted.to_owned()), ..everything() };
    let mut found = called.collect(tokens.all(&named)).await?;
    if found.is_empty() {
        // Near names are wanted.
        found = called.collect(tokens.all(&everything())).await?;
    }
    find::one(wanted, found)
}

/// Its identifier, which need not be looked for where it is what was said.
pub(super) async fn find_id(
    called: &Called,
    tokens: &ServiceTokens,
    wanted: &str,
) -> Result<ServiceTokenId, Failure> {
    match wanted.parse() {
        Ok(id) => Ok(id),
        Err(_) => Ok(find(called, tokens, wanted).await?.id),
    }
}
