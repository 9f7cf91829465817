"""Checks of our own, on top of the fuzzer's: the envelope, and why a request that fits the schema may be refused."""

from __future__ import annotations

import re

import schemathesis

# What a JSON schema cannot say. Anything else that refuses a request which fits the schema is a fault of the one or the other.
BEYOND_SCHEMAS = [
    "duration must be greater than zero",
    "duration must be at most 876000h",
    "duration is too large",
    "client_secret_version has reached its highest value",
    "expires_on must be later than not_before",
    "before must be later than since",
    "send either request_ip or request.ip, not both",
    "an account's API token can only name that account and its zones",
    "must be an IP address or a network in CIDR notation",
    "meta must have at most 4096 bytes",
]


# An empty parameter counts as not given, which the description says by `allowEmptyValue`. The fuzzer does not know that word, and
# takes an empty number for one that should be refused.
MAY_BE_EMPTY = {"page", "per_page", "limit", "direction", "include_expired", "cursor"}


@schemathesis.hook
def filter_query(ctx, query):
    values = [value for name, value in (query or {}).items() if name in MAY_BE_EMPTY]
    return all(value not in ("", None, [], {}) for value in values)


@schemathesis.check
def in_the_envelope(ctx, response, case):
    """Every reply is in the envelope, but for the description and replies without a body."""
    if case.method == "HEAD" or response.status_code == 304 or case.path.endswith("/openapi.json"):
        return
    body = response.json()
    good = response.status_code < 300
    assert body["success"] is good, "success contradicts the status"
    assert (body["errors"] == []) is good, "errors contradict the status"
    assert isinstance(body["messages"], list), "messages is no list"
    assert good or body["result"] is None, "a refusal has a result"
    assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"][0]), "no request id"


@schemathesis.check
def refused_only_for_what_no_schema_can_say(ctx, response, case):
    """What fits the schema is carried out, unless it breaks a rule that no schema can say."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code != 400:
        return
    messages = [error["message"] for error in response.json()["errors"]]
    unexpected = [message for message in messages if not any(rule in message for rule in BEYOND_SCHEMAS)]
    assert not unexpected, f"a request that fits the schema was refused: {unexpected}"


@schemathesis.check
def without_credentials_it_is_9106(ctx, response, case):
    """Whoever shows nothing is told so, wherever credentials are asked for."""
    shown = {name.lower() for name in response.request.headers}
    open_to_all = case.operation.definition.raw.get("security") == []
    no_route = response.status_code in (404, 405)
    if open_to_all or no_route or shown & {"authorization", "x-auth-email", "x-auth-key"}:
        return
    codes = [error["code"] for error in response.json()["errors"]]
    assert (response.status_code, codes) == (400, [9106]), "missing credentials are 400 and 9106"
