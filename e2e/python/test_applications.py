"""Applications, policies, groups, organizations and keys: what was sent comes back, in the client's own types."""

from __future__ import annotations

import cloudflare
import pytest

import harness as h

in_account = {"account_id": h.ACCOUNT}
everyone = {"everyone": {}}


def token_rule(id_: str = h.SERVICE_TOKEN) -> dict:
    return {"service_token": {"token_id": id_}}


@pytest.fixture
def access(hallpass):
    """Everything behind `/access`, for somebody who may do everything."""
    return hallpass.with_key().zero_trust.access


def unstamped(model) -> dict:
    """Without when it was changed, which every change moves."""
    return {key: value for key, value in h.plain(model).items() if key != "updated_at"}


def test_an_application_goes_round_without_drift(access):
    api = access.applications
    said = {
        "type": "self_hosted",
        "domain": "reports.example.com/daily",
        "name": "Reports",
        "session_duration": "6h",
        "app_launcher_visible": False,
        "service_auth_401_redirect": True,
        "read_service_tokens_from_header": "Authorization",
        "cors_headers": {"allow_all_origins": True, "max_age": 10},
        "tags": ["machines"],
        "policies": [{"name": "own", "decision": "non_identity", "include": [token_rule()]}],
    }
    made = api.create(**in_account, **said)
    assert (made.type, made.domain, made.name) == ("self_hosted", said["domain"], "Reports")
    assert (made.session_duration, made.service_auth_401_redirect) == ("6h", True)
    assert made.cors_headers.allow_all_origins is True
    assert made.self_hosted_domains == [said["domain"]]
    assert (made.destinations[0].type, made.destinations[0].uri) == ("public", said["domain"])
    assert len(made.aud) == 64
    own = made.policies[0]
    assert (own.name, own.decision, own.precedence) == ("own", "non_identity", 1)
    assert own.include[0].service_token.token_id == h.SERVICE_TOKEN

    assert h.plain(api.get(made.id, **in_account)) == h.plain(made)
    assert h.plain(next(iter(api.list(**in_account, name="Reports")))) == h.plain(made)
    # The very same once more changes nothing but the time.
    again = {**said, "policies": [{"id": own.id, "precedence": 1}]}
    assert unstamped(api.update(made.id, **in_account, **again)) == unstamped(made)

    assert api.revoke_tokens(made.id, **in_account) is not None
    assert api.delete(made.id, **in_account).id == made.id
    with h.refusal(cloudflare.NotFoundError, 404, 11021):
        api.get(made.id, **in_account)


def test_a_policy_of_an_application_goes_round_without_drift(access):
    app = access.applications.create(**in_account, type="self_hosted", domain="x.example.com")
    api, where = access.applications.policies, {"app_id": app.id, **in_account}
    said = {
        "name": "ci",
        "decision": "non_identity",
        "precedence": 3,
        "include": [token_rule(), {"ip": {"ip": "192.0.2.0/24"}}],
        "require": [everyone],
    }
    made = api.create(**where, extra_body=said)
    assert (made.name, made.decision, made.precedence) == ("ci", "non_identity", 3)
    assert made.include[1].ip.ip == "192.0.2.0/24"
    assert h.plain(api.get(made.id, **where)) == h.plain(made)
    assert [policy.id for policy in api.list(**where)] == [made.id]
    assert unstamped(api.update(made.id, **where, extra_body=said)) == unstamped(made)
    renamed = api.update(made.id, **where, extra_body={**said, "name": "deploy"})
    assert unstamped(renamed) == {**unstamped(made), "name": "deploy"}
    assert api.delete(made.id, **where).id == made.id
    assert list(api.list(**where)) == []


def test_a_reusable_policy_goes_round_without_drift_and_counts_its_applications(access):
    api = access.policies
    said = {
        "name": "machines",
        "decision": "non_identity",
        "include": [{"any_valid_service_token": {}}],
        "exclude": [token_rule()],
    }
    made = api.create(**in_account, **said)
    assert (made.name, made.decision, made.reusable, made.app_count) == (
        "machines",
        "non_identity",
        True,
        0,
    )
    assert made.exclude[0].service_token.token_id == h.SERVICE_TOKEN
    assert h.plain(api.get(made.id, **in_account)) == h.plain(made)
    assert unstamped(api.update(made.id, **in_account, **said)) == unstamped(made)

    app = access.applications.create(
        **in_account, type="self_hosted", domain="x.example.com", policies=[made.id]
    )
    assert app.policies[0].id == made.id
    assert [(policy.id, policy.app_count) for policy in api.list(**in_account)] == [(made.id, 1)]
    access.applications.delete(app.id, **in_account)
    assert api.delete(made.id, **in_account).id == made.id
    assert list(api.list(**in_account)) == []


def test_a_group_goes_round_without_drift(access):
    api = access.groups
    said = {"name": "robots", "include": [token_rule()], "require": [{"ip": {"ip": "192.0.2.1/32"}}]}
    made = api.create(**in_account, **said)
    assert made.name == "robots"
    assert made.include[0].service_token.token_id == h.SERVICE_TOKEN
    assert h.plain(api.get(made.id, **in_account)) == h.plain(made)
    assert [group.id for group in api.list(**in_account)] == [made.id]
    assert unstamped(api.update(made.id, **in_account, **said)) == unstamped(made)
    outer = api.create(**in_account, name="outer", include=[{"group": {"id": made.id}}])
    assert outer.include[0].group.id == made.id
    for group in (outer, made):
        assert api.delete(group.id, **in_account).id == group.id
    assert list(api.list(**in_account)) == []


def test_an_organization_is_there_and_changes_as_said(hallpass):
    api = hallpass.with_key().zero_trust.organizations
    assert api.list(**in_account).auth_domain == "test.cloudflareaccess.com"
    inactivity = {"enabled": True, "action": "disable", "inactivity_threshold_days": 90}
    said = {
        "auth_domain": "acme.example.com",
        "name": "Acme",
        "session_duration": "24h",
        "deny_unmatched_requests": True,
        "service_token_inactivity": inactivity,
    }
    changed = api.update(**in_account, **said)
    assert (changed.auth_domain, changed.name) == ("acme.example.com", "Acme")
    assert changed.session_duration == "24h"
    assert changed.service_token_inactivity.inactivity_threshold_days == 90
    assert h.plain(changed.service_token_inactivity) == inactivity
    assert h.plain(api.list(**in_account)) == h.plain(changed)
    assert unstamped(api.update(**in_account, **said)) == unstamped(changed)


def test_keys_have_a_schedule_and_rotate_on_demand(hallpass, access):
    api = access.keys
    began = api.get(**in_account)
    assert began.days_until_next_rotation <= began.key_rotation_interval_days
    changed = api.update(**in_account, key_rotation_interval_days=30)
    assert changed.key_rotation_interval_days == 30
    assert h.plain(api.get(**in_account)) == h.plain(changed)
    hallpass.advance("24h")
    rotated = api.rotate(**in_account)
    assert rotated.key_rotation_interval_days == 30
    h.assert_near(rotated.last_key_rotation_at, hallpass.now())
