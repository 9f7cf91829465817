"""Starts the real binary as an emulator, and connects the stock client to it."""

from __future__ import annotations

import binascii
import json
import os
import re
import subprocess
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import cloudflare
import httpx
import pytest
from cloudflare import Cloudflare, DefaultHttpxClient

# What `hallpass dev` starts with: the ids and credentials of the published examples.
ACCOUNT = "023e105f4ecef8ad9ca31a8372d0c353"
ZONE = "023e105f4ecef8ad9ca31a8372d0c353"
EMAIL = "user@example.com"
API_KEY = "144c9defac04969c7bfad8efaa8ea194"
API_TOKEN = "Sn3lZJTBX6kkg7OdcBUAxOO963GEIyGQqnFTOFYY"
SERVICE_TOKEN = "f174e90a-fafe-4643-bbbc-4a0ed4fc8415"
CLIENT_ID = "88bf3b6d86161464f6509f7219099e57.access.example.com"
CLIENT_SECRET = "bdd31cbc4dec990953e39163fbbb194c93313ca9f0a6e420346af9d326b1d2a5"

# Well formed, and nobody's.
UNKNOWN_API_TOKEN = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789_-aB"
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
OTHER_ACCOUNT = "11111111111111111111111111111111"

# Permission groups have the same ids everywhere.
SERVICE_TOKENS_READ = "91f7ce32fa614d73b7e1fc8f0e78582b"
SERVICE_TOKENS_WRITE = "a1c0fec57cf94af79479a6d827fa518c"
ACCOUNT_API_TOKENS_READ = "eb56a6953c034b9d97dd838155666f06"
ACCOUNT_API_TOKENS_WRITE = "5bc3f8b21c554832afc660159ab75fa4"
DNS_READ = "82e64a83756745bbbb1c9c2701bf816b"

# Nothing of the person who runs the tests may reach the client: no credential, no proxy.
for name in list(os.environ):
    if re.match(r"CLOUDFLARE_|CF_", name) or name.lower().endswith("_proxy"):
        del os.environ[name]

SUITE = Path(__file__).resolve().parent
BINARY = (SUITE / os.environ.get("HALLPASS_BIN", "../../target/debug/hallpass")).resolve()
START_TIMEOUT = 30


class Hallpass:
    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="hallpass-e2e-")
        directory = Path(self._directory.name)
        ready_file = directory / "ready.json"
        self._log = directory / "log"
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(
                [BINARY, "dev", "--listen", "127.0.0.1:0", "--ready-file", ready_file],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        addresses = self._ready(ready_file)
        self.api: str = addresses["api"]
        self.base_url: str = addresses["base_url"]
        self.gate: str = addresses["gate"]

    def _ready(self, ready_file: Path) -> dict:
        deadline = time.monotonic() + START_TIMEOUT
        while self._child.poll() is None and time.monotonic() < deadline:
            if ready_file.exists():
                return json.loads(ready_file.read_text())
            time.sleep(0.02)
        status = self._child.poll()
        how = "did not become ready" if status is None else f"ended with status {status}"
        said = self._log.read_text(errors="replace")[-20_000:]
        self.stop()
        raise RuntimeError(f"{BINARY} {how}\n{said}")

    def stop(self) -> None:
        self._child.terminate()
        try:
            self._child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._directory.cleanup()

    # The emulator's own controls.

    def _dev(self, method: str, name: str, body: dict | None = None) -> dict:
        request = urllib.request.Request(
            f"{self.api}/dev/{name}",
            method=method,
            headers={"Content-Type": "application/json"},
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            assert response.status == 200
            return json.load(response)["result"]

    def reset(self) -> None:
        """Back to the seeded state and to the real clock."""
        self._dev("POST", "reset", {})

    def now(self) -> datetime:
        """What the server takes for now."""
        return instant(self._dev("GET", "clock")["now"])

    def advance(self, duration: str) -> None:
        """Moves the server's clock forward, by a duration such as `8760h`."""
        self._dev("POST", "clock", {"advance": duration})

    def set_clock(self, to: str) -> None:
        """Sets the server's clock."""
        self._dev("POST", "clock", {"set": to})

    def fail(self, status: int, **more: int) -> None:
        """Makes the next reply of the API (or the next few) an error."""
        self._dev("POST", "faults", {"status": status, **more})

    # The stock client. It is strict: a reply that does not fit the client's types is an error.

    def client(self, **options) -> Cloudflare:
        """A client with exactly the given options."""
        options.setdefault("_strict_response_validation", True)
        return Cloudflare(base_url=self.base_url, timeout=20, **options)

    def with_token(self, api_token: str = API_TOKEN, **options) -> Cloudflare:
        """A client which authenticates with an API token: the seeded one, unless told otherwise."""
        return self.client(api_token=api_token, **options)

    def with_key(self, **options) -> Cloudflare:
        """A client which authenticates with an e-mail address and a global key."""
        return self.client(api_email=EMAIL, api_key=API_KEY, **options)


class Recorder:
    """An HTTP client for a client, and a list of the requests that went through it."""

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        self.requests: list[httpx.Request] = []
        options = {} if transport is None else {"transport": transport}
        self.http_client = DefaultHttpxClient(
            event_hooks={"request": [self.requests.append]}, **options
        )

    def attempts(self) -> list[str]:
        return [request.headers["x-stainless-retry-count"] for request in self.requests]


@contextmanager
def refusal(kind: type[cloudflare.APIStatusError], status: int, code: int):
    """Expects a refusal, and checks its class, status, code and form; the error is `.value`."""
    with pytest.raises(cloudflare.APIStatusError) as caught:
        yield caught
    error = caught.value
    assert type(error) is kind, error
    assert error.status_code == status, error
    assert error.errors[0].code == code, error
    assert error.response.headers["content-type"].startswith("application/json")
    assert error.body["success"] is False
    assert error.body["result"] is None
    assert error.body["messages"] == []


def plain(model) -> dict:
    """The fields that a reply held, and no others."""
    return model.to_dict(mode="json")


def instant(time_: datetime | str) -> datetime:
    if isinstance(time_, datetime):
        return time_
    whole, fraction, zone = re.fullmatch(r"([^.]+?)(\.\d+)?(Z|[+-]\d\d:\d\d)", time_).groups()
    parsed = datetime.fromisoformat(whole + zone.replace("Z", "+00:00"))
    return parsed + timedelta(seconds=float(fraction or 0))


def rfc3339(time_: datetime) -> str:
    """Without a fraction, as the server writes times."""
    return time_.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def hours(n: float) -> timedelta:
    return timedelta(hours=n)


def minutes(n: float) -> timedelta:
    return timedelta(minutes=n)


def assert_near(actual: datetime | str, expected: datetime | str) -> None:
    """A time is what is expected, give or take what the test itself may have needed."""
    actual, expected = instant(actual), instant(expected)
    assert abs(actual - expected) <= timedelta(seconds=15), f"{actual} is not about {expected}"


def assert_minted(secret: str, prefix: str) -> None:
    """A new secret: a prefix that tells its kind, 40 alphanumerics, and their CRC-32."""
    form = re.fullmatch(rf"{prefix}_([0-9A-Za-z]{{40}})([0-9a-f]{{8}})", secret)
    assert form, "not of the form of a minted secret"
    body, checksum = form.groups()
    assert checksum == f"{binascii.crc32(body.encode()):08x}"
