//! What is explained: the same verdict as decided, and for every rule why it is so.

use hallpass_core::decision::{Reason, explain};
use hallpass_core::evaluation::Outcome;
use hallpass_core::explanation::{Explanation, PolicyOutcome, Verdict, explain_unknown};
use hallpass_core::rule::{Rule, Rules};
use hallpass_core::wire::explanations::Explanation as Shown;
use serde_json::json;

use crate::table;
use crate::world::{
    INSIDE, OUTSIDE, World, app, group_id, later, letter_of, now, policy_id, presents, request, rules_of,
    shown,
};

/// The explanation for A, from inside.
fn explained(policies: &str, world: &World) -> Explanation {
    explain(&app(policies), Some(&world.token(b'A')), &request(INSIDE), world, now())
}

fn verdict(explanation: &Explanation) -> String {
    match explanation.verdict {
        Verdict::Allow(id) => {
            let number = (0..100).find(|number| policy_id(*number) == id).unwrap();
            format!("+{number}")
        }
        Verdict::Bypass(_) => "~".to_owned(),
        Verdict::Deny(reason) => letter_of(reason).to_owned(),
    }
}

#[test]
fn an_explanation_has_the_verdict_of_the_table() {
    // Those whose secret is right, or who have none; the rest only somebody with a secret can try.
    const EXPLAINED: [(&str, Option<u8>); 10] = [
        ("nothing in", None),
        ("nothing out", None),
        ("A in", Some(b'A')),
        ("A out", Some(b'A')),
        ("B in", Some(b'B')),
        ("B out", Some(b'B')),
        ("disabled in", Some(b'A')),
        ("expired in", Some(b'A')),
        ("foreign in", Some(b'F')),
        ("unknown in", None),
    ];
    let requests = table::requests();
    for (policies, verdicts) in table::rows() {
        let app = app(policies);
        for ((name, world, _, from), expected) in requests.iter().zip(verdicts) {
            let Some((_, letter)) = EXPLAINED.iter().find(|(explained, _)| explained == name) else {
                continue;
            };
            let token = letter.map(|letter| world.token(letter));
            let explanation = if *name == "unknown in" {
                explain_unknown(&app, &request(from), world)
            } else {
                explain(&app, token.as_ref(), &request(from), world, now())
            };
            assert_eq!(verdict(&explanation), expected, "{policies}: {name}");
            // Exactly the deciding policy decides, and all are told.
            let deciding =
                explanation.policies.iter().filter(|policy| policy.outcome == PolicyOutcome::Decides);
            assert_eq!(deciding.count(), usize::from("+~".contains(&expected[..1])), "{policies}: {name}");
            assert_eq!(explanation.policies.len(), app.policies.len());
        }
    }
}

#[test]
fn policies_are_explained_in_the_order_in_which_they_are_asked() {
    let explanation = explained(
        "1:al[all / / ] 7:sa[B / / ] 3:de[no / / ] 5:by[ip6 / / ] 9:sa[A / / ] 8:sa[no / / ]",
        &World::new(),
    );
    let told: Vec<_> =
        explanation.policies.iter().map(|policy| (policy.precedence, policy.outcome)).collect();
    assert_eq!(
        told,
        [
            (5, PolicyOutcome::DoesNotFit),
            (7, PolicyOutcome::DoesNotFit),
            (8, PolicyOutcome::DoesNotFit),
            (9, PolicyOutcome::Decides),
            (1, PolicyOutcome::NotForMachines),
            (3, PolicyOutcome::NotForMachines),
        ]
    );
}

#[test]
fn sentences_say_why_and_what_to_do() {
    let world = |change: fn(&mut hallpass_core::decision::KnownServiceToken)| {
        let mut world = table::world();
        world.change(b'A', change);
        world
    };
    let good = || world(|_| {});
    let disabled = || world(|token| token.enabled = false);
    let expired = || world(|token| token.expires_at = Some(later(-1)));
    // Policies, the world, what is said of the whole, and of the first policy.
    for (policies, world, whole, first) in [
        ("sa[A / / ]", good(), "lets it in", "the token is let in"),
        ("by[all / / ]", good(), "whatever is presented", "everything passes here, unchecked"),
        (
            "sa[A / / ]",
            disabled(),
            "is disabled. Enable the token",
            "would be true, but: The secret is right, but the service token is disabled.",
        ),
        (
            "sa[A / / ]",
            expired(),
            "expired at 2026-11-22T12:00:00Z. Refresh the token",
            "would be true, but: The secret is right, but the service token has expired.",
        ),
        ("sa[B / / ]", disabled(), "is disabled", "None of the rules of its include is true"),
        (
            "al[A / / ]",
            good(),
            "Add the token to a policy",
            "Make it a Service Auth policy (decision non_identity)",
        ),
        ("al[B / / ]", good(), "Add the token to a policy", "about people and never lets a token in"),
        ("de[A / / ]", good(), "Add the token to a policy", "use the exclude of the policy that lets it in"),
        ("sa[ / / A]", good(), "Add the token to a policy", "include is empty"),
        ("sa[any / A / ]", good(), "Add the token to a policy", "exclude wins"),
        ("sa[any / / B]", good(), "Add the token to a policy", "A rule of its require is not true"),
        ("sa[any / g:gone / ]", good(), "Add the token to a policy", "cannot be told"),
        ("by[any / / ]", good(), "Add the token to a policy", "None of the rules of its include is true"),
    ] {
        let explanation = explained(policies, &world);
        assert!(explanation.because.contains(whole), "{policies}: {}", explanation.because);
        assert!(
            explanation.policies[0].because.contains(first),
            "{policies}: {}",
            explanation.policies[0].because
        );
    }
    // And of the first rule.
    for (policies, outcome, first) in [
        ("sa[A / / ]", Outcome::True, "presents the token 41414141-4141-4141-4141-414141414141"),
        ("sa[B / / ]", Outcome::False, "presents another token, 41414141-4141-4141-4141-414141414141"),
        ("by[A / / ]", Outcome::False, "A Bypass policy asks nobody who they are"),
        ("sa[ip / / ]", Outcome::True, "203.0.113.7, lies in 203.0.113.0/24"),
        ("sa[ip6 / / ]", Outcome::False, "203.0.113.7, does not lie in 2001:db8::/32"),
        ("sa[all / / ]", Outcome::True, "always true"),
        ("sa[no / / ]", Outcome::False, "never true of a machine"),
        ("sa[g:gone / / ]", Outcome::Unknown, "There is no such group"),
        ("sa[g:a / / ]", Outcome::True, "group's rules are true"),
        ("sa[g:human / / ]", Outcome::False, "group's rules are not true"),
        ("sa[g:lean / / ]", Outcome::Unknown, "cannot be told"),
    ] {
        let explanation = explained(policies, &good());
        let rule = &explanation.policies[0].rules[0];
        assert_eq!(rule.outcome, outcome, "{policies}");
        assert!(rule.because.contains(first), "{policies}: {}", rule.because);
    }
    let nobody = explain(&app("sa[any / / ]"), None, &request(OUTSIDE), &good(), now());
    assert!(nobody.because.contains("CF-Access-Client-Id"), "{}", nobody.because);
    assert!(nobody.policies[0].rules[0].because.contains("no token of this account"));
}

#[test]
fn the_way_through_groups_is_told_down_to_the_obstacle() {
    let world = table::world();
    let mut rule = explained("sa[any / g:ping / ]", &world).policies[0].rules[1].clone();
    for _ in 0..2 {
        assert_eq!(rule.outcome, Outcome::Unknown);
        rule = rule.inside[0].clone();
    }
    assert!(rule.because.contains("contains itself"), "{}", rule.because);
    let mut rule = explained("sa[g:deep17 / / ]", &world).policies[0].rules[0].clone();
    for _ in 0..16 {
        rule = rule.inside[0].clone();
    }
    assert!(rule.because.contains("more than 16 groups deep"), "{}", rule.because);
}

#[test]
fn groups_that_multiply_are_refused_and_soon_done_with() {
    // Ten names in each of sixteen groups: ten to the sixteenth rules, if all were looked at.
    let mut world = World::new();
    for depth in 0..16 {
        let next = Rule::Group(group_id(&format!("wide{}", depth + 1)));
        let rules = Rules { include: vec![next; 10], ..Rules::default() };
        world.groups.insert(group_id(&format!("wide{depth}")), rules);
    }
    world.groups.insert(group_id("wide16"), rules_of("no / / "));
    for policies in ["sa[g:wide1 / / ]", "sa[any / g:wide1 / ]", "sa[any / / g:wide1]"] {
        let decided = world.decide(&app(policies), &presents(b'A', "secret-of-A"), INSIDE, now());
        assert_eq!(shown(&decided), "N", "{policies}");
        let explanation = explained(policies, &world);
        assert_eq!(explanation.verdict, Verdict::Deny(Reason::NotAllowed));
        let mut open: Vec<_> = explanation.policies[0].rules.iter().collect();
        let mut told = 0;
        while let Some(rule) = open.pop() {
            told += 1;
            open.extend(&rule.inside);
        }
        assert!(told <= 1_000, "{told}");
    }
    // What is already clear stays clear.
    let decided = world.decide(&app("sa[A g:wide1 / / ]"), &presents(b'A', "secret-of-A"), INSIDE, now());
    assert_eq!(shown(&decided), "+1");
}

#[test]
fn an_explanation_is_this_json() {
    let mut world = World::new();
    world.groups.insert(group_id("office"), rules_of("ip / / "));
    world.change(b'A', |token| token.enabled = false);
    let (app, token) = (app("3:sa[A / / g:office] 1:al[no / / ]"), world.token(b'A'));
    let explanation = explain(&app, Some(&token), &request(INSIDE), &world, now());
    let shown = Shown::show(&explanation, &app, Some(&token), &request(INSIDE));
    let json = serde_json::to_value(&shown).unwrap();
    assert_eq!(
        json,
        json!({
            "app": {"aud": "ab".repeat(32), "id": "09090909-0909-0909-0909-090909090909", "name": "Grafana"},
            "because": "The service token is disabled. Enable the token if it is meant to work; if it is not, find out who still uses it.",
            "client": "203.0.113.7",
            "host": "app.example.com",
            "path": "/",
            "policies": [
                {
                    "because": "Its rules would be true, but: The secret is right, but the service token is disabled. Enable the token if it is meant to work; if it is not, find out who still uses it.",
                    "decision": "non_identity",
                    "id": "00000000-0000-0000-0000-000000000003",
                    "name": "policy 3",
                    "outcome": "does_not_fit",
                    "precedence": 3,
                    "rules": [
                        {
                            "because": "The request presents the token 41414141-4141-4141-4141-414141414141.",
                            "kind": "service_token",
                            "names": "41414141-4141-4141-4141-414141414141",
                            "outcome": "true",
                            "part": "include",
                        },
                        {
                            "because": "The group's rules are true of the request.",
                            "inside": [{
                                "because": "The client's address, 203.0.113.7, lies in 203.0.113.0/24.",
                                "kind": "ip",
                                "names": "203.0.113.0/24",
                                "outcome": "true",
                                "part": "include",
                            }],
                            "kind": "group",
                            "names": "6f666669-6365-0000-0000-000000000000",
                            "outcome": "true",
                            "part": "require",
                        },
                    ],
                },
                {
                    "because": "An allow policy is about people and never lets a token in.",
                    "decision": "allow",
                    "id": "00000000-0000-0000-0000-000000000001",
                    "name": "policy 1",
                    "outcome": "not_for_machines",
                    "precedence": 1,
                    "rules": [{
                        "because": "It needs a human, a device or somebody else's service, and is never true of a machine. In exclude it keeps no machine out; in require it keeps all of them out.",
                        "kind": "other",
                        "outcome": "false",
                        "part": "include",
                    }],
                },
            ],
            "reason": "disabled",
            "status": 401,
            "token": {"id": "41414141-4141-4141-4141-414141414141", "name": "token A"},
            "verdict": "deny",
        })
    );
    assert_eq!(serde_json::from_value::<Shown>(json).unwrap(), shown);
}

#[test]
fn another_accounts_token_is_explained_like_one_that_does_not_exist() {
    let (world, app) = (World::new(), app("sa[any F / / ]"));
    let foreign = world.token(b'F');
    let of_foreign = explain(&app, Some(&foreign), &request(INSIDE), &world, now());
    assert_eq!(of_foreign, explain_unknown(&app, &request(INSIDE), &world));
    assert_eq!(of_foreign.verdict, Verdict::Deny(Reason::Unknown));
    let shown = Shown::show(&of_foreign, &app, Some(&foreign), &request(INSIDE));
    assert_eq!(shown.token, None);
}

#[test]
fn reasons_keep_their_number_and_word_and_have_their_status() {
    // Number, word, status, and status where the application says 401.
    let table = [
        (Reason::NoCredential, 1, "no_credential", 403, 401),
        (Reason::Malformed, 2, "malformed", 401, 401),
        (Reason::Unknown, 3, "unknown", 401, 401),
        (Reason::WrongSecret, 4, "wrong_secret", 401, 401),
        (Reason::Disabled, 5, "disabled", 401, 401),
        (Reason::Expired, 6, "expired", 401, 401),
        (Reason::NotAllowed, 7, "not_allowed", 403, 403),
        (Reason::NoApp, 8, "no_app", 403, 403),
        (Reason::Stale, 9, "stale", 503, 503),
        (Reason::NoKey, 10, "no_key", 503, 503),
        (Reason::Clock, 11, "clock", 503, 503),
        (Reason::Ambiguous, 12, "ambiguous", 400, 400),
        (Reason::Untrusted, 13, "untrusted", 403, 403),
    ];
    assert_eq!(table.map(|(reason, ..)| reason), Reason::ALL);
    let usual = app("none");
    let mut says_401 = app("none");
    says_401.service_auth_401 = true;
    for (reason, code, word, status, other) in table {
        assert_eq!((reason.code(), reason.as_str()), (code, word));
        assert_eq!((Reason::from_code(code), Reason::parse(word)), (Some(reason), Some(reason)));
        assert_eq!(reason.status(None), status, "{reason}");
        assert_eq!(reason.status(Some(&usual)), status, "{reason}");
        assert_eq!(reason.status(Some(&says_401)), other, "{reason}");
        for sentence in [reason.meaning(), reason.advice()] {
            assert!(sentence.ends_with('.') && !sentence.contains("  "), "{reason}: {sentence}");
        }
    }
    assert_eq!((Reason::from_code(0), Reason::from_code(14), Reason::parse("")), (None, None, None));
}
