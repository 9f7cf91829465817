"""Headers that a client makes up: identities, addresses, other hosts and paths, odd bytes."""

from __future__ import annotations

import itertools
import re

import pytest

import harness as h

FORGED = "forged-by-the-client"


def spellings(name: str) -> list[str]:
    """A name with every mixture of separators that some service takes for a dash, and in other cases."""
    words = name.split("-")
    found = []
    for separators in itertools.product("-_.", repeat=len(words) - 1):
        found.append("".join(itertools.chain.from_iterable(zip(words, [*separators, ""]))))
    return [*found, *(spelling.lower() for spelling in found), name.upper(), name.upper().replace("-", "_")]


@pytest.mark.parametrize("target", ["/", "/public"])
@pytest.mark.parametrize("name", [*h.IDENTITY, "CF-Access-Client-Id", "CF-Access-Client-Secret", "CF-Access-Token"])
def test_no_spelling_of_this_header_brings_the_clients_value_to_the_service(site, name, target):
    credential = [] if "Client" in name and name.startswith("CF") else h.CREDENTIAL
    forged = [(spelling, FORGED) for spelling in spellings(name)]
    # One by one where it matters most, and all together.
    alone = [[one] for one in forged if target == "/" and one[0] != one[0].lower()]
    for headers in [*alone, forged]:
        reply = site.send(target, [*headers, *credential])

        if reply.received is not None:
            assert reply.status == 200
            assert FORGED not in reply.received.text()
            if target == "/":
                assert reply.received.all("Hallpass-Client-Id") == [h.CLIENT_ID]
    if credential or target == "/public":
        assert reply.received is not None, "a forged identity is no reason to refuse, only to forget"


def test_caddy_forgets_forged_spellings_also_where_it_is_told_to_let_underscores_in(started):
    spelled = [name.replace("-", "_") for name in h.IDENTITY]
    option = f"\tservers {{\n\t\texpected_underscore_headers {' '.join(spelled)}\n\t}}\n"
    site = started("caddy", lambda text: text.replace("\tadmin off\n", "\tadmin off\n" + option))

    for target in ("/", "/public"):
        reply = site.send(target, [*((name, FORGED) for name in spelled), *h.CREDENTIAL])
        assert reply.status == 200
        assert FORGED not in reply.received.text()


def test_an_empty_identity_takes_the_place_of_a_forged_one(site):
    """On a bypass the gate has nobody to name; the client's value must not fill the gap."""
    reply = site.send("/public", [(name, FORGED) for name in h.IDENTITY])

    assert reply.status == 200
    assert FORGED not in reply.received.text()


NOMINATED = [*h.IDENTITY, "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Uri", "X-Forwarded-Host", "X-Forwarded-Method",
             "X-Original-URI", "X-Original-Host"]  # fmt: skip


@pytest.mark.parametrize("change", [str, str.lower, str.upper])
@pytest.mark.parametrize("nominated", [*NOMINATED, ", ".join(NOMINATED), "close, " + ", ".join(NOMINATED)])
def test_a_connection_header_takes_no_identity_away(site, nominated, change):
    value = change(nominated)
    reply = site.send("/", [("Connection", value), *h.CREDENTIAL])

    if site.name == "envoy" and reply.status == 400:
        assert reply.received is None  # Envoy refuses a Connection header that names certain headers of its own.
        return
    assert reply.status == 200
    assert reply.received.all("Hallpass-Client-Id") == [h.CLIENT_ID]
    assert len(reply.received.all("Cf-Access-Jwt-Assertion")) == 1
    assert site.send("/elsewhere", [("Connection", value), *h.CREDENTIAL]).status == 403
    assert site.send("/", [("Connection", value)]).status == 403


def test_a_connection_header_that_names_the_credential_does_not_bring_it_to_the_service(site):
    reply = site.send("/", [("Connection", "CF-Access-Client-Id, CF-Access-Client-Secret"), *h.CREDENTIAL])

    assert reply.status in (200, 400, 401, 403)
    assert reply.received is None or h.CLIENT_SECRET not in reply.received.text()


ELSEWHERE = "203.0.113.7"

LIES = [
    ("X-Forwarded-For", ELSEWHERE),
    ("X-Forwarded-For", f"{ELSEWHERE}, {ELSEWHERE}"),
    ("X-Real-IP", ELSEWHERE),
    ("Forwarded", f"for={ELSEWHERE};host={h.HOST}"),
    ("True-Client-IP", ELSEWHERE),
    ("CF-Connecting-IP", ELSEWHERE),
    ("X-Client-IP", ELSEWHERE),
    ("X-Envoy-External-Address", ELSEWHERE),
    ("X_Forwarded_For", ELSEWHERE),
    ("X.Forwarded.For", ELSEWHERE),
    ("X_Real_IP", ELSEWHERE),
]


@pytest.mark.parametrize("lie", LIES, ids=": ".join)
def test_the_address_is_the_connections_whatever_a_client_says(site, lie):
    reply = site.send("/elsewhere", [lie, *h.CREDENTIAL])

    assert (reply.status, reply.received) == (403, None)


def path_lies() -> list[tuple[str, str]]:
    uri = ["X-Forwarded-Uri", "X-Original-URI", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Path", "X-Forwarded-Prefix",
           "X-Envoy-Original-Path", "X_Forwarded_Uri", "X.Forwarded.Uri", "X_Original_URI", "X.Original.URI"]  # fmt: skip
    method = ["X-Forwarded-Method", "X-Original-Method", "X-HTTP-Method-Override", "X_Forwarded_Method"]
    return [*((name, "/public") for name in uri), *((name, "OPTIONS") for name in method)]


@pytest.mark.parametrize("lie", path_lies(), ids=": ".join)
def test_the_path_is_the_request_lines_whatever_a_client_says(site, lie):
    for lies in ([lie], [lie, lie]):
        reply = site.send("/dashboard", lies)
        assert (reply.status, reply.received) == (403, None)


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "X-Original-Host", "X-Host", "X_Forwarded_Host", "X.Forwarded.Host"])
def test_the_host_is_the_requests_whatever_a_client_says(site, name):
    lie = (name, h.HOST)

    assert site.send("/public", [lie], host=h.UNKNOWN_HOST).status == 403
    assert site.send("/", [lie, *h.CREDENTIAL], host=h.UNKNOWN_HOST).status == 403


@pytest.mark.parametrize("name", ["X-Original-URL", "X-Rewrite-URL", "X-Original-URI"])
def test_a_header_that_some_services_take_for_the_path_does_not_reach_the_service(site, name):
    reply = site.send("/public", [(name, "/admin-by-header")])

    assert reply.status == 200
    assert "/admin-by-header" not in reply.received.text()


def test_two_hosts_are_refused_or_the_service_sees_the_one_that_was_judged(site):
    for first, second in ((h.HOST, h.UNKNOWN_HOST), (h.UNKNOWN_HOST, h.HOST)):
        reply = site.send("/public", [("Host", second)], host=first)
        assert reply.received is None or reply.received.all("Host") == [h.HOST]


def test_an_absolute_target_is_judged_by_the_host_that_the_service_sees(site):
    for target, host in ((h.HOST, h.UNKNOWN_HOST), (h.UNKNOWN_HOST, h.HOST)):
        reply = site.send(f"http://{target}/public", host=host)
        assert reply.received is None or reply.received.all("Host") == [h.HOST]


# Cookies: CF_Authorization is a credential of the original's, and stays outside.

COOKIES = [
    ("a=1; b=2", ["a=1", "b=2"]),
    ("CF_Authorization=e30.e30.e30", []),
    ("CF_Authorization=e30; a=1", ["a=1"]),
    ("a=1; CF_Authorization=e30", ["a=1"]),
    ("a=1; CF_Authorization=e30; b=2", ["a=1", "b=2"]),
    ("a=1;CF_Authorization=e30;b=2", ["a=1", "b=2"]),
    ("CF_Authorization=e30; CF_Authorization=e31", None),
    ("CF_AuthCF_Authorization=x;orization=e30", None),
    ("CF_Authorization =e30", None),
    ('"CF_Authorization"=e30', None),
    ("a=1; cf_authorization=e30; b=2", None),
    ("CF.Authorization=e30; CF%5fAuthorization=e30", None),
]


def cookie_names(received: h.Received) -> list[str]:
    return [part.strip() for value in received.all("Cookie") for part in value.split(";") if part.strip()]


@pytest.mark.parametrize("target", ["/", "/public"])
@pytest.mark.parametrize(("sent", "kept"), COOKIES)
def test_the_cookie_cf_authorization_does_not_reach_the_service(site, sent, kept, target):
    for headers in ([("Cookie", sent)], [("Cookie", "first=0"), ("Cookie", sent)]):
        reply = site.send(target, [*headers, *h.CREDENTIAL])

        assert reply.status == 200
        arrived = cookie_names(reply.received)
        assert not re.search(r"cf\W*[._]?\W*authorization\W*=", "; ".join(arrived), re.I)
        assert not re.search(r"cf%5fauthorization", "; ".join(arrived), re.I)
        if kept is not None and site.name != "traefik":
            assert [cookie for cookie in arrived if cookie != "first=0"] == kept
            for value in reply.received.all("Cookie"):
                assert re.match(r"\w+=|$", value), "a cookie header begins with a cookie"


def test_a_cookie_never_reaches_the_gate(site):
    site.send("/", [("Cookie", "session=canary"), *h.CREDENTIAL])

    assert site.tap.heard()
    assert b"canary" not in site.tap.heard()


# Bytes that are no text.

ODD = [b"\xff", b"\xff\xfe", b"caf\xe9", b"\xc3\x28", b"\xf0\x9f\x98\x80", bytes(range(0x80, 0x100)), b"\x7f", b"a\x00b", b"\x01"]
CARRIERS = ["CF-Access-Client-Id", "CF-Access-Client-Secret", "X-Forwarded-Uri", "X-Forwarded-Host", "X-Forwarded-For",
            "X-Original-URI", "X-Real-IP", "Cookie", "Authorization", "User-Agent", "Accept", "X-Anything"]  # fmt: skip


@pytest.mark.parametrize("name", CARRIERS)
def test_no_byte_in_this_header_opens_the_door(site, name):
    for odd in ODD:
        for headers in ([(name, odd)], [(name, odd), *h.WRONG_SECRET]):
            reply = site.send("/dashboard", headers)
            assert not 200 <= reply.status < 300, (name, odd)
            assert reply.received is None, (name, odd)


def test_odd_bytes_in_a_credential_beside_a_right_one_do_not_open_the_door(site):
    for odd in ODD:
        for name, _ in h.CREDENTIAL:
            reply = site.send("/", [(name, odd), *h.CREDENTIAL])
            assert reply.received is None, (name, odd)


def test_odd_bytes_in_a_host_do_not_open_the_door(site):
    for host in ("\xff", h.HOST + "\x00", h.HOST + "/public", h.HOST + "#", h.HOST + "@" + h.UNKNOWN_HOST, "", "[::1", "a b"):
        reply = site.send("/dashboard", [("X-Any", "1")], host=host)
        assert reply.received is None, host
