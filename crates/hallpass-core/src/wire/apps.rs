//! Applications as JSON.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::body::{Fields, InvalidField};
use super::policies::{self, MAX_PRECEDENCE, Policy, PolicySpec};
use crate::app::{self, LONGEST_SESSION, Pattern};
use crate::id::{AppId, PolicyId};
use crate::service_token::Name;
use crate::time::Timestamp;
use crate::validity::GoDuration;

/// An assertion is good for a day at most (compatibility, D28).
/// The one type that Hallpass has.
const SELF_HOSTED: &str = "self_hosted";
/// What `session_duration` is where nobody said.
const SESSION_DURATION: &str = "24h";

/// An application as replies show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct App {
    /// Its identifier.
    pub id: AppId,
    /// Its audience tag: what assertions for it carry in `aud`.
    #[serde(default)]
    pub aud: String,
    /// What people call it.
    pub name: String,
    /// `self_hosted`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The first host and path.
    #[serde(default)]
    pub domain: String,
    /// All hosts and paths, with what else was sent as a destination.
    #[serde(default)]
    pub destinations: Vec<Value>,
    /// All hosts and paths.
    #[serde(default)]
    pub self_hosted_domains: Vec<String>,
    /// How long an assertion is good, as it was sent.
    #[serde(default = "session_duration")]
    pub session_duration: String,
    /// Its policies, by precedence.
    #[serde(default)]
    pub policies: Vec<Policy>,
    /// When it was made, in whole seconds.
    pub created_at: Timestamp,
    /// When it last changed, in whole seconds.
    pub updated_at: Timestamp,
    /// What else was sent, and what is always shown.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

fn session_duration() -> String {
    SESSION_DURATION.to_owned()
}

/// What the creator of an application can say about it.
#[derive(Debug, Clone, PartialEq)]
pub struct AppSpec {
    /// What people call it.
    pub name: Name,
    /// The hosts and paths that it protects; at least one, none twice.
    pub patterns: Vec<Pattern>,
    /// How long an assertion for it is good, in seconds.
    pub session_seconds: u32,
    /// The one header that may carry a credential as JSON, in lower case.
    pub credential_header: Option<String>,
    /// Whether a request without a credential is answered by 401 in place of 403.
    pub service_auth_401: bool,
    /// Its policies, by precedence; `None` keeps those that it has.
    pub policies: Option<Vec<WantedPolicy>>,
    /// The fields as they were sent, all but `policies` and those that the server makes.
    pub body: Map<String, Value>,
}

/// A policy that an application is to have.
#[derive(Debug, Clone, PartialEq)]
pub struct WantedPolicy {
    /// Which one.
    pub policy: PolicyUse,
    /// Its place.
    pub precedence: u32,
    /// Where it stands in the body.
    pub pointer: String,
}

/// Where a policy of an application comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum PolicyUse {
    /// It is there already: reusable, or the application's own. A description, if there is one, replaces the application's own.
    Known(PolicyId, Option<Box<PolicySpec>>),
    /// It is made now, and belongs to the application.
    New(PolicyId, Box<PolicySpec>),
}

/// What is only ever said by the server, or kept apart.
const SERVER_MADE: [&str; 6] = ["id", "uid", "aud", "created_at", "updated_at", "policies"];
/// What has a field of its own in a reply.
const TYPED: [&str; 6] =
    ["name", "type", "domain", "destinations", "self_hosted_domains", "session_duration"];

impl App {
    /// Shows an application.
    pub fn show(app: &app::App) -> Self {
        let Addresses { domain, destinations, self_hosted_domains } = Addresses::of(&app.body);
        let mut more = app.body.clone();
        more.retain(|key, _| !TYPED.contains(&key.as_str()));
        let always = [
            ("uid", json!(app.id)),
            ("app_launcher_visible", json!(true)),
            ("http_only_cookie_attribute", json!(true)),
            ("auto_redirect_to_identity", json!(false)),
            ("allowed_idps", json!([])),
        ];
        for (key, value) in always {
            more.entry(key).or_insert(value);
        }
        let duration = app.body.get("session_duration").and_then(Value::as_str);
        Self {
            id: app.id,
            aud: app.aud.as_str().to_owned(),
            name: app.name.as_str().to_owned(),
            kind: SELF_HOSTED.to_owned(),
            domain,
            destinations,
            self_hosted_domains,
            session_duration: duration.unwrap_or(SESSION_DURATION).to_owned(),
            policies: app.policies.iter().map(Policy::show_attached).collect(),
            created_at: app.created_at.floor_second(),
            updated_at: app.updated_at.floor_second(),
            more,
        }
    }
}

/// The three fields that say what is protected, each completed from the others.
struct Addresses {
    domain: String,
    destinations: Vec<Value>,
    self_hosted_domains: Vec<String>,
}

impl Addresses {
    /// Whatever is sent stays; `destinations` count before `self_hosted_domains`, and those before `domain`.
    fn of(body: &Map<String, Value>) -> Self {
        let list = |key: &str| body.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let domain = body.get("domain").and_then(text);
        let mut destinations = list("destinations");
        let mut domains: Vec<_> = list("self_hosted_domains").iter().filter_map(text).collect();
        if destinations.is_empty() {
            let uris = if domains.is_empty() { domain.iter().cloned().collect() } else { domains.clone() };
            destinations = uris.iter().map(|uri: &String| json!({"type": "public", "uri": uri})).collect();
        }
        if domains.is_empty() {
            domains = destinations.iter().filter_map(public_uri).map(str::to_owned).collect();
        }
        let domain = domain.or_else(|| domains.first().cloned()).unwrap_or_default();
        Self { domain, destinations, self_hosted_domains: domains }
    }
}

/// What a destination protects, if it is a public one.
fn public_uri(destination: &Value) -> Option<&str> {
    let kind = destination.get("type").map_or(Some("public"), Value::as_str);
    destination.get("uri").and_then(Value::as_str).filter(|_| kind == Some("public"))
}

/// Reads the body of a create or of an update, which replaces everything; an update that does not say `policies` keeps them. `fresh`
/// makes the identifiers of policies that are made with the application.
pub fn read(body: &Value, fresh: &mut impl FnMut() -> PolicyId) -> Result<AppSpec, Vec<InvalidField>> {
    let mut fields = Fields::of_body(body)?;
    match fields.text("type") {
        Some(SELF_HOSTED) => {}
        Some(_) => fields.refuse("type", "Hallpass protects applications of the type self_hosted alone"),
        None if fields.value("type").is_none() => {
            fields.refuse("type", "app type is missing: it must be self_hosted");
        }
        None => {}
    }
    let patterns = read_patterns(&mut fields);
    let name = fields.parsed("name", Name::parse);
    let kept = fields.kept(&SERVER_MADE);
    let name = name.or_else(|| {
        let serves = fields.value("name").is_none();
        Name::parse(&Addresses::of(&kept).domain).ok().filter(|_| serves)
    });
    let session_seconds = fields.parsed("session_duration", read_session).unwrap_or(LONGEST_SESSION);
    let credential_header = fields.parsed("read_service_tokens_from_header", read_header);
    let service_auth_401 = fields.boolean("service_auth_401_redirect").unwrap_or(false);
    for key in ["app_launcher_visible", "http_only_cookie_attribute", "auto_redirect_to_identity"] {
        fields.boolean(key);
    }
    fields.list("allowed_idps");
    let policies = if fields.is_null("policies") {
        Some(Vec::new())
    } else {
        let pointer = fields.pointer_to("policies");
        fields.list("policies").map(|list| {
            read_policies(list, &pointer, fresh).unwrap_or_else(|errors| {
                fields.refuse_all(errors);
                Vec::new()
            })
        })
    };
    let spec = name.map(|name| AppSpec {
        name,
        patterns,
        session_seconds,
        credential_header,
        service_auth_401,
        policies,
        body: kept,
    });
    fields.finish(spec)
}

/// Everything that any of the three fields names is protected: what is forgotten in one of them must not be open.
fn read_patterns(fields: &mut Fields<'_>) -> Vec<Pattern> {
    let mut patterns = Vec::new();
    let mut add = |read: Option<Pattern>| {
        patterns.extend(read);
    };
    add(fields.parsed("domain", Pattern::parse));
    for key in ["destinations", "self_hosted_domains"] {
        let pointer = fields.pointer_to(key);
        let mut errors = Vec::new();
        for (n, element) in fields.list(key).unwrap_or_default().iter().enumerate() {
            let mut refuse = |what: &str, message: String| {
                errors.push(InvalidField { pointer: format!("{pointer}/{n}{what}"), message });
            };
            let (uri, what) = match (key, element) {
                ("destinations", Value::Object(object)) => {
                    let public = object.get("type").is_none_or(|kind| kind == "public");
                    if public && !object.get("uri").is_some_and(Value::is_string) {
                        refuse("/uri", "a public destination must have a uri".to_owned());
                    }
                    (public_uri(element), "/uri")
                }
                ("self_hosted_domains", Value::String(uri)) => (Some(uri.as_str()), ""),
                _ => {
                    let form = if key == "destinations" { "an object" } else { "a string" };
                    refuse("", format!("must be {form}"));
                    (None, "")
                }
            };
            match uri.map(Pattern::parse) {
                Some(Ok(pattern)) => add(Some(pattern)),
                Some(Err(rule)) => refuse(what, rule.to_string()),
                None => {}
            }
        }
        fields.refuse_all(errors);
    }
    let nothing =
        ["domain", "destinations", "self_hosted_domains"].iter().all(|key| match fields.value(key) {
            Some(Value::Array(list)) => {
                list.iter().all(|element| element.is_object() && public_uri(element).is_none())
            }
            value => value.is_none(),
        });
    if nothing {
        fields.refuse("domain", "domain is a required field, or destinations with a public one");
    }
    let mut known = BTreeSet::new();
    patterns.retain(|pattern| known.insert(pattern.clone()));
    patterns
}

/// A whole number of seconds, at most a day; what is longer is kept as text and cut to a day.
fn read_session(text: &str) -> Result<u32, &'static str> {
    const RULE: &str = "session_duration must be a duration such as 30m or 24h, and not negative";
    let nanos = GoDuration::parse(text).map_err(|_| RULE)?.as_nanos();
    let seconds = nanos.div_euclid(1_000_000_000) + i64::from(nanos.rem_euclid(1_000_000_000) > 0);
    if nanos < 0 { Err(RULE) } else { u32::try_from(seconds.min(LONGEST_SESSION.into())).map_err(|_| RULE) }
}

/// A header's name, in lower case; not one that Hallpass, or HTTP itself, gives another meaning.
fn read_header(text: &str) -> Result<String, &'static str> {
    const TAKEN: [&str; 10] = [
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "forwarded",
        "host",
        "te",
        "transfer-encoding",
        "upgrade",
        "x-real-ip",
    ];
    const OURS: [&str; 4] = ["cf-access-", "hallpass-", "x-forwarded-", "x-original-"];
    let name = text.to_ascii_lowercase();
    let symbol = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(symbol) {
        Err("read_service_tokens_from_header must be the name of a header, of at most 64 symbols")
    } else if TAKEN.contains(&name.as_str()) || OURS.iter().any(|ours| name.starts_with(ours)) {
        Err("read_service_tokens_from_header must not be a header that has another meaning here")
    } else {
        Ok(name)
    }
}

/// Identifiers, objects with identifier and precedence, or whole policies.
fn read_policies(
    list: &[Value],
    pointer: &str,
    fresh: &mut impl FnMut() -> PolicyId,
) -> Result<Vec<WantedPolicy>, Vec<InvalidField>> {
    let mut wanted = Vec::with_capacity(list.len());
    let mut errors = Vec::new();
    let mut next: u32 = 1;
    let (mut places, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for (n, element) in list.iter().enumerate() {
        let at = format!("{pointer}/{n}");
        match read_policy(element, &at, next, fresh) {
            Ok(policy) => {
                if policy.precedence > MAX_PRECEDENCE {
                    let message = format!("precedence must be a whole number from 0 to {MAX_PRECEDENCE}");
                    errors.push(InvalidField { pointer: format!("{at}/precedence"), message });
                }
                if !places.insert(policy.precedence) {
                    let message = "policy precedences must be unique".to_owned();
                    errors.push(InvalidField { pointer: format!("{at}/precedence"), message });
                }
                if let PolicyUse::Known(id, _) = policy.policy
                    && !ids.insert(id)
                {
                    errors
                        .push(InvalidField { pointer: at, message: "the policy is named twice".to_owned() });
                }
                next = policy.precedence.saturating_add(1);
                wanted.push(policy);
            }
            Err(found) => errors.extend(found),
        }
    }
    wanted.sort_by_key(|policy| policy.precedence);
    if errors.is_empty() { Ok(wanted) } else { Err(errors) }
}

fn read_policy(
    element: &Value,
    pointer: &str,
    next: u32,
    fresh: &mut impl FnMut() -> PolicyId,
) -> Result<WantedPolicy, Vec<InvalidField>> {
    let refuse =
        |message: &str| vec![InvalidField { pointer: pointer.to_owned(), message: message.to_owned() }];
    match element {
        Value::String(id) => {
            let id = id.parse().map_err(|_| refuse("not a valid identifier"))?;
            let policy = PolicyUse::Known(id, None);
            Ok(WantedPolicy { policy, precedence: next, pointer: pointer.to_owned() })
        }
        Value::Object(object) => {
            let mut fields = Fields::of_object(object, pointer.to_owned());
            let precedence = fields.whole_number("precedence", 0..=MAX_PRECEDENCE).unwrap_or(next);
            let sent = fields.value("id").is_some();
            let id = fields.parsed("id", str::parse::<PolicyId>);
            let described = !sent || fields.value("decision").is_some();
            let spec = if described { policies::read_fields(&mut fields).map(Box::new) } else { None };
            let policy = match (id, spec) {
                (Some(id), spec) => Some(PolicyUse::Known(id, spec)),
                (None, Some(spec)) => Some(PolicyUse::New(fresh(), spec)),
                (None, None) => None,
            };
            let pointer = pointer.to_owned();
            fields.finish(policy.map(|policy| WantedPolicy { policy, precedence, pointer }))
        }
        _ => Err(refuse("must be an identifier, an object with id and precedence, or a policy")),
    }
}

#[cfg(test)]
#[path = "apps_tests.rs"]
mod tests;
