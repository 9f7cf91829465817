"""Bodies go to the service, whole, and never to the gate."""

from __future__ import annotations

import os

import harness as h

MEGABYTE = os.urandom(1 << 20)


def test_a_body_of_a_megabyte_reaches_the_service_whole_and_the_gate_not_at_all(site):
    body = b"canary-in-the-body" + MEGABYTE[18:]
    # The first request may pay for new connections; what is heard is counted for the second.
    assert site.send("/upload", h.CREDENTIAL, method="POST", body=b"x").status == 200
    site.tap.forget()

    reply = site.send("/upload", h.CREDENTIAL, method="POST", body=body)

    assert reply.status == 200
    assert reply.received.body == body
    heard = site.tap.heard()
    assert heard
    assert b"canary-in-the-body" not in heard
    assert len(heard) < 4096


def test_a_chunked_body_reaches_the_service_whole_and_the_gate_not_at_all(site):
    site.send("/", h.CREDENTIAL)
    site.tap.forget()
    chunks = b"12\r\ncanary-in-the-body\r\n3\r\nabc\r\n0\r\n\r\n"

    reply = site.send("/upload", [*h.CREDENTIAL, ("Transfer-Encoding", b"chunked\r\n\r\n" + chunks)], method="POST")

    assert reply.status == 200
    assert reply.received.body == b"canary-in-the-bodyabc"
    assert b"canary-in-the-body" not in site.tap.heard()


def test_a_refused_body_reaches_nobody(site):
    reply = site.send("/upload", h.WRONG_SECRET, method="POST", body=b"canary-in-the-body" + MEGABYTE[18:])

    assert reply.status in (0, 401), "some proxies close while the body is still coming"
    assert reply.received is None
    assert b"canary-in-the-body" not in site.tap.heard()
    assert site.send("/upload", h.WRONG_SECRET, method="POST", body=b"small").status == 401


def test_a_body_that_looks_like_a_request_is_a_body(site):
    inner = f"GET /admin HTTP/1.1\r\nHost: {h.HOST}\r\n\r\n".encode()
    reply = site.send("/public", method="POST", body=inner)

    assert reply.status == 200
    assert (reply.received.method, reply.received.body) == ("POST", inner)


def test_two_lengths_are_refused_or_become_one(site):
    inner = f"GET /admin HTTP/1.1\r\nHost: {h.HOST}\r\n\r\n".encode()
    for more in (("Content-Length", "0"), ("Transfer-Encoding", "chunked"), ("Transfer_Encoding", "chunked")):
        reply = site.send("/public", [more], method="POST", body=inner)
        if reply.received is not None:
            assert reply.received.target == "/public"
            lengths = reply.received.all("Content-Length") + reply.received.all("Transfer-Encoding")
            assert len(lengths) <= 1
