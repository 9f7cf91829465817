"""The proxies, started with the files of `deploy`, in which nothing is changed but the three ports."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness import ROOT, START_TIMEOUT, Origin, Site, Tap

DEPLOY = ROOT / "deploy"
# As the files have them.
LISTEN, GATE, SERVICE = 8080, 8485, 3000

Edit = Callable[[str], str]


def _program(name: str) -> str:
    """A program of the Python environment of these tests, or of the system."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(name, path=path)
    assert found, f"{name} is missing"
    return found


def _nginx(directory: Path) -> list[str]:
    # As root, nginx would make its workers another user, who may not enter the directory.
    user = "user root; " if os.geteuid() == 0 else ""
    return [
        _program("nginx"), "-p", str(directory), "-e", "stderr", "-c", str(directory / "nginx.conf"),
        "-g", f"{user}daemon off; worker_processes 1; pid {directory}/nginx.pid;",
    ]  # fmt: skip


def _nginx_paths(text: str) -> str:
    """The places to which only a packaged nginx that runs as root may write."""
    kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    paths = "".join(f" {kind}_temp_path {kind};" for kind in kinds)
    return text.replace("http {\n", f"http {{ access_log off;{paths}\n", 1)


def _caddy(directory: Path) -> list[str]:
    return [_program("caddy"), "run", "--adapter", "caddyfile", "--config", str(directory / "Caddyfile")]


def _traefik(directory: Path) -> list[str]:
    return [_program("traefik"), f"--configFile={directory}/traefik.yml"]


def _envoy(directory: Path) -> list[str]:
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]
    return [_program("envoy"), "-c", str(directory / "envoy.yaml"), *options]


PROXIES: dict[str, tuple[list[str], Callable[[Path], list[str]]]] = {
    "nginx": (["nginx.conf"], _nginx),
    "caddy": (["Caddyfile"], _caddy),
    "traefik": (["traefik/traefik.yml", "traefik/hallpass.yml"], _traefik),
    "envoy": (["envoy.yaml"], _envoy),
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Proxy:
    """A proxy that runs, in front of a service, with a tap on its wire to the gate.

    `edit` is what a reader of the documents would do to the file, such as taking a # away.
    """

    def __init__(self, name: str, gate_port: int, origin: Origin, edit: Edit = lambda text: text) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix=f"hallpass-{name}-")
        directory = Path(self._directory.name)
        self.tap = Tap(gate_port)
        port = free_port()
        ports = {LISTEN: port, GATE: self.tap.port, SERVICE: origin.port}
        files, command = PROXIES[name]
        for file in files:
            text = edit((DEPLOY / file).read_text())
            text = re.sub(r"\b(8080|8485|3000)\b", lambda found: str(ports[int(found[1])]), text)
            if name == "nginx":
                text = _nginx_paths(text)
            (directory / Path(file).name).write_text(text)
        self._log = directory / "log"
        environment = {**os.environ, "HOME": str(directory), "XDG_DATA_HOME": str(directory), "XDG_CONFIG_HOME": str(directory)}
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(
                command(directory), cwd=directory, env=environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.site = Site(name, port, self.tap, origin)
        self._wait(port)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def _wait(self, port: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while self._child.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                # Traefik listens before it has read its second file. No status: it speaks HTTP/2 alone.
                if self.site.send("/public").status in (0, 200):
                    return
            except OSError:
                pass
            time.sleep(0.05)
        said = self.log()[-20_000:]
        self.stop()
        raise RuntimeError(f"{self.site.name} did not become ready\n{said}")

    def stop(self) -> None:
        for how in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._child.pid, how)
                self._child.wait(timeout=5)
                break
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                break
        self._directory.cleanup()
