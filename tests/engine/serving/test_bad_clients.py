"""Clients that are broken, slow, gone or hostile: each gets what it deserves, and the others are answered."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator

import httpx2
import pytest

from engine.serving.request import MOST_BODY
from engine.serving.server import Server
from tests.engine.serving.conftest import ask

pytestmark = pytest.mark.slow

CHAT = "/v1/chat/completions"


def raw(server: Server, data: bytes) -> socket.socket:
    """A connection on which this was sent."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    connection.sendall(data)
    return connection


def received(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    parts = b""
    try:
        while part := connection.recv(65536):
            parts += part
    except ConnectionResetError:
        pass
    finally:
        connection.close()
    return parts


def post(body: bytes, *headers: str, length: int | None = None, path: str = CHAT) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def eventually(condition: Callable[[], bool], within_s: float) -> float:
    """Wait until `condition`; returns how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s
        time.sleep(0.002)
    return time.monotonic() - began


def idle(server: Server) -> bool:
    pool = server.served.backend.pool_now
    return not server.served.under_way and pool is not None and pool.running == pool.prefilling == pool.waiting == 0


@pytest.fixture(autouse=True)
def the_server_goes_on(server: Server, http: httpx2.Client) -> Iterator[None]:
    """Afterwards nothing is left over, and a good request is answered."""
    yield
    eventually(lambda: idle(server), 10)
    assert http.post(CHAT, json=ask()).status_code == 200


BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b'"text"',
    b"[" * 100_000,
    b'{"messages": ' + b"[" * 50_000,
    b'{"messages": "\\ud800"}',
    b"{}" * 2,
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/api/chat", "/tokenize"])
def test_a_body_that_is_no_request_is_refused(http: httpx2.Client, body: bytes, path: str) -> None:
    answer = http.post(path, content=body)
    assert answer.status_code == 400
    assert "error" in answer.json()


def test_a_body_that_is_too_large_is_refused_before_it_is_sent_and_while_it_is(server: Server) -> None:
    assert received(raw(server, post(b"", length=1 << 30))).startswith(b"HTTP/1.1 413")
    connection = raw(server, b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    try:
        for _ in range(MOST_BODY // 0x100000 + 8):
            connection.sendall(chunk)
    except OSError:
        pass
    assert received(connection)[:12] in (b"HTTP/1.1 413", b"")


def test_bodies_that_arrive_together_are_bounded_in_all(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.serving.served.MOST_BYTES", 100_000)
    begun = [raw(server, post(b" " * 40_000, length=60_000)) for _ in range(2)]
    eventually(lambda: server.served.body_bytes == 80_000, 20)
    assert received(raw(server, post(b" " * 40_000, length=60_000))).startswith(b"HTTP/1.1 503")
    for connection in begun:
        connection.close()
    body = json.dumps({"content": "x" * 90_000}).encode()
    eventually(lambda: received(raw(server, post(body, "Connection: close", path="/tokenize"))).startswith(b"HTTP/1.1 200"), 20)


def test_headers_that_never_end_are_cut_off(server: Server) -> None:
    for begun in (b"", b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", b"GET"):
        began = time.monotonic()
        assert received(raw(server, begun)) == b""
        assert time.monotonic() - began < 5


def test_headers_that_are_too_long_are_refused(server: Server) -> None:
    connection = raw(server, b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
    try:
        for _ in range(40):
            connection.sendall(b"x" * 65536)
    except OSError:
        pass
    assert received(connection)[:12] in (b"HTTP/1.1 400", b"")


def test_what_is_not_http_is_refused(server: Server) -> None:
    for data in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"HELLO WORLD\r\n\r\n", post(b"{}", length=-4)):
        assert received(raw(server, data))[:12] in (b"HTTP/1.1 400", b"")


def test_requests_sent_ahead_are_answered_in_their_order(server: Server) -> None:
    bodies = [json.dumps({"content": text}).encode() for text in ("a", "bb", "ccc")]
    requests = [post(body, path="/tokenize") for body in bodies[:-1]] + [post(bodies[-1], "Connection: close", path="/tokenize")]
    answers = received(raw(server, b"".join(requests))).split(b"HTTP/1.1 ")[1:]
    assert [len(json.loads(answer.partition(b"\r\n\r\n")[2])["tokens"]) for answer in answers] == [1, 2, 3]


def test_a_client_that_closes_its_half_takes_nothing_with_it(server: Server) -> None:
    connection = raw(server, post(json.dumps(ask(max_tokens=20)).encode()))
    connection.shutdown(socket.SHUT_WR)
    received(connection)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_frees_its_sequence_within_100_ms(server: Server, stream: bool) -> None:
    connection = raw(server, post(json.dumps(ask(max_tokens=900, n=4, stream=stream)).encode()))
    eventually(lambda: not idle(server), 20)
    connection.close()
    took = [eventually(lambda: idle(server), 5)]
    assert min(took) < 0.1


def test_a_reader_that_does_not_read_holds_up_nobody(server: Server, http: httpx2.Client) -> None:
    stuck = raw(server, post(json.dumps(ask(max_tokens=600, stream=True)).encode()))
    assert http.post(CHAT, json=ask()).status_code == 200
    stuck.close()
