use super::*;

const ID: &str = "f174e90a-fafe-4643-bbbc-4a0ed4fc8415";
const OTHER: &str = "699d98642c564d2e855e9661899b7252";

fn fresh() -> PolicyId {
    PolicyId::random([7; 16])
}

#[expect(clippy::needless_pass_by_value, reason = "tests hand over what they have just written")]
fn spec(body: Value) -> AppSpec {
    read(&body, &mut fresh).unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "tests hand over what they have just written")]
fn pointers(body: Value) -> Vec<String> {
    read(&body, &mut fresh).unwrap_err().into_iter().map(|error| error.pointer).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "tests hand over what they have just written")]
fn with(more: Value) -> Value {
    let mut body = json!({"type": "self_hosted", "domain": "app.example.com"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn each_of_the_three_address_fields_completes_the_others() {
    let public = |uri: &str| json!({"type": "public", "uri": uri});
    let private = json!({"type": "private", "hostname": "inside"});
    for (sent, domain, destinations, domains) in [
        (
            json!({"domain": "a.example/x"}),
            "a.example/x",
            json!([public("a.example/x")]),
            vec!["a.example/x"],
        ),
        (
            json!({"self_hosted_domains": ["b.example", "a.example"]}),
            "b.example",
            json!([public("b.example"), public("a.example")]),
            vec!["b.example", "a.example"],
        ),
        (
            json!({"destinations": [private, public("b.example"), public("a.example")]}),
            "b.example",
            json!([private, public("b.example"), public("a.example")]),
            vec!["b.example", "a.example"],
        ),
        (
            json!({"domain": "a.example", "destinations": [], "self_hosted_domains": []}),
            "a.example",
            json!([public("a.example")]),
            vec!["a.example"],
        ),
    ] {
        let mut body = sent.clone();
        body["type"] = json!("self_hosted");
        let spec = spec(body);
        let shown = Addresses::of(&spec.body);
        assert_eq!((shown.domain.as_str(), &shown.destinations), (domain, destinations.as_array().unwrap()));
        assert_eq!(shown.self_hosted_domains, domains, "{sent}");
        let mut protected: Vec<_> = spec.patterns.iter().map(Pattern::as_str).collect();
        let mut expected = domains.clone();
        protected.sort_unstable();
        expected.sort_unstable();
        assert_eq!(protected, expected);
        // The domain serves as a name.
        assert_eq!(spec.name.as_str(), domain);
    }
}

#[test]
fn what_any_address_field_names_is_protected() {
    let body = with(json!({
        "destinations": [{"type": "public", "uri": "b.example.com"}, {"uri": "App.example.com"}],
        "self_hosted_domains": ["c.example.com"],
    }));
    let patterns: Vec<_> = spec(body).patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect();
    assert_eq!(patterns, ["app.example.com", "b.example.com", "c.example.com"]);
}

#[test]
fn what_cannot_be_protected_is_refused_where_it_stands() {
    assert_eq!(pointers(json!({})), ["/type", "/domain"]);
    assert_eq!(pointers(json!({"type": "saas", "domain": "a.example"})), ["/type"]);
    assert_eq!(pointers(json!({"type": "self_hosted", "destinations": [{"type": "private"}]})), ["/domain"]);
    for (more, pointer) in [
        (json!({"domain": ""}), "/domain"),
        (json!({"destinations": [{"type": "public"}]}), "/destinations/0/uri"),
        (json!({"destinations": ["a.example"]}), "/destinations/0"),
        (json!({"self_hosted_domains": [1]}), "/self_hosted_domains/0"),
        (json!({"name": "\n"}), "/name"),
        (json!({"session_duration": "-1h"}), "/session_duration"),
        (json!({"session_duration": "soon"}), "/session_duration"),
        (json!({"service_auth_401_redirect": "yes"}), "/service_auth_401_redirect"),
        (json!({"read_service_tokens_from_header": "a b"}), "/read_service_tokens_from_header"),
        (
            json!({"read_service_tokens_from_header": "Cf-Access-Client-Id"}),
            "/read_service_tokens_from_header",
        ),
        (json!({"read_service_tokens_from_header": "HOST"}), "/read_service_tokens_from_header"),
        (
            json!({"policies": [{"id": ID, "precedence": 2_147_483_647}, {"id": "699d9864-2c56-4d2e-855e-9661899b7252"}]}),
            "/policies/1/precedence",
        ),
        (json!({"read_service_tokens_from_header": "X-Real-IP"}), "/read_service_tokens_from_header"),
        (json!({"policies": [5]}), "/policies/0"),
        (json!({"policies": ["x"]}), "/policies/0"),
        (json!({"policies": [OTHER]}), "/policies/0"),
        (json!({"policies": [{"id": ID}, {"id": ID}]}), "/policies/1"),
        (json!({"policies": [{"name": "n"}]}), "/policies/0/decision"),
        (
            json!({"policies": [{"id": ID, "precedence": 2}, {"name": "n", "decision": "deny", "precedence": 2}]}),
            "/policies/1/precedence",
        ),
    ] {
        assert_eq!(pointers(with(more.clone())), [pointer], "{more}");
    }
}

#[test]
fn an_assertion_is_good_for_a_day_at_most_and_never_for_nothing() {
    for (text, seconds) in
        [("24h", 86_400), ("720h", 86_400), ("90s", 90), ("0s", 0), ("1ms", 1), ("1500ms", 2), ("30m", 1800)]
    {
        let spec = spec(with(json!({"session_duration": text})));
        assert_eq!((spec.session_seconds, &spec.body["session_duration"]), (seconds, &json!(text)), "{text}");
    }
    assert_eq!(spec(with(json!({}))).session_seconds, 86_400);
}

#[test]
fn a_missing_precedence_is_the_one_before_plus_one() {
    let inline = |place: Option<u32>| json!({"name": "n", "decision": "deny", "precedence": place});
    let body = with(json!({"policies": [inline(Some(4)), inline(None), inline(Some(2)), {"id": ID}]}));
    let places: Vec<_> = spec(body).policies.unwrap().iter().map(|wanted| wanted.precedence).collect();
    assert_eq!(places, [2, 3, 4, 5]);
    assert_eq!(spec(with(json!({"policies": [ID]}))).policies.unwrap()[0].precedence, 1);
    assert_eq!(spec(with(json!({}))).policies, None);
    assert_eq!(spec(with(json!({"policies": null}))).policies, Some(Vec::new()));
}

#[test]
fn what_is_kept_reads_as_it_was_read() {
    let body = with(json!({
        "name": "n", "logo_url": "https://example.com/l.png", "cors_headers": {"allowed_origins": ["*"]}, "custom_deny_url": null,
        "aud": "mine", "policies": [], "read_service_tokens_from_header": "Authorization", "service_auth_401_redirect": true,
    }));
    let spec = spec(body);
    assert_eq!(spec.credential_header.as_deref(), Some("authorization"));
    assert!(spec.service_auth_401);
    assert!(!spec.body.contains_key("custom_deny_url") && !spec.body.contains_key("aud"));
    let again = read(&Value::Object(spec.body.clone()), &mut fresh).unwrap();
    assert_eq!(again, AppSpec { policies: None, ..spec });
}
