"""New secrets for old: versions, and the grace of the previous secret."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import cloudflare
import pytest

import harness as h

in_account = {"account_id": h.ACCOUNT}


def test_a_rotation_gives_a_new_secret_and_the_next_version_and_nothing_else(tokens):
    created = tokens.create(**in_account, name="deploy")

    rotated = tokens.rotate(created.id, **in_account)

    h.assert_minted(rotated.client_secret, "cfast")
    assert rotated.client_secret != created.client_secret
    assert rotated.client_secret_version == 2
    for field in ("id", "client_id", "name", "duration", "enabled", "created_at"):
        assert getattr(rotated, field) == getattr(created, field)
    stored = tokens.get(created.id, **in_account)
    assert stored.client_secret_version == 2
    assert stored.expires_at == h.instant(created.expires_at)
    assert "client_secret" not in h.plain(stored)


def test_a_rotation_without_a_grace_ends_the_previous_secret_at_once(hallpass, tokens):
    rotated = tokens.rotate(h.SERVICE_TOKEN, **in_account)

    assert rotated.client_secret != h.CLIENT_SECRET
    h.assert_near(rotated.previous_client_secret_expires_at, hallpass.now())


def test_a_rotation_keeps_two_secrets_alive_until_the_instant_that_was_asked_for(tokens):
    created = tokens.create(**in_account, name="deploy")
    grace = "2035-11-15T10:30:00Z"

    rotated = tokens.rotate(
        created.id, **in_account, previous_client_secret_expires_at=grace
    )

    assert rotated.previous_client_secret_expires_at == grace
    assert rotated.client_secret != created.client_secret
    assert rotated.client_secret_version == 2
    for reply in (
        tokens.get(created.id, **in_account),
        *tokens.list(**in_account, name="deploy"),
        tokens.refresh(created.id, **in_account),
        tokens.update(created.id, **in_account, name="renamed"),
    ):
        assert reply.previous_client_secret_expires_at == grace
        assert reply.client_secret_version == 2
        assert "client_secret" not in h.plain(reply)


@pytest.mark.parametrize(
    "grace",
    [
        "2023-01-01T00:00:00Z",
        "2023-01-01T00:00:00.25Z",
        "2035-06-01T12:00:00.5+02:00",
        datetime(2035, 6, 1, 12, tzinfo=timezone.utc),
    ],
)
def test_a_grace_may_be_past_or_future_and_is_echoed_as_the_same_instant(tokens, grace):
    created = tokens.create(**in_account, name="deploy")

    rotated = tokens.rotate(
        created.id, **in_account, previous_client_secret_expires_at=grace
    )
    updated = tokens.update(
        created.id,
        **in_account,
        client_secret_version=3,
        previous_client_secret_expires_at=grace,
    )

    for reply in (rotated, updated):
        h.assert_minted(reply.client_secret, "cfast")
        echo = reply.previous_client_secret_expires_at
        assert h.instant(echo) == h.instant(grace)
        assert echo.endswith("Z")


def test_a_second_rotation_sets_a_new_grace_for_the_only_previous_secret(tokens):
    id_ = tokens.create(**in_account, name="deploy").id
    first, second = "2035-01-01T00:00:00Z", "2036-01-01T00:00:00Z"

    one = tokens.rotate(id_, **in_account, previous_client_secret_expires_at=first)
    two = tokens.rotate(id_, **in_account, previous_client_secret_expires_at=second)

    assert two.client_secret != one.client_secret
    assert two.client_secret_version == 3
    assert two.previous_client_secret_expires_at == second


def test_a_grace_can_be_made_longer_shorter_or_past_without_another_secret(hallpass, tokens):
    id_ = tokens.create(**in_account, name="deploy").id
    now = hallpass.now()
    tokens.rotate(id_, **in_account, previous_client_secret_expires_at=now + h.hours(24))

    for grace in (now + h.hours(240), now + h.hours(1), h.instant("2023-01-01T00:00:00Z")):
        moved = tokens.update(id_, **in_account, previous_client_secret_expires_at=grace)
        assert h.instant(moved.previous_client_secret_expires_at) == grace
        assert moved.client_secret_version == 2
        assert "client_secret" not in h.plain(moved)


def test_a_null_clears_the_grace_only_once_the_previous_secret_is_dead(hallpass, tokens):
    id_ = tokens.create(**in_account, name="deploy").id
    grace = hallpass.now() + h.hours(2)
    tokens.rotate(id_, **in_account, previous_client_secret_expires_at=grace)

    alive = tokens.update(id_, **in_account, previous_client_secret_expires_at=None)
    assert h.instant(alive.previous_client_secret_expires_at) == grace

    hallpass.advance("3h")
    dead = tokens.update(id_, **in_account, previous_client_secret_expires_at=None)
    assert "previous_client_secret_expires_at" not in h.plain(dead)


def test_a_null_is_accepted_where_no_secret_was_ever_rotated_out(tokens):
    reply = tokens.update(
        h.SERVICE_TOKEN, **in_account, previous_client_secret_expires_at=None
    )

    assert "previous_client_secret_expires_at" not in h.plain(reply)
    assert reply.client_secret_version == 1


def test_an_update_with_a_higher_version_rotates_and_that_is_the_version(tokens):
    created = tokens.create(**in_account, name="deploy")

    second = tokens.update(created.id, **in_account, client_secret_version=2)
    h.assert_minted(second.client_secret, "cfast")
    assert second.client_secret != created.client_secret
    assert second.client_secret_version == 2
    assert second.expires_at == h.instant(created.expires_at)
    assert second.client_id == created.client_id

    fifth = tokens.update(created.id, **in_account, client_secret_version=5)
    h.assert_minted(fifth.client_secret, "cfast")
    assert fifth.client_secret != second.client_secret
    assert fifth.client_secret_version == 5

    sixth = tokens.rotate(created.id, **in_account)
    assert sixth.client_secret_version == 6


def test_an_update_with_an_equal_or_lower_version_or_0_does_not_rotate(tokens):
    id_ = tokens.create(**in_account, name="deploy").id
    tokens.update(id_, **in_account, client_secret_version=3)

    for version in (3, 2, 1, 0):
        reply = tokens.update(id_, **in_account, client_secret_version=version)
        assert reply.client_secret_version == 3
        assert "client_secret" not in h.plain(reply)
    assert tokens.get(id_, **in_account).client_secret_version == 3


@pytest.mark.parametrize("version", [1.5, -1])
def test_a_version_that_is_no_natural_number_is_refused(tokens, version):
    with h.refusal(cloudflare.BadRequestError, 400, 12130) as caught:
        tokens.update(h.SERVICE_TOKEN, **in_account, client_secret_version=version)

    assert caught.value.errors[0].source.pointer == "/client_secret_version"


@pytest.mark.parametrize("version", [2, 2.0])
def test_a_version_is_a_whole_number_in_the_reply_however_it_was_sent(tokens, version):
    reply = tokens.with_raw_response.update(
        h.SERVICE_TOKEN, **in_account, client_secret_version=version
    )

    assert re.search(r'"client_secret_version":2[,}]', reply.text())
    h.assert_minted(reply.parse().client_secret, "cfast")


def test_a_token_may_be_made_with_a_version_and_a_past_grace(tokens):
    grace = "2024-11-15T10:30:00Z"
    created = tokens.create(
        **in_account,
        name="deploy",
        client_secret_version=3,
        previous_client_secret_expires_at=grace,
    )

    h.assert_minted(created.client_secret, "cfast")
    assert created.client_secret_version == 3
    assert created.previous_client_secret_expires_at == grace


def test_version_0_at_creation_means_not_given(tokens):
    created = tokens.create(**in_account, name="deploy", client_secret_version=0)

    assert created.client_secret_version == 1


def test_of_many_rotations_at_once_each_gets_a_version_and_a_secret_of_its_own(tokens):
    id_ = tokens.create(**in_account, name="deploy").id

    with ThreadPoolExecutor(8) as pool:
        rotated = list(pool.map(lambda _: tokens.rotate(id_, **in_account), range(8)))

    assert sorted(token.client_secret_version for token in rotated) == [2, 3, 4, 5, 6, 7, 8, 9]
    assert len({token.client_secret for token in rotated}) == 8
    assert tokens.get(id_, **in_account).client_secret_version == 9
