"""API tokens: their life, what they may do, and what nobody may give away."""

from __future__ import annotations

import json
import math
import re

import cloudflare
import pytest

import harness as h

in_account = {"account_id": h.ACCOUNT}
ACCOUNT_RESOURCE = f"com.cloudflare.api.account.{h.ACCOUNT}"
ZONE_RESOURCE = f"com.cloudflare.api.account.zone.{h.ZONE}"


def allow(*groups: str, resources: dict | None = None) -> dict:
    return {
        "effect": "allow",
        "permission_groups": [{"id": group} for group in groups],
        "resources": resources or {ACCOUNT_RESOURCE: "*"},
    }


def deny(*groups: str) -> dict:
    return {**allow(*groups), "effect": "deny"}


READER = {"name": "reader", "policies": [allow(h.SERVICE_TOKENS_READ)]}


def forbidden():
    return h.refusal(cloudflare.PermissionDeniedError, 403, 10000)


@pytest.fixture
def works(hallpass):
    def works(value: str) -> None:
        api = hallpass.with_token(value).zero_trust.access.service_tokens
        assert len(api.list(**in_account).result) == 1

    return works


@pytest.fixture
def refused(hallpass):
    def refused(value: str) -> None:
        with h.refusal(cloudflare.PermissionDeniedError, 403, 9109):
            hallpass.with_token(value).zero_trust.access.service_tokens.list(**in_account)

    return refused


class Owner:
    """The same life, owned by a user and owned by an account."""

    def __init__(self, hallpass, name: str) -> None:
        self.hallpass = hallpass
        self.of_user = name == "a user"
        self.prefix = "cfut" if self.of_user else "cfat"
        self.where = {} if self.of_user else in_account

    def of(self, client):
        return client.user.tokens if self.of_user else client.accounts.tokens

    @property
    def api(self):
        return self.of(self.hallpass.with_key())

    def create(self, **body):
        return self.api.create(**self.where, **{**READER, **body})

    def get(self, id_: str):
        return self.api.get(id_, **self.where)

    def list(self):
        return self.api.list(**self.where)

    def update(self, id_: str, **body):
        return self.api.update(id_, **self.where, **{**READER, **body})

    def delete(self, id_: str):
        return self.api.delete(id_, **self.where)

    def roll(self, id_: str):
        return self.api.value.update(id_, **self.where)

    def verify(self, value: str):
        """The raw reply of the token's own verification."""
        api = self.of(self.hallpass.with_token(value))
        return api.with_raw_response.verify(**self.where)


@pytest.fixture(params=["a user", "an account"])
def owner(hallpass, request) -> Owner:
    return Owner(hallpass, request.param)


def test_an_api_token_is_born_with_a_value_and_shows_it_only_then(hallpass, owner, works):
    created = h.plain(owner.create())
    value = created.pop("value")

    h.assert_minted(value, owner.prefix)
    assert re.fullmatch(r"[0-9a-f]{32}", created["id"])
    assert created["name"] == "reader"
    assert created["status"] == "active"
    h.assert_near(created["issued_on"], hallpass.now())
    assert created["modified_on"] == created["issued_on"]
    for unset in ("condition", "not_before", "expires_on", "last_used_on"):
        assert unset not in created
    [policy] = created["policies"]
    assert re.fullmatch(r"[0-9a-f]{32}", policy["id"])
    assert policy["effect"] == "allow"
    assert policy["resources"] == {ACCOUNT_RESOURCE: "*"}
    [group] = policy["permission_groups"]
    assert group["id"] == h.SERVICE_TOKENS_READ
    assert group["name"] == "Access: Service Tokens Read"

    assert h.plain(owner.get(created["id"])) == created
    listed = [h.plain(token) for token in owner.list()]
    assert created in listed
    for token in listed:
        assert "value" not in token
    works(value)


def test_an_api_token_verifies_itself(owner):
    expires_on = "2099-01-01T00:00:00Z"
    created = owner.create(expires_on=expires_on)

    reply = owner.verify(created.value)

    assert h.plain(reply.parse()) == {
        "id": created.id,
        "status": "active",
        "expires_on": expires_on,
    }
    body = reply.json()
    assert body["success"] is True
    assert body["messages"][0]["code"] == 10000
    assert body["messages"][0]["message"] == "This API Token is valid and active"


def test_an_api_token_can_be_changed_and_loses_what_a_change_does_not_name(hallpass, owner):
    created = owner.create(condition={"request_ip": {"in": ["127.0.0.0/8"]}})

    changed = h.plain(
        owner.update(
            created.id,
            name="writer",
            policies=[allow(h.SERVICE_TOKENS_READ, h.SERVICE_TOKENS_WRITE)],
        )
    )

    assert changed["name"] == "writer"
    assert changed["status"] == "active"
    assert "condition" not in changed
    assert "value" not in changed
    assert h.plain(owner.get(created.id)) == changed
    services = hallpass.with_token(created.value).zero_trust.access.service_tokens
    assert services.create(**in_account, name="deploy").name == "deploy"


def test_an_api_token_is_refused_while_disabled_until_a_change_says_otherwise(
    owner, works, refused
):
    created = owner.create()

    assert owner.update(created.id, status="disabled").status == "disabled"
    refused(created.value)
    with h.refusal(cloudflare.AuthenticationError, 401, 1000):
        owner.verify(created.value)

    assert owner.update(created.id, name="x").status == "disabled"
    refused(created.value)

    assert owner.update(created.id, status="active").status == "active"
    works(created.value)


def test_an_api_token_gets_a_new_value_when_rolled_and_the_old_one_is_dead(
    owner, works, refused
):
    created = owner.create()

    rolled = owner.roll(created.id)

    assert isinstance(rolled, str)
    h.assert_minted(rolled, owner.prefix)
    assert rolled != created.value
    works(rolled)
    refused(created.value)
    assert owner.get(created.id).name == "reader"


def test_an_api_token_is_gone_when_deleted(owner, refused):
    created = owner.create()

    assert h.plain(owner.delete(created.id)) == {"id": created.id}

    refused(created.value)
    with pytest.raises(cloudflare.APIStatusError) as caught:
        owner.get(created.id)
    assert caught.value.status_code in (400, 403, 404)
    assert created.id not in [token.id for token in owner.list()]


def test_api_tokens_are_listed_page_by_page(hallpass, owner):
    made = {owner.create(name=name).id for name in ("one", "two", "three", "four")}
    total = owner.list().result_info.total_count
    recorder = h.Recorder()
    api = owner.of(hallpass.with_key(http_client=recorder.http_client))

    found = [token.id for token in api.list(**owner.where, per_page=2)]

    assert len(found) == len(set(found)) == total
    assert made <= set(found)
    assert len(recorder.requests) == math.ceil(total / 2) + 1


def test_an_api_token_ends_when_its_time_is_over(hallpass, owner, works, refused):
    expires_on = h.rfc3339(hallpass.now() + h.hours(1))
    created = owner.create(expires_on=expires_on)
    assert h.plain(created)["expires_on"] == expires_on
    works(created.value)

    hallpass.advance("2h")

    refused(created.value)
    with h.refusal(cloudflare.AuthenticationError, 401, 1000):
        owner.verify(created.value)
    expired = owner.get(created.id)
    assert expired.status == "expired"
    assert expired.expires_on == h.instant(expires_on)


def test_the_times_of_an_api_token_are_answered_in_the_text_that_was_sent(owner):
    times = {
        "not_before": "2020-01-01T00:00:00.500+02:00",
        "expires_on": "2099-01-01T00:00:00.000Z",
    }

    raw = owner.api.with_raw_response
    created = raw.create(**owner.where, **READER, **times).json()["result"]
    stored = raw.get(created["id"], **owner.where).json()["result"]

    for reply in (created, stored):
        assert {name: reply[name] for name in times} == times


def test_an_api_token_does_not_work_before_its_time(hallpass, owner, works, refused):
    not_before = h.rfc3339(hallpass.now() + h.hours(1))
    created = owner.create(not_before=not_before)
    assert h.plain(created)["not_before"] == not_before
    refused(created.value)

    hallpass.advance("2h")

    works(created.value)


def test_an_api_token_works_only_from_the_addresses_of_its_condition(owner, works, refused):
    def make(**request_ip: list) -> str:
        condition = {"request_ip": {key.rstrip("_"): ips for key, ips in request_ip.items()}}
        created = owner.create(condition=condition)
        assert h.plain(created)["condition"] == condition, "echoed as sent"
        return created.value

    works(make(in_=["127.0.0.0/8", "::1/128"]))
    works(make(not_in=["192.0.2.0/24"]))
    works(make(in_=["127.0.0.99/8"]))
    refused(make(in_=["192.0.2.0/24"]))
    refused(make(not_in=["127.0.0.1/32"]))
    refused(make(in_=["127.0.0.0/8"], not_in=["127.0.0.100/24"]))


def test_a_condition_is_answered_under_its_older_name_if_it_was_sent_so(owner, refused):
    condition = {"request.ip": {"in": ["192.0.2.0/24"]}}

    created = owner.create(condition=condition)

    assert h.plain(created)["condition"] == condition
    refused(created.value)


# Of an account


def test_an_account_token_that_a_key_made_can_do_all_that_service_tokens_need(hallpass):
    made = hallpass.with_key().accounts.tokens.create(
        **in_account,
        name="deployment",
        policies=[allow(h.SERVICE_TOKENS_READ, h.SERVICE_TOKENS_WRITE)],
    )
    api = hallpass.with_token(made.value).zero_trust.access.service_tokens

    created = api.create(**in_account, name="deploy")
    assert api.rotate(created.id, **in_account).client_secret != created.client_secret
    assert api.refresh(h.SERVICE_TOKEN, **in_account).id == h.SERVICE_TOKEN
    api.delete(created.id, **in_account)
    assert [token.id for token in api.list(**in_account)] == [h.SERVICE_TOKEN]


def test_an_account_token_is_nobodys_it_does_not_verify_as_a_users_and_has_no_user(hallpass):
    made = hallpass.with_key().accounts.tokens.create(**in_account, **READER)
    client = hallpass.with_token(made.value)

    with h.refusal(cloudflare.AuthenticationError, 401, 1000):
        client.user.tokens.verify()
    for send in (client.user.get, client.memberships.list):
        with forbidden():
            send()


# What their policies say


@pytest.fixture
def limited(hallpass):
    """A client whose API token holds these policies."""

    def limited(*policies: dict):
        made = hallpass.with_key().accounts.tokens.create(
            **in_account, name="limited", policies=policies
        )
        return hallpass.with_token(made.value)

    return limited


def test_a_policy_that_denies_wins_over_one_that_allows(limited):
    api = limited(
        allow(h.SERVICE_TOKENS_READ, h.SERVICE_TOKENS_WRITE),
        deny(h.SERVICE_TOKENS_WRITE),
    ).zero_trust.access.service_tokens

    assert len(api.list(**in_account).result) == 1
    with forbidden():
        api.refresh(h.SERVICE_TOKEN, **in_account)


def test_an_api_token_for_service_tokens_is_for_nothing_else(hallpass):
    client = hallpass.with_token()

    with forbidden():
        client.accounts.tokens.list(**in_account)
    with forbidden():
        client.user.tokens.list()
    with forbidden():
        client.user.tokens.create(name="another", policies=[allow(h.SERVICE_TOKENS_READ)])


def test_an_api_token_that_makes_others_never_gives_what_it_does_not_hold(limited, works):
    maker = limited(
        allow(h.ACCOUNT_API_TOKENS_READ, h.ACCOUNT_API_TOKENS_WRITE, h.SERVICE_TOKENS_READ)
    ).accounts.tokens

    def create(*policies: dict):
        return maker.create(**in_account, name="child", policies=policies)

    child = create(allow(h.SERVICE_TOKENS_READ))
    works(child.value)

    with forbidden():
        create(allow(h.SERVICE_TOKENS_WRITE))
    with forbidden():
        create(allow(h.SERVICE_TOKENS_READ), allow(h.SERVICE_TOKENS_WRITE))
    with forbidden():
        other = {f"com.cloudflare.api.account.{h.OTHER_ACCOUNT}": "*"}
        create(allow(h.SERVICE_TOKENS_READ, resources=other))
    with forbidden():
        maker.update(
            child.id, **in_account, name="child", policies=[allow(h.SERVICE_TOKENS_WRITE)]
        )
    assert sorted(token.name for token in maker.list(**in_account)) == ["child", "limited"]


# How their policies are kept


def test_policies_keep_their_order_when_only_the_resources_differ(hallpass):
    policies = [
        allow(h.DNS_READ, resources={ZONE_RESOURCE: "*"}),
        allow(h.DNS_READ, resources={ACCOUNT_RESOURCE: "*"}),
    ]

    created = hallpass.with_key().accounts.tokens.create(
        **in_account, name="policies", policies=policies
    )

    assert [policy.resources for policy in created.policies] == [
        policy["resources"] for policy in policies
    ]


def test_nested_resources_come_back_nested_and_the_names_of_resources_sorted(hallpass):
    nested = {ACCOUNT_RESOURCE: {"com.cloudflare.api.account.zone.*": "*"}}
    two = {ZONE_RESOURCE: "*", ACCOUNT_RESOURCE: "*"}

    reply = hallpass.with_key().accounts.tokens.with_raw_response.create(
        **in_account,
        name="policies",
        policies=[allow(h.DNS_READ, resources=nested), allow(h.DNS_READ, resources=two)],
    )

    def compact(value: object) -> str:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    text = reply.text()
    assert reply.status_code == 200
    assert f'"resources":{compact(nested)}' in text
    assert f'"resources":{compact({ACCOUNT_RESOURCE: "*", ZONE_RESOURCE: "*"})}' in text
    assert text == compact(json.loads(text))


def test_a_policy_of_a_user_may_cover_all_zones(hallpass):
    resources = {"com.cloudflare.api.account.zone.*": "*"}

    created = hallpass.with_key().user.tokens.create(
        name="zones", policies=[allow(h.DNS_READ, resources=resources)]
    )

    assert created.policies[0].resources == resources


# Permission groups


@pytest.mark.parametrize(
    "groups",
    [
        pytest.param(
            lambda client, **query: client.user.tokens.permission_groups.list(**query),
            id="a user",
        ),
        pytest.param(
            lambda client, **query: client.accounts.tokens.permission_groups.list(
                **in_account, **query
            ),
            id="an account",
        ),
        pytest.param(
            lambda client, **query: client.accounts.tokens.permission_groups.get(
                **in_account, **query
            ),
            id="an account, in one piece",
        ),
    ],
)
def test_permission_groups_can_be_listed_and_found_by_name_and_by_scope(hallpass, groups):
    def find(**query: str) -> list[dict]:
        return [h.plain(group) for group in groups(hallpass.with_key(), **query)]

    every = find()
    by_id = {group["id"]: group for group in every}
    assert len(by_id) == len(every), "every id once"
    assert by_id[h.SERVICE_TOKENS_WRITE] == {
        "id": h.SERVICE_TOKENS_WRITE,
        "name": "Access: Service Tokens Write",
        "scopes": ["com.cloudflare.api.account"],
    }
    assert by_id[h.SERVICE_TOKENS_READ]["name"] == "Access: Service Tokens Read"
    assert by_id[h.DNS_READ]["name"] == "DNS Read"

    assert find(name="Access: Service Tokens Write")[0]["id"] == h.SERVICE_TOKENS_WRITE
    twins = find(name="Access: Apps and Policies Read")
    assert sorted(
        twin["id"] for twin in twins if twin["name"] == "Access: Apps and Policies Read"
    ) == ["7ea222f6d5064cfa89ea366d7c1fee89", "eb258a38ea634c86a0c89da6b27cb6b6"]
    assert find(name="No Such Thing Write") == []

    zoned = find(scope="com.cloudflare.api.account.zone")
    assert h.DNS_READ in [group["id"] for group in zoned]
    for group in zoned:
        assert "com.cloudflare.api.account.zone" in group["scopes"]


def test_permission_groups_that_open_nothing_here_can_be_asked_for_all_the_same(hallpass):
    account, zone = "com.cloudflare.api.account", "com.cloudflare.api.account.zone"
    known = {
        "DNS Read": zone,
        "DNS Write": zone,
        "Zone Read": zone,
        "Zone Write": zone,
        "Disable ESC Read": zone,
        "Zone Security Center Insights Read": zone,
        "Account Settings Read": account,
        "Account Settings Write": account,
    }
    client = hallpass.with_key()
    groups = []
    for name, scope in known.items():
        query = {"name": name, "scope": scope}
        found = client.accounts.tokens.permission_groups.get(**in_account, **query)[0]
        assert (found.name, found.scopes) == (name, [scope])
        groups.append(found.id)

    created = client.user.tokens.create(
        name="nothing to do with Access", policies=[allow(*groups)]
    )

    [policy] = created.policies
    assert sorted(group.name for group in policy.permission_groups) == sorted(known)
    with forbidden():
        api = hallpass.with_token(created.value).zero_trust.access.service_tokens
        api.list(**in_account)
