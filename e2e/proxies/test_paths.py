"""Targets that a proxy, the gate and a service could understand differently."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest

import harness as h

ODD = [
    "/public/../admin",
    "/public/..",
    "/public/../",
    "/public/%2e%2e/admin",
    "/public/%2E./admin",
    "/public/.%2e/admin",
    "/public/..%2fadmin",
    "/public/%2e%2e%2fadmin",
    "/public%2f..%2fadmin",
    "/public/%252e%252e/admin",
    "/public/%252e%252e%252fadmin",
    "/public/..%5cadmin",
    "/public/..\\admin",
    "\\public\\..\\admin",
    "/public//../admin",
    "/public//../../admin",
    "/public/x/..//../admin",
    "//public/../admin",
    "//admin/../public/../admin",
    "///admin",
    "/./admin",
    "/public/./../admin",
    "/public/..;/admin",
    "/public/..;x=y/admin",
    "/public;/../admin",
    "/public/;/../../admin",
    "/public/%3b/../../admin",
    "/public/..%3b/admin",
    "/public/.;/../admin",
    "/public%00/../admin",
    "/public/..%00/admin",
    "/public/%c0%ae%c0%ae/admin",
    "/public/%u002e%u002e/admin",
    "/public/..%c0%afadmin",
    "/public/..%",
    "/public/%zz/../../admin",
    "/public#/../admin",
    "/admin#/public",
    "/admin%23/../public/../admin",
    "/admin%23/public",
    "/admin?x=/public",
    "/admin?/public",
    "/admin%3f/../public/../admin",
    "/admin%3f/public",
    "/publicly",
    "/public.",
    "/public%20/../admin",
    "/Public/../admin",
    "/%70ublic/../admin",
    "/public/\t../admin",
    "/public/caf\xe9/../../admin",
    "/elsewhere/../admin",
    f"http://{h.HOST}/public/../admin",
    f"http://{h.HOST}/admin?/public",
    f"http://x@{h.HOST}/public/../admin",
    "http://unknown.example/public/../admin",
    "*",
    "public/../admin",
]


def readings(target: str) -> set[str]:
    """The paths that services of different tastes would take this target for."""
    found = set()
    paths = {target, target.split("#")[0], target.split("?")[0], re.split(r"[#?]", target)[0]}
    for path in paths:
        for decoded in (path, unquote(path), unquote(unquote(path)), re.split(r"[#?\0]", unquote(path))[0]):
            for plain in (decoded, re.sub(r";[^/]*", "", decoded)):
                slashes = plain.replace("\\", "/")
                for text in (slashes, re.sub("/+", "/", slashes)):
                    kept: list[str] = []
                    for segment in text.split("/")[1:]:
                        if segment == "..":
                            kept[-1:] = []
                        elif segment != ".":
                            kept.append(segment)
                    found.add("/" + "/".join(kept))
    return found


def is_public(path: str) -> bool:
    return path == "/public" or path.startswith(("/public/", "/public?", "/public#", "/public;", "/public\0"))


def test_the_test_itself_sees_through_an_odd_path():
    assert all(is_public(path) for path in readings("/public/a?b"))
    for odd in ("/public/../admin", "/public/%2e%2e/admin", "/public/..;/admin", "/public//../admin", "/public%2f..%2fadmin"):
        assert not all(is_public(path) for path in readings(odd)), odd


@pytest.mark.parametrize("target", ODD)
def test_what_passes_without_a_credential_is_public_to_whoever_reads_it(site, target):
    reply = site.send(target)

    if reply.received is not None:
        bad = {path for path in readings(reply.received.target) if not is_public(path)}
        assert not bad, f"{target} came as {reply.received.target}"
    else:
        assert not 200 <= reply.status < 300


@pytest.mark.parametrize(
    "target",
    ["/", "/a/b.html", "/a%20b", "/caf%C3%A9", "/a?b=c&d=%2F..%2F&e=a+b", "/a?", "/a?x=//y/../z", "/a:b@c,d!$&'()*+=", "/~x", "/%7Bx%7D"],
)
def test_an_ordinary_target_reaches_the_service_as_the_client_wrote_it(site, target):
    reply = site.send(target, h.CREDENTIAL)

    assert reply.status == 200
    assert reply.received.target == target


def test_envoy_refuses_a_fragment_before_it_asks_because_the_gate_would_not_see_it(started):
    site = started("envoy", lambda text: text)
    site.tap.forget()
    for target in ("/public#/x", "/public#/../admin", "/public#", "/public?a=b#/x"):
        for headers in ([], h.CREDENTIAL):
            reply = site.send(target, headers)
            assert (reply.status, reply.received) == (400, None), target
    assert site.tap.heard() == b"", "the gate was not asked"


def test_the_gate_hears_the_query_of_no_other_application(site):
    assert site.send("/dashboard?x=/public").status == 403
    assert site.send("/dashboard?/public/../public").status == 403


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_a_method_that_is_for_proxies_gets_nowhere(site, method):
    target = f"{h.HOST}:443" if method == "CONNECT" else "/"
    reply = site.send(target, method=method)

    assert reply.received is None
    assert not 200 <= reply.status < 300
