//! A second evaluator, slow and plain: it writes out the three-valued formulas, looks at everything, and stops nowhere early.
//! Whatever applications, groups and requests are made up, both must say the same.

use hallpass_core::app::App;
use hallpass_core::credential::Presented;
use hallpass_core::decision::explain;
use hallpass_core::evaluation::fits_no_machine;
use hallpass_core::explanation::Verdict;
use hallpass_core::id::{GroupId, ServiceTokenId};
use hallpass_core::network::WrittenNetwork;
use hallpass_core::policy::PolicyDecision;
use hallpass_core::rule::{Rule, Rules};
use proptest::prelude::*;

use crate::world::{
    INSIDE, OUTSIDE, World, app, attached, digest, group_id, later, letter_of, malformed, now, presents,
    request, shown, token_id,
};

const GROUPS: [&str; 7] = ["one", "two", "three", "four", "five", "six", "chain0"];

/// True, false, or nothing that could be told.
type Truth = Option<bool>;

fn either(truths: &[Truth]) -> Truth {
    if truths.contains(&Some(true)) {
        Some(true)
    } else if truths.contains(&None) {
        None
    } else {
        Some(false)
    }
}

fn opposite(truth: Truth) -> Truth {
    truth.map(|truth| !truth)
}

/// Not (not one or not the other).
fn both(truths: &[Truth]) -> Truth {
    opposite(either(&truths.iter().copied().map(opposite).collect::<Vec<_>>()))
}

struct Asked<'a> {
    world: &'a World,
    from: &'a str,
    token: Option<ServiceTokenId>,
}

impl Asked<'_> {
    fn rules(&self, rules: &Rules, inside_of: &[GroupId]) -> Truth {
        let each = |list: &[Rule]| list.iter().map(|rule| self.rule(rule, inside_of)).collect::<Vec<_>>();
        let excluded = either(&each(&rules.exclude));
        both(&[either(&each(&rules.include)), both(&each(&rules.require)), opposite(excluded)])
    }

    fn rule(&self, rule: &Rule, inside_of: &[GroupId]) -> Truth {
        match rule {
            Rule::ServiceToken(id) => Some(self.token.is_some_and(|token| token == *id)),
            Rule::AnyValidServiceToken => Some(self.token.is_some()),
            Rule::Everyone => Some(true),
            Rule::NoMachine => Some(false),
            Rule::Ip(network) => Some(network.as_str() == "203.0.113.0/24" && self.from == INSIDE),
            Rule::Group(group) => {
                let path = [inside_of, &[*group]].concat();
                if inside_of.contains(group) || path.len() > 16 {
                    return None;
                }
                self.rules(self.world.groups.get(group)?, &path)
            }
        }
    }
}

/// What a made-up client sends.
#[derive(Debug, Clone)]
enum Sent {
    Nothing,
    Malformed,
    /// The letter of a token, and a secret.
    Pair(u8, &'static str),
}

fn naive(app: &App, sent: &Sent, from: &str, world: &World) -> String {
    let wrong: Option<&str> = match sent {
        Sent::Nothing => Some("0"),
        Sent::Malformed => Some("M"),
        Sent::Pair(letter, secret) => {
            let mut found = world.tokens.iter().map(|(_, token)| token);
            match found.find(|token| token.id == token_id(*letter) && token.account_id == app.account_id) {
                None => Some("U"),
                Some(token) => {
                    let grace = token.previous.map_or(i64::MIN, |(_, until)| until.as_micros());
                    let in_grace = now().as_micros() < grace;
                    let over = token.expires_at.is_some_and(|end| end.as_micros() <= now().as_micros());
                    let checks = [
                        (*secret != "current" && !(*secret == "previous" && in_grace), "W"),
                        (!token.enabled, "D"),
                        (over, "E"),
                    ];
                    checks.into_iter().find(|(wrong, _)| *wrong).map(|(_, letter)| letter)
                }
            }
        }
    };
    let token = match sent {
        Sent::Pair(letter, _) if wrong.is_none() => Some(token_id(*letter)),
        _ => None,
    };
    let mut policies = app.policies.clone();
    policies.sort_by_key(|attached| attached.precedence);
    for attached in policies {
        let rules = &attached.policy.rules;
        let holds = |token| Asked { world, from, token }.rules(rules, &[]) == Some(true);
        match attached.policy.decision {
            PolicyDecision::Bypass if holds(None) => return "~".to_owned(),
            PolicyDecision::NonIdentity if wrong.is_none() && holds(token) => {
                return format!("+{}", attached.precedence);
            }
            _ => {}
        }
    }
    wrong.unwrap_or("N").to_owned()
}

fn some_rule() -> impl Strategy<Value = Rule> {
    let network = |text| Rule::Ip(WrittenNetwork::parse(text).unwrap());
    prop_oneof![
        3 => prop::sample::select(vec![b'A', b'B', b'F']).prop_map(|letter| Rule::ServiceToken(token_id(letter))),
        2 => Just(Rule::AnyValidServiceToken),
        2 => Just(network("203.0.113.0/24")),
        1 => Just(network("2001:db8::/32")),
        2 => Just(Rule::Everyone),
        1 => Just(Rule::NoMachine),
        5 => prop::sample::select(GROUPS.to_vec()).prop_map(|name| Rule::Group(group_id(name))),
    ]
}

fn some_rules() -> impl Strategy<Value = Rules> {
    let list = |most| prop::collection::vec(some_rule(), 0..=most);
    (list(3), list(1), list(1)).prop_map(|(include, exclude, require)| Rules { include, exclude, require })
}

/// A line of groups of which each names the next, in one of its three lists. Its end names nothing, or a group, or itself.
fn some_chain() -> impl Strategy<Value = Vec<Rules>> {
    prop::collection::vec((0..3, some_rule()), 1..20).prop_map(|links| {
        let link = |(at, (part, last)): (usize, (i32, Rule))| {
            let next = Rule::Group(group_id(&format!("chain{}", at + 1)));
            match part {
                0 => Rules { include: vec![last, next], ..Rules::default() },
                1 => Rules { include: vec![Rule::Everyone], exclude: vec![next], ..Rules::default() },
                _ => Rules { include: vec![Rule::Everyone], require: vec![next], ..Rules::default() },
            }
        };
        links.into_iter().enumerate().map(link).collect()
    })
}

fn some_world() -> impl Strategy<Value = World> {
    let times = (prop::option::weighted(0.3, -1_i64..=1), prop::option::of(-1_i64..=1));
    // More often enabled than not, and not all groups exist.
    let tokens = prop::collection::vec((prop::bool::weighted(0.75), times), 3);
    let groups = prop::collection::vec(prop::option::weighted(0.85, some_rules()), 6);
    (tokens, groups, some_chain()).prop_map(|(tokens, groups, chain)| {
        let mut world = World::new();
        for (letter, (enabled, (expires, previous))) in [b'A', b'B', b'F'].into_iter().zip(tokens) {
            world.change(letter, |token| {
                token.enabled = enabled;
                token.expires_at = expires.map(later);
                token.current = digest(letter, "current");
                token.previous = previous.map(|until| (digest(letter, "previous"), later(until)));
            });
        }
        let named = GROUPS.into_iter().zip(groups).filter_map(|(name, rules)| Some((group_id(name), rules?)));
        world.groups.extend(named);
        let chain = chain.into_iter().enumerate();
        world.groups.extend(chain.map(|(at, rules)| (group_id(&format!("chain{at}")), rules)));
        world
    })
}

fn some_app() -> impl Strategy<Value = App> {
    let decision = prop_oneof![
        1 => Just(PolicyDecision::Bypass),
        5 => Just(PolicyDecision::NonIdentity),
        1 => Just(PolicyDecision::Allow),
        1 => Just(PolicyDecision::Deny),
    ];
    let places = Just((0..6_u32).collect::<Vec<_>>()).prop_shuffle();
    (prop::collection::vec((decision, some_rules()), 0..=6), places).prop_map(|(policies, places)| {
        let mut app = app("none");
        let policies = places.into_iter().zip(policies);
        app.policies = policies.map(|(place, (decision, rules))| attached(place, decision, rules)).collect();
        app
    })
}

fn some_sent() -> impl Strategy<Value = Sent> {
    let secret = prop::sample::select(vec!["current", "current", "current", "previous", "guess"]);
    prop_oneof![
        1 => Just(Sent::Nothing),
        1 => Just(Sent::Malformed),
        8 => (prop::sample::select(vec![b'A', b'A', b'B', b'F', b'Z']), secret).prop_map(|(letter, secret)| Sent::Pair(letter, secret)),
    ]
}

fn presented(sent: &Sent) -> Presented {
    match sent {
        Sent::Nothing => Presented::Nothing,
        Sent::Malformed => malformed(),
        Sent::Pair(letter, secret) => presents(*letter, secret),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn both_evaluators_say_the_same(
        app in some_app(),
        world in some_world(),
        sent in some_sent(),
        inside in any::<bool>(),
    ) {
        let from = if inside { INSIDE } else { OUTSIDE };
        let decided = shown(&world.decide(&app, &presented(&sent), from, now()));
        prop_assert_eq!(&decided, &naive(&app, &sent, from, &world));
        // An explanation takes the secret as right.
        let token = match &sent {
            Sent::Pair(letter, _) => world.tokens.iter().find(|(_, token)| token.id == token_id(*letter)),
            Sent::Nothing | Sent::Malformed => None,
        };
        let taken_as = match &sent {
            Sent::Pair(b'Z', _) | Sent::Malformed => Sent::Nothing,
            Sent::Pair(letter, _) => Sent::Pair(*letter, "current"),
            Sent::Nothing => Sent::Nothing,
        };
        let explanation = explain(&app, token.map(|(_, token)| token), &request(from), &world, now());
        let expected = naive(&app, &taken_as, from, &world);
        let said = match explanation.verdict {
            Verdict::Bypass(_) => "~".to_owned(),
            Verdict::Allow(id) => {
                let policy = app.policies.iter().find(|attached| attached.policy.id == id);
                format!("+{}", policy.unwrap().precedence)
            }
            Verdict::Deny(reason) => letter_of(reason).to_owned(),
        };
        prop_assert_eq!(said, expected);
        prop_assert_eq!(explanation.policies.len(), app.policies.len());
    }

    #[test]
    fn whoever_is_refused_stays_refused_when_a_group_is_lost(
        app in some_app(),
        world in some_world(),
        lost in prop::sample::select(GROUPS.to_vec()),
        letter in prop::sample::select(vec![b'A', b'B']),
    ) {
        let mut poorer = world.clone();
        poorer.groups.remove(&group_id(lost));
        let passes = |world: &World| {
            let verdict = shown(&world.decide(&app, &presents(letter, "current"), INSIDE, now()));
            verdict == "~" || verdict.starts_with('+')
        };
        prop_assert!(passes(&world) || !passes(&poorer));
    }

    #[test]
    fn by_a_policy_that_fits_no_machine_none_passes(app in some_app(), world in some_world()) {
        let groups = world.groups.iter().map(|(id, rules)| (*id, rules)).collect();
        for attached in &app.policies {
            let policy = &attached.policy;
            let tokens = match policy.decision {
                PolicyDecision::Bypass => vec![None],
                _ => vec![Some(token_id(b'A')), Some(token_id(b'B')), Some(token_id(b'F'))],
            };
            let fits = |token: &Option<ServiceTokenId>| {
                [INSIDE, OUTSIDE].into_iter().any(|from| {
                    Asked { world: &world, from, token: *token }.rules(&policy.rules, &[]) == Some(true)
                })
            };
            let unfit = fits_no_machine(policy.decision, &policy.rules, &groups);
            prop_assert!(!(unfit && tokens.iter().any(fits)), "{policy:?}");
        }
    }
}

#[test]
fn the_made_up_cases_reach_every_verdict() {
    use std::collections::BTreeMap;

    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let cases = (some_app(), some_world(), some_sent());
    let mut seen = BTreeMap::<String, u32>::new();
    for _ in 0..400 {
        let (app, world, sent) = cases.new_tree(&mut runner).unwrap().current();
        let verdict = naive(&app, &sent, INSIDE, &world);
        *seen.entry(verdict.chars().take(1).collect()).or_default() += 1;
    }
    for verdict in ["+", "~", "0", "M", "U", "W", "D", "E", "N"] {
        assert!(seen.get(verdict).is_some_and(|times| *times >= 3), "{verdict}: {seen:?}");
    }
}
