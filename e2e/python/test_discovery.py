"""How a client finds the ids it needs: accounts, zones, memberships, the user."""

from __future__ import annotations

import re

import cloudflare

import harness as h


def test_a_client_finds_its_accounts(connect):
    client = connect()

    [account] = client.accounts.list()

    assert account.id == h.ACCOUNT
    assert isinstance(account.name, str)
    assert account.type == "standard"
    assert client.accounts.get(account_id=h.ACCOUNT) == account


def test_a_client_finds_its_zones_and_the_account_of_each(connect):
    # Hallpass has nothing to say about most of what the client's type calls a zone.
    client = connect(_strict_response_validation=False)

    [zone] = client.zones.list()

    assert zone.id == h.ZONE
    assert zone.name == "example.com"
    assert zone.account.id == h.ACCOUNT
    assert client.zones.get(zone_id=h.ZONE) == zone
    assert list(client.zones.list(name="example.com")) == [zone]
    assert list(client.zones.list(name="example.net")) == []


def test_a_client_finds_its_memberships(connect):
    [membership] = connect().memberships.list()

    assert membership.account.id == h.ACCOUNT
    assert membership.status == "accepted"


def test_a_client_finds_its_user(connect):
    user = connect().user.get()

    assert user.email == h.EMAIL
    assert re.fullmatch(r"[0-9a-f]{32}", user.id)


def test_a_client_finds_where_each_list_is_and_an_empty_page_behind_it(connect):
    client = connect(_strict_response_validation=False)

    for pages in (client.accounts.list, client.zones.list, client.memberships.list):
        first = pages(page=1)
        assert first.result_info.page == 1
        assert first.result_info.count == 1
        assert first.result_info.total_count == 1
        assert first.result_info.total_pages == 1
        assert pages(page=2).result == []


def test_a_client_finds_no_account_or_zone_of_somebody_else(connect):
    client = connect()

    with h.refusal(cloudflare.PermissionDeniedError, 403, 10000):
        client.accounts.get(account_id=h.OTHER_ACCOUNT)
    with h.refusal(cloudflare.PermissionDeniedError, 403, 10000):
        client.zones.get(zone_id=h.OTHER_ACCOUNT)
