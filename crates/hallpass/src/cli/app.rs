//! `hallpass app`: the verbs for applications, by way of the API. What they print is in `app_text.rs`.

use std::fmt::Display;

use clap::{ArgGroup, Args, Subcommand};
use hallpass_client::{Apps, ListApps};
use hallpass_core::app::Pattern;
use hallpass_core::id::AppId;
use hallpass_core::wire::apps as wire;
use hallpass_core::wire::policies::Policy;
use serde_json::{Value, json};

use super::ask::Sure;
use super::body::{self, Body, BodyFlag};
use super::called::{Called, LARGEST};
use super::directory::{Place, PlaceCall};
use super::find::{self, Named};
use super::policy_text::is_reusable;
use super::table::harmless;
use super::when::now;
use super::{Exit, Failure, app_text, parse_name, parse_pattern, policy};

/// Create, list, change and delete applications: what the gate protects
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct App {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make an application
    #[command(
        after_help = "Example:\n  hallpass app create wiki --domain wiki.example.com --policy machines\n\nNobody passes before it has a policy. `hallpass protect` makes an application and a policy in one go."
    )]
    Create(Create),
    /// List the applications
    #[command(after_help = "Example:\n  hallpass app list --search example.com")]
    List(List),
    /// Show one application with its policies
    #[command(after_help = "Example:\n  hallpass app get wiki.example.com")]
    Get(One),
    /// Change what the flags name of an application; all else stays
    #[command(
        after_help = "Example:\n  hallpass app update wiki --session-duration 1h --add-policy machines\n\nThe hosts that --domain names take the place of all that there are. With --body, all is replaced, but for the policies where it does not say any."
    )]
    Update(Update),
    /// Delete an application, with the policies that are its own
    #[command(after_help = "Example:\n  hallpass app delete wiki --yes")]
    Delete(Sure<One>),
    /// Stop handing out the assertions that were signed for an application so far
    #[command(
        after_help = "Example:\n  hallpass app revoke-tokens wiki\n\nWho may pass gets a new one. One that is out already is not recalled: it is good until it ends by itself."
    )]
    RevokeTokens(One),
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("addresses").required(true).args(["domains", "body"]))]
struct Create {
    /// What to call it
    #[arg(value_parser = parse_name, required_unless_present = "body", conflicts_with = "body")]
    name: Option<String>,
    #[command(flatten)]
    fields: Fields,
    /// A reusable policy that it uses, by id or exact name; may be repeated, and the first is asked first
    #[arg(long = "policy", value_name = "POLICY", conflicts_with = "body")]
    policies: Vec<String>,
    #[command(flatten)]
    body: BodyFlag,
    #[command(flatten)]
    call: PlaceCall,
}

#[derive(Debug, Args)]
struct Fields {
    /// A host that it protects, with the path if only a part is protected: wiki.example.com/api; may be repeated
    #[arg(long = "domain", value_name = "HOST[/PATH]", value_parser = parse_pattern, conflicts_with = "body")]
    domains: Vec<Pattern>,
    /// How long an assertion for it is good: such as 30m or 24h; more than 24h counts as 24h
    #[arg(long, value_name = "DURATION", conflicts_with = "body")]
    session_duration: Option<String>,
    /// The one header that may carry a credential as JSON
    #[arg(long, value_name = "HEADER", conflicts_with = "body")]
    read_service_tokens_from_header: Option<String>,
    /// Whether a request without a credential is answered by 401 in place of 403
    #[arg(long, value_name = "BOOL", conflicts_with = "body")]
    service_auth_401_redirect: Option<bool>,
}

#[derive(Debug, Args)]
struct List {
    /// Only those whose name, id, or host and path holds this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    #[command(flatten)]
    call: PlaceCall,
}

#[derive(Debug, Args)]
struct One {
    /// Its id, exact name, or first host and path
    #[arg(value_name = "APP")]
    wanted: String,
    #[command(flatten)]
    call: PlaceCall,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("changes").required(true).multiple(true).args([
    "name", "domains", "session_duration", "read_service_tokens_from_header", "service_auth_401_redirect",
    "add_policy", "remove_policy", "body",
]))]
struct Update {
    /// A new name
    #[arg(long, value_parser = parse_name, conflicts_with = "body")]
    name: Option<String>,
    #[command(flatten)]
    fields: Fields,
    /// A reusable policy that it is to use, too, by id or exact name; it is asked last; may be repeated
    #[arg(long, value_name = "POLICY", conflicts_with = "body")]
    add_policy: Vec<String>,
    /// A reusable policy that it is not to use any more; may be repeated
    #[arg(long, value_name = "POLICY", conflicts_with = "body")]
    remove_policy: Vec<String>,
    #[command(flatten)]
    body: BodyFlag,
    #[command(flatten)]
    one: One,
}

pub(super) async fn run(args: App) -> Result<(), Failure> {
    match args.verb {
        Verb::Create(args) => create(args).await,
        Verb::List(args) => list(args).await,
        Verb::Get(one) => {
            let (_, _, app) = one.find().await?;
            print(&one.call, &app)
        }
        Verb::Update(args) => update(args).await,
        Verb::Delete(args) => {
            let (called, place, app) = args.one.find().await?;
            let apps = place.apps();
            args.yes.delete(&called, &args.one.call.format, &app, apps.delete(app.id)).await
        }
        Verb::RevokeTokens(one) => revoke_tokens(&one).await,
    }
}

async fn create(args: Create) -> Result<(), Failure> {
    let given = args.body.read()?;
    let (called, place) = args.call.call().await?;
    let body = match given {
        Some(body) => body,
        None => args.described(&called, &place).await?,
    };
    print(&args.call, &called.ask(place.apps().create(&body)).await?)
}

async fn list(args: List) -> Result<(), Failure> {
    let (called, place) = args.call.call().await?;
    let which = ListApps { search: args.search, ..everything() };
    let apps: Vec<wire::App> = called.collect(place.apps().all(&which)).await?;
    args.call.format.print(&apps, || app_text::list(&apps))
}

async fn update(args: Update) -> Result<(), Failure> {
    let given = args.body.read()?;
    let (called, place, app) = args.one.find().await?;
    let body = match given {
        Some(body) => body,
        None => args.described(&called, &place, &app).await?,
    };
    print(&args.one.call, &called.ask(place.apps().update(app.id, &body)).await?)
}

async fn revoke_tokens(one: &One) -> Result<(), Failure> {
    let (called, place, app) = one.find().await?;
    called.ask(place.apps().revoke_tokens(app.id)).await?;
    let text =
        || format!("Revoked the assertions for the application {:?} ({}).", harmless(&app.name), app.id);
    one.call.format.print(&json!({}), text)
}

impl Create {
    /// The application as the flags say.
    async fn described(&self, called: &Called, place: &Place) -> Result<Body, Failure> {
        let mut body = Body::new();
        body::set(&mut body, "type", Some("self_hosted"));
        body::set(&mut body, "name", self.name.clone());
        self.fields.write(&mut body);
        let mut policies = Vec::with_capacity(self.policies.len());
        for wanted in &self.policies {
            policies.push(json!(policy::find_id(called, place, wanted).await?));
        }
        body::set(&mut body, "policies", Some(policies));
        Ok(body)
    }
}

impl Fields {
    /// Writes what is said into a body.
    fn write(&self, body: &mut Body) {
        body::set(body, "session_duration", self.session_duration.clone());
        body::set(body, "read_service_tokens_from_header", self.read_service_tokens_from_header.clone());
        body::set(body, "service_auth_401_redirect", self.service_auth_401_redirect);
        if !self.domains.is_empty() {
            write_domains(body, &self.domains);
        }
    }
}

/// Writes what is protected. Three fields can say it, and all that any of them names is protected: so none may be left as it was.
/// Destinations that are no hosts stay.
fn write_domains(body: &mut Body, domains: &[Pattern]) {
    let before = body.remove("destinations");
    let before = before.as_ref().and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let public = |destination: &&Value| destination.get("type").is_none_or(|kind| kind == "public");
    let names = |destination: &Value, domain: &Pattern| {
        let uri = destination.get("uri").and_then(Value::as_str);
        uri.is_some_and(|uri| Pattern::parse(uri).as_ref() == Ok(domain))
    };
    let wanted = domains.iter().map(|domain| {
        let known = before.iter().filter(public).find(|destination| names(destination, domain));
        known.cloned().unwrap_or_else(|| json!({"type": "public", "uri": domain.as_str()}))
    });
    let others = before.iter().filter(|destination| !public(destination)).cloned();
    let destinations: Vec<Value> = wanted.chain(others).collect();
    body.remove("self_hosted_domains");
    body::set(body, "domain", domains.first().map(Pattern::as_str));
    body::set(body, "destinations", Some(destinations));
}

impl Update {
    /// The application as it is, but for what the flags say.
    async fn described(&self, called: &Called, place: &Place, app: &wire::App) -> Result<Body, Failure> {
        let mut body = body::of(app, &["aud"])?;
        body::set(&mut body, "name", self.name.clone());
        self.fields.write(&mut body);
        // An update that does not say them keeps them.
        body.remove("policies");
        if !(self.add_policy.is_empty() && self.remove_policy.is_empty()) {
            body::set(&mut body, "policies", Some(self.policies(called, place, app).await?));
        }
        Ok(body)
    }

    /// The policies that the application has, without those that it is not to use any more, and with the new ones behind.
    async fn policies(&self, called: &Called, place: &Place, app: &wire::App) -> Result<Vec<Value>, Failure> {
        let mut kept: Vec<Policy> = app.policies.clone();
        for wanted in &self.remove_policy {
            let policy = find::one(wanted, kept.clone())?;
            if !is_reusable(&policy) {
                // By their ids: a name could be anything, also to a shell.
                let message = format!(
                    "the policy {:?} belongs to the application alone: `hallpass policy delete --app {} {}` deletes it",
                    harmless(&policy.name),
                    app.id,
                    policy.id
                );
                return Err(Failure::new(Exit::Usage, message));
            }
            kept.retain(|known| known.id != policy.id);
        }
        let mut named: Vec<Value> =
            kept.iter().map(|policy| json!({"id": policy.id, "precedence": policy.precedence})).collect();
        for wanted in &self.add_policy {
            let id = policy::find_id(called, place, wanted).await?;
            if !kept.iter().any(|policy| policy.id == id) {
                named.push(json!(id));
            }
        }
        Ok(named)
    }
}

impl One {
    async fn find(&self) -> Result<(Called, Place, wire::App), Failure> {
        let (called, place) = self.call.call().await?;
        let app = find(&called, &place.apps(), &self.wanted).await?;
        Ok((called, place, app))
    }
}

impl Named for wire::App {
    const KIND: &'static str = "application";

    fn id(&self) -> impl Display {
        self.id
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn alias(&self) -> Option<&str> {
        Some(&self.domain)
    }
}

/// The whole list, in the largest pages.
fn everything() -> ListApps {
    ListApps { paging: LARGEST, ..ListApps::default() }
}

/// The application that is meant.
async fn find(called: &Called, apps: &Apps, wanted: &str) -> Result<wire::App, Failure> {
    let by_id = |id: AppId| called.ask(apps.get(id));
    find::by_id_or_name(wanted, by_id, called.collect(apps.all(&everything()))).await
}

/// Its identifier, which need not be looked for where it is what was said.
pub(super) async fn find_id(called: &Called, apps: &Apps, wanted: &str) -> Result<AppId, Failure> {
    match wanted.parse() {
        Ok(id) => Ok(id),
        Err(_) => Ok(find(called, apps, wanted).await?.id),
    }
}

fn print(call: &PlaceCall, app: &wire::App) -> Result<(), Failure> {
    call.format.print(app, || app_text::details(app, now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(before: &Value, domains: &[&str]) -> Value {
        let mut body = before.as_object().unwrap().clone();
        let domains: Vec<_> = domains.iter().map(|domain| Pattern::parse(domain).unwrap()).collect();
        write_domains(&mut body, &domains);
        Value::Object(body)
    }

    #[test]
    fn nothing_that_was_protected_stays_so_behind_the_new_domains() {
        let expected = json!({
            "domain": "b.example",
            "destinations": [{"type": "public", "uri": "b.example"}, {"type": "public", "uri": "c.example/x"}],
        });
        let before = json!({
            "domain": "a.example", "self_hosted_domains": ["a.example"], "destinations": [{"type": "public", "uri": "a.example"}],
        });
        assert_eq!(after(&before, &["B.example", "c.example/x"]), expected);
        assert_eq!(after(&json!({}), &["b.example", "c.example/x"]), expected);
    }

    #[test]
    fn destinations_keep_what_else_they_say() {
        let before = json!({
            "domain": "a.example",
            "destinations": [
                {"uri": "A.example", "note": 1}, {"type": "private", "cidr": "10.0.0.0/8"}, {"type": "public", "uri": "b.example"},
            ],
        });
        let expected = json!({
            "domain": "a.example",
            "destinations": [{"uri": "A.example", "note": 1}, {"type": "private", "cidr": "10.0.0.0/8"}],
        });
        assert_eq!(after(&before, &["a.example"]), expected);
    }
}
