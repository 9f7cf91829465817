//! Tables of hosts, paths and hops, a test for each way in which others were deceived, and what must hold for any bytes.

use super::*;
use proptest::prelude::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn request(host: &[u8], target: &[u8]) -> Result<CanonicalRequest, Ambiguous> {
    CanonicalRequest::new(host, target, ip("192.0.2.1"))
}

fn host(text: &str) -> Result<String, Ambiguous> {
    request(text.as_bytes(), b"/").map(|request| request.host)
}

fn path(target: &str) -> Result<String, Ambiguous> {
    request(b"example.com", target.as_bytes()).map(|request| request.path)
}

#[test]
fn a_host_has_one_spelling() {
    let longest = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
    for (sent, canonical) in [
        ("example.com", "example.com"),
        ("EXAMPLE.com", "example.com"),
        ("example.com.", "example.com"),
        ("example.com:443", "example.com"),
        ("example.com.:8080", "example.com"),
        ("example.com:00080", "example.com"),
        ("localhost", "localhost"),
        ("my_host.internal", "my_host.internal"),
        ("_dmarc.example.com", "_dmarc.example.com"),
        ("XN--MNCHEN-3YA.de", "xn--mnchen-3ya.de"),
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:80", "192.0.2.7"),
        ("1.2.3.4.example.com", "1.2.3.4.example.com"),
        ("4chan.org", "4chan.org"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
        ("[2001:db8:0:0:0:0:0:1]:8443", "[2001:db8::1]"),
        ("[::1]:1", "[::1]"),
        (&longest, &longest),
    ] {
        assert_eq!(host(sent).as_deref(), Ok(canonical), "{sent:?}");
    }
}

#[test]
fn a_host_that_could_be_several_is_refused() {
    use Ambiguous::{HostAddress, HostCharacter, HostLabel, NoHost, Port};
    let long_label = format!("{}.com", "a".repeat(64));
    let long_name = format!("{}.com", ["abcdefgh"; 28].join("."));
    for (sent, rule) in [
        ("", NoHost),
        (".", NoHost),
        (":80", NoHost),
        ("..", HostLabel),
        ("example.com..", HostLabel),
        (".example.com", HostLabel),
        ("a..b", HostLabel),
        (&long_label, HostLabel),
        (&long_name, HostLabel),
        (" example.com", HostCharacter),
        ("example.com ", HostCharacter),
        ("exa mple.com", HostCharacter),
        ("example.com\t", HostCharacter),
        ("example.com\0", HostCharacter),
        ("user@example.com", HostCharacter),
        ("example.com/admin", HostCharacter),
        ("example.com\\admin", HostCharacter),
        ("example.com?", HostCharacter),
        ("example.com#", HostCharacter),
        ("a.com,b.com", HostCharacter),
        ("*.example.com", HostCharacter),
        ("%65xample.com", HostCharacter),
        ("münchen.de", HostCharacter),
        ("ｅxample.com", HostCharacter),
        ("example。com", HostCharacter),
        ("example.com:", Port),
        ("example.com:http", Port),
        ("example.com:+80", Port),
        ("example.com:-1", Port),
        ("example.com:65536", Port),
        ("example.com:000080", Port),
        ("example.com:80:80", Port),
        ("example.com: 80", Port),
        ("user:pw@example.com", Port),
        ("2001:db8::1", Port),
        ("127.1", HostAddress),
        ("0x7f.1", HostAddress),
        ("0x7f000001", HostAddress),
        ("2130706433", HostAddress),
        ("127.0.0.01", HostAddress),
        ("127.0.0.256", HostAddress),
        ("1.2.3.4.5", HostAddress),
        ("example.0x", HostAddress),
        ("[::1", HostAddress),
        ("[::1]x", HostAddress),
        ("[::1]]", HostAddress),
        ("[]", HostAddress),
        ("[127.0.0.1]", HostAddress),
        ("[fe80::1%eth0]", HostAddress),
        ("[v1.x]", HostAddress),
    ] {
        assert_eq!(host(sent), Err(rule), "{sent:?}");
    }
}

#[test]
fn a_path_has_one_spelling() {
    for (sent, canonical) in [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/", "/a/"),
        ("/A", "/A"),
        ("/%61", "/a"),
        ("/%41%7E%2D", "/A~-"),
        ("/a?b=c", "/a"),
        ("/?", "/"),
        ("/a?/../b;//%2f%zz", "/a"),
        ("/a?b=é", "/a"),
        ("/%40a", "/@a"),
        ("/@a:b!$&'()*+,=", "/@a:b!$&'()*+,="),
        ("/%3a%21%24%26%27%28%29%2a%2b%2c%3d", "/:!$&'()*+,="),
        ("/a%20b", "/a%20b"),
        ("/%c3%a9", "/%C3%A9"),
        ("/%C3%A9", "/%C3%A9"),
        ("/\"<>[]^`{|}", "/%22%3C%3E%5B%5D%5E%60%7B%7C%7D"),
        ("/%22%3c%7b", "/%22%3C%7B"),
        ("/100%25", "/100%25"),
        ("/100%25/x", "/100%25/x"),
        ("/100%25zz", "/100%25zz"),
        ("/...", "/..."),
        ("/.well-known/x", "/.well-known/x"),
        ("/a..b/c.", "/a..b/c."),
    ] {
        assert_eq!(path(sent).as_deref(), Ok(canonical), "{sent:?}");
    }
}

#[test]
fn a_path_that_could_be_several_is_refused() {
    use Ambiguous::{
        Character, DotSegment, DoubleEscape, EmptySegment, Escape, EscapedDelimiter, Fragment, NotUtf8,
        PathParameter, Target, TooLong,
    };
    let long = format!("/{}", "a".repeat(8_192));
    for (sent, rule) in [
        ("", Target),
        ("*", Target),
        ("a", Target),
        ("?a", Target),
        ("%2fa", Target),
        ("http://example.com/", Target),
        ("example.com:443", Target),
        ("/a#b", Fragment),
        ("/a?b#c", Fragment),
        ("/a b", Character),
        ("/a\tb", Character),
        ("/a\rb", Character),
        ("/a\0", Character),
        ("/a\x7f", Character),
        ("/a\\b", Character),
        ("/é", Character),
        ("/a?b c", Character),
        ("/a?b\r\nc", Character),
        ("/%", Escape),
        ("/%4", Escape),
        ("/%4g", Escape),
        ("/%%41", Escape),
        ("/%+1", Escape),
        ("/%u0041", Escape),
        ("/a%2fb", EscapedDelimiter),
        ("/a%2Fb", EscapedDelimiter),
        ("/a%5cb", EscapedDelimiter),
        ("/a%00", EscapedDelimiter),
        ("/a%0d%0a", EscapedDelimiter),
        ("/a%7f", EscapedDelimiter),
        ("/a%c2%85", EscapedDelimiter),
        ("/a%23b", EscapedDelimiter),
        ("/a%3fb", EscapedDelimiter),
        ("/a%3Bb", EscapedDelimiter),
        ("/%252e", DoubleEscape),
        ("/%252f", DoubleEscape),
        ("/%25%32%65", DoubleEscape),
        ("/%2525", DoubleEscape),
        ("/%25252e", DoubleEscape),
        ("/%c0%ae", NotUtf8),
        ("/%c0%af", NotUtf8),
        ("/%e9", NotUtf8),
        ("/%ff", NotUtf8),
        ("/%ed%a0%80", NotUtf8),
        ("/.", DotSegment),
        ("/..", DotSegment),
        ("/a/./b", DotSegment),
        ("/a/../b", DotSegment),
        ("/a/.?b", DotSegment),
        ("/%2e", DotSegment),
        ("/%2E%2e/a", DotSegment),
        ("/.%2e/a", DotSegment),
        ("//", EmptySegment),
        ("//a", EmptySegment),
        ("/a//b", EmptySegment),
        ("/a//", EmptySegment),
        ("/a;b", PathParameter),
        ("/a;b=c/d", PathParameter),
        ("/..;/a", PathParameter),
        (&long, TooLong),
    ] {
        assert_eq!(path(sent), Err(rule), "{sent:?}");
    }
}

#[test]
fn a_query_that_names_another_path_decides_nothing() {
    for target in ["/private?x=/public", "/private?/public", "/private?", "/private??/../public"] {
        assert_eq!(path(target).as_deref(), Ok("/private"), "{target}");
    }
}

#[test]
fn a_fragment_is_neither_path_nor_ignored() {
    assert_eq!(path("/admin#/public"), Err(Ambiguous::Fragment));
    assert_eq!(path("/admin%23x"), Err(Ambiguous::EscapedDelimiter));
}

#[test]
fn a_malformed_target_is_an_error_and_no_path() {
    for target in ["", " ", "/%", "http:///", "///", "https://[", ":", "/\u{0}", "\n/"] {
        assert!(path(target).is_err(), "{target:?}");
    }
}

#[test]
fn capitals_a_dot_at_the_end_and_a_port_make_no_other_host() {
    let plain = request(b"app.example.com", b"/x").unwrap();
    for other in ["APP.example.com", "aPP.eXample.cOM", "app.example.com.", "app.example.com:8443"] {
        assert_eq!(request(other.as_bytes(), b"/x").unwrap(), plain, "{other}");
    }
    // A name in another script is one only as its A-label.
    assert_eq!(host("bücher.example"), Err(Ambiguous::HostCharacter));
    assert_eq!(host("XN--Bcher-kva.example").as_deref(), Ok("xn--bcher-kva.example"));
}

#[test]
fn dots_doubled_slashes_and_path_parameters_lead_nowhere() {
    for target in [
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public/.%2E/admin",
        "/public/..%2fadmin",
        "/public/..%5cadmin",
        "/public/..\\admin",
        "/public/%252e%252e/admin",
        "/public/..;/admin",
        "/public/..;x=y/admin",
        "/public/;/../admin",
        "//admin",
        "/public//admin",
        "/./admin",
        "/admin;x",
        "/admin%3bx",
        "/admin/.",
        "/public/%c0%ae%c0%ae/admin",
    ] {
        assert!(path(target).is_err(), "{target}");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_in_host_and_path() {
    for byte in (0..=b' ').chain(0x7F..=0xFF) {
        assert!(request(&[b'a', byte, b'b'], b"/").is_err(), "{byte:#x} in the host");
        assert!(request(b"a.b", &[b'/', byte]).is_err(), "{byte:#x} in the path");
    }
    for byte in 0x80..=0xFF_u8 {
        assert!(path(&format!("/%{byte:02x}")).is_err(), "{byte:#x} escaped");
    }
}

#[test]
fn a_refusal_repeats_nothing_of_what_was_sent() {
    let said = format!("{} {:?}", host("canary<").unwrap_err(), path("/canary\0").unwrap_err());
    assert!(!said.contains("canary"), "{said}");
}

#[test]
fn the_ipv6_form_of_an_ipv4_client_is_that_client() {
    let request = CanonicalRequest::new(b"a", b"/", ip("::ffff:192.0.2.1")).unwrap();
    assert_eq!(request.client(), ip("192.0.2.1"));
}

fn client(peer: &str, lines: &[&str]) -> Result<IpAddr, Ambiguous> {
    let trusted = ["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
    let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
    client_address(ip(peer), &lines, &trusted)
}

#[test]
fn the_client_is_the_right_most_hop_that_is_not_trusted() {
    for (peer, lines, answer) in [
        ("192.0.2.9", &[][..], "192.0.2.9"),
        ("127.0.0.1", &[], "127.0.0.1"),
        ("127.0.0.1", &["192.0.2.1"], "192.0.2.1"),
        ("127.0.0.1", &["198.51.100.1, 192.0.2.1"], "192.0.2.1"),
        ("127.0.0.1", &["192.0.2.1, 10.0.0.3"], "192.0.2.1"),
        ("127.0.0.1", &["192.0.2.1,10.0.0.3 ,\t10.0.0.2"], "192.0.2.1"),
        ("127.0.0.1", &["198.51.100.1", "192.0.2.1", "10.0.0.3"], "192.0.2.1"),
        ("127.0.0.1", &["192.0.2.1", ""], "192.0.2.1"),
        ("127.0.0.1", &[" "], "127.0.0.1"),
        ("127.0.0.1", &["10.0.0.7, 10.0.0.3"], "10.0.0.7"),
        ("127.0.0.1", &["192.0.2.1:4711"], "192.0.2.1"),
        ("127.0.0.1", &["2001:DB8::1"], "2001:db8::1"),
        ("127.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
        ("127.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1"),
        ("127.0.0.1", &["192.0.2.1, fd00::3"], "192.0.2.1"),
        ("::ffff:127.0.0.1", &["::ffff:192.0.2.1"], "192.0.2.1"),
        ("127.0.0.1", &["192.0.2.1, ::ffff:10.0.0.3"], "192.0.2.1"),
        ("127.0.0.1", &["192.0.2.1, [::ffff:10.0.0.3]:1"], "192.0.2.1"),
    ] {
        assert_eq!(client(peer, lines), Ok(ip(answer)), "{peer} {lines:?}");
    }
}

#[test]
fn a_forged_forwarded_for_changes_no_clients_address() {
    // Whoever is not trusted is not asked.
    assert_eq!(client("192.0.2.9", &["10.0.0.1"]), Ok(ip("192.0.2.9")));
    assert_eq!(client("192.0.2.9", &["nonsense"]), Ok(ip("192.0.2.9")));
    // What a client sent stands left of what the proxy appended, whatever it is.
    for forged in ["10.0.0.1", "127.0.0.1", "nonsense", "\0", "a, , b", "10.0.0.1, 127.0.0.1"] {
        assert_eq!(client("127.0.0.1", &[&format!("{forged}, 192.0.2.1")]), Ok(ip("192.0.2.1")), "{forged}");
        assert_eq!(client("127.0.0.1", &[forged, "192.0.2.1"]), Ok(ip("192.0.2.1")), "{forged}");
    }
}

#[test]
fn a_hop_that_is_no_address_is_refused_where_it_counts() {
    for hop in [
        "unknown",
        "_hidden",
        "192.0.2",
        "192.0.2.1:",
        "192.0.2.1:x",
        "192.0.2.1:65536",
        "192.0.2.01",
        "192.0.2.1/24",
        "[192.0.2.1]",
        "[2001:db8::1",
        "2001:db8::1]",
        "[2001:db8::1]x",
        "fe80::1%eth0",
        "for=192.0.2.1",
        "\"192.0.2.1\"",
        "192.0.2.1 192.0.2.2",
        "192.0.2.1,",
        ",10.0.0.1",
        "192.0.2.1, , 10.0.0.1",
        "é",
    ] {
        assert_eq!(client("127.0.0.1", &[hop]), Err(Ambiguous::ForwardedFor), "{hop:?}");
    }
    assert_eq!(
        client_address(ip("127.0.0.1"), &[b"\xFF"], &["127.0.0.1/32".parse().unwrap()]),
        Err(Ambiguous::ForwardedFor)
    );
}

/// Bytes of which many are the beginning of trouble.
fn odd_path() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::sample::select(vec![
            "/", ".", "..", "%2e", "%2E", "%2f", "%5c", "%25", "%", "2e", "%61", "a", "B", ";", "%3b", "?",
            "#", "*", "%2A", "@", "%40", "é", "%c3%a9", "%C3", " ", "%20", "+", "//", "~", "{", "%7B",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        any::<u8>().prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| [&b"/"[..], &pieces.concat()].concat())
}

/// What an origin makes of a path that decodes it once, and knows no better.
fn decoded_by_an_origin(path: &str) -> Vec<u8> {
    let mut bytes = path.as_bytes();
    let mut decoded = Vec::new();
    while let [byte, behind @ ..] = bytes {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) if *byte == b'%' => {
                decoded.push(escaped);
                bytes = &behind[2..];
            }
            _ => {
                decoded.push(*byte);
                bytes = behind;
            }
        }
    }
    decoded
}

proptest! {
    #[test]
    fn an_origin_that_decodes_sees_the_path_that_was_judged(target in odd_path()) {
        let Ok(request) = request(b"example.com", &target) else { return Ok(()) };
        let sent = target.split(|byte| *byte == b'?').next().unwrap();
        let sent = decoded_by_an_origin(std::str::from_utf8(sent).unwrap());
        prop_assert_eq!(&sent, &decoded_by_an_origin(request.path()));
        // Once more changes nothing, so that decoding twice is as good as once.
        let sent = String::from_utf8(sent).unwrap();
        prop_assert_eq!(sent.as_bytes(), decoded_by_an_origin(&sent));
        prop_assert!(sent.starts_with('/') && !sent.contains("//") && !sent.contains(['\\', ';', '?', '#']));
        prop_assert!(!sent.split('/').any(|segment| matches!(segment, "." | "..")));
        prop_assert!(!sent.chars().any(char::is_control));
    }

    #[test]
    fn a_canonical_request_is_its_own_canonical_form(
        host in "[a-zA-Z0-9._-]{1,20}(:[0-9]{1,5})?",
        target in odd_path(),
    ) {
        let Ok(once) = request(host.as_bytes(), &target) else { return Ok(()) };
        prop_assert_eq!(request(once.host().as_bytes(), once.path().as_bytes()), Ok(once));
    }

    #[test]
    fn any_bytes_are_judged_or_refused(host: Vec<u8>, target: Vec<u8>) {
        if let Ok(request) = request(&host, &target) {
            prop_assert!(request.path().starts_with('/'));
        }
    }
}
