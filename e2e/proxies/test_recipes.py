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
    """Answers as oauth2-proxy does: knows one cookie, and has a page for those without. The server remembers what it heard."""

    def handle(self) -> None:
        target, session = self.rfile.readline().split()[1], False
        while line := self.rfile.readline().strip():
            self.server.heard.append(line)
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
        server.heard = []
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server
        server.shutdown()


def by_auth_request(text: str, sign_on: socketserver.TCPServer, who: str) -> str:
    """The file with the recipe for a sign-on that is asked by `auth_request`. `who` is how its `map` goes on."""
    text = text.replace("    server {\n        listen", block(f'{who}" $who {{') + "    server {\n        listen")
    text = text.replace("location / {\n", "location / {\n" + block("error_page 418"), 1)
    beside = block("location @people").replace("4180", str(sign_on.server_address[1]))
    return text.replace("        # Only nginx itself gets here.", beside + "        # Only nginx itself gets here.")


def assert_no_credential_was_handed_on(reply: h.Reply, sign_on: socketserver.TCPServer) -> None:
    assert reply.received is None or h.CLIENT_SECRET not in reply.received.text()
    heard = b"\n".join(sign_on.heard)
    assert h.CLIENT_SECRET.encode() not in heard
    assert b"CF_Authorization" not in heard


def test_a_sign_on_by_auth_request_is_asked_where_no_credential_is(started, sign_on):
    site = started("nginx", lambda text: by_auth_request(text, sign_on, "client_secret"))
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


def test_a_secret_behind_empty_headers_reaches_neither_the_sign_on_nor_the_service(started, sign_on):
    """An older nginx sees only the first of two headers, and takes the machine for a person."""
    site = started("nginx", lambda text: by_auth_request(text, sign_on, "client_secret"))
    empty = [(name, "") for name, _ in h.CREDENTIAL]
    cookie = ("Cookie", "session=ada; CF_Authorization=e30")
    token = ("CF-Access-Token", h.CLIENT_SECRET)

    for headers in ([*empty, *h.CREDENTIAL], [*empty, *h.CREDENTIAL, cookie], [*empty, token, cookie]):
        reply = site.send("/", headers)
        assert reply.received is None or reply.received.all("X-Auth-Request-User") == [PERSON]
        assert_no_credential_was_handed_on(reply, sign_on)
    # Its own pages are asked for without the gate.
    reply = site.send("/oauth2/sign_in", [*h.CREDENTIAL, token, cookie])
    assert reply.body == b"sign in"
    assert_no_credential_was_handed_on(reply, sign_on)
    assert sign_on.heard, "the sign-on was asked"


def test_a_machine_with_the_single_header_is_no_person_where_the_recipe_says_so(started, sign_on):
    def edit(text: str) -> str:
        text = by_auth_request(text, sign_on, "authorization")
        return text.replace("# proxy_set_header Authorization", "proxy_set_header Authorization")

    site = started("nginx", edit)
    single = '{"cf-access-client-id":"%s","cf-access-client-secret":"%s"}'
    right = ("Authorization", single % (h.CLIENT_ID, h.CLIENT_SECRET))
    wrong = ("Authorization", single % (h.CLIENT_ID, "0" * 64))
    cookie = ("Cookie", "session=ada")

    assert_is_the_machine(site.send("/", [right], host=h.SINGLE_HEADER_HOST))
    for headers, status in (([wrong], 401), ([wrong, cookie], 401), ([("Authorization", "Bearer x"), cookie], 403)):
        reply = site.send("/", headers, host=h.SINGLE_HEADER_HOST)
        assert (reply.status, reply.received) == (status, None), "who sends that header is no person"
    assert_is_the_person(site.send("/", [cookie], host=h.SINGLE_HEADER_HOST), "X-Auth-Request-User")
    for headers in ([("Authorization", ""), right], [("Authorization", ""), right, cookie]):
        reply = site.send("/", headers, host=h.SINGLE_HEADER_HOST)
        assert_no_credential_was_handed_on(reply, sign_on)
    reply = site.send("/oauth2/sign_in", [right], host=h.SINGLE_HEADER_HOST)
    assert_no_credential_was_handed_on(reply, sign_on)
