"""The same over HTTP/2, which proxies read by other code. With curl, and without TLS, which each file has to be told."""

from __future__ import annotations

import json
import subprocess

import pytest

import harness as h
from test_headers import FORGED, cookie_names, spellings

EDITS = {
    "nginx": ("listen 127.0.0.1:8080;", "listen 127.0.0.1:8080 http2;"),
    "caddy": ("\tadmin off\n", "\tadmin off\n\tservers {\n\t\tprotocols h1 h2c\n\t}\n"),
    "traefik": ("", ""),
    "envoy": ("", ""),
}


class Curl:
    def __init__(self, site: h.Site) -> None:
        self.site = site

    def send(self, target: str, headers: list[tuple[str, str]] = (), *more: str) -> tuple[int, h.Received | None]:
        mark = f"{len(self.site.origin.received)}-{target}"
        command = ["curl", "--http2-prior-knowledge", "--silent", "--path-as-is", "--noproxy", "*", "--max-time", "20",
                   "--output", "/dev/null", "--write-out", "%{json}", *more]  # fmt: skip
        for name, value in [("Host", h.HOST), (h.MARK, mark), *headers]:
            command += ["--header", f"{name}: {value}"]
        done = subprocess.run([*command, f"http://127.0.0.1:{self.site.port}{target}"], capture_output=True, check=True)
        told = json.loads(done.stdout)
        assert told["http_version"] == "2"
        return told["http_code"], self.site.origin.received.pop(mark, None)


@pytest.mark.parametrize("name", EDITS)
def test_over_http_2_it_is_the_same(started, name):
    old, new = EDITS[name]
    curl = Curl(started(name, lambda text: text.replace(old, new, 1) if old in text else text))

    for headers, status in (([], 403), (h.WRONG_SECRET, 401), (h.CREDENTIAL[:1], 401), ([*h.CREDENTIAL, *h.CREDENTIAL], 401)):
        assert curl.send("/dashboard?x=/public", headers) == (status, None)
    for lie in (("X-Forwarded-Uri", "/public"), ("X-Original-URI", "/public"), ("User-Agent", "kube-probe/1.33")):
        assert curl.send("/dashboard", [lie]) == (403, None)
    assert curl.send("/elsewhere", [("X-Forwarded-For", "203.0.113.7"), ("X-Real-IP", "203.0.113.7"), *h.CREDENTIAL]) == (403, None)

    forged = [(spelling, FORGED) for identity in h.IDENTITY for spelling in spellings(identity)]
    cookies = [("Cookie", "a=1; CF_Authorization=e30; b=2")]
    # Some take no more than a hundred or so at once.
    for some in (forged[start : start + 60] for start in range(0, len(forged), 60)):
        status, received = curl.send("/dashboard?x=1", [*some, *cookies, *h.CREDENTIAL])
        assert status == 200
        assert received.target == "/dashboard?x=1"
        assert received.all("Hallpass-Client-Id") == [h.CLIENT_ID]
        assert cookie_names(received) == ([] if name == "traefik" else ["a=1", "b=2"])
        for text in (FORGED, h.CLIENT_SECRET, "CF_Authorization"):
            assert text not in received.text()

        status, received = curl.send("/public", some, "--data", "body")
        assert status == 200
        assert received.body == b"body"
        assert FORGED not in received.text()
    status, received = curl.send("/public/../dashboard")
    assert received is None, "no credential, and a path with two readings"
