from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("harness", "proxies")

from harness import Hallpass, Origin, Site  # noqa: E402
from proxies import PROXIES, Proxy  # noqa: E402


@pytest.fixture(scope="session")
def hallpass() -> Iterator[Hallpass]:
    hallpass = Hallpass()
    yield hallpass
    hallpass.stop()


@pytest.fixture(scope="session")
def origin() -> Iterator[Origin]:
    origin = Origin()
    yield origin
    origin.stop()


@pytest.fixture(scope="session", params=list(PROXIES))
def proxy(request: pytest.FixtureRequest, hallpass: Hallpass, origin: Origin) -> Iterator[Proxy]:
    """Each of the proxies, one after the other."""
    proxy = Proxy(request.param, hallpass.gate_port, origin)
    yield proxy
    proxy.stop()


@pytest.fixture
def site(proxy: Proxy) -> Site:
    proxy.tap.forget()
    return proxy.site


@pytest.fixture
def started(hallpass: Hallpass, origin: Origin):
    """Starts a proxy with an edited file, for one test."""
    running: list[Proxy] = []

    def start(name: str, edit) -> Site:
        running.append(Proxy(name, hallpass.gate_port, origin, edit))
        return running[-1].site

    yield start
    for proxy in running:
        proxy.stop()
