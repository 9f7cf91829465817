"""The gate in trouble: nothing passes, and afterwards everything is as it was."""

from __future__ import annotations

import pytest

import harness as h
from test_statuses import GONE, SILENT, told

# What has a row in the table of `docs/proxies/README.md`.
PROMISED = {"is gone": GONE, "hang": SILENT}


@pytest.fixture
def broken(site, request):
    """A site whose gate is in trouble until the test is over, and the trouble."""
    trouble = request.param
    site.tap.disconnect()
    if trouble == "is gone":
        site.tap.cut()
    else:
        site.tap.behaviour = trouble
    yield site, trouble
    if trouble != "is gone":
        site.tap.cut()
    site.tap.mend()
    assert site.send("/", h.CREDENTIAL).status == 200, "it recovers"


@pytest.mark.parametrize("broken", ["is gone", "close", "garble", "hang"], indirect=True)
def test_nothing_passes_while_the_gate(broken):
    site, trouble = broken
    targets = ["/"] if trouble == "hang" else ["/", "/public", "/dashboard?x=/public"]
    for target in targets:
        reply = site.send(target, h.CREDENTIAL, timeout=4)

        assert reply.received is None
        if site.name == "traefik" and trouble == "hang":
            assert reply.status == 0, "Traefik waits for half a minute, and nobody can tell it not to"
        elif trouble in PROMISED:
            assert reply.status == told(PROMISED[trouble], site.name)
        else:
            assert reply.status >= 500


def test_the_secret_is_in_no_log_of_the_proxy(proxy):
    for target in ("/", "/public", "/elsewhere"):
        proxy.site.send(target, h.CREDENTIAL)
    proxy.site.send("/", h.WRONG_SECRET)

    assert h.CLIENT_SECRET not in proxy.log()
