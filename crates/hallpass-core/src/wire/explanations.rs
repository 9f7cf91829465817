//! Explanations as JSON: what would happen to a request, policy by policy, rule by rule.

use serde::{Deserialize, Serialize};

use crate::app::{self, Audience};
use crate::decision::KnownServiceToken;
use crate::evaluation::Outcome;
use crate::explanation::{self, PolicyOutcome, Verdict};
use crate::id::{AppId, PolicyId, ServiceTokenId};
use crate::reason::Reason;
use crate::request::CanonicalRequest;
use crate::rule;
use crate::service_token::ServiceToken;
use crate::time::Timestamp;

/// An explanation as replies show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The application that covers the request; absent where none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<App>,
    /// Why, and what to do, in sentences.
    pub because: String,
    /// The client's address.
    pub client: String,
    /// The host in canonical form.
    pub host: String,
    /// The path in canonical form.
    pub path: String,
    /// The application's policies, in the order in which they are asked.
    pub policies: Vec<Policy>,
    /// The word of the reason, where it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The HTTP status that the gate would answer with.
    pub status: u16,
    /// The token that was asked about, if the application's account has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// `allow`, `bypass` or `deny`.
    pub verdict: String,
}

/// The application that covers a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Its audience tag.
    pub aud: String,
    /// Its identifier.
    pub id: AppId,
    /// What people call it.
    pub name: String,
}

/// The token that was asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its identifier.
    pub id: ServiceTokenId,
    /// What people call it.
    pub name: String,
}

/// What becomes of one policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Why, and what to do.
    pub because: String,
    /// Its decision: `allow`, `deny`, `non_identity` or `bypass`.
    pub decision: String,
    /// Its identifier.
    pub id: PolicyId,
    /// What people call it.
    pub name: String,
    /// `decides`, `does_not_fit`, `not_reached` or `not_for_machines`.
    pub outcome: String,
    /// Its place.
    pub precedence: u32,
    /// Its rules, one by one.
    pub rules: Vec<Rule>,
}

/// What becomes of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Why.
    pub because: String,
    /// The rules of the group that it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inside: Vec<Self>,
    /// Its kind as in a policy's JSON, or `other` for one that is never true of a machine.
    pub kind: String,
    /// The token, group or network that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<String>,
    /// `true`, `false` or `unknown`.
    pub outcome: String,
    /// `include`, `exclude` or `require`.
    pub part: String,
}

impl Explanation {
    /// Shows what would happen to a request for an application. Another account's token is not shown.
    pub fn show(
        explanation: &explanation::Explanation,
        app: &app::App,
        token: Option<&KnownServiceToken>,
        request: &CanonicalRequest,
    ) -> Self {
        let (verdict, status, reason) = match explanation.verdict {
            Verdict::Allow(_) => ("allow", 200, None),
            Verdict::Bypass(_) => ("bypass", 200, None),
            Verdict::Deny(reason) => ("deny", reason.status(Some(app)), Some(reason.as_str().to_owned())),
        };
        let own = token.filter(|token| token.account_id == app.account_id);
        Self {
            app: Some(App::show(app)),
            because: explanation.because.clone(),
            client: request.client().to_string(),
            host: request.host().to_owned(),
            path: request.path().to_owned(),
            policies: explanation.policies.iter().map(Policy::show).collect(),
            reason,
            status,
            token: own.map(|token| Token { id: token.id, name: token.name.clone().into_string() }),
            verdict: verdict.to_owned(),
        }
    }

    /// Shows what would happen to a request that no application of the account covers.
    pub fn uncovered(request: &CanonicalRequest) -> Self {
        let reason = Reason::NoApp;
        Self {
            app: None,
            because: sentences(reason),
            client: request.client().to_string(),
            host: request.host().to_owned(),
            path: request.path().to_owned(),
            policies: Vec::new(),
            reason: Some(reason.as_str().to_owned()),
            status: reason.status(None),
            token: None,
            verdict: "deny".to_owned(),
        }
    }
}

/// What a reference stands for: a refusal, with the true reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The application, if there was one and it is the account's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<App>,
    /// Why, and what to do, in sentences.
    pub because: String,
    /// The word of the reason.
    pub reason: String,
    /// When it happened.
    pub refused_at: Timestamp,
    /// The token, if it was known and is the account's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
}

impl Refusal {
    /// Shows a refusal, with those of the objects that the asker may see.
    pub fn show(
        reason: Reason,
        refused_at: Timestamp,
        app: Option<&app::App>,
        token: Option<&ServiceToken>,
    ) -> Self {
        Self {
            app: app.map(App::show),
            because: sentences(reason),
            reason: reason.as_str().to_owned(),
            refused_at,
            token: token.map(|token| Token { id: token.id, name: token.name.as_str().to_owned() }),
        }
    }
}

fn sentences(reason: Reason) -> String {
    format!("{} {}", reason.meaning(), reason.advice())
}

impl App {
    fn show(app: &app::App) -> Self {
        Self { aud: Audience::as_str(&app.aud).to_owned(), id: app.id, name: app.name.as_str().to_owned() }
    }
}

impl Policy {
    fn show(policy: &explanation::PolicyExplanation) -> Self {
        let outcome = match policy.outcome {
            PolicyOutcome::Decides => "decides",
            PolicyOutcome::DoesNotFit => "does_not_fit",
            PolicyOutcome::NotReached => "not_reached",
            PolicyOutcome::NotForMachines => "not_for_machines",
        };
        Self {
            because: policy.because.clone(),
            decision: policy.decision.as_str().to_owned(),
            id: policy.id,
            name: policy.name.clone(),
            outcome: outcome.to_owned(),
            precedence: policy.precedence,
            rules: policy.rules.iter().map(Rule::show).collect(),
        }
    }
}

impl Rule {
    fn show(rule: &explanation::RuleExplanation) -> Self {
        let (kind, names) = match &rule.rule {
            rule::Rule::ServiceToken(id) => ("service_token", Some(id.to_string())),
            rule::Rule::AnyValidServiceToken => ("any_valid_service_token", None),
            rule::Rule::Ip(network) => ("ip", Some(network.as_str().to_owned())),
            rule::Rule::Everyone => ("everyone", None),
            rule::Rule::Group(id) => ("group", Some(id.to_string())),
            rule::Rule::NoMachine => ("other", None),
        };
        let outcome = match rule.outcome {
            Outcome::True => "true",
            Outcome::False => "false",
            Outcome::Unknown => "unknown",
        };
        Self {
            because: rule.because.clone(),
            inside: rule.inside.iter().map(Self::show).collect(),
            kind: kind.to_owned(),
            names,
            outcome: outcome.to_owned(),
            part: rule.part.as_str().to_owned(),
        }
    }
}
