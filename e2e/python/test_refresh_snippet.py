"""The example that the client's authors publish for "refresh", run as it is."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib.metadata import metadata

import harness as h

SNIPPET = h.SUITE / "snippets" / "refresh.py"


def run_snippet(hallpass, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, SNIPPET],
        env={"CLOUDFLARE_BASE_URL": hallpass.base_url, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_snippet_opens_word_for_word_like_the_readme_of_the_installed_package():
    readme = metadata("cloudflare").get_payload() or metadata("cloudflare")["Description"]
    opening = re.search(r"import os\nfrom cloudflare import Cloudflare\n.*?\n\)\n", readme, re.S)

    assert SNIPPET.read_text().startswith(opening.group())


def test_the_snippet_names_the_parameters_of_the_installed_package(tokens):
    parameters = inspect.signature(tokens.refresh).parameters

    assert "service_token_id" in parameters
    assert parameters["account_id"].kind is inspect.Parameter.KEYWORD_ONLY


def test_the_snippet_runs_with_an_api_token_and_moves_the_expiry(hallpass, tokens):
    before = h.plain(tokens.get(h.SERVICE_TOKEN, account_id=h.ACCOUNT))
    hallpass.advance("30m")

    done = run_snippet(hallpass, CLOUDFLARE_API_TOKEN=h.API_TOKEN)

    assert done.stdout.strip() == h.SERVICE_TOKEN, done.stderr
    after = h.plain(tokens.get(h.SERVICE_TOKEN, account_id=h.ACCOUNT))
    for moved in ("expires_at", "updated_at"):
        h.assert_near(after.pop(moved), h.instant(before.pop(moved)) + h.minutes(30))
    assert after == before


def test_the_snippet_runs_with_an_e_mail_address_and_a_global_key(hallpass, tokens):
    before = tokens.get(h.SERVICE_TOKEN, account_id=h.ACCOUNT)
    hallpass.advance("30m")

    done = run_snippet(hallpass, CLOUDFLARE_EMAIL=h.EMAIL, CLOUDFLARE_API_KEY=h.API_KEY)

    assert done.stdout.strip() == h.SERVICE_TOKEN, done.stderr
    after = tokens.get(h.SERVICE_TOKEN, account_id=h.ACCOUNT)
    h.assert_near(after.expires_at, before.expires_at + h.minutes(30))


def test_the_snippet_fails_with_the_code_of_the_refusal_when_the_api_token_is_not_known(hallpass):
    done = run_snippet(hallpass, CLOUDFLARE_API_TOKEN=h.UNKNOWN_API_TOKEN)

    assert done.returncode == 1
    assert "PermissionDeniedError" in done.stderr
    assert "'code': 9109" in done.stderr
