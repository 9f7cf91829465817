//! The rules of the service token: a table of facts, then the properties that must hold for any sequence of changes.

use super::*;
use proptest::prelude::*;

const NOW: &str = "2026-06-01T12:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn later(time: Timestamp, micros: i64) -> Timestamp {
    time.checked_add_micros(micros).unwrap()
}

fn spec(duration: &str) -> ServiceTokenSpec {
    ServiceTokenSpec {
        name: Name::parse("CI/CD token").unwrap(),
        validity: Validity::parse(duration).unwrap(),
        enabled: true,
        secret_version: 1,
        previous_secret_expires_at: None,
    }
}

fn token_of(spec: ServiceTokenSpec) -> ServiceToken {
    let new = NewServiceToken {
        id: ServiceTokenId::from_bytes([1; 16]),
        account_id: AccountId::from_bytes([2; 16]),
        zone_id: None,
        client_id: ClientId::random([3; 16]),
        spec,
    };
    ServiceToken::issue(new, at(NOW)).unwrap()
}

fn token(duration: &str) -> ServiceToken {
    token_of(spec(duration))
}

fn imported(duration: &str, expires_at: Option<&str>) -> Result<ServiceToken, InvalidImport> {
    let new = NewServiceToken {
        id: ServiceTokenId::from_bytes([1; 16]),
        account_id: AccountId::from_bytes([2; 16]),
        zone_id: None,
        client_id: "88bf3b6d86161464f6509f7219099e57.access.example.com".parse().unwrap(),
        spec: spec(duration),
    };
    ServiceToken::import(new, expires_at.map(at), at(NOW))
}

#[test]
fn an_imported_token_keeps_its_client_id_and_its_expiry() {
    let token = imported("8760h", Some("2026-07-01T00:00:00Z")).unwrap();
    assert_eq!(token.client_id.as_str(), "88bf3b6d86161464f6509f7219099e57.access.example.com");
    assert_eq!(token.expires_at, Some(at("2026-07-01T00:00:00Z")));
    assert_eq!((token.secret_version, token.rotated_at, token.created_at), (1, None, at(NOW)));
    // Without a date, its time starts now, as that of any new token.
    assert_eq!(imported("1h", None).unwrap().expires_at, Some(at("2026-06-01T13:00:00Z")));
    assert_eq!(imported("forever", None).unwrap().expires_at, None);
}

#[test]
fn an_import_may_be_expired_already_and_comes_back_by_a_refresh() {
    let token = imported("1h", Some("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(token.standing(at(NOW)), Standing::Expired);
    assert_eq!(refresh(&token, NOW).standing(at(NOW)), Standing::Live);
}

#[test]
fn forever_and_a_date_contradict_each_other_unless_the_date_means_never() {
    assert_eq!(imported("forever", Some("2027-01-01T00:00:00Z")), Err(InvalidImport::ForeverExpires));
    assert_eq!(imported("forever", Some("2999-12-31T23:59:59Z")).unwrap().expires_at, None);
}

fn edit(token: &ServiceToken, edit: Edit, now: &str) -> (ServiceToken, SecretChange) {
    token.apply(&TokenChange::Edit(edit), at(now)).unwrap()
}

fn rotate(
    token: &ServiceToken,
    until: Option<&str>,
    attempt: Attempt,
    now: &str,
) -> (ServiceToken, SecretChange) {
    token.apply(&TokenChange::Rotate { previous_until: until.map(at), attempt }, at(now)).unwrap()
}

fn refresh(token: &ServiceToken, now: &str) -> ServiceToken {
    let (token, secret) = token.apply(&TokenChange::Refresh, at(now)).unwrap();
    assert_eq!(secret, SecretChange::Keep);
    token
}

#[test]
fn refresh_counts_from_now() {
    let token = refresh(&token("60m"), "2026-06-01T12:30:00Z");
    assert_eq!(token.expires_at, Some(at("2026-06-01T13:30:00Z")));
    assert_eq!(token.updated_at, at("2026-06-01T12:30:00Z"));
}

#[test]
fn refresh_never_shortens() {
    let long = token("8760h");
    let before = long.expires_at;
    // The clock went back by a day.
    assert_eq!(refresh(&long, "2026-05-31T12:00:00Z").expires_at, before);
}

#[test]
fn refresh_revives_an_expired_token_around_the_boundary() {
    for now in
        ["2026-06-01T12:59:59Z", "2026-06-01T13:00:00Z", "2026-06-01T13:00:01Z", "2027-06-01T13:00:01Z"]
    {
        let token = refresh(&token("60m"), now);
        assert_eq!(token.standing(at(now)), Standing::Live);
        assert_eq!(token.expires_at, Some(later(at(now), 3_600_000_000)));
    }
}

#[test]
fn refresh_extends_a_disabled_token_and_leaves_it_disabled() {
    let (disabled, _) = edit(&token("60m"), Edit { enabled: Some(false), ..Edit::default() }, NOW);
    let token = refresh(&disabled, "2026-06-02T12:00:00Z");
    assert_eq!(token.expires_at, Some(at("2026-06-02T13:00:00Z")));
    assert_eq!(token.standing(at("2026-06-02T12:00:00Z")), Standing::Disabled);
}

#[test]
fn forever_stays_forever() {
    let token = refresh(&token("forever"), "2026-06-02T12:00:00Z");
    assert_eq!(token.expires_at, None);
    assert_eq!(token.standing(at("2990-01-01T00:00:00Z")), Standing::Live);
}

#[test]
fn a_token_expires_at_its_expiry_and_not_a_microsecond_before() {
    let token = token("60m");
    let expiry = token.expires_at.unwrap();
    assert_eq!(token.standing(later(expiry, -1)), Standing::Live);
    assert_eq!(token.standing(expiry), Standing::Expired);
    assert_eq!(token.standing(later(expiry, 1)), Standing::Expired);
}

#[test]
fn an_edit_without_effect_changes_nothing_not_even_the_time_of_change() {
    let token = token("60m");
    let same = Edit {
        name: Some(token.name.clone()),
        validity: Some(token.validity.clone()),
        enabled: Some(true),
        secret_version: Some(1),
        previous_secret_expires_at: Patch::Clear,
    };
    for no_effect in [Edit::default(), same, Edit { secret_version: Some(0), ..Edit::default() }] {
        assert_eq!(edit(&token, no_effect, "2026-06-01T12:10:00Z"), (token.clone(), SecretChange::Keep));
    }
}

#[test]
fn only_a_changed_duration_counts_from_now() {
    let later = "2026-06-01T12:10:00Z";
    let to = |duration: &str| Edit { validity: Some(Validity::parse(duration).unwrap()), ..Edit::default() };
    let (longer, _) = edit(&token("60m"), to("120m"), later);
    assert_eq!(longer.expires_at, Some(at("2026-06-01T14:10:00Z")));
    let (shorter, _) = edit(&token("60m"), to("1m"), later);
    assert_eq!(shorter.expires_at, Some(at("2026-06-01T12:11:00Z")));
    let (respelled, _) = edit(&token("60m"), to("1h"), later);
    assert_eq!((respelled.validity.as_str(), respelled.expires_at), ("1h", Some(at("2026-06-01T13:00:00Z"))));
    let (forever, _) = edit(&token("60m"), to("forever"), later);
    assert_eq!(forever.expires_at, None);
    let (back, _) = edit(&forever, to("8760h"), later);
    assert_eq!(back.expires_at, Some(at("2027-06-01T12:10:00Z")));
}

#[test]
fn rotation_without_grace_kills_the_old_secret_at_once() {
    let now = "2026-06-01T12:10:00.7Z";
    let (token, secret) = rotate(&token("60m"), None, Attempt::First, now);
    assert_eq!(secret, SecretChange::Replace);
    assert_eq!(token.secret_version, 2);
    assert_eq!(token.previous_secret_expires_at, Some(at("2026-06-01T12:10:00Z")));
    assert!(!token.previous_secret_lives(at(now)));
    assert_eq!(token.expires_at, Some(at("2026-06-01T13:00:00Z")));
}

#[test]
fn grace_ends_at_its_date_and_not_a_microsecond_before() {
    let (token, _) = rotate(&token("60m"), Some("2026-06-02T00:00:00Z"), Attempt::First, NOW);
    assert!(token.previous_secret_lives(at("2026-06-01T23:59:59.999999Z")));
    assert!(!token.previous_secret_lives(at("2026-06-02T00:00:00Z")));
}

#[test]
fn grace_moves_both_ways_while_the_previous_secret_lives() {
    let (token, _) = rotate(&token("60m"), Some("2026-06-02T00:00:00Z"), Attempt::First, NOW);
    let to = |date: &str| Edit { previous_secret_expires_at: Patch::Set(at(date)), ..Edit::default() };
    let (longer, secret) = edit(&token, to("2026-07-01T00:00:00Z"), NOW);
    assert_eq!(secret, SecretChange::Keep);
    assert!(longer.previous_secret_lives(at("2026-06-30T00:00:00Z")));
    let (killed, _) = edit(&longer, to("2023-01-01T00:00:00Z"), NOW);
    assert!(!killed.previous_secret_lives(at(NOW)));
    assert_eq!(killed.previous_secret_expires_at, Some(at("2023-01-01T00:00:00Z")));
}

#[test]
fn a_dead_secret_stays_dead_whatever_date_is_shown() {
    let future =
        Edit { previous_secret_expires_at: Patch::Set(at("2030-01-01T00:00:00Z")), ..Edit::default() };
    let (rotated, _) = rotate(&token("60m"), None, Attempt::First, NOW);
    let (over, _) = rotate(&token("60m"), Some("2026-06-01T12:05:00Z"), Attempt::First, NOW);
    for dead in [rotated, over, token("60m")] {
        let (token, _) = edit(&dead, future.clone(), "2026-06-01T12:10:00Z");
        assert_eq!(token.previous_secret_expires_at, Some(at("2030-01-01T00:00:00Z")));
        assert!(!token.previous_secret_lives(at("2026-06-01T12:10:00Z")));
    }
}

#[test]
fn null_clears_the_shown_date_only_when_no_previous_secret_lives() {
    let clear = Edit { previous_secret_expires_at: Patch::Clear, ..Edit::default() };
    let (live, _) = rotate(&token("60m"), Some("2026-06-02T00:00:00Z"), Attempt::First, NOW);
    assert_eq!(edit(&live, clear.clone(), NOW).0, live);
    let (cleared, _) = edit(&live, clear, "2026-06-03T00:00:00Z");
    assert_eq!(cleared.previous_secret_expires_at, None);
}

#[test]
fn a_higher_version_rotates_once_and_takes_that_number() {
    let to = |version| Edit { secret_version: Some(version), ..Edit::default() };
    let (token, secret) = edit(&token("60m"), to(5), NOW);
    assert_eq!((token.secret_version, secret), (5, SecretChange::Replace));
    for version in [0, 1, 4, 5] {
        let (same, secret) = edit(&token, to(version), "2026-06-01T12:10:00Z");
        assert_eq!((same, secret), (token.clone(), SecretChange::Keep));
    }
}

#[test]
fn a_stored_grace_date_is_no_grace_for_the_next_secret() {
    let (token, _) = rotate(&token("60m"), Some("2026-07-01T00:00:00Z"), Attempt::First, NOW);
    let (token, _) =
        edit(&token, Edit { secret_version: Some(3), ..Edit::default() }, "2026-06-01T12:10:00Z");
    assert!(!token.previous_secret_lives(at("2026-06-01T12:10:00Z")));
}

#[test]
fn name_duration_version_grace_and_enabled_change_together() {
    let all = Edit {
        name: Some(Name::parse("renamed").unwrap()),
        validity: Some(Validity::parse("2h").unwrap()),
        enabled: Some(false),
        secret_version: Some(2),
        previous_secret_expires_at: Patch::Set(at("2026-06-02T00:00:00Z")),
    };
    let (token, secret) = edit(&token("60m"), all, NOW);
    assert_eq!(secret, SecretChange::Replace);
    assert_eq!((token.name.as_str(), token.enabled, token.secret_version), ("renamed", false, 2));
    assert_eq!(token.expires_at, Some(at("2026-06-01T14:00:00Z")));
    assert!(token.previous_secret_lives(at(NOW)));
}

#[test]
fn a_retried_rotation_leaves_the_previous_secret_and_its_grace_alone() {
    let grace = Some("2026-06-02T00:00:00Z");
    let (first, _) = rotate(&token("60m"), grace, Attempt::First, NOW);
    let (second, secret) = rotate(&first, None, Attempt::Retry, "2026-06-01T12:00:59.999999Z");
    assert_eq!((second.secret_version, secret), (3, SecretChange::ReplaceCurrentOnly));
    assert_eq!(second.previous_secret_until, first.previous_secret_until);
    assert_eq!(second.previous_secret_expires_at, first.previous_secret_expires_at);
    // Beyond a minute, or without the word of the client, it is a rotation like any other.
    let (late, secret) = rotate(&first, None, Attempt::Retry, "2026-06-01T12:01:00Z");
    assert_eq!(
        (late.previous_secret_lives(at("2026-06-01T12:01:00Z")), secret),
        (false, SecretChange::Replace)
    );
    let (again, secret) = rotate(&first, None, Attempt::First, "2026-06-01T12:00:10Z");
    assert_eq!(
        (again.previous_secret_lives(at("2026-06-01T12:00:10Z")), secret),
        (false, SecretChange::Replace)
    );
    // A retry whose first attempt never arrived rotates like any other.
    let (_, secret) = rotate(&token("60m"), None, Attempt::Retry, NOW);
    assert_eq!(secret, SecretChange::Replace);
}

#[test]
fn the_highest_version_cannot_be_rotated_past() {
    let highest = token_of(ServiceTokenSpec { secret_version: MAX_SECRET_VERSION, ..spec("60m") });
    let change = TokenChange::Rotate { previous_until: None, attempt: Attempt::First };
    assert_eq!(highest.apply(&change, at(NOW)), Err(Invalid::SecretVersion));
}

#[test]
fn a_name_is_kept_as_sent_and_judged_by_characters() {
    for good in ["a", " padded ", &"é".repeat(350), "CI/CD token", "🎫"] {
        assert_eq!(Name::parse(good).unwrap().as_str(), good);
    }
    assert_eq!(Name::parse(""), Err(InvalidName::Empty));
    assert_eq!(Name::parse(" \u{2003}"), Err(InvalidName::Empty));
    assert_eq!(Name::parse(&"é".repeat(351)), Err(InvalidName::TooLong));
    assert_eq!(Name::parse("a\u{0}b"), Err(InvalidName::Control));
    assert_eq!(Name::parse("a\u{85}b"), Err(InvalidName::Control));
}

#[test]
fn folding_a_part_gives_a_part_of_the_folded_whole() {
    for (whole, part) in [("ΟΔΟΣ", "Σ"), ("ΟΔΟΣΑ", "ΟΔΟΣ"), ("İstanbul", "STAN"), ("Straße", "SSE")]
    {
        let found = fold_case(whole).contains(&fold_case(part));
        assert_eq!(found, part != "SSE", "{whole} {part}");
    }
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    (-100_000_000_i64..100_000_000).prop_map(|seconds| later(at(NOW), seconds * 500_000))
}

fn any_edit() -> impl Strategy<Value = Edit> {
    let grace = prop_oneof![Just(Patch::Keep), Just(Patch::Clear), any_time().prop_map(Patch::Set)];
    let validity = prop_oneof![Just("60m"), Just("1h"), Just("8760h"), Just("forever"), Just("300ms")]
        .prop_map(|text| Validity::parse(text).unwrap());
    let name = "[a-z]{1,8}".prop_map(|text| Name::parse(&text).unwrap());
    (
        prop::option::of(name),
        prop::option::of(validity),
        prop::option::of(any::<bool>()),
        prop::option::of(0_u32..4),
        grace,
    )
        .prop_map(|(name, validity, enabled, secret_version, previous_secret_expires_at)| Edit {
            name,
            validity,
            enabled,
            secret_version,
            previous_secret_expires_at,
        })
}

fn any_change() -> impl Strategy<Value = TokenChange> {
    let attempt = prop_oneof![Just(Attempt::First), Just(Attempt::Retry)];
    prop_oneof![
        any_edit().prop_map(TokenChange::Edit),
        Just(TokenChange::Refresh),
        (prop::option::of(any_time()), attempt)
            .prop_map(|(previous_until, attempt)| TokenChange::Rotate { previous_until, attempt }),
    ]
}

/// The two digest slots, as the store keeps them; every new secret is a new number.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Slots {
    current: u32,
    previous: Option<u32>,
}

proptest! {
    #[test]
    fn digests_change_only_where_the_version_rises(changes in prop::collection::vec((any_change(), any_time()), 1..40)) {
        let mut token = token("60m");
        let mut slots = Slots { current: 0, previous: None };
        for (minted, (change, now)) in (1..).zip(changes) {
            let before = (token.clone(), slots);
            let (after, secret) = token.apply(&change, now).unwrap();
            slots = match secret {
                SecretChange::Keep => slots,
                SecretChange::Replace => Slots { current: minted, previous: Some(slots.current) },
                SecretChange::ReplaceCurrentOnly => Slots { current: minted, ..slots },
            };
            prop_assert_eq!(after.secret_version > before.0.secret_version, secret != SecretChange::Keep);
            prop_assert!(after.secret_version >= before.0.secret_version);
            let rotates = match &change {
                TokenChange::Rotate { .. } => true,
                TokenChange::Refresh => false,
                TokenChange::Edit(edit) => edit.secret_version.is_some_and(|version| version > before.0.secret_version),
            };
            prop_assert_eq!(rotates, secret != SecretChange::Keep);
            prop_assert_eq!(slots == before.1, !rotates);
            // What never changes.
            prop_assert_eq!((after.id, after.account_id, &after.client_id, after.created_at), (before.0.id, before.0.account_id, &before.0.client_id, before.0.created_at));
            // A secret that is dead comes to life only by a rotation that makes another one previous.
            if !before.0.previous_secret_lives(now) && secret == SecretChange::Keep {
                prop_assert!(!after.previous_secret_lives(now));
            }
            token = after;
        }
    }

    #[test]
    fn refresh_touches_expiry_and_time_of_change_alone(changes in prop::collection::vec((any_change(), any_time()), 0..10), now in any_time()) {
        let mut token = token("60m");
        for (change, now) in changes {
            token = token.apply(&change, now).unwrap().0;
        }
        let (after, _) = token.clone().apply(&TokenChange::Refresh, now).unwrap();
        prop_assert_eq!(after.expires_at.is_none(), token.validity == Validity::Forever);
        prop_assert!(after.expires_at.is_none_or(|expiry| expiry > now && Some(expiry) >= token.expires_at));
        prop_assert_eq!(ServiceToken { expires_at: token.expires_at, updated_at: token.updated_at, ..after }, token);
    }
}
