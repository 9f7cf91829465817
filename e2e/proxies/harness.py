"""What stands around a proxy: the real binary as the gate, a wire tap before it, a service behind, and a client.

All of them speak HTTP/1.1 byte by byte, because the tests are about bytes that libraries would tidy up.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SUITE = Path(__file__).resolve().parent
ROOT = SUITE.parent.parent
BINARY = (SUITE / os.environ.get("HALLPASS_BIN", "../../target/debug/hallpass")).resolve()
START_TIMEOUT = 30

# What `hallpass dev` starts with.
ACCOUNT = "023e105f4ecef8ad9ca31a8372d0c353"
USER = {"X-Auth-Email": "user@example.com", "X-Auth-Key": "144c9defac04969c7bfad8efaa8ea194"}
SERVICE_TOKEN = "f174e90a-fafe-4643-bbbc-4a0ed4fc8415"
CLIENT_ID = "88bf3b6d86161464f6509f7219099e57.access.example.com"
CLIENT_SECRET = "bdd31cbc4dec990953e39163fbbb194c93313ca9f0a6e420346af9d326b1d2a5"

CREDENTIAL = [("CF-Access-Client-Id", CLIENT_ID), ("CF-Access-Client-Secret", CLIENT_SECRET)]
WRONG_SECRET = [("CF-Access-Client-Id", CLIENT_ID), ("CF-Access-Client-Secret", "0" * 64)]

IDENTITY = [
    "Cf-Access-Jwt-Assertion",
    "Cf-Access-Authenticated-User-Email",
    "Hallpass-Client-Id",
    "Hallpass-Token-Name",
]

# Everything wants the seeded token, but /public, which lets everybody in, and /elsewhere, which wants another address.
HOST = "grafana.proxies.example"
SINGLE_HEADER_HOST = "single.proxies.example"
REDIRECT_HOST = "redirect.proxies.example"
UNKNOWN_HOST = "unknown.proxies.example"
ELSEWHERE = "203.0.113.0/24"


def _application(domain: str, decision: str, **more) -> dict:
    rule = {"everyone": {}} if decision == "bypass" else {"service_token": {"token_id": SERVICE_TOKEN}}
    require = more.pop("require", [])
    policy = {"name": domain, "decision": decision, "precedence": 1, "include": [rule], "require": require}
    return {"name": domain, "type": "self_hosted", "domain": domain, "policies": [policy], **more}


APPLICATIONS = [
    _application(HOST, "non_identity"),
    _application(f"{HOST}/public", "bypass"),
    _application(f"{HOST}/elsewhere", "non_identity", require=[{"ip": {"ip": ELSEWHERE}}]),
    _application(SINGLE_HEADER_HOST, "non_identity", read_service_tokens_from_header="Authorization"),
    _application(REDIRECT_HOST, "non_identity", service_auth_401_redirect=True),
]


class Hallpass:
    """The emulator with its gate, and the applications of these tests."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="hallpass-e2e-")
        ready_file = Path(self._directory.name) / "ready.json"
        self._log = Path(self._directory.name) / "log"
        command = [BINARY, "dev", "--listen", "127.0.0.1:0", "--gate", "127.0.0.1:0", "--ready-file", ready_file]
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        addresses = self._ready(ready_file)
        self.base_url: str = addresses["base_url"]
        self._api: str = addresses["api"]
        self.gate_port = int(addresses["gate"].rpartition(":")[2].rstrip("/"))
        for application in APPLICATIONS:
            self._post(f"{self.base_url}/accounts/{ACCOUNT}/access/apps", application, 201)

    def _ready(self, ready_file: Path) -> dict:
        deadline = time.monotonic() + START_TIMEOUT
        while self._child.poll() is None and time.monotonic() < deadline:
            if ready_file.exists():
                return json.loads(ready_file.read_text())
            time.sleep(0.02)
        said = self._log.read_text(errors="replace")[-20_000:]
        self.stop()
        raise RuntimeError(f"{BINARY} did not become ready\n{said}")

    def _post(self, url: str, body: dict, status: int) -> None:
        headers = {**USER, "Content-Type": "application/json"}
        request = urllib.request.Request(url, method="POST", headers=headers, data=json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=20) as response:
            assert response.status == status

    @contextmanager
    def set_back(self, by: str) -> Iterator[None]:
        """Sets the clock back for a while. Beyond 5 seconds, the gate cannot decide any more."""
        self._post(f"{self._api}/dev/clock", {"advance": f"-{by}"}, 200)
        try:
            yield
        finally:
            self._post(f"{self._api}/dev/clock", {"advance": by}, 200)

    def stop(self) -> None:
        self._child.terminate()
        try:
            self._child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._directory.cleanup()


# The service behind the proxy.


@dataclass
class Received:
    """A request as it came in at the service."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def as_json(self) -> bytes:
        return json.dumps({**vars(self), "body": len(self.body)}).encode()

    def text(self) -> str:
        """All that a service could find a secret in."""
        return f"{self.target} {self.headers} {self.body[:10_000]!r}"


MARK = "X-Mark"


class Origin(socketserver.ThreadingTCPServer):
    """Answers every request with what it received, and remembers it."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        self.received: dict[str, Received] = {}
        super().__init__(("127.0.0.1", 0), _OriginConnection)
        self.port: int = self.server_address[1]
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class _OriginConnection(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.connection.settimeout(30)
        try:
            while request := self._read():
                for mark in request.all(MARK):
                    self.server.received[mark] = request
                if "websocket" in request.all("Upgrade") and "upgrade" in str(request.all("Connection")).lower():
                    return self._echo()
                answer = request.as_json()
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
                self.wfile.write(head.encode() + (b"" if request.method == "HEAD" else answer))
        except (OSError, ValueError):
            pass

    def _echo(self) -> None:
        """Agrees to another protocol, in which everything is said twice."""
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        while data := self.connection.recv(65536):
            self.wfile.write(data)

    def _read(self) -> Received | None:
        line = self.rfile.readline().decode("latin-1").rstrip("\r\n")
        if not line:
            return None
        method, target, _ = line.split(" ")
        request = Received(method, target, [], b"")
        while line := self.rfile.readline().decode("latin-1").rstrip("\r\n"):
            name, _, value = line.partition(":")
            request.headers.append((name, value.strip()))
        if "chunked" in request.all("Transfer-Encoding"):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                request.body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            request.body = self.rfile.read(int(next(iter(request.all("Content-Length")), "0")))
        return request


# The wire between the proxy and the gate.


class Tap:
    """Stands where the proxy looks for the gate, hands every byte on, and remembers what the proxy sent.

    `behaviour` is what it does instead when the gate is to be in trouble: "relay", "hang", "close" or "garble".
    `cut` and `mend` take the address away and give it back.
    """

    def __init__(self, gate_port: int) -> None:
        self._gate_port = gate_port
        self._connections: list[socket.socket] = []
        self._lock = threading.Lock()
        self._heard: dict[int, bytes] = {}
        self.behaviour = "relay"
        self.port = 0
        self.mend()

    def mend(self) -> None:
        self.behaviour = "relay"
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.disconnect()

    def disconnect(self) -> None:
        """Ends the connections that the proxy keeps open, so that the next request needs a new one."""
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def forget(self) -> None:
        with self._lock:
            self._heard.clear()

    def heard(self) -> bytes:
        """Every byte that the proxy sent since `forget`."""
        with self._lock:
            return b"".join(self._heard.values())

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, proxy: socket.socket) -> None:
        with self._lock:
            self._connections.append(proxy)
        behaviour = self.behaviour
        with proxy:
            try:
                if behaviour == "relay":
                    with socket.create_connection(("127.0.0.1", self._gate_port)) as gate:
                        threading.Thread(target=self._pump, args=(gate, proxy), daemon=True).start()
                        self._pump(proxy, gate, remember=True)
                else:
                    proxy.recv(65536)
                    if behaviour == "garble":
                        proxy.sendall(b"220 mail.example ESMTP\r\n\r\n")
                    elif behaviour == "hang":
                        while proxy.recv(65536):
                            pass
            except OSError:
                pass

    def _pump(self, source: socket.socket, sink: socket.socket, *, remember: bool = False) -> None:
        key = id(source)
        try:
            while data := source.recv(65536):
                if remember:
                    with self._lock:
                        self._heard[key] = self._heard.get(key, b"") + data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


# The client.


@dataclass
class Reply:
    """What the client got, and what the service had received by then: nothing, if the request was refused."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    received: Received | None = None

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass
class Site:
    """A proxy that runs, with what stands around it, as a client meets it."""

    name: str
    port: int
    tap: Tap
    origin: Origin

    def send(
        self,
        target: str = "/",
        headers: list[tuple[str, str | bytes]] = (),
        *,
        method: str = "GET",
        host: str = HOST,
        body: bytes | None = None,
        timeout: float = 20,
        source: str = "127.0.0.1",
    ) -> Reply:
        """Sends these very bytes. Status 0: the proxy closed the connection without an answer, or took too long."""
        mark = uuid.uuid4().hex
        lines = [f"{method} {target} HTTP/1.1".encode("latin-1"), b"Host: " + host.encode()]
        lines += [f"{MARK}: {mark}".encode()]
        for name, value in headers:
            lines.append(name.encode() + b": " + (value if isinstance(value, bytes) else value.encode("latin-1")))
        if body is not None:
            lines.append(b"Content-Length: %d" % len(body))
        request = b"\r\n".join(lines) + b"\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.port), timeout, source_address=(source, 0)) as connection:
            try:
                connection.sendall(request + (body or b""))
            except (BrokenPipeError, ConnectionResetError):
                pass  # Refused before the body was read: the answer is there.
            reply = self._answer(connection, method)
        reply.received = self.origin.received.pop(mark, None)
        return reply

    def _answer(self, connection: socket.socket, method: str) -> Reply:
        answer = http.client.HTTPResponse(connection, method=method)
        try:
            answer.begin()
            return Reply(answer.status, answer.getheaders(), answer.read())
        except (http.client.HTTPException, ConnectionResetError, TimeoutError):
            return Reply(0)
