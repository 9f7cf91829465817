from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("harness")

from harness import Hallpass  # noqa: E402


@pytest.fixture(scope="module")
def emulator() -> Iterator[Hallpass]:
    """One emulator for the tests of a file."""
    emulator = Hallpass()
    yield emulator
    emulator.stop()


@pytest.fixture
def hallpass(emulator: Hallpass) -> Hallpass:
    """The emulator, as new before each test."""
    emulator.reset()
    return emulator


@pytest.fixture
def tokens(hallpass: Hallpass):
    """The service tokens, as the seeded API token sees them."""
    return hallpass.with_token().zero_trust.access.service_tokens


@pytest.fixture(params=["an API token", "an e-mail address and a global key"])
def connect(hallpass: Hallpass, request: pytest.FixtureRequest):
    """Both ways of authenticating, one after the other."""
    return hallpass.with_token if request.param == "an API token" else hallpass.with_key
