"""The audit log, as the stock client reads it: all pages by itself, from newest to oldest."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import cloudflare

import harness as h

in_account = {"account_id": h.ACCOUNT}


def entries(client: cloudflare.Cloudflare, **query) -> list:
    """What happened between an hour ago and a day ahead: the emulator's clock is moved in between."""
    now = datetime.now(timezone.utc)
    window = {"since": now - timedelta(hours=1), "before": now + timedelta(days=1)}
    # What the emulator makes for its gate when it starts.
    begun = {"resource_type": {"not": ["signing_key", "app"]}}
    return list(client.accounts.logs.audit.list(**in_account, **window, **begun, **query))


def test_every_change_comes_exactly_once_page_by_page(hallpass, tokens):
    made = []
    for n in range(5):
        hallpass.advance("1s")
        made.insert(0, tokens.create(**in_account, name=f"token {n}").id)
    hallpass.advance("1s")
    tokens.refresh(h.SERVICE_TOKEN, **in_account)
    hallpass.advance("1s")
    secret = tokens.rotate(h.SERVICE_TOKEN, **in_account).client_secret

    recorder = h.Recorder()
    found = entries(hallpass.with_key(http_client=recorder.http_client), limit=2)

    assert [(entry.action.description, entry.resource.id) for entry in found] == [
        ("service_token.rotate", h.SERVICE_TOKEN),
        ("service_token.refresh", h.SERVICE_TOKEN),
        *(("service_token.create", id_) for id_ in made),
    ]
    assert len(recorder.requests) == 4
    assert secret not in str([h.plain(entry) for entry in found])
    newest = found[0]
    assert h.plain(newest.account) == {"id": h.ACCOUNT, "name": "Example"}
    assert (newest.action.type, newest.action.result) == ("update", "success")
    assert (newest.actor.type, newest.actor.context) == ("user", "api_token")
    assert newest.actor.email == h.EMAIL
    h.assert_near(newest.action.time, hallpass.now())


def test_a_filter_leaves_out_what_it_names(hallpass, tokens):
    made = tokens.create(**in_account, name="one")
    tokens.refresh(h.SERVICE_TOKEN, **in_account)
    tokens.delete(made.id, **in_account)
    client = hallpass.with_key()

    def actions(**query) -> list[str]:
        return sorted(entry.action.type for entry in entries(client, **query))

    assert actions(action_type={"not": ["create", "update"]}) == ["delete"]
    assert actions(resource_id={"not": [made.id]}) == ["update"]
    assert actions(actor_email={"not": [h.EMAIL]}) == []
    with h.refusal(cloudflare.BadRequestError, 400, 12130):
        entries(client, zone_id={"not": [h.ZONE]})


def test_a_token_without_the_permission_is_refused(hallpass):
    with h.refusal(cloudflare.PermissionDeniedError, 403, 10000):
        entries(hallpass.with_token())
