"""The recipe of `docs/proxies/nginx.md`, machines by token and people by a single sign-on, with the lines of that page."""

from __future__ import annotations

import re
import socketserver
import threading

import pytest

import harness as h

PAGE = (h.ROOT / "docs" / "proxies" / "nginx.md").read_text()
BLOCKS = re.findall(r"```nginx\n(.*?)```", PAGE, re.S)
PERSON = "ada"
FORGED = "forged-by-the-client"


def block(beginning: str) -> str:
    [found] = [text for text in BLOCKS if beginning in text]
    return found


def assert_is_the_machine(reply: h.Reply) -> None:
    assert reply.status == 200
    assert reply.received.all("Hallpass-Client-Id") == [h.CLIENT_ID]
    assert FORGED not in reply.received.text()
    assert h.CLIENT_SECRET not in reply.received.text()


def assert_is_the_person(reply: h.Reply, header: str) -> None:
    assert reply.status == 200
    assert reply.received.all(header) == [PERSON]
    assert FORGED not in reply.received.text()
    assert "".join(reply.received.all("Hallpass-Client-Id")) == ""


FORGED_MACHINE = [(name, FORGED) for name in [*h.IDENTITY, "CF-Access-Token"]]


def test_satisfy_any_lets_in_the_sign_on_by_its_address_and_machines_by_token(started):
    sign_on = "127.0.0.9"

    def edit(text: str) -> str:
        text = text.replace("    server {\n        listen", block("map $remote_addr") + "    server {\n        listen")
        text = text.replace("location / {\n", "location / {\n" + block("satisfy any;"), 1)
        return text.replace("10.0.0.5", sign_on)

    site = started("nginx", edit)

    assert_is_the_machine(site.send("/", [*h.CREDENTIAL, ("X-Forwarded-User", FORGED)]))
    person = [*FORGED_MACHINE, ("X-Forwarded-User", PERSON)]
    assert_is_the_person(site.send("/", person, source=sign_on), "X-Forwarded-User")
    for headers, status in (([], 403), (h.WRONG_SECRET, 401), ([("X-Forwarded-User", FORGED)], 403)):
        reply = site.send("/", headers)
        assert (reply.status, reply.received) == (status, None)


class _SignOn(socketserver.StreamRequestHandler):
    """Answers as oauth2-proxy does: knows one cookie, and has a page for those without."""

    def handle(self) -> None:
        target, session = self.rfile.readline().split()[1], False
        while line := self.rfile.readline().strip():
            session |= line.lower().startswith(b"cookie:") and b"session=ada" in line
        if target == b"/oauth2/sign_in":
            status = "200 OK"
        else:
            status = f"202 Accepted\r\nX-Auth-Request-User: {PERSON}" if session else "401 Unauthorized"
        self.wfile.write(f"HTTP/1.1 {status}\r\nContent-Length: 7\r\nConnection: close\r\n\r\nsign in".encode())


@pytest.fixture
def sign_on():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _SignOn) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_sign_on_by_auth_request_is_asked_where_no_credential_is(started, sign_on):
    def edit(text: str) -> str:
        text = text.replace("    server {\n        listen", block("$who {") + "    server {\n        listen")
        text = text.replace("location / {\n", "location / {\n" + block("error_page 418"), 1)
        beside = block("location @people").replace("4180", str(sign_on))
        return text.replace("        # Only nginx itself gets here.", beside + "        # Only nginx itself gets here.")

    site = started("nginx", edit)
    cookie = ("Cookie", "session=ada; CF_Authorization=e30")

    assert_is_the_machine(site.send("/", [*h.CREDENTIAL, ("X-Auth-Request-User", FORGED)]))
    reply = site.send("/", [*FORGED_MACHINE, cookie, ("X-Auth-Request-User", FORGED)])
    assert_is_the_person(reply, "X-Auth-Request-User")
    assert "CF_Authorization" not in reply.received.text()
    for headers, status in ((h.WRONG_SECRET, 401), ([*h.WRONG_SECRET, cookie], 401), (h.CREDENTIAL[:1], 401)):
        reply = site.send("/", headers)
        assert (reply.status, reply.received) == (status, None), "a wrong credential does not become a person"
    for headers in ([], [("X-Auth-Request-User", FORGED)], [("Cookie", "session=eve")]):
        reply = site.send("/", headers)
        assert reply.received is None
        assert reply.body == b"sign in"
