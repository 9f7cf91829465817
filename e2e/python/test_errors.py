"""Refusals: the client's error classes, the statuses and the codes."""

from __future__ import annotations

import re

import cloudflare
import pytest
from cloudflare import Omit, omit

import harness as h

in_account = {"account_id": h.ACCOUNT}


def tokens_of(client):
    return client.zero_trust.access.service_tokens


# 400


@pytest.mark.parametrize(
    "duration", ["", "1d", "1 h", "one year", "0", "0s", "-1h", "900000h", "Forever"]
)
def test_400_answers_a_bad_duration_and_points_at_it(tokens, duration):
    for send in (
        lambda: tokens.create(**in_account, name="deploy", duration=duration),
        lambda: tokens.update(h.SERVICE_TOKEN, **in_account, duration=duration),
    ):
        with h.refusal(cloudflare.BadRequestError, 400, 12130) as caught:
            send()
        [error] = caught.value.errors
        assert error.source.pointer == "/duration"
        assert re.match(r"access\.api\.error\.invalid_request: .", error.message)
        assert re.search(r"docs/errors\.md#.", error.documentation_url)
    assert len(list(tokens.list(**in_account))) == 1, "nothing was made"
    seeded = tokens.get(h.SERVICE_TOKEN, **in_account)
    assert seeded.duration == "60m", "nothing was changed"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("   ", id="blank"),
        pytest.param("de\0ploy", id="with a control character"),
        pytest.param("x" * 351, id="too long"),
        pytest.param(omit, id="missing"),
    ],
)
def test_400_answers_a_bad_name_and_points_at_it(tokens, name):
    with h.refusal(cloudflare.BadRequestError, 400, 12130) as caught:
        tokens.create(**in_account, name=name)

    assert caught.value.errors[0].source.pointer == "/name"


def test_400_does_not_answer_a_name_of_350_characters(tokens):
    name = "é" * 350

    assert tokens.create(**in_account, name=name).name == name


def test_400_names_all_that_is_wrong_at_once(tokens):
    with h.refusal(cloudflare.BadRequestError, 400, 12130) as caught:
        tokens.create(
            **in_account,
            name="",
            duration="1d",
            previous_client_secret_expires_at="tomorrow",
        )

    assert sorted(error.source.pointer for error in caught.value.errors) == [
        "/duration",
        "/name",
        "/previous_client_secret_expires_at",
    ]


def test_400_answers_a_request_without_credentials_or_with_half_a_pair(hallpass):
    for client, headers in (
        (hallpass.client(), {"Authorization": Omit()}),
        (hallpass.client(api_email=h.EMAIL), {}),
        (hallpass.client(api_key=h.API_KEY), {}),
    ):
        with h.refusal(cloudflare.BadRequestError, 400, 9106):
            tokens_of(client).list(**in_account, extra_headers=headers)


def test_400_answers_a_malformed_authorization_header(hallpass):
    for api_token in ("two words", "semi;colon", '"quoted"'):
        with h.refusal(cloudflare.BadRequestError, 400, 6003) as caught:
            tokens_of(hallpass.with_token(api_token)).list(**in_account)
        assert caught.value.errors[0].error_chain[0]["code"] == 6111


def test_400_answers_a_malformed_id_in_the_path(tokens):
    for send in (
        lambda: tokens.get("not-an-id", **in_account),
        lambda: tokens.refresh("not-an-id", **in_account),
        lambda: tokens.get(h.SERVICE_TOKEN, account_id="not-an-id"),
    ):
        with h.refusal(cloudflare.BadRequestError, 400, 7003):
            send()


# 401


def test_401_answers_the_verification_of_an_unknown_api_token(hallpass):
    client = hallpass.with_token(h.UNKNOWN_API_TOKEN)

    with h.refusal(cloudflare.AuthenticationError, 401, 1000):
        client.user.tokens.verify()
    with h.refusal(cloudflare.AuthenticationError, 401, 1000):
        client.accounts.tokens.verify(**in_account)


# 403


def test_403_answers_an_unknown_api_token(hallpass):
    api = tokens_of(hallpass.with_token(h.UNKNOWN_API_TOKEN))

    with h.refusal(cloudflare.PermissionDeniedError, 403, 9109):
        api.list(**in_account)
    with h.refusal(cloudflare.PermissionDeniedError, 403, 9109):
        api.refresh(h.SERVICE_TOKEN, **in_account)


def test_403_answers_a_wrong_e_mail_address_or_a_wrong_key_in_the_same_words(hallpass):
    bodies = []
    for credentials in (
        {"api_email": "nobody@example.com", "api_key": h.API_KEY},
        {"api_email": h.EMAIL, "api_key": "0123456789abcdef0123456789abcdef01234"},
    ):
        with h.refusal(cloudflare.PermissionDeniedError, 403, 9103) as caught:
            tokens_of(hallpass.client(**credentials)).list(**in_account)
        bodies.append(caught.value.body)

    assert bodies[0] == bodies[1]


def test_403_answers_an_api_token_that_lacks_the_permission(hallpass):
    reader = hallpass.with_key().accounts.tokens.create(
        **in_account,
        name="reader",
        policies=[
            {
                "effect": "allow",
                "permission_groups": [{"id": h.SERVICE_TOKENS_READ}],
                "resources": {f"com.cloudflare.api.account.{h.ACCOUNT}": "*"},
            }
        ],
    )
    api = tokens_of(hallpass.with_token(reader.value))
    before = api.get(h.SERVICE_TOKEN, **in_account)

    for send in (
        lambda: api.create(**in_account, name="deploy"),
        lambda: api.update(h.SERVICE_TOKEN, **in_account, name="other"),
        lambda: api.refresh(h.SERVICE_TOKEN, **in_account),
        lambda: api.rotate(h.SERVICE_TOKEN, **in_account),
        lambda: api.delete(h.SERVICE_TOKEN, **in_account),
    ):
        with h.refusal(cloudflare.PermissionDeniedError, 403, 10000):
            send()
    assert list(api.list(**in_account)) == [before], "nothing was changed"


def test_403_answers_an_account_or_a_zone_that_is_not_the_callers(connect):
    api = tokens_of(connect())

    for where in ({"account_id": h.OTHER_ACCOUNT}, {"zone_id": h.OTHER_ACCOUNT}):
        for send in (
            lambda: api.list(**where),
            lambda: api.create(**where, name="deploy"),
            lambda: api.get(h.SERVICE_TOKEN, **where),
        ):
            with h.refusal(cloudflare.PermissionDeniedError, 403, 10000):
                send()


# 404


def test_404_answers_an_unknown_service_token_in_the_same_words_whatever_is_asked_of_it(tokens):
    bodies = []
    for send in (
        lambda: tokens.get(h.UNKNOWN_ID, **in_account),
        lambda: tokens.update(h.UNKNOWN_ID, **in_account, name="other"),
        lambda: tokens.refresh(h.UNKNOWN_ID, **in_account),
        lambda: tokens.rotate(h.UNKNOWN_ID, **in_account),
        lambda: tokens.delete(h.UNKNOWN_ID, **in_account),
    ):
        with h.refusal(cloudflare.NotFoundError, 404, 12135) as caught:
            send()
        bodies.append(caught.value.response.text)

    assert "access.api.error.service_token_not_found" in bodies[0]
    assert len(set(bodies)) == 1


def test_404_answers_an_unknown_route(hallpass):
    with h.refusal(cloudflare.NotFoundError, 404, 7003) as caught:
        hallpass.with_token().get(f"/accounts/{h.ACCOUNT}/access/nothing_here", cast_to=object)

    first, *others = caught.value.body["errors"]
    more = [*others, *first.get("error_chain", [])]
    assert [error["code"] for error in more] == [7000]


def test_404_or_400_answers_a_path_with_an_empty_segment_which_never_reaches_the_token(hallpass):
    client = hallpass.with_token()
    for route in (
        f"/zones//access/service_tokens/{h.SERVICE_TOKEN}",
        f"/accounts//access/service_tokens/{h.SERVICE_TOKEN}",
        f"/accounts/{h.ACCOUNT}/access//service_tokens/{h.SERVICE_TOKEN}",
    ):
        with pytest.raises((cloudflare.BadRequestError, cloudflare.NotFoundError)) as caught:
            client.delete(route, cast_to=object)
        assert caught.value.errors[0].code == 7003
    assert tokens_of(client).get(h.SERVICE_TOKEN, **in_account).id == h.SERVICE_TOKEN


# The others


def test_405_answers_a_method_that_a_route_does_not_know(hallpass):
    route = f"/accounts/{h.ACCOUNT}/access/service_tokens/{h.SERVICE_TOKEN}"

    with h.refusal(cloudflare.APIStatusError, 405, 10405):
        hallpass.with_token().patch(route, cast_to=object, body={"name": "other"})


def test_413_answers_a_body_of_more_than_1_mib(tokens):
    with h.refusal(cloudflare.APIStatusError, 413, 12130):
        tokens.create(**in_account, name="x" * 1024 * 1024)


def test_429_answers_too_many_requests_and_says_when_to_come_again(hallpass):
    hallpass.fail(429, retry_after=7)
    api = tokens_of(hallpass.with_token(max_retries=0))

    with h.refusal(cloudflare.RateLimitError, 429, 971) as caught:
        api.list(**in_account)

    assert caught.value.response.headers["retry-after"] == "7"
    assert len(api.list(**in_account).result) == 1, "only the one request is refused"


def test_500_answers_when_the_server_is_at_fault(hallpass):
    hallpass.fail(500)
    api = tokens_of(hallpass.with_token(max_retries=0))

    with h.refusal(cloudflare.InternalServerError, 500, 10001):
        api.list(**in_account)

    assert len(api.list(**in_account).result) == 1, "only the one request is refused"


def test_no_error_comes_when_both_ways_of_authenticating_are_used_at_once(hallpass):
    client = hallpass.with_key(default_headers={"Authorization": f"Bearer {h.API_TOKEN}"})

    assert len(tokens_of(client).list(**in_account).result) == 1


def test_no_error_comes_when_an_empty_api_token_stands_beside_a_complete_pair(hallpass):
    client = hallpass.with_key(default_headers={"Authorization": "Bearer"})

    assert len(tokens_of(client).list(**in_account).result) == 1
