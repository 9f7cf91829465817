"""PyJWT accepts what the gate signs, by the keys that the gate publishes."""

from __future__ import annotations

import urllib.request

import jwt
import pytest
from harness import ACCOUNT, CLIENT_ID, CLIENT_SECRET, Hallpass

# The example application of the emulator, and who issues for it.
HOST = "app.example.com"
AUDIENCE = "737646a56ab1df6ec9bddc7e5ca84eaf3b0768850f3ffb5d74f1534911fe3893"
ISSUER = "https://test.cloudflareaccess.com"


def assertion(hallpass: Hallpass) -> str:
    headers = {
        "X-Original-Host": HOST,
        "X-Original-URI": "/",
        "X-Real-IP": "192.0.2.1",
        "CF-Access-Client-Id": CLIENT_ID,
        "CF-Access-Client-Secret": CLIENT_SECRET,
    }
    with urllib.request.urlopen(urllib.request.Request(f"{hallpass.gate}/auth/nginx", headers=headers), timeout=20) as reply:
        return reply.headers["Cf-Access-Jwt-Assertion"]


def validate(hallpass: Hallpass, token: str, **wanted: str) -> dict:
    keys = jwt.PyJWKClient(f"{hallpass.gate}/cdn-cgi/access/certs")
    expected = {"audience": AUDIENCE, "issuer": ISSUER, **wanted}
    return jwt.decode(token, keys.get_signing_key_from_jwt(token), algorithms=["RS256"], **expected)


def test_an_assertion_is_accepted(hallpass: Hallpass):
    claims = validate(hallpass, assertion(hallpass))
    assert (claims["common_name"], claims["sub"], claims["type"]) == (CLIENT_ID, "", "app")
    assert claims["aud"] == [AUDIENCE]
    assert "nbf" not in claims and "email" not in claims


def test_a_service_that_wants_another_audience_or_issuer_refuses_it(hallpass: Hallpass):
    token = assertion(hallpass)
    with pytest.raises(jwt.InvalidAudienceError):
        validate(hallpass, token, audience="0" * 64)
    with pytest.raises(jwt.InvalidIssuerError):
        validate(hallpass, token, issuer="https://elsewhere.cloudflareaccess.com")


def test_a_changed_assertion_is_refused(hallpass: Hallpass):
    head, claims, signature = assertion(hallpass).split(".")
    changed = claims[:-2] + ("A" if claims[-2] != "A" else "B") + claims[-1]
    with pytest.raises(jwt.InvalidTokenError):
        validate(hallpass, f"{head}.{changed}.{signature}")


def test_what_was_signed_before_a_rotation_is_accepted_after_it(hallpass: Hallpass):
    before = assertion(hallpass)
    hallpass.with_key().zero_trust.access.keys.rotate(account_id=ACCOUNT)
    after = assertion(hallpass)
    kids = [jwt.get_unverified_header(token)["kid"] for token in (before, after)]
    assert kids[0] != kids[1]
    for token in (before, after):
        assert validate(hallpass, token)["common_name"] == CLIENT_ID
