//! A table of headers and what they present, and what no header may bring about.

use super::*;
use proptest::prelude::*;

const ID: &str = "88bf3b6d86161464f6509f7219099e57.access";
const OTHER_ID: &str = "00000000000000000000000000000000.access";
const SECRET: &str = "cfast_EqN8f9vx3sKOSY4mwCMCbZYb02L4OvfAkacLAqTZ63a435a7";
const ID_NAME: &str = "cf-access-client-id";
const SECRET_NAME: &str = "cf-access-client-secret";

fn read(headers: &[(&str, &str)], single: Option<&str>) -> Presented {
    Presented::read(headers.iter().map(|(name, value)| (*name, value.as_bytes())), single)
}

/// What was presented, as a text that tests can compare.
fn shown(presented: &Presented) -> String {
    match presented {
        Presented::Nothing => "nothing".to_owned(),
        Presented::Malformed(kind) => format!("{kind:?}"),
        Presented::Credential(credential) => {
            format!("{} {}", credential.client_id, credential.secret.reveal())
        }
    }
}

fn json() -> String {
    format!(r#"{{"{ID_NAME}":"{ID}","{SECRET_NAME}":"{SECRET}"}}"#)
}

#[test]
fn the_pair_is_a_credential_whatever_stands_beside_it() {
    let expected = format!("{ID} {SECRET}");
    for headers in [
        &[(ID_NAME, ID), (SECRET_NAME, SECRET)][..],
        &[(SECRET_NAME, SECRET), (ID_NAME, ID)],
        &[(ID_NAME, " \t88bf3b6d86161464f6509f7219099e57.access "), (SECRET_NAME, SECRET)],
        &[("host", "a"), (ID_NAME, ID), ("accept", "*/*"), (SECRET_NAME, SECRET), ("host", "b")],
        &[(ID_NAME, ID), (SECRET_NAME, SECRET), ("authorization", "Bearer x")],
        &[("authorization", "Bearer x"), (ID_NAME, ID), (SECRET_NAME, SECRET), ("authorization", "Basic x")],
    ] {
        for single in [None, Some("authorization"), Some("x-other")] {
            assert_eq!(shown(&read(headers, single)), expected, "{headers:?} {single:?}");
        }
    }
    let suffixed = format!("{ID}.example.com");
    assert_eq!(
        shown(&read(&[(ID_NAME, &suffixed), (SECRET_NAME, "s")], None)),
        format!("{suffixed} s"),
        "any secret may have been issued elsewhere"
    );
}

#[test]
fn a_request_without_a_carrier_presents_nothing() {
    for headers in [
        &[][..],
        &[("authorization", "Bearer x")],
        &[("authorization", "Bearer x"), ("authorization", "Bearer y")],
        &[("authorization", "")],
        &[("authorization", "\"{}\"")],
        &[("authorization", "Bearer {\"cf-access-client-id\":1}")],
        &[("cookie", "CF_Authorization=eyJhbGciOi"), ("cf-access-token", "eyJhbGciOi")],
    ] {
        assert_eq!(shown(&read(headers, Some("authorization"))), "nothing", "{headers:?}");
    }
    let json = json();
    assert_eq!(shown(&read(&[("authorization", &json)], None)), "nothing");
    assert_eq!(shown(&read(&[("authorization", &json)], Some("x-credential"))), "nothing");
}

#[test]
fn what_could_be_several_credentials_is_none() {
    let json = json();
    let json = json.as_str();
    for (headers, kind) in [
        (&[(ID_NAME, ID)][..], "Incomplete"),
        (&[(SECRET_NAME, SECRET)], "Incomplete"),
        (&[(SECRET_NAME, SECRET), ("authorization", "Bearer x")], "Incomplete"),
        (&[(ID_NAME, ID), (ID_NAME, ID), (SECRET_NAME, SECRET)], "Duplicate"),
        (&[(ID_NAME, ID), (ID_NAME, OTHER_ID), (SECRET_NAME, SECRET)], "Duplicate"),
        (&[(ID_NAME, ID), (SECRET_NAME, SECRET), (SECRET_NAME, "")], "Duplicate"),
        (&[(ID_NAME, ID), (SECRET_NAME, SECRET), (ID_NAME, ID), (SECRET_NAME, SECRET)], "Duplicate"),
        (&[(ID_NAME, ID), (ID_NAME, ID)], "Duplicate"),
        (&[("authorization", json), ("authorization", json)], "Duplicate"),
        (&[("authorization", json), ("authorization", "Bearer x")], "Duplicate"),
        (&[("authorization", "Bearer x"), ("authorization", json)], "Duplicate"),
        (&[("authorization", json), (ID_NAME, ID), (SECRET_NAME, SECRET)], "Mixed"),
        (&[(ID_NAME, ID), (SECRET_NAME, SECRET), ("authorization", "{}")], "Mixed"),
        (&[("authorization", json), (ID_NAME, ID)], "Mixed"),
        (&[("authorization", json), (SECRET_NAME, "")], "Mixed"),
        (&[("authorization", "{\"cf-access-client-id\":\"x\"}")], "Incomplete"),
        (&[("authorization", "{}")], "Incomplete"),
    ] {
        assert_eq!(shown(&read(headers, Some("authorization"))), kind, "{headers:?}");
    }
}

#[test]
fn a_pair_of_which_a_half_has_no_form_is_malformed() {
    let (long_id, long_secret) = (format!("{ID}.{}", "a".repeat(300)), "s".repeat(257));
    for (id, secret, kind) in [
        ("", SECRET, "ClientId"),
        ("", "", "ClientId"),
        ("88BF3B6D86161464F6509F7219099E57.access", SECRET, "ClientId"),
        ("88bf3b6d86161464f6509f7219099e57", SECRET, "ClientId"),
        ("88bf3b6d86161464f6509f7219099e57.access, x", SECRET, "ClientId"),
        (&long_id, SECRET, "ClientId"),
        (ID, "", "Secret"),
        (ID, " \t", "Secret"),
        (ID, "a b", "Secret"),
        (ID, "a\tb", "Secret"),
        (ID, "a\0", "Secret"),
        (ID, "é", "Secret"),
        (ID, "\u{a0}s", "Secret"),
        (ID, &long_secret, "Secret"),
    ] {
        assert_eq!(shown(&read(&[(ID_NAME, id), (SECRET_NAME, secret)], None)), kind, "{id:?} {secret:?}");
    }
}

#[test]
fn the_single_header_holds_exactly_the_two_keys() {
    let expected = format!("{ID} {SECRET}");
    for value in [
        json(),
        format!(" \t{} ", json()),
        format!("{{ \"{SECRET_NAME}\" : \"{SECRET}\" ,\t\"{ID_NAME}\" : \"{ID}\" }}"),
    ] {
        let presented = read(&[("x-credential", &value)], Some("x-credential"));
        assert_eq!(shown(&presented), expected, "{value}");
    }
    let deep = format!("{{\"{ID_NAME}\":{}", "[".repeat(500));
    let wide = format!("{{{}}}", (0..100).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(","));
    let long = format!("{}{}", json(), " ".repeat(1_024)) + ".";
    let two = format!("{},{}", json(), json());
    for value in [
        r#"{"CF-Access-Client-Id":"x","CF-Access-Client-Secret":"y"}"#,
        r#"{"cf_access_client_id":"x","cf_access_client_secret":"y"}"#,
        r#"{"cf-access-client-id":"x","cf-access-client-secret":"y","z":1}"#,
        r#"{"cf-access-client-id":"x","cf-access-client-secret":"y","CF-Access-Client-Id":"x"}"#,
        r#"{"cf-access-client-id":"x","cf-access-client-id":"x","cf-access-client-secret":"y"}"#,
        r#"{"cf-access-client-id":"x","cf-access-client-secret":"y","cf-access-client-secret":"y"}"#,
        r#"{"cf-access-client-id":"x","cf\u002daccess-client-id":"x","cf-access-client-secret":"y"}"#,
        r#"{"cf-access-client-id":"x","cf-access-client-secret":"\u0079"}"#,
        r#"{"cf-access-client-id":1,"cf-access-client-secret":"y"}"#,
        r#"{"cf-access-client-id":["x"],"cf-access-client-secret":"y"}"#,
        r#"{"cf-access-client-id":{"a":"x"},"cf-access-client-secret":"y"}"#,
        r#"{"cf-access-client-id":"x","cf-access-client-secret":true}"#,
        r#"{"cf-access-client-id":"x","cf-access-client-secret":"y"} x"#,
        r#"{"cf-access-client-id":"x","cf-access-client-secret":"y",}"#,
        r#"{"cf-access-client-id":"x" "cf-access-client-secret":"y"}"#,
        r"{'cf-access-client-id':'x'}",
        "{",
        "{{}}",
        &deep,
        &wide,
        &long,
        &two,
    ] {
        let presented = read(&[("x-credential", value)], Some("x-credential"));
        assert_eq!(shown(&presented), "Json", "{value}");
    }
    for (value, kind) in [
        (format!(r#"{{"{ID_NAME}":null,"{SECRET_NAME}":"{SECRET}"}}"#), "Incomplete"),
        (format!(r#"{{"{ID_NAME}":"","{SECRET_NAME}":"{SECRET}"}}"#), "ClientId"),
        (format!(r#"{{"{ID_NAME}":" {ID}","{SECRET_NAME}":"{SECRET}"}}"#), "ClientId"),
        (format!(r#"{{"{ID_NAME}":"{ID}","{SECRET_NAME}":""}}"#), "Secret"),
    ] {
        assert_eq!(shown(&read(&[("x-credential", &value)], Some("x-credential"))), kind, "{value}");
    }
}

#[test]
fn a_name_of_the_pair_is_never_the_single_header() {
    let json = json();
    assert_eq!(shown(&read(&[(ID_NAME, &json)], Some(ID_NAME))), "Incomplete");
    assert_eq!(
        shown(&read(&[(ID_NAME, ID), (SECRET_NAME, SECRET)], Some(SECRET_NAME))),
        format!("{ID} {SECRET}")
    );
}

#[test]
fn underscores_dots_and_mixed_separators_spell_other_headers() {
    for separators in ["_", ".", "", "--", " ", "%2d"] {
        let (id, secret) = (ID_NAME.replace('-', separators), SECRET_NAME.replace('-', separators));
        let json = json();
        let alone = [(id.as_str(), ID), (secret.as_str(), SECRET), ("x_credential", &json)];
        assert_eq!(shown(&read(&alone, Some("x-credential"))), "nothing", "{id}");
        // Nor do they stand in for a half, or make a credential ambiguous.
        assert_eq!(shown(&read(&[(ID_NAME, ID), (&secret, SECRET)], None)), "Incomplete", "{secret}");
        let beside = [(ID_NAME, ID), (SECRET_NAME, SECRET), (&id, OTHER_ID), (&secret, "x")];
        assert_eq!(shown(&read(&beside, None)), format!("{ID} {SECRET}"), "{id}");
    }
    for (id, secret) in [
        ("cf-access_client-id", "cf-access-client_secret"),
        ("cf_access-client.id", "cf.access-client-secret"),
        ("cf-access-client-id ", " cf-access-client-secret"),
    ] {
        assert_eq!(shown(&read(&[(id, ID), (secret, SECRET)], None)), "nothing", "{id}");
    }
}

#[test]
fn a_header_that_cannot_be_read_never_becomes_a_credential_or_nothing() {
    for byte in (0..b' ').chain(0x7F..=0xFF).filter(|byte| *byte != b'\t') {
        let with = |text: &str| [text.as_bytes(), &[byte]].concat();
        let (id, secret) = (with(ID), with(SECRET));
        let (good_id, good_secret) = (ID.as_bytes(), SECRET.as_bytes());
        for (id, secret) in [(&id[..], good_secret), (good_id, &secret[..])] {
            let presented = Presented::read([(ID_NAME, id), (SECRET_NAME, secret)].into_iter(), None);
            assert!(matches!(presented, Presented::Malformed(_)), "{byte:#x}");
        }
        let mut json = json().into_bytes();
        json.insert(30, byte);
        let presented = Presented::read([("x", &json[..])].into_iter(), Some("x"));
        assert!(matches!(presented, Presented::Malformed(_)), "{byte:#x}");
    }
}

#[test]
fn what_was_presented_is_not_shown() {
    let presented = read(&[(ID_NAME, ID), (SECRET_NAME, "canary")], None);
    assert!(!format!("{presented:?}").contains("canary"));
    let kind = read(&[(ID_NAME, "canary"), (SECRET_NAME, "canary")], None);
    assert!(!format!("{kind:?}").contains("canary"));
}

proptest! {
    #[test]
    fn no_second_header_turns_a_refusal_into_a_credential(
        headers in proptest::collection::vec(
            (
                proptest::sample::select(vec![ID_NAME, SECRET_NAME, "x-credential", "x_credential", "host"]),
                proptest::sample::select(vec![ID.to_owned(), SECRET.to_owned(), json(), String::new(), "{".into()]),
            ),
            0..6,
        ),
        again: proptest::sample::Index,
    ) {
        let read = |headers: &[(&str, String)]| {
            let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
            Presented::read(headers, Some("x-credential"))
        };
        let before = read(&headers);
        if headers.is_empty() {
            return Ok(());
        }
        let mut more = headers.clone();
        more.push(headers[again.index(headers.len())].clone());
        let after = read(&more);
        if !matches!(before, Presented::Credential(_)) {
            prop_assert!(!matches!(after, Presented::Credential(_)), "{headers:?} {more:?}");
        }
        // The order of headers with different names makes no difference to whether there is one.
        more.reverse();
        prop_assert_eq!(std::mem::discriminant(&read(&more)), std::mem::discriminant(&after));
    }
}
