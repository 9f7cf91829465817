"""Service tokens: create, get, update, refresh, rotate and delete."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import cloudflare
import pytest

import harness as h

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
WHOLE_SECOND = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
FOREVER = "2999-12-31T23:59:59Z"

# What every reply holds; a secret, a grace and a last use come on top where there are any.
FIELDS = {
    "client_id",
    "client_secret_version",
    "created_at",
    "duration",
    "enabled",
    "expires_at",
    "id",
    "name",
    "updated_at",
}

in_account = {"account_id": h.ACCOUNT}
in_zone = {"zone_id": h.ZONE}


def not_found():
    return h.refusal(cloudflare.NotFoundError, 404, 12135)


def test_a_token_can_be_created_read_changed_refreshed_rotated_and_deleted(hallpass, connect):
    api = connect().zero_trust.access.service_tokens

    created = h.plain(api.create(**in_account, name="deploy", duration="24h"))
    assert created["name"] == "deploy"
    assert created["duration"] == "24h"
    secret = created.pop("client_secret")
    id_ = created["id"]

    assert h.plain(api.get(id_, **in_account)) == created
    listed = [h.plain(token) for token in api.list(**in_account)]
    assert [token["id"] for token in listed] == [id_, h.SERVICE_TOKEN]
    assert listed[0] == created

    renamed = h.plain(api.update(id_, **in_account, name="deploy to production"))
    assert {**renamed, "updated_at": created["updated_at"]} == {
        **created,
        "name": "deploy to production",
    }

    hallpass.advance("1h")
    refreshed = api.refresh(id_, **in_account)
    h.assert_near(refreshed.expires_at, h.instant(created["expires_at"]) + h.hours(1))
    assert refreshed.name == "deploy to production"

    rotated = api.rotate(id_, **in_account)
    assert rotated.client_id == created["client_id"]
    assert rotated.client_secret != secret

    last = h.plain(api.get(id_, **in_account))
    assert h.plain(api.delete(id_, **in_account)) == last
    with not_found():
        api.get(id_, **in_account)
    assert [token.id for token in api.list(**in_account)] == [h.SERVICE_TOKEN]


def test_the_token_of_the_published_example_is_seeded(hallpass, tokens):
    seeded = tokens.get(h.SERVICE_TOKEN, **in_account)

    assert set(h.plain(seeded)) == FIELDS
    assert seeded.name == "CI/CD token"
    assert seeded.duration == "60m"
    assert seeded.client_id == h.CLIENT_ID
    assert seeded.enabled is True
    h.assert_near(seeded.expires_at, hallpass.now() + h.hours(1))


def test_a_token_is_born_with_a_secret_one_year_to_live_and_no_field_that_nobody_set(
    hallpass, tokens
):
    reply = tokens.with_raw_response.create(**in_account, name="deploy")
    created = h.plain(reply.parse())

    assert reply.status_code == 201
    assert set(created) == FIELDS | {"client_secret"}
    assert UUID.fullmatch(created["id"])
    assert re.fullmatch(r"[0-9a-f]{32}\.access", created["client_id"])
    h.assert_minted(created["client_secret"], "cfast")
    assert created["client_secret_version"] == 1
    assert created["enabled"] is True
    assert created["duration"] == "8760h"
    for time in ("created_at", "updated_at", "expires_at"):
        assert WHOLE_SECOND.fullmatch(created[time])
    h.assert_near(created["created_at"], hallpass.now())
    assert created["updated_at"] == created["created_at"]
    life = h.instant(created["expires_at"]) - h.instant(created["created_at"])
    assert h.hours(8760) <= life <= h.hours(8760) + timedelta(seconds=1)


def test_tokens_can_share_a_name_and_never_share_an_id_a_client_id_or_a_secret(tokens):
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda _: tokens.create(**in_account, name="twin"), range(2))

    assert one.id != two.id
    assert one.client_id != two.client_id
    assert one.client_secret != two.client_secret


def test_a_secret_is_shown_when_it_is_made_and_never_again(tokens):
    id_ = tokens.create(**in_account, name="deploy").id
    tokens.rotate(id_, **in_account)

    replies = [
        tokens.get(id_, **in_account),
        *tokens.list(**in_account),
        tokens.refresh(id_, **in_account),
        tokens.update(id_, **in_account, name="other"),
        tokens.update(id_, **in_account, duration="1h", enabled=False),
        tokens.delete(id_, **in_account),
    ]

    for reply in replies:
        assert "client_secret" not in h.plain(reply)


# Of a zone


def test_a_token_of_a_zone_can_be_created_read_changed_and_deleted_through_the_zone(
    hallpass, tokens
):
    created = h.plain(tokens.create(**in_zone, name="edge"))
    h.assert_minted(created.pop("client_secret"), "cfast")
    id_ = created["id"]

    assert h.plain(tokens.get(id_, **in_zone)) == created
    assert [h.plain(token) for token in tokens.list(**in_zone, name="edge")] == [created]
    changed = tokens.update(id_, **in_zone, name="edge 2", duration="1h")
    assert changed.name == "edge 2"
    h.assert_near(changed.expires_at, hallpass.now() + h.hours(1))
    assert h.plain(tokens.delete(id_, **in_zone)) == h.plain(changed)
    with not_found():
        tokens.get(id_, **in_zone)


def test_a_token_of_a_zone_belongs_to_the_account_too(tokens):
    created = h.plain(tokens.create(**in_zone, name="edge"))
    secret = created.pop("client_secret")

    assert h.plain(tokens.get(created["id"], **in_account)) == created
    assert [h.plain(token) for token in tokens.list(**in_account, name="edge")] == [created]
    assert tokens.rotate(created["id"], **in_account).client_secret != secret


def test_a_token_that_was_made_for_the_account_alone_is_not_one_of_the_zone(tokens):
    id_ = tokens.create(**in_account, name="not of the zone").id

    with not_found():
        tokens.get(id_, **in_zone)
    with not_found():
        tokens.delete(id_, **in_zone)
    assert list(tokens.list(**in_zone, name="not of the zone")) == []
    assert tokens.get(id_, **in_account).name == "not of the zone"


def test_a_token_of_a_zone_can_be_refreshed_and_rotated_through_the_zone_as_old_clients_do(
    hallpass,
):
    client = hallpass.with_token()
    created = client.zero_trust.access.service_tokens.create(**in_zone, name="edge", duration="2h")
    route = f"/zones/{h.ZONE}/access/service_tokens/{created.id}"
    hallpass.advance("1h")

    refreshed = client.post(f"{route}/refresh", cast_to=object)["result"]
    h.assert_near(refreshed["expires_at"], h.instant(created.expires_at) + h.hours(1))
    rotated = client.post(f"{route}/rotate", cast_to=object)["result"]
    h.assert_minted(rotated["client_secret"], "cfast")
    assert rotated["client_secret_version"] == 2


# Updates


def test_an_update_keeps_everything_that_it_does_not_name(hallpass, tokens):
    before = h.plain(tokens.get(h.SERVICE_TOKEN, **in_account))
    hallpass.advance("10m")

    assert h.plain(tokens.update(h.SERVICE_TOKEN, **in_account)) == before
    assert h.plain(tokens.get(h.SERVICE_TOKEN, **in_account)) == before


def test_a_new_duration_counts_from_now(hallpass, tokens):
    id_ = tokens.create(**in_account, name="deploy", duration="100h").id
    hallpass.advance("10h")

    changed = tokens.update(id_, **in_account, duration="24h")

    assert changed.duration == "24h"
    h.assert_near(changed.expires_at, hallpass.now() + h.hours(24))


def test_the_same_duration_sent_again_keeps_the_expiry(hallpass, tokens):
    before = tokens.create(**in_account, name="deploy", duration="100h")
    hallpass.advance("10h")

    after = tokens.update(before.id, **in_account, duration="100h", name="new")

    assert after.name == "new"
    assert after.expires_at == h.instant(before.expires_at)


def test_an_update_takes_every_field_in_one_request(hallpass, tokens):
    before = tokens.create(**in_account, name="deploy")
    grace = hallpass.now() + h.hours(48)

    after = tokens.update(
        before.id,
        **in_account,
        name="all at once",
        duration="72h",
        enabled=False,
        client_secret_version=2,
        previous_client_secret_expires_at=grace,
    )

    assert after.name == "all at once"
    assert after.duration == "72h"
    assert after.enabled is False
    assert after.client_secret_version == 2
    assert h.instant(after.previous_client_secret_expires_at) == grace
    assert after.client_secret != before.client_secret
    h.assert_near(after.expires_at, hallpass.now() + h.hours(72))


# Disabled


def test_a_disabled_token_stays_with_all_it_has_and_can_be_enabled_again(tokens):
    before = h.plain(tokens.create(**in_account, name="deploy"))
    del before["client_secret"]

    assert tokens.update(before["id"], **in_account, enabled=False).enabled is False
    assert tokens.get(before["id"], **in_account).enabled is False

    enabled = h.plain(tokens.update(before["id"], **in_account, enabled=True))
    assert {**enabled, "updated_at": before["updated_at"]} == before


def test_a_refresh_extends_a_disabled_token_which_stays_disabled(hallpass, tokens):
    id_ = tokens.create(**in_account, name="deploy", duration="2h", enabled=False).id
    hallpass.advance("1h")

    refreshed = tokens.refresh(id_, **in_account)

    assert refreshed.enabled is False
    h.assert_near(refreshed.expires_at, hallpass.now() + h.hours(2))


# Durations


def test_a_token_that_lasts_forever_has_an_expiry_all_the_same_on_every_reply(tokens):
    created = tokens.create(**in_account, name="eternal", duration="forever")
    id_ = created.id

    replies = [
        created,
        tokens.get(id_, **in_account),
        *tokens.list(**in_account, name="eternal"),
        tokens.refresh(id_, **in_account),
        tokens.update(id_, **in_account, name="still eternal"),
        tokens.rotate(id_, **in_account),
        tokens.delete(id_, **in_account),
    ]

    assert len(replies) == 7
    for reply in replies:
        assert reply.duration == "forever"
        assert h.plain(reply)["expires_at"] == FOREVER


def test_a_token_that_lasts_forever_can_get_an_end_and_lose_it_again(hallpass, tokens):
    id_ = tokens.create(**in_account, name="eternal", duration="forever").id

    mortal = tokens.update(id_, **in_account, duration="8760h")
    h.assert_near(mortal.expires_at, hallpass.now() + h.hours(8760))
    eternal = tokens.update(id_, **in_account, duration="forever")
    assert eternal.expires_at == h.instant(FOREVER)


@pytest.mark.parametrize(
    ("duration", "life"),
    [
        ("300ms", timedelta(milliseconds=300)),
        ("90s", timedelta(seconds=90)),
        ("2h45m", h.hours(2.75)),
        ("1.5h", h.hours(1.5)),
        ("1h0m0s", h.hours(1)),
        ("8760h", h.hours(8760)),
    ],
)
def test_a_duration_is_echoed_exactly_as_sent_and_kept(hallpass, tokens, duration, life):
    before = hallpass.now()
    created = tokens.create(**in_account, name="deploy", duration=duration)
    after = hallpass.now()

    assert created.duration == duration
    expiry = h.instant(created.expires_at)
    assert expiry >= before + life, "nobody gets less than what was promised"
    assert expiry <= after + life + timedelta(seconds=1), "nor more than a second on top"
    if life.microseconds == 0:
        assert WHOLE_SECOND.fullmatch(created.expires_at)


# Refreshes


def test_a_refresh_never_ends_a_token_earlier(tokens):
    created = tokens.create(**in_account, name="deploy")

    refreshed = tokens.refresh(created.id, **in_account)

    assert refreshed.expires_at >= h.instant(created.expires_at)


def test_a_refresh_brings_an_expired_token_back_to_life_with_the_same_client_id(hallpass, tokens):
    created = tokens.create(**in_account, name="deploy", duration="60m")
    hallpass.advance("8760h")
    expired = tokens.get(created.id, **in_account)
    assert expired.expires_at == h.instant(created.expires_at)
    assert expired.expires_at < hallpass.now()

    refreshed = tokens.refresh(created.id, **in_account)

    assert refreshed.expires_at > hallpass.now()
    h.assert_near(refreshed.expires_at, hallpass.now() + h.hours(1))
    assert refreshed.client_id == created.client_id
    assert refreshed.client_secret_version == 1
    assert "client_secret" not in h.plain(refreshed)
    assert tokens.get(created.id, **in_account).expires_at == refreshed.expires_at


def test_a_refresh_counts_from_the_clock_of_the_server_wherever_a_test_has_set_it(
    hallpass, tokens
):
    hallpass.set_clock("2040-01-01T00:00:00Z")

    refreshed = tokens.refresh(h.SERVICE_TOKEN, **in_account)

    h.assert_near(refreshed.expires_at, "2040-01-01T01:00:00Z")


def test_a_request_may_have_an_empty_body_that_calls_itself_json(hallpass):
    recorder = h.Recorder()
    client = hallpass.with_token(http_client=recorder.http_client)

    refreshed = client.zero_trust.access.service_tokens.refresh(h.SERVICE_TOKEN, **in_account)

    assert refreshed.id == h.SERVICE_TOKEN
    [request] = recorder.requests
    assert request.headers["content-type"] == "application/json"
    assert request.content == b""


# Replies


def test_replies_are_compact_json_without_errors_or_messages(tokens):
    id_ = tokens.create(**in_account, name="deploy").id
    raw = tokens.with_raw_response

    for send in (
        lambda: raw.create(**in_account, name="second"),
        lambda: raw.list(**in_account),
        lambda: raw.get(id_, **in_account),
        lambda: raw.update(id_, **in_account, name="other"),
        lambda: raw.refresh(id_, **in_account),
        lambda: raw.rotate(id_, **in_account),
        lambda: raw.delete(id_, **in_account),
    ):
        reply = send()
        text = reply.text()
        body = json.loads(text)
        assert reply.headers["content-type"].startswith("application/json")
        assert text == json.dumps(body, separators=(",", ":"), ensure_ascii=False)
        assert body["success"] is True
        assert body["errors"] == []
        assert body["messages"] == []


def test_unknown_fields_and_parameters_are_no_error(tokens):
    created = tokens.create(**in_account, name="deploy", extra_body={"colour": "blue"})
    assert "colour" not in h.plain(created)

    [found] = tokens.list(**in_account, name="deploy", extra_query={"colour": "blue"})
    assert found.id == created.id
