"""What the client does by itself when the server fails, and where the server stops it."""

from __future__ import annotations

import time

import cloudflare
import httpx
import pytest

import harness as h

in_account = {"account_id": h.ACCOUNT}


@pytest.fixture
def recorder() -> h.Recorder:
    """The requests of the watched clients."""
    return h.Recorder()


@pytest.fixture
def watched(hallpass, recorder):
    """The service tokens, through a client with its usual two retries."""
    return hallpass.with_token(http_client=recorder.http_client).zero_trust.access.service_tokens


def test_retries_carry_a_refresh_over_two_failures_of_the_server(hallpass, watched, recorder):
    before = watched.get(h.SERVICE_TOKEN, **in_account)
    hallpass.advance("30m")
    hallpass.fail(500, times=2)
    recorder.requests.clear()

    refreshed = watched.refresh(h.SERVICE_TOKEN, **in_account)

    assert recorder.attempts() == ["0", "1", "2"]
    h.assert_near(refreshed.expires_at, before.expires_at + h.minutes(30))
    assert refreshed.client_secret_version == 1


def test_retries_give_up_after_the_second(hallpass, watched, recorder):
    hallpass.fail(500, times=3)

    with h.refusal(cloudflare.InternalServerError, 500, 10001) as caught:
        watched.refresh(h.SERVICE_TOKEN, **in_account)

    assert recorder.attempts() == ["0", "1", "2"]
    assert caught.value.response.headers.get("x-should-retry") != "false"


def test_retries_wait_as_long_as_a_429_asks(hallpass, watched, recorder):
    hallpass.fail(429, retry_after=1)
    start = time.monotonic()

    refreshed = watched.refresh(h.SERVICE_TOKEN, **in_account)

    assert refreshed.id == h.SERVICE_TOKEN
    assert recorder.attempts() == ["0", "1"]
    assert time.monotonic() - start >= 0.95


def test_retries_carry_reads_and_updates_without_a_new_version_over_a_failure(
    hallpass, watched, recorder
):
    for send in (
        lambda: watched.list(**in_account),
        lambda: watched.get(h.SERVICE_TOKEN, **in_account),
        lambda: watched.update(h.SERVICE_TOKEN, **in_account, name="other"),
    ):
        hallpass.fail(500)
        recorder.requests.clear()
        send()
        assert recorder.attempts() == ["0", "1"]


POLICIES = [
    {
        "effect": "allow",
        "permission_groups": [{"id": h.SERVICE_TOKENS_READ}],
        "resources": {f"com.cloudflare.api.account.{h.ACCOUNT}": "*"},
    }
]


@pytest.mark.parametrize(
    "send",
    [
        pytest.param(
            lambda client: client.zero_trust.access.service_tokens.create(
                **in_account, name="deploy"
            ),
            id="creating a service token",
        ),
        pytest.param(
            lambda client: client.zero_trust.access.service_tokens.rotate(
                h.SERVICE_TOKEN, **in_account
            ),
            id="rotating",
        ),
        pytest.param(
            lambda client: client.zero_trust.access.service_tokens.update(
                h.SERVICE_TOKEN, **in_account, client_secret_version=2
            ),
            id="updating with a version",
        ),
        pytest.param(
            lambda client: client.user.tokens.create(name="reader", policies=POLICIES),
            id="creating a user's API token",
        ),
        pytest.param(
            lambda client: client.accounts.tokens.create(
                **in_account, name="reader", policies=POLICIES
            ),
            id="creating an account's API token",
        ),
    ],
)
def test_retries_are_forbidden_where_they_could_cost_a_live_secret(hallpass, recorder, send):
    client = hallpass.with_key(http_client=recorder.http_client)
    hallpass.fail(500)

    with h.refusal(cloudflare.InternalServerError, 500, 10001) as caught:
        send(client)

    assert caught.value.response.headers["x-should-retry"] == "false"
    assert recorder.attempts() == ["0"]


def test_retries_are_forbidden_where_an_api_token_is_rolled(hallpass, recorder):
    client = hallpass.with_key(http_client=recorder.http_client)
    owned = client.user.tokens.create(name="reader", policies=POLICIES)
    hallpass.fail(500)
    recorder.requests.clear()

    with h.refusal(cloudflare.InternalServerError, 500, 10001) as caught:
        client.user.tokens.value.update(owned.id)

    assert caught.value.response.headers["x-should-retry"] == "false"
    assert recorder.attempts() == ["0"]


GRACE = "2035-01-01T00:00:00Z"


class CutOnce(httpx.HTTPTransport):
    """Loses the first reply."""

    cut = True

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if self.cut:
            self.cut = False
            response.read()
            raise httpx.ReadError("the connection broke before the reply", request=request)
        return response


def test_a_rotation_whose_reply_got_lost_is_retried_and_keeps_the_grace_that_was_asked_for(
    hallpass,
):
    recorder = h.Recorder(CutOnce())
    api = hallpass.with_token(http_client=recorder.http_client).zero_trust.access.service_tokens

    rotated = api.rotate(
        h.SERVICE_TOKEN, **in_account, previous_client_secret_expires_at=GRACE
    )

    assert recorder.attempts() == ["0", "1"]
    h.assert_minted(rotated.client_secret, "cfast")
    assert rotated.previous_client_secret_expires_at == GRACE
    stored = api.get(h.SERVICE_TOKEN, **in_account)
    assert stored.client_secret_version == rotated.client_secret_version
    assert stored.previous_client_secret_expires_at == GRACE


def test_a_retried_rotation_leaves_the_previous_secret_and_its_grace_alone_for_a_minute(
    hallpass, tokens
):
    retry = {"X-Stainless-Retry-Count": "1"}
    first = tokens.rotate(
        h.SERVICE_TOKEN, **in_account, previous_client_secret_expires_at=GRACE
    )

    again = tokens.rotate(h.SERVICE_TOKEN, **in_account, extra_headers=retry)
    assert again.client_secret != first.client_secret
    assert again.previous_client_secret_expires_at == GRACE

    hallpass.advance("2m")
    later = tokens.rotate(h.SERVICE_TOKEN, **in_account, extra_headers=retry)
    h.assert_near(later.previous_client_secret_expires_at, hallpass.now())
