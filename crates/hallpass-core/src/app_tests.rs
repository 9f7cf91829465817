//! Tables of patterns and what they cover, the order among them, and the index against a scan that knows no shortcuts.

use super::*;
use proptest::prelude::*;
use proptest::sample::select;

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

/// A request for `host/path`.
fn request(url: &str) -> CanonicalRequest {
    let (host, path) = url.split_at(url.find('/').unwrap());
    CanonicalRequest::new(host.as_bytes(), path.as_bytes(), "192.0.2.1".parse().unwrap()).unwrap()
}

fn app(number: u8, patterns: &[Pattern]) -> Arc<App> {
    Arc::new(App {
        id: AppId::from_bytes([number; 16]),
        account_id: AccountId::from_bytes([1; 16]),
        zone_id: None,
        name: Name::parse("app").unwrap(),
        aud: Audience::random([number; 32]),
        patterns: patterns.to_vec(),
        session_seconds: 86_400,
        credential_header: None,
        service_auth_401: false,
        revoked_before: None,
        policies: Vec::new(),
        body: Map::new(),
        created_at: "2026-06-01T12:00:00Z".parse().unwrap(),
        updated_at: "2026-06-01T12:00:00Z".parse().unwrap(),
    })
}

/// The patterns, one application for each; then the one that a request is for, as the text of its pattern.
fn found(patterns: &[&str], url: &str) -> Option<String> {
    let apps = (1..).zip(patterns).map(|(number, text)| app(number, &[pattern(text)]));
    AppIndex::new(apps).find(&request(url)).map(|app| app.patterns[0].to_string())
}

#[test]
fn a_pattern_has_one_spelling() {
    for (text, canonical) in [
        ("example.com", "example.com"),
        ("example.com/", "example.com"),
        ("example.com/*", "example.com"),
        ("EXAMPLE.com.", "example.com"),
        ("example.com./Alpha", "example.com/Alpha"),
        ("example.com/alpha", "example.com/alpha"),
        ("example.com/alpha/", "example.com/alpha/*"),
        ("example.com/alpha/*", "example.com/alpha/*"),
        ("example.com/alpha*", "example.com/alpha*"),
        ("example.com/foo*/bar", "example.com/foo*/bar"),
        ("example.com/*/", "example.com/*/*"),
        ("example.com/%61lph%61", "example.com/alpha"),
        ("example.com/%40a", "example.com/@a"),
        ("example.com/a%20b", "example.com/a%20b"),
        ("example.com/%c3%a9", "example.com/%C3%A9"),
        ("*.Example.com", "*.example.com"),
        ("*test.example.com", "*test.example.com"),
        ("test*.example.com/x", "test*.example.com/x"),
        ("a*b.*.example.com", "a*b.*.example.com"),
        ("*", "*"),
        ("localhost", "localhost"),
        ("192.0.2.1/x", "192.0.2.1/x"),
        ("[2001:DB8::1]/x", "[2001:db8::1]/x"),
    ] {
        let parsed = pattern(text);
        assert_eq!(parsed.as_str(), canonical, "{text}");
        assert_eq!(format!("{}{}", parsed.host(), parsed.path()), canonical, "{text}");
    }
}

#[test]
fn what_is_no_pattern_is_told_why() {
    use InvalidPattern::{
        EscapedWildcard, HostWildcard, PathWildcard, Port, Query, Scheme, TooLong, Unmatchable,
    };
    let long = format!("example.com/{}", "a".repeat(1_024));
    for (text, rule) in [
        ("https://example.com", Scheme),
        ("HTTP://example.com/x", Scheme),
        ("example.com:443", Port),
        ("example.com:443/x", Port),
        ("[::1]:443/x", Port),
        ("example.com/x?y", Query),
        ("example.com?y", Query),
        ("example.com/x#y", Query),
        ("**.example.com", HostWildcard),
        ("a*b*c.example.com", HostWildcard),
        ("example.com/**", PathWildcard),
        ("example.com/a*b*c", PathWildcard),
        ("example.com/x%2a", EscapedWildcard),
        ("example.com/x%2A", EscapedWildcard),
        (&long, TooLong),
        ("", Unmatchable(Ambiguous::NoHost)),
        ("/x", Unmatchable(Ambiguous::NoHost)),
        (".", Unmatchable(Ambiguous::NoHost)),
        (" example.com", Unmatchable(Ambiguous::HostCharacter)),
        ("user@example.com", Unmatchable(Ambiguous::HostCharacter)),
        ("münchen.de", Unmatchable(Ambiguous::HostCharacter)),
        ("a..b", Unmatchable(Ambiguous::HostLabel)),
        ("*.0.0.1", Unmatchable(Ambiguous::HostAddress)),
        ("[::1", Unmatchable(Ambiguous::HostAddress)),
        ("[::*]", Unmatchable(Ambiguous::HostAddress)),
        ("example.com//x", Unmatchable(Ambiguous::EmptySegment)),
        ("example.com/../x", Unmatchable(Ambiguous::DotSegment)),
        ("example.com/%2e", Unmatchable(Ambiguous::DotSegment)),
        ("example.com/a%2fb", Unmatchable(Ambiguous::EscapedDelimiter)),
        ("example.com/a;b", Unmatchable(Ambiguous::PathParameter)),
        ("example.com/a b", Unmatchable(Ambiguous::Character)),
        ("example.com/é", Unmatchable(Ambiguous::Character)),
        ("example.com/%", Unmatchable(Ambiguous::Escape)),
        ("example.com/%252e", Unmatchable(Ambiguous::DoubleEscape)),
    ] {
        assert_eq!(Pattern::parse(text), Err(rule), "{text}");
        assert!(!rule.to_string().is_empty());
    }
    assert_eq!(
        Pattern::parse("example.com/a;b").unwrap_err().to_string(),
        "must be a host with an optional path, such as example.com/path: a path has no parameters behind a semicolon"
    );
}

#[test]
fn a_pattern_covers_what_its_page_says() {
    for (text, covered, others) in [
        (
            "example.com",
            &["example.com/", "example.com/x/y", "EXAMPLE.com:80/"][..],
            &["a.example.com/", "example.org/", "xample.com/"][..],
        ),
        (
            "*.example.com",
            &["a.example.com/", "a-b.example.com/x"],
            &["example.com/", "foo.bar.example.com/", "aexample.com/"],
        ),
        (
            "*test.example.com",
            &["test.example.com/", "alphatest.example.com/", "testtest.example.com/"],
            &["beta.test.example.com/", "tes.example.com/", "test1.example.com/"],
        ),
        ("test*.example.com", &["test.example.com/", "test1.example.com/"], &["1test.example.com/"]),
        ("a*a.example.com", &["aa.example.com/", "aba.example.com/"], &["a.example.com/", "ab.example.com/"]),
        ("*.*.com", &["a.b.com/"], &["b.com/", "a.b.c.com/"]),
        ("app.*", &["app.com/", "app.internal/"], &["app/", "app.example.com/"]),
        ("*", &["localhost/", "a/x"], &["a.b/", "[::1]/"]),
        ("*.*.*.*", &["a.b.c.d/", "192.0.2.1/"], &["[::ffff:192.0.2.1]/"]),
        ("[::1]", &["[::1]/", "[0:0:0:0:0:0:0:1]:80/x"], &["[::2]/"]),
        (
            "example.com/alpha",
            &["example.com/alpha", "example.com/alpha/", "example.com/alpha/x", "example.com/%61lpha?x"],
            &["example.com/", "example.com/alphabet", "example.com/Alpha", "example.com/x/alpha"],
        ),
        (
            "example.com/alpha/*",
            &["example.com/alpha/", "example.com/alpha/x", "example.com/alpha/x/y"],
            &["example.com/alpha", "example.com/alphabet"],
        ),
        (
            "example.com/alpha*",
            &["example.com/alpha", "example.com/alphabet", "example.com/alpha/x"],
            &["example.com/alph"],
        ),
        (
            "example.com/foo*/bar",
            &[
                "example.com/foo/bar",
                "example.com/food/bar",
                "example.com/food/stuff/bar",
                "example.com/foo/bar/x",
                "example.com/foo/barn/bar",
            ],
            &["example.com/foo", "example.com/foobar", "example.com/foo/barn", "example.com/fo/bar"],
        ),
        (
            "example.com/*/b/*/d",
            &["example.com/a/b/c/d", "example.com/a/b/b/c/d/e"],
            &["example.com/a/b/d", "example.com/b/c/d", "example.com/a/b/c/dd"],
        ),
        ("example.com/*.css", &["example.com/a.css", "example.com/a/b.css"], &["example.com/a.cssx"]),
        (
            "example.com/*ab",
            &["example.com/ab", "example.com/abab", "example.com/abc/ab"],
            &["example.com/abc"],
        ),
        (
            "example.com/*aa",
            &["example.com/aa", "example.com/aaa", "example.com/aaa/x"],
            &["example.com/a/a"],
        ),
        ("example.com/*/a/a", &["example.com/b/a/a", "example.com/a/a/a"], &["example.com/a/a"]),
        ("example.com/a%20b", &["example.com/a%20b"], &["example.com/a+b"]),
    ] {
        for url in covered {
            assert!(pattern(text).covers(&request(url)), "{text} covers {url}");
            assert_eq!(found(&[text], url).as_deref(), Some(pattern(text).as_str()), "{text} {url}");
        }
        for url in others {
            assert!(!pattern(text).covers(&request(url)), "{text} does not cover {url}");
            assert_eq!(found(&[text], url), None, "{text} {url}");
        }
    }
}

#[test]
fn the_most_specific_application_is_found() {
    let all = [
        "*.com",
        "*.example.com",
        "*app.example.com",
        "*.example.com/admin",
        "app.*.com",
        "app.example.com",
        "app.example.com/admin",
        "app.example.com/admin*",
        "app.example.com/admin/*",
        "app.example.com/*/keys",
        "app.example.com/admin/keys/old",
        "example.com/only",
    ];
    for (url, winner) in [
        ("example.com/", Some("*.com")),
        ("example.com/only", Some("example.com/only")),
        ("x.example.com/", Some("*.example.com")),
        ("x.example.com/admin", Some("*.example.com/admin")),
        ("myapp.example.com/admin", Some("*app.example.com")),
        ("app.other.com/admin", Some("app.*.com")),
        // A host without a wildcard wins, whatever the path.
        ("app.example.com/", Some("app.example.com")),
        ("app.example.com/administrator", Some("app.example.com/admin*")),
        ("app.example.com/admin", Some("app.example.com/admin")),
        ("app.example.com/admin/", Some("app.example.com/admin/*")),
        ("app.example.com/admin/keys", Some("app.example.com/admin/*")),
        ("app.example.com/other/keys", Some("app.example.com/*/keys")),
        ("app.example.com/admin/keys/old/x", Some("app.example.com/admin/keys/old")),
        ("a.b.example.com/", None),
        ("example.org/", None),
        ("localhost/", None),
    ] {
        assert_eq!(found(&all, url).as_deref(), winner, "{url}");
        let mut reversed = all;
        reversed.reverse();
        assert_eq!(found(&reversed, url).as_deref(), winner, "{url}");
    }
}

#[test]
fn what_an_exact_host_does_not_cover_is_left_to_the_wildcard() {
    let both = ["*.example.com", "app.example.com/admin"];
    assert_eq!(found(&both, "app.example.com/admin/x").as_deref(), Some("app.example.com/admin"));
    assert_eq!(found(&both, "app.example.com/x").as_deref(), Some("*.example.com"));
}

#[test]
fn one_application_may_have_many_patterns_and_two_may_claim_one() {
    let (first, second) = (pattern("a.example.com"), pattern("b.example.com/x"));
    let index = AppIndex::new([app(2, &[first.clone(), second.clone()]), app(1, &[first, second])]);
    for url in ["a.example.com/", "b.example.com/x"] {
        assert_eq!(index.find(&request(url)).unwrap().id, AppId::from_bytes([1; 16]), "{url}");
    }
    assert!(index.find(&request("b.example.com/")).is_none());
    assert_eq!(index.apps().count(), 2);
    assert!(AppIndex::default().find(&request("a/")).is_none());
}

#[test]
fn no_spelling_of_a_protected_path_falls_to_a_broader_application() {
    let both = ["example.com", "example.com/@admin"];
    let judged = |target: &str| {
        let request =
            CanonicalRequest::new(b"Example.com.", target.as_bytes(), "192.0.2.1".parse().unwrap()).ok()?;
        let apps = (1..).zip(&both).map(|(number, text)| app(number, &[pattern(text)]));
        AppIndex::new(apps).find(&request).map(|app| app.patterns[0].to_string())
    };
    for target in
        ["/@admin", "/%40admin", "/@%61dmin", "/@admin/", "/@admin/x?y", "/%40%61%64%6d%69%6E?/public"]
    {
        assert_eq!(judged(target).as_deref(), Some("example.com/@admin"), "{target}");
    }
    for target in [
        "/x/../@admin",
        "/./@admin",
        "//@admin",
        "/@admin;x",
        "/@admin%3bx",
        "/@admin%23",
        "/@admin%3f",
        "/x%2f..%2f@admin",
        "/%2540admin",
        "/@admin\\x",
        "/@admin%5cx",
        "/@admin%00",
        "/@admin#",
        "/@admin%2f",
    ] {
        assert_eq!(judged(target), None, "{target}");
    }
}

#[test]
fn a_star_that_was_sent_is_a_letter_and_no_wildcard() {
    for target in ["example.com/*", "example.com/%2A", "example.com/pub*"] {
        assert_eq!(found(&["example.com/public"], target), None, "{target}");
        assert_eq!(found(&["example.com/*"], target).as_deref(), Some("example.com"), "{target}");
    }
    assert!(pattern("example.com/p*c").covers(&request("example.com/p%2ac")));
}

#[test]
fn a_host_of_very_many_labels_is_looked_up_no_deeper_than_the_patterns_go() {
    let host = ["a"; 127].join(".");
    assert_eq!(found(&["*.a", "*.b.a", "*"], &format!("{host}/")), None);
    let deep = format!("*{}", &host[1..]);
    assert_eq!(found(&["*.a", &deep], &format!("{host}/")), Some(deep));
}

/// Whether a glob fits, by trying everything.
fn fits(glob: &[u8], text: &[u8]) -> bool {
    match (glob, text) {
        ([], []) => true,
        ([b'*', glob @ ..], _) => (0..=text.len()).any(|skip| fits(glob, &text[skip..])),
        ([wanted, glob @ ..], [byte, text @ ..]) => wanted == byte && fits(glob, text),
        _ => false,
    }
}

/// What [`Pattern::covers`] says, as the documentation has it.
fn covers_by_the_book(pattern: &str, request: &CanonicalRequest) -> bool {
    let (host, path) = pattern.split_at(pattern.find('/').unwrap_or(pattern.len()));
    let (wanted, labels): (Vec<_>, Vec<_>) = (host.split('.').collect(), request.host().split('.').collect());
    let mut pairs = wanted.iter().zip(&labels);
    wanted.len() == labels.len()
        && pairs.all(|(wanted, label)| fits(wanted.as_bytes(), label.as_bytes()))
        && (fits(path.as_bytes(), request.path().as_bytes())
            || fits(format!("{path}/*").as_bytes(), request.path().as_bytes()))
}

/// The documented order, the winner first.
fn rank_by_the_book(pattern: &str) -> impl Ord {
    let (host, path) = pattern.split_at(pattern.find('/').unwrap_or(pattern.len()));
    let letters = |text: &str| -i64::try_from(text.replace('*', "").len()).unwrap();
    let stars = |text: &str| text.matches('*').count();
    (host.contains('*'), letters(host), stars(host), letters(path), stars(path), pattern.to_owned())
}

fn any_host() -> impl Strategy<Value = String> {
    proptest::collection::vec(select(vec!["a", "b", "ab", "aa", "aba"]), 1..4)
        .prop_map(|labels| labels.join("."))
}

fn any_pattern() -> impl Strategy<Value = String> {
    let label = select(vec!["a", "b", "ab", "*", "a*", "*a", "a*b", "*ab"]);
    let host = proptest::collection::vec(label, 1..4).prop_map(|labels| labels.join("."));
    let segment = select(vec!["a", "aa", "b", "ab", "*", "a*", "*b", "*aa", "a*a", "%61", "A"]);
    let path = proptest::collection::vec(segment, 0..4).prop_map(|segments| segments.join("/"));
    (host, path).prop_map(|(host, path)| format!("{host}/{path}"))
}

fn any_request() -> impl Strategy<Value = CanonicalRequest> {
    let segment = select(vec!["a", "b", "ab", "aa", "aaa", "aab", "A", "aba"]);
    let path = proptest::collection::vec(segment, 0..5).prop_map(|segments| segments.join("/"));
    (any_host(), path).prop_map(|(host, path)| request(&format!("{host}/{path}")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_index_finds_what_a_scan_of_all_patterns_finds(
        texts in proptest::collection::vec(any_pattern(), 0..20),
        requests in proptest::collection::vec(any_request(), 1..20),
    ) {
        let patterns: Vec<_> = texts.iter().map(|text| pattern(text)).collect();
        let apps: Vec<_> = (1..).zip(patterns.chunks(2)).map(|(number, patterns)| app(number, patterns)).collect();
        let index = AppIndex::new(apps.clone());
        for request in &requests {
            let claims = apps.iter().flat_map(|app| app.patterns.iter().map(move |pattern| (pattern.as_str(), app)));
            let covering = claims.filter(|(pattern, _)| covers_by_the_book(pattern, request));
            let winner = covering.min_by_key(|(pattern, app)| (rank_by_the_book(pattern), app.id));
            prop_assert_eq!(
                index.find(request).map(|app| app.id),
                winner.map(|(_, app)| app.id),
                "{:?} among {:?}", request, texts
            );
        }
    }

    #[test]
    fn a_pattern_that_is_printed_and_read_is_the_same(text in prop_oneof![any_pattern(), ".{0,30}"]) {
        if let Ok(once) = Pattern::parse(&text) {
            prop_assert_eq!(Pattern::parse(once.as_str()), Ok(once));
        }
    }

    #[test]
    fn the_order_of_patterns_is_total(one in any_pattern(), two in any_pattern(), three in any_pattern()) {
        let (one, two, three) = (pattern(&one), pattern(&two), pattern(&three));
        prop_assert_eq!(one.by_specificity(&two), two.by_specificity(&one).reverse());
        prop_assert_eq!(one.by_specificity(&two).is_eq(), one == two);
        let mut sorted = [&one, &two, &three];
        sorted.sort_by(|left, right| left.by_specificity(right));
        prop_assert!(sorted[0].by_specificity(sorted[2]).is_le());
    }

    #[test]
    fn a_wildcard_in_place_of_a_part_is_less_specific(text in any_pattern(), at: proptest::sample::Index) {
        let narrow = pattern(&text);
        let at = at.index(narrow.as_str().len() + 1);
        let wide = format!("{}*{}", &narrow.as_str()[..at], narrow.as_str().get(at + 1..).unwrap_or_default());
        let Ok(wide) = Pattern::parse(&wide) else { return Ok(()) };
        // A slash or a dot that became a wildcard makes another shape, which may cover less.
        let shape = |pattern: &Pattern| pattern.as_str().matches(['/', '.']).count();
        if wide != narrow && shape(&wide) == shape(&narrow) {
            prop_assert!(narrow.by_specificity(&wide).is_lt(), "{narrow} before {wide}");
        }
    }
}

#[test]
fn hosts_meet_where_one_host_is_covered_by_both() {
    for (one, other, meet) in [
        ("a.example.com", "a.example.com", true),
        ("a.example.com", "b.example.com", false),
        ("a.example.com", "example.com", false),
        ("*.example.com", "a.example.com", true),
        ("*.example.com", "a.b.example.com", false),
        ("*.example.com", "*.example.com", true),
        ("*.example.com", "*.example.org", false),
        ("ci*.example.com", "*-2.example.com", true),
        ("ci*.example.com", "c*.example.com", true),
        ("ci*.example.com", "wiki*.example.com", false),
        ("*ci.example.com", "*wiki.example.com", false),
        ("*i.example.com", "*wiki.example.com", true),
        ("a*.example.com", "b.example.com", false),
        ("a.*.com", "*.example.com", true),
        ("a.*.com", "b.*.com", false),
    ] {
        assert_eq!((hosts_meet(one, other), hosts_meet(other, one)), (meet, meet), "{one} {other}");
    }
}
