//! The table in `tests/data/decisions.txt`: policies, and what becomes of thirteen requests.

use hallpass_core::credential::Presented;
use hallpass_core::decision::Decision;

use crate::world::{
    INSIDE, OUTSIDE, World, app, client_id, group_id, later, malformed, now, presents, rules_of, secret_of,
    shown, token_id,
};

const TABLE: &str = include_str!("../data/decisions.txt");

/// The policies of a line, and its verdicts.
pub(crate) fn rows() -> Vec<(&'static str, Vec<&'static str>)> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#') && !line.starts_with("group "));
    let rows = lines.filter_map(|line| line.split_once('|')).map(|(policies, verdicts)| {
        let verdicts = verdicts.split_whitespace().flat_map(|verdict| match verdict {
            "refused" => vec!["W", "D", "E", "U", "M", "U", "W"],
            "opened" => vec!["~", "~", "~", "~", "~", "~", "W"],
            "passed" => vec!["~"; 7],
            one => vec![one],
        });
        (policies.trim(), verdicts.collect())
    });
    rows.collect()
}

pub(crate) fn world() -> World {
    let mut world = World::new();
    for line in TABLE.lines().filter_map(|line| line.strip_prefix("group ")) {
        let (name, rules) = line.split_once('[').unwrap();
        let rules = rules_of(rules.trim_end().strip_suffix(']').unwrap());
        world.groups.insert(group_id(name.trim()), rules);
    }
    world
}

/// The thirteen requests: the world that they find, what they present, and from where.
pub(crate) fn requests() -> Vec<(&'static str, World, Presented, &'static str)> {
    let good = |letter: u8| presents(letter, &secret_of(letter));
    let wrong = || presents(b'A', "secret-of-B");
    let (mut disabled, mut expired) = (world(), world());
    disabled.change(b'A', |token| token.enabled = false);
    expired.change(b'A', |token| token.expires_at = Some(later(-1)));
    vec![
        ("nothing in", world(), Presented::Nothing, INSIDE),
        ("nothing out", world(), Presented::Nothing, OUTSIDE),
        ("A in", world(), good(b'A'), INSIDE),
        ("A out", world(), good(b'A'), OUTSIDE),
        ("B in", world(), good(b'B'), INSIDE),
        ("B out", world(), good(b'B'), OUTSIDE),
        ("wrong in", world(), wrong(), INSIDE),
        ("disabled in", disabled, good(b'A'), INSIDE),
        ("expired in", expired, good(b'A'), INSIDE),
        ("unknown in", world(), presents(b'Z', "secret-of-Z"), INSIDE),
        ("malformed in", world(), malformed(), INSIDE),
        ("foreign in", world(), good(b'F'), INSIDE),
        ("wrong out", world(), wrong(), OUTSIDE),
    ]
}

#[test]
fn every_request_gets_the_verdict_that_was_written_by_hand() {
    let requests = requests();
    let mut wrong = Vec::new();
    let mut compared = 0;
    for (policies, verdicts) in rows() {
        assert_eq!(verdicts.len(), requests.len(), "{policies}");
        let app = app(policies);
        for ((name, world, presented, from), expected) in requests.iter().zip(verdicts) {
            let got = shown(&world.decide(&app, presented, from, now()));
            if got != expected {
                wrong.push(format!("{policies}: {name}: {got}, expected {expected}"));
            }
            compared += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(compared > 2_000, "{compared} verdicts");
}

#[test]
fn policies_may_be_held_in_any_order() {
    let requests = requests();
    for (policies, verdicts) in rows() {
        let mut app = app(policies);
        app.policies.reverse();
        for ((name, world, presented, from), expected) in requests.iter().zip(verdicts) {
            assert_eq!(shown(&world.decide(&app, presented, from, now())), expected, "{policies}: {name}");
        }
    }
}

#[test]
fn a_permit_says_whose_it_is() {
    let decision = world().decide(&app("4:sa[A / / ]"), &presents(b'A', "secret-of-A"), INSIDE, now());
    let Decision::Allow(permit) = decision else { panic!("{decision:?}") };
    assert_eq!(permit.token_id(), token_id(b'A'));
    assert_eq!(permit.client_id(), &client_id(b'A'));
    assert_eq!(permit.token_name(), "token A");
    assert_eq!(permit.account_id(), crate::world::account(b'x'));
    assert_eq!(permit.policy_id(), crate::world::policy_id(4));
}

#[test]
fn a_refusal_names_the_token_only_where_the_account_has_it() {
    let app = app("sa[no / / ]");
    let named = [
        (b'A', "secret-of-A", true),
        (b'A', "wrong", true),
        (b'Z', "x", false),
        (b'F', "secret-of-F", false),
    ];
    for (letter, secret, expected) in named {
        let Decision::Deny(denied) = world().decide(&app, &presents(letter, secret), INSIDE, now()) else {
            panic!("{letter} passed");
        };
        assert_eq!(denied.token, expected.then(|| token_id(letter)), "{letter} {secret}");
    }
    for presented in [Presented::Nothing, malformed()] {
        let Decision::Deny(denied) = world().decide(&app, &presented, INSIDE, now()) else {
            panic!("{presented:?} passed");
        };
        assert_eq!(denied.token, None);
    }
}

#[test]
fn the_ipv6_form_of_an_address_is_that_address() {
    let app = app("sa[A / / ip]");
    let from = |address| shown(&world().decide(&app, &presents(b'A', "secret-of-A"), address, now()));
    assert_eq!(from("::ffff:203.0.113.7"), "+1");
    assert_eq!(from("::ffff:198.51.100.9"), "N");
    assert_eq!(from("203.0.113.255"), "+1");
    assert_eq!(from("203.0.114.0"), "N");
}
