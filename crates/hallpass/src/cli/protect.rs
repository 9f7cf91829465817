//! `hallpass protect`: a host behind the gate, opened to service tokens, in one go. What it prints is a proxy's configuration.

use clap::{Args, ValueEnum};
use hallpass_client::{AppDefinition, Apps, ListApps, PolicyDefinition};
use hallpass_core::app::Pattern;
use hallpass_core::wire::apps::App;
use hallpass_core::wire::policies::Policy;
use hallpass_core::wire::service_tokens::ServiceToken;
use serde::Serialize;
use serde_json::{Value, json};

use super::called::{Called, LARGEST};
use super::directory::AccountFlag;
use super::output::Format;
use super::table::harmless;
use super::target::Target;
use super::{Exit, Failure, output, parse_name, parse_pattern, token};

/// Protect a host, or a path of it, and let service tokens in; print the configuration of a proxy that asks the gate
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hallpass protect grafana.example.com --token ci > nginx.conf\n\nWhat is there already stays as it is: the same command may be run again."
)]
pub(super) struct Protect {
    /// The host, with the path if only a part is protected: grafana.example.com/api
    #[arg(value_name = "HOST[/PATH]", value_parser = parse_pattern)]
    domain: Pattern,
    /// A service token to let in, by id, client ID or exact name; may be repeated
    #[arg(long = "token", value_name = "TOKEN", required = true)]
    tokens: Vec<String>,
    /// What to call the application [default: the host and path]
    #[arg(long, value_parser = parse_name)]
    name: Option<String>,
    /// How long an assertion for it is good: such as 30m or 24h; more than 24h counts as 24h [default: 24h]
    #[arg(long, value_name = "DURATION")]
    duration: Option<String>,
    /// Whose configuration to print
    #[arg(long, value_enum, default_value_t = Proxy::Nginx)]
    proxy: Proxy,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    account: AccountFlag,
    #[command(flatten)]
    target: Target,
}

/// The proxies with a configuration that is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Proxy {
    Nginx,
    Caddy,
    Traefik,
    Envoy,
}

impl Proxy {
    /// The tested file; in each of them, `#` begins a remark.
    fn configuration(self) -> &'static str {
        match self {
            Self::Nginx => include_str!("../../../../deploy/nginx.conf"),
            Self::Caddy => include_str!("../../../../deploy/Caddyfile"),
            Self::Traefik => concat!(
                "# This belongs into traefik.yml:\n",
                include_str!("../../../../deploy/traefik/traefik.yml"),
                "---\n# And this into hallpass.yml:\n",
                include_str!("../../../../deploy/traefik/hallpass.yml")
            ),
            Self::Envoy => include_str!("../../../../deploy/envoy.yaml"),
        }
    }
}

/// What is there now.
#[derive(Debug, Serialize)]
struct Protected {
    app: App,
    /// The policies that let the tokens in.
    policies: Vec<Policy>,
    /// What was not there before: `app`, `policy`.
    made: Vec<&'static str>,
    /// A line to try it with.
    curl: String,
    /// The proxy's configuration.
    configuration: &'static str,
}

pub(super) async fn run(args: Protect) -> Result<(), Failure> {
    let called = args.target.call()?;
    let account = called.client.account(args.account.find(&called).await?);
    let mut tokens: Vec<ServiceToken> = Vec::new();
    for wanted in &args.tokens {
        let token = token::find(&called, &account.service_tokens(), wanted).await?;
        if !tokens.iter().any(|known| known.id == token.id) {
            tokens.push(token);
        }
    }
    let apps = account.apps();
    let known = find_app(&called, &apps, &args.domain).await?;
    let was_known = known.is_some();
    let mut made = Vec::new();
    let app = match known {
        None => {
            let all: Vec<_> = tokens.iter().collect();
            let policy = serde_json::to_value(policy_for(&all)).map_err(anyhow::Error::from)?;
            let new = AppDefinition {
                name: args.name.clone(),
                session_duration: args.duration.clone(),
                policies: Some(vec![policy]),
                ..AppDefinition::at(args.domain.as_str())
            };
            made.extend(["app", "policy"]);
            called.ask(apps.create(&new)).await?
        }
        Some(app) => {
            let left_out: Vec<_> = tokens
                .iter()
                .filter(|token| !app.policies.iter().any(|policy| lets_in(policy, token)))
                .collect();
            if left_out.is_empty() {
                app
            } else {
                made.push("policy");
                called.ask(apps.policies(app.id).create(&policy_for(&left_out))).await?;
                called.ask(apps.get(app.id)).await?
            }
        }
    };
    let differs = |wanted: Option<&String>, is: &str| wanted.is_some_and(|wanted| wanted != is);
    if was_known
        && (differs(args.name.as_ref(), &app.name) || differs(args.duration.as_ref(), &app.session_duration))
    {
        output::complain("warning: the application was there already, and keeps its name and duration");
    }
    let mut policies = app.policies.clone();
    policies.retain(|policy| tokens.iter().any(|token| lets_in(policy, token)));
    let first = tokens.first().ok_or_else(|| Failure::new(Exit::Usage, "no token was named"))?;
    let curl = curl_line(&args.domain, first);
    let done = Protected { app, policies, made, curl, configuration: args.proxy.configuration() };
    args.format.print(&done, || describe(&done, &tokens))
}

/// The application on exactly this host and path.
async fn find_app(called: &Called, apps: &Apps, domain: &Pattern) -> Result<Option<App>, Failure> {
    let all = ListApps { paging: LARGEST, ..ListApps::default() };
    let found: Vec<App> = called.collect(apps.all(&all)).await?;
    let covers = |text: &String| Pattern::parse(text).is_ok_and(|pattern| pattern == *domain);
    Ok(found.into_iter().find(|app| app.self_hosted_domains.iter().any(covers)))
}

fn rule_of(token: &ServiceToken) -> Value {
    json!({"service_token": {"token_id": token.id}})
}

/// A Service Auth policy for these tokens and nobody else.
fn policy_for(tokens: &[&ServiceToken]) -> PolicyDefinition {
    let name = match tokens {
        [token] => token.name.clone(),
        _ => "Service tokens".to_owned(),
    };
    PolicyDefinition {
        name,
        decision: "non_identity".to_owned(),
        include: tokens.iter().map(|token| rule_of(token)).collect(),
        ..PolicyDefinition::default()
    }
}

/// Whether a policy lets a token in whatever else is so.
fn lets_in(policy: &Policy, token: &ServiceToken) -> bool {
    let is_empty = |rules: &Option<Vec<Value>>| rules.as_ref().is_none_or(Vec::is_empty);
    let includes = |rules: &Vec<Value>| rules.contains(&rule_of(token));
    policy.decision == "non_identity"
        && is_empty(&policy.exclude)
        && is_empty(&policy.require)
        && policy.include.as_ref().is_some_and(includes)
}

/// Asks the proxy of the configuration, where it listens unless that is changed.
fn curl_line(domain: &Pattern, token: &ServiceToken) -> String {
    let host = domain.host().replace('*', "any");
    let path = domain.path().replace('*', "").replace('\'', "%27");
    let path = if path.is_empty() { "/" } else { path.as_str() };
    format!(
        "curl -H 'Host: {host}' -H 'CF-Access-Client-Id: {}' -H \"CF-Access-Client-Secret: $SECRET\" 'http://127.0.0.1:8080{path}'",
        token.client_id
    )
}

/// A configuration that can be used as it is printed: what is said to people stands in remarks.
fn describe(done: &Protected, tokens: &[ServiceToken]) -> String {
    let app = &done.app;
    let names: Vec<_> = tokens.iter().map(|token| format!("{:?}", harmless(&token.name))).collect();
    let state = match done.made.as_slice() {
        [] => "was protected already",
        ["policy"] => "was protected already, and has a new policy",
        _ => "is protected now",
    };
    let whole = if done.app.domain.contains('/') {
        "\n# The rest of the host is refused, unless another application covers it."
    } else {
        ""
    };
    format!(
        "# {} {state}: application {:?} ({}).\n# These service tokens are let in: {}.{whole}\n\
         # To try it, with the token's secret in the variable SECRET:\n#   {}\n#\n{}",
        harmless(&app.domain),
        harmless(&app.name),
        app.id,
        names.join(", "),
        done.curl,
        done.configuration.trim_end()
    )
}
