//! What [`decide`](crate::decision::decide) would say, policy by policy and rule by rule, with a sentence of why each is so and
//! what to do about it. It never sees a secret: the presented one is taken as right.

use crate::app::App;
use crate::decision::{Facts, Fit, KnownServiceToken, Passing, by_precedence, first_that_fits};
use crate::evaluation::{DEEPEST, Evaluation, MOST_RULES, Obstacle, Outcome, Path};
use crate::id::PolicyId;
use crate::policy::{AttachedPolicy, PolicyDecision};
use crate::reason::Reason;
use crate::request::CanonicalRequest;
use crate::rule::{Rule, Rules};
use crate::service_token::Standing;
use crate::time::Timestamp;

/// The most rules that are shown for one policy; what groups lead to beyond that is left out.
const MOST_SHOWN: usize = 1_000;

/// What would happen to a request, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What would happen.
    pub verdict: Verdict,
    /// Why, and what to do, in sentences.
    pub because: String,
    /// The application's policies, in the order in which they are asked.
    pub policies: Vec<PolicyExplanation>,
}

/// What would happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The token passes, by this policy.
    Allow(PolicyId),
    /// Everything passes, by this policy.
    Bypass(PolicyId),
    /// It is refused.
    Deny(Reason),
}

/// What becomes of one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyExplanation {
    /// Which it is.
    pub id: PolicyId,
    /// What people call it.
    pub name: String,
    /// What it decides.
    pub decision: PolicyDecision,
    /// Its place.
    pub precedence: u32,
    /// What becomes of it.
    pub outcome: PolicyOutcome,
    /// Why, and what to do.
    pub because: String,
    /// Its rules, one by one; none where it is not reached.
    pub rules: Vec<RuleExplanation>,
}

/// What becomes of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyOutcome {
    /// It fits, and the request passes.
    Decides,
    /// It does not fit.
    DoesNotFit,
    /// One before it has decided.
    NotReached,
    /// It is about people.
    NotForMachines,
}

/// What becomes of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleExplanation {
    /// In which list it stands.
    pub part: Part,
    /// What it asks.
    pub rule: Rule,
    /// The answer.
    pub outcome: Outcome,
    /// Why.
    pub because: String,
    /// The rules of the group that it names.
    pub inside: Vec<RuleExplanation>,
}

/// The three lists of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// One must be true.
    Include,
    /// None may be true.
    Exclude,
    /// All must be true.
    Require,
}

impl Part {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Include => "include",
            Self::Exclude => "exclude",
            Self::Require => "require",
        }
    }
}

/// Explains what would happen to a request with this token's credential, or without any credential.
pub fn explain(
    app: &App,
    token: Option<&KnownServiceToken>,
    request: &CanonicalRequest,
    facts: &impl Facts,
    now: Timestamp,
) -> Explanation {
    match token {
        None => Holder { token: None, refused: Some(Reason::NoCredential) },
        Some(token) if token.account_id != app.account_id => {
            Holder { token: None, refused: Some(Reason::Unknown) }
        }
        Some(token) => {
            let refused = match token.standing(now) {
                Standing::Live => None,
                Standing::Disabled => Some(Reason::Disabled),
                Standing::Expired => Some(Reason::Expired),
            };
            Holder { token: Some(token), refused }
        }
    }
    .explain(app, request, facts)
}

/// Explains what would happen to a request with a client ID that no token has.
pub fn explain_unknown(app: &App, request: &CanonicalRequest, facts: &impl Facts) -> Explanation {
    Holder { token: None, refused: Some(Reason::Unknown) }.explain(app, request, facts)
}

/// Whoever asks, and what is wrong with that already.
struct Holder<'t> {
    token: Option<&'t KnownServiceToken>,
    refused: Option<Reason>,
}

impl Holder<'_> {
    fn explain(&self, app: &App, request: &CanonicalRequest, facts: &impl Facts) -> Explanation {
        let valid = self.token.filter(|_| self.refused.is_none()).map(|token| token.id);
        let fit = first_that_fits(app, valid, request.client(), facts);
        let verdict = match fit {
            Some(Fit { decision: Passing::Bypass, policy_id }) => Verdict::Bypass(policy_id),
            Some(Fit { decision: Passing::ServiceAuth, policy_id }) => Verdict::Allow(policy_id),
            None => Verdict::Deny(self.refused.unwrap_or(Reason::NotAllowed)),
        };
        let policies = by_precedence(app);
        let (asked, for_people): (Vec<_>, Vec<_>) = policies.into_iter().partition(|attached| {
            matches!(attached.policy.decision, PolicyDecision::Bypass | PolicyDecision::NonIdentity)
        });
        let mut decided = false;
        let mut explained = Vec::with_capacity(app.policies.len());
        for attached in asked {
            if decided {
                explained.push(not_reached(attached));
                continue;
            }
            decided = fit.is_some_and(|fit| fit.policy_id == attached.policy.id);
            let outcome = if decided { PolicyOutcome::Decides } else { PolicyOutcome::DoesNotFit };
            explained.push(self.policy(attached, outcome, request, facts));
        }
        // Wherever they stand: they were never going to be asked.
        for attached in for_people {
            explained.push(self.policy(attached, PolicyOutcome::NotForMachines, request, facts));
        }
        Explanation { verdict, because: self.because(verdict), policies: explained }
    }

    fn because(&self, verdict: Verdict) -> String {
        match verdict {
            Verdict::Allow(_) => match self.token {
                Some(KnownServiceToken { expires_at: Some(expiry), .. }) => {
                    format!(
                        "The service token is valid until {expiry}, and a Service Auth policy lets it in."
                    )
                }
                _ => "The service token is valid, and a Service Auth policy lets it in.".to_owned(),
            },
            Verdict::Bypass(_) => {
                "A Bypass policy lets everything pass, whatever is presented; the service behind it gets no \
                                   assertion."
                    .to_owned()
            }
            Verdict::Deny(Reason::Expired) => match self.token.and_then(|token| token.expires_at) {
                Some(expiry) => {
                    format!("The service token expired at {expiry}. {}", Reason::Expired.advice())
                }
                None => sentences(Reason::Expired),
            },
            Verdict::Deny(Reason::Disabled) => {
                format!("The service token is disabled. {}", Reason::Disabled.advice())
            }
            Verdict::Deny(reason) => sentences(reason),
        }
    }

    fn policy(
        &self,
        attached: &AttachedPolicy,
        outcome: PolicyOutcome,
        request: &CanonicalRequest,
        facts: &impl Facts,
    ) -> PolicyExplanation {
        let policy = &attached.policy;
        // Rules are asked as if a disabled or expired token were valid: so its owner sees what enabling it would do.
        let holder = if policy.decision == PolicyDecision::Bypass { None } else { self.token };
        let asker = Asker {
            evaluation: Evaluation::new(facts, request.client(), holder.map(|token| token.id)),
            request,
            holder,
            decision: policy.decision,
        };
        let fits = asker.evaluation.policy(&policy.rules);
        asker.evaluation.one_by_one();
        let mut room = MOST_SHOWN;
        let rules = asker.rules(&policy.rules, None, &mut room);
        let because = match outcome {
            PolicyOutcome::Decides if policy.decision == PolicyDecision::Bypass => {
                "Its rules are true of the request: everything passes here, unchecked.".to_owned()
            }
            PolicyOutcome::Decides => "Its rules are true of the request: the token is let in.".to_owned(),
            PolicyOutcome::NotForMachines => people_only(policy.decision, fits).to_owned(),
            PolicyOutcome::DoesNotFit | PolicyOutcome::NotReached => match (fits, self.refused) {
                (Outcome::True, Some(reason)) => {
                    format!("Its rules would be true, but: {}", sentences(reason))
                }
                _ => why_not(&policy.rules, fits, &rules),
            },
        };
        PolicyExplanation { rules, ..head(attached, outcome, because) }
    }
}

/// Asks the rules of one policy, one by one.
struct Asker<'a, F> {
    evaluation: Evaluation<'a, F>,
    request: &'a CanonicalRequest,
    holder: Option<&'a KnownServiceToken>,
    decision: PolicyDecision,
}

impl<F: Facts> Asker<'_, F> {
    fn rules(&self, rules: &Rules, path: Option<&Path<'_>>, room: &mut usize) -> Vec<RuleExplanation> {
        let parts = [
            (Part::Include, &rules.include),
            (Part::Exclude, &rules.exclude),
            (Part::Require, &rules.require),
        ];
        let mut explained = Vec::new();
        for (part, rule) in
            parts.into_iter().flat_map(|(part, list)| list.iter().map(move |rule| (part, rule)))
        {
            let Some(left) = room.checked_sub(1) else { break };
            *room = left;
            let outcome = self.evaluation.single(rule, path);
            let (because, inside) = self.rule(rule, outcome, path, room);
            explained.push(RuleExplanation { part, rule: rule.clone(), outcome, because, inside });
        }
        explained
    }

    fn rule(
        &self,
        rule: &Rule,
        outcome: Outcome,
        path: Option<&Path<'_>>,
        room: &mut usize,
    ) -> (String, Vec<RuleExplanation>) {
        let because = match rule {
            Rule::ServiceToken(_) | Rule::AnyValidServiceToken => self.about_the_token(outcome),
            Rule::Ip(network) => {
                let (client, network) = (self.request.client(), network.as_str());
                let lies = if outcome == Outcome::True { "lies" } else { "does not lie" };
                format!("The client's address, {client}, {lies} in {network}.")
            }
            Rule::Everyone => "It is always true.".to_owned(),
            Rule::NoMachine => {
                "It needs a human, a device or somebody else's service, and is never true of a machine. In \
                                exclude it keeps no machine out; in require it keeps all of them out."
                    .to_owned()
            }
            Rule::Group(group) => match self.evaluation.open(*group, path) {
                Ok((rules, path)) => {
                    let because = match outcome {
                        Outcome::True => "The group's rules are true of the request.",
                        Outcome::False => "The group's rules are not true of the request.",
                        Outcome::Unknown => {
                            "The group's rules cannot be told, and what cannot be told lets nobody in."
                        }
                    };
                    return (because.to_owned(), self.rules(rules, Some(&path), room));
                }
                Err(obstacle) => about_an_obstacle(obstacle),
            },
        };
        (because, Vec::new())
    }

    fn about_the_token(&self, outcome: Outcome) -> String {
        match (self.holder, outcome) {
            (Some(token), Outcome::True) => format!("The request presents the token {}.", token.id),
            (Some(token), _) => format!("The request presents another token, {}.", token.id),
            (None, _) if self.decision == PolicyDecision::Bypass => {
                "A Bypass policy asks nobody who they are, so rules about tokens are never true in it. Make it a Service \
                 Auth policy (decision non_identity)."
                    .to_owned()
            }
            (None, _) => "The request presents no token of this account.".to_owned(),
        }
    }
}

fn about_an_obstacle(obstacle: Obstacle) -> String {
    match obstacle {
        Obstacle::Missing => {
            "There is no such group. Take the rule out, or name another group. Until then it lets nobody in, and in exclude it \
             keeps everybody out."
                .to_owned()
        }
        Obstacle::Cycle => {
            "The group contains itself. Take it out of itself. Until then the rule lets nobody in, and in exclude it keeps \
             everybody out."
                .to_owned()
        }
        Obstacle::TooDeep => format!(
            "It lies more than {DEEPEST} groups deep. Name it further up. Until then it lets nobody in, and in exclude it \
             keeps everybody out."
        ),
        Obstacle::TooMany => {
            format!("Its groups lead to more than {MOST_RULES} rules. Let fewer groups name each other.")
        }
    }
}

/// Why rules are not true, by the rules themselves.
fn why_not(rules: &Rules, fits: Outcome, explained: &[RuleExplanation]) -> String {
    let count = |part, outcome| {
        let fitting = explained.iter().filter(|rule| rule.part == part && rule.outcome == outcome);
        fitting.count()
    };
    if rules.include.is_empty() {
        "Its include is empty, and one rule there has to be true. Add one.".to_owned()
    } else if fits == Outcome::True {
        "Its rules are true of the request.".to_owned()
    } else if count(Part::Exclude, Outcome::True) > 0 {
        "A rule of its exclude is true, and exclude wins over all others.".to_owned()
    } else if count(Part::Require, Outcome::False) > 0 {
        "A rule of its require is not true, and all of them have to be.".to_owned()
    } else if count(Part::Include, Outcome::True) + count(Part::Include, Outcome::Unknown) == 0 {
        "None of the rules of its include is true, and one has to be.".to_owned()
    } else if explained.iter().any(|rule| rule.outcome == Outcome::Unknown) {
        "One of its rules cannot be told, and what cannot be told lets nobody in.".to_owned()
    } else {
        about_an_obstacle(Obstacle::TooMany)
    }
}

/// Why a policy about people decides nothing here.
fn people_only(decision: PolicyDecision, fits: Outcome) -> &'static str {
    match (decision, fits) {
        (PolicyDecision::Deny, _) => {
            "Deny policies are asked after those that let machines pass, and whom none of these lets in is refused anyway. To \
             keep a machine out, use the exclude of the policy that lets it in."
        }
        (_, Outcome::True) => {
            "Its rules are true of the request, but an allow policy is about people and never lets a token in. Make it a \
             Service Auth policy (decision non_identity)."
        }
        _ => "An allow policy is about people and never lets a token in.",
    }
}

fn not_reached(attached: &AttachedPolicy) -> PolicyExplanation {
    head(attached, PolicyOutcome::NotReached, "A policy before it has decided.".to_owned())
}

fn head(attached: &AttachedPolicy, outcome: PolicyOutcome, because: String) -> PolicyExplanation {
    let policy = &attached.policy;
    PolicyExplanation {
        id: policy.id,
        name: policy.name.as_str().to_owned(),
        decision: policy.decision,
        precedence: attached.precedence,
        outcome,
        because,
        rules: Vec::new(),
    }
}

fn sentences(reason: Reason) -> String {
    format!("{} {}", reason.meaning(), reason.advice())
}
