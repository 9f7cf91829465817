//! What an assertion says.

use hallpass_core::claims::Claims;
use hallpass_core::decision::{Decision, Permit};

use crate::world::{INSIDE, World, app, now, presents};

const ISSUER: &str = "https://team.example.com";

fn permit() -> Permit {
    let decision = World::new().decide(&app("sa[A / / ]"), &presents(b'A', "secret-of-A"), INSIDE, now());
    let Decision::Allow(permit) = decision else { panic!("{decision:?}") };
    permit
}

#[test]
fn an_assertion_says_exactly_this() {
    let claims = Claims::new(&permit(), &app("none"), ISSUER, now());
    let aud = "ab".repeat(32);
    assert_eq!(
        serde_json::to_string(&claims).unwrap(),
        format!(
            r#"{{"type":"app","aud":["{aud}"],"exp":1795435200,"iss":"https://team.example.com","common_name":"41414141414141414141414141414141.access","iat":1795348800,"sub":""}}"#
        )
    );
}

#[test]
fn an_assertion_lives_as_long_as_the_session_and_at_most_a_day() {
    for (session, lifetime) in [
        (1, 1),
        (900, 900),
        (86_399, 86_399),
        (86_400, 86_400),
        (86_401, 86_400),
        (2_592_000, 86_400),
        (u32::MAX, 86_400),
    ] {
        let mut app = app("none");
        app.session_seconds = session;
        let claims = Claims::new(&permit(), &app, ISSUER, now());
        assert_eq!(claims.expires_at() - claims.issued_at(), lifetime, "{session}");
    }
}

#[test]
fn a_session_of_nothing_gives_an_assertion_of_a_minute() {
    let mut app = app("none");
    app.session_seconds = 0;
    let claims = Claims::new(&permit(), &app, ISSUER, now());
    assert_eq!(claims.expires_at() - claims.issued_at(), 60);
}
