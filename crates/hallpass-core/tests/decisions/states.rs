//! What state a token is in, to the microsecond, against what it presents.

use hallpass_core::time::Timestamp;

use crate::world::{INSIDE, World, app, digest, later, now, presents, secret_of, shown, token};

/// What happens to the token at the moment that the table is about.
struct State {
    name: &'static str,
    enabled: bool,
    /// Microseconds from that moment.
    expires: Option<i64>,
    /// Until when the previous secret, `old`, counts.
    previous: Option<i64>,
}

const fn state(name: &'static str) -> State {
    State { name, enabled: true, expires: None, previous: None }
}

/// State, presented secret, and the verdicts a microsecond before, at, and a microsecond after the moment.
fn matrix() -> Vec<(State, &'static str, [&'static str; 3])> {
    let new = "secret-of-A";
    vec![
        (state("live"), new, ["+1", "+1", "+1"]),
        (state("live"), "guess", ["W", "W", "W"]),
        (state("live"), "secret-of-B", ["W", "W", "W"]),
        (State { enabled: false, ..state("disabled") }, new, ["D", "D", "D"]),
        (State { enabled: false, ..state("disabled") }, "guess", ["W", "W", "W"]),
        (State { expires: Some(0), ..state("expires now") }, new, ["+1", "E", "E"]),
        (State { expires: Some(1), ..state("expires next") }, new, ["+1", "+1", "E"]),
        (State { expires: Some(-1), ..state("expired before") }, new, ["E", "E", "E"]),
        (State { expires: Some(0), ..state("expires now") }, "guess", ["W", "W", "W"]),
        (State { enabled: false, expires: Some(0), ..state("disabled, expires") }, new, ["D", "D", "D"]),
        (State { enabled: false, expires: Some(-1), ..state("disabled, expired") }, new, ["D", "D", "D"]),
        (state("rotated out at once"), "old", ["W", "W", "W"]),
        (State { previous: Some(0), ..state("grace ends now") }, "old", ["+1", "W", "W"]),
        (State { previous: Some(0), ..state("grace ends now") }, new, ["+1", "+1", "+1"]),
        (State { previous: Some(0), ..state("grace ends now") }, "guess", ["W", "W", "W"]),
        (State { previous: Some(1), ..state("grace ends next") }, "old", ["+1", "+1", "W"]),
        (State { previous: Some(-1), ..state("grace is over") }, "old", ["W", "W", "W"]),
        (State { previous: Some(-1), ..state("grace is over") }, new, ["+1", "+1", "+1"]),
        (State { previous: Some(9), ..state("in grace") }, "old", ["+1", "+1", "+1"]),
        (State { previous: Some(9), ..state("in grace, twice rotated") }, "older", ["W", "W", "W"]),
        (State { previous: Some(9), enabled: false, ..state("in grace, disabled") }, "old", ["D", "D", "D"]),
        (
            State { previous: Some(0), enabled: false, ..state("grace ends, disabled") },
            "old",
            ["D", "W", "W"],
        ),
        (
            State { previous: Some(9), expires: Some(0), ..state("in grace, expires") },
            "old",
            ["+1", "E", "E"],
        ),
        (State { previous: Some(1), expires: Some(0), ..state("expires in grace") }, "old", ["+1", "E", "W"]),
        (State { previous: Some(0), expires: Some(1), ..state("grace, then end") }, "old", ["+1", "W", "W"]),
        (State { previous: Some(1), expires: Some(0), ..state("expires in grace") }, new, ["+1", "E", "E"]),
    ]
}

fn world_with(state: &State) -> World {
    let mut world = World::new();
    world.change(b'A', |token| {
        token.enabled = state.enabled;
        token.expires_at = state.expires.map(later);
        token.previous = state.previous.map(|until| (digest(b'A', "old"), later(until)));
    });
    world
}

#[test]
fn every_state_of_a_token_gives_its_verdict_to_the_microsecond() {
    for (state, secret, verdicts) in matrix() {
        let world = world_with(&state);
        for (at, expected) in [later(-1), now(), later(1)].into_iter().zip(verdicts) {
            for policies in ["sa[A / / ]", "sa[any / / ]", "sa[all / / any]"] {
                let got = shown(&world.decide(&app(policies), &presents(b'A', secret), INSIDE, at));
                assert_eq!(got, expected, "{}: {secret:?} at {at}, {policies}", state.name);
            }
            // What no policy would let in is refused for the same reasons, but where it was valid.
            let got = shown(&world.decide(&app("sa[no / / ]"), &presents(b'A', secret), INSIDE, at));
            assert_eq!(
                got,
                if expected == "+1" { "N" } else { expected },
                "{}: {secret:?} at {at}",
                state.name
            );
            // And a bypass does not ask.
            let got = shown(&world.decide(&app("by[all / / ]"), &presents(b'A', secret), INSIDE, at));
            assert_eq!(got, "~", "{}: {secret:?} at {at}", state.name);
        }
    }
}

#[test]
fn a_deleted_token_is_unknown_whatever_its_secret_was() {
    let mut world = World::new();
    world.tokens.clear();
    for secret in ["secret-of-A", "old", "guess"] {
        let decided = world.decide(&app("sa[all / / ]"), &presents(b'A', secret), INSIDE, now());
        assert_eq!(shown(&decided), "U");
    }
}

#[test]
fn a_secret_opens_its_own_token_only_even_where_two_have_the_same() {
    let mut world = World::new();
    // The digest of A's secret, put under B: it was made for A's id, so it is no digest of B's.
    world.change(b'B', |token| token.current = digest(b'A', &secret_of(b'A')));
    let decided = world.decide(&app("sa[any / / ]"), &presents(b'B', &secret_of(b'A')), INSIDE, now());
    assert_eq!(shown(&decided), "W");
}

#[test]
fn the_end_of_time_is_no_expiry_for_a_token_without_one() {
    let (mut world, last) = (World::new(), Timestamp::from_micros(253_402_300_800 * 1_000_000 - 1).unwrap());
    let decided = world.decide(&app("sa[A / / ]"), &presents(b'A', "secret-of-A"), INSIDE, last);
    assert_eq!(shown(&decided), "+1");
    world.change(b'A', |known| {
        *known = hallpass_core::decision::KnownServiceToken { expires_at: Some(last), ..token(b'A') }
    });
    let decided = world.decide(&app("sa[A / / ]"), &presents(b'A', "secret-of-A"), INSIDE, last);
    assert_eq!(shown(&decided), "E");
}
