"""Who gets through, who does not, and what the service learns of those who do."""

from __future__ import annotations

import re

import pytest

import harness as h


def test_a_valid_credential_passes_and_the_service_gets_an_assertion_and_no_secret(site):
    reply = site.send("/dashboard?from=now-1h", h.CREDENTIAL)

    assert reply.status == 200
    assert reply.received.method == "GET"
    assert reply.received.target == "/dashboard?from=now-1h"
    [assertion] = reply.received.all("Cf-Access-Jwt-Assertion")
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", assertion)
    assert reply.received.all("Hallpass-Client-Id") == [h.CLIENT_ID]
    assert reply.received.all("Hallpass-Token-Name") != [""]
    assert len(reply.received.all("Hallpass-Token-Name")) == 1
    assert "".join(reply.received.all("Cf-Access-Authenticated-User-Email")) == ""
    assert reply.received.all("CF-Access-Client-Id") == []
    assert h.CLIENT_SECRET not in reply.received.text()
    assert reply.received.all("Host") == [h.HOST]


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_the_method_reaches_the_service_and_the_gate_hears_it_in_its_own_way(site, method):
    assert site.send("/", method=method).status == 403
    reply = site.send("/", h.CREDENTIAL, method=method)

    assert (reply.status, reply.received.method) == (200, method)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param([], 403, id="no credential"),
        pytest.param(h.WRONG_SECRET, 401, id="a wrong secret"),
        pytest.param([("CF-Access-Client-Id", "0" * 32 + ".access"), h.CREDENTIAL[1]], 401, id="an unknown token"),
        pytest.param(h.CREDENTIAL[:1], 401, id="half a credential"),
        pytest.param(h.CREDENTIAL[1:], 401, id="the other half"),
        pytest.param([*h.CREDENTIAL, *h.CREDENTIAL], 401, id="the same twice"),
        pytest.param([*h.WRONG_SECRET, *h.CREDENTIAL], 401, id="a wrong one and a right one"),
        pytest.param([("Cookie", "CF_Authorization=" + "e30.e30.e30")], 403, id="a cookie"),
        pytest.param([("cf-access-token", "e30.e30.e30")], 403, id="a token of an earlier visit"),
        pytest.param([("CF_Access_Client_Id", h.CLIENT_ID), ("CF_Access_Client_Secret", h.CLIENT_SECRET)], 403, id="underscores"),
        pytest.param([("CF.Access.Client.Id", h.CLIENT_ID), ("CF.Access.Client.Secret", h.CLIENT_SECRET)], 403, id="dots"),
    ],
)
def test_a_request_is_refused_with(site, headers, status):
    reply = site.send("/dashboard", headers)

    assert reply.status == status
    assert reply.received is None
    assert reply.header("Hallpass-Ref"), "what `hallpass explain` wants to know"


def test_a_valid_credential_that_no_policy_lets_in_is_refused(site):
    reply = site.send("/elsewhere", h.CREDENTIAL)

    assert (reply.status, reply.received) == (403, None)


def test_a_host_that_no_application_has_is_refused(site):
    for headers in ([], h.CREDENTIAL):
        reply = site.send("/", headers, host=h.UNKNOWN_HOST)
        assert (reply.status, reply.received) == (403, None)


@pytest.mark.parametrize("host", [h.HOST.upper(), h.HOST + ":8080", h.HOST.title() + ":443"])
def test_a_host_in_capitals_or_with_a_port_is_the_same_application(site, host):
    assert site.send("/", host=host).status == 403
    assert site.send("/elsewhere", h.CREDENTIAL, host=host).status == 403
    assert site.send("/", h.CREDENTIAL, host=host).status == 200


@pytest.mark.parametrize(
    "agent", ["kube-probe/1.33", "ELB-HealthChecker/2.0", "GoogleHC/1.0", "Consul Health Check", "Prometheus/3.0", "curl/8"]
)
@pytest.mark.parametrize("target", ["/", "/healthz", "/ping", "/ready", "/auth/nginx", "/.hallpass"])
def test_a_health_check_is_nobody_special(site, agent, target):
    reply = site.send(target, [("User-Agent", agent)])

    assert reply.status in (403, 404)
    assert reply.received is None


def test_a_bypass_passes_everybody_and_the_service_gets_no_credential_and_no_identity(site):
    for headers in ([], h.CREDENTIAL, h.WRONG_SECRET):
        reply = site.send("/public/page", headers)

        assert reply.status == 200
        for name in [*h.IDENTITY, "CF-Access-Client-Id", "CF-Access-Client-Secret"]:
            assert "".join(reply.received.all(name)) == ""
        assert h.CLIENT_SECRET not in reply.received.text()


SINGLE = '{"cf-access-client-id":"%s","cf-access-client-secret":"%s"}'

UNCOMMENT = {
    "nginx": "# proxy_set_header Authorization",
    "caddy": "# request_header -Authorization",
    "traefik": "# - Authorization",
    "envoy": "# - exact: authorization",
}


@pytest.mark.parametrize("name", UNCOMMENT)
def test_the_single_header_opens_and_ends_at_the_proxy_where_its_lines_are_not_comments(started, name):
    def edit(text: str) -> str:
        for line in (UNCOMMENT[name], '# Authorization: ""', "# - remove: authorization"):
            text = text.replace(line, line.removeprefix("# "))
        return text

    site = started(name, edit)

    assert site.send("/", [("Authorization", SINGLE % (h.CLIENT_ID, "0" * 64))], host=h.SINGLE_HEADER_HOST).status == 401
    reply = site.send("/", [("Authorization", SINGLE % (h.CLIENT_ID, h.CLIENT_SECRET))], host=h.SINGLE_HEADER_HOST)
    assert reply.status == 200
    assert reply.received.all("Hallpass-Client-Id") == [h.CLIENT_ID]
    assert "".join(reply.received.all("Authorization")) == ""
    assert h.CLIENT_SECRET not in reply.received.text()
