"""What a client is told: the table of `docs/proxies/README.md`, row by row. A gate that is gone or silent: `test_failures.py`."""

from __future__ import annotations

import pytest

import harness as h

PAGE = (h.ROOT / "docs" / "proxies" / "README.md").read_text()


def _table() -> dict[str, list[str]]:
    """Rows by their first cell; the one without a text there has the proxies' names."""
    section = PAGE.split("## What a client is told\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return {first.strip(): [cell.strip() for cell in cells] for first, *cells in rows}


TABLE = _table()
NAMES = [name.lower() for name in TABLE[""]]

NO_CREDENTIAL = "no credential"
REDIRECT = "no credential, and the application says `service_auth_401_redirect`"
NOT_ALLOWED = "valid, but not allowed; no such application; a proxy that is not trusted"
NOT_VALID = "a credential that is not valid"
TWO_READINGS = "a request that can be read in two ways"
CANNOT_DECIDE = "the gate cannot decide now"
GONE = "the gate is gone"
SILENT = "the gate does not answer"


def told(row: str, proxy: str) -> int:
    """The status that the page says a client of this proxy gets."""
    return int(TABLE[row][NAMES.index(proxy)].split()[0])


@pytest.mark.parametrize(
    ("row", "target", "headers", "host"),
    [
        pytest.param(NO_CREDENTIAL, "/", [], h.HOST, id="no credential"),
        pytest.param(REDIRECT, "/", [], h.REDIRECT_HOST, id="no credential where the application wants 401"),
        pytest.param(NOT_ALLOWED, "/elsewhere", h.CREDENTIAL, h.HOST, id="not allowed"),
        pytest.param(NOT_ALLOWED, "/", h.CREDENTIAL, h.UNKNOWN_HOST, id="no such application"),
        pytest.param(NOT_VALID, "/", h.WRONG_SECRET, h.HOST, id="a wrong secret"),
        pytest.param(NOT_VALID, "/", h.WRONG_SECRET, h.REDIRECT_HOST, id="a wrong secret where the application wants 401"),
        pytest.param(TWO_READINGS, "/a%2Fb", h.CREDENTIAL, h.HOST, id="two readings"),
    ],
)
def test_a_refused_client_is_told_what_the_page_says(site, row, target, headers, host):
    reply = site.send(target, headers, host=host)

    assert (reply.status, reply.received) == (told(row, site.name), None)


def test_an_application_that_wants_401_lets_in_whom_it_would(site):
    assert site.send("/", h.CREDENTIAL, host=h.REDIRECT_HOST).status == 200


def test_a_gate_that_cannot_decide_now_lets_nobody_in_and_decides_again_afterwards(hallpass, site):
    with hallpass.set_back("24h"):
        for target in ("/", "/public"):
            for headers in (h.CREDENTIAL, [], h.WRONG_SECRET):
                reply = site.send(target, headers)
                assert (reply.status, reply.received) == (told(CANNOT_DECIDE, site.name), None)
    assert site.send("/", h.CREDENTIAL).status == 200
    assert site.send("/public").status == 200
    assert site.send("/").status == told(NO_CREDENTIAL, site.name)
