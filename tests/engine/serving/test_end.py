"""How a server ends."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from engine.llama.backend import LlamaBackend
from engine.serving.guard import Guard
from engine.serving.server import GRACE_S, Address, Server
from tests import ggufs
from tests.engine.serving.conftest import PATIENCE_S, PRESET

pytestmark = pytest.mark.slow


def test_a_client_that_sends_no_more_does_not_hold_up_an_end_at_once(tmp_path: Path) -> None:
    backend = LlamaBackend(trusted=lambda _path: True, log_path=tmp_path / "native.log")
    server = Server(backend, PRESET, Guard(), Address(port=0))
    backend.load(ggufs.dense(tmp_path / "tiny.gguf"), PRESET, lambda _event: None).result(PATIENCE_S)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{")
        while not server.served.body_bytes:
            time.sleep(0.01)
        began = time.monotonic()
        server.stop(0.0)
        server.join(PATIENCE_S)
        assert server.ended
        assert time.monotonic() - began < GRACE_S / 2
    backend.close()
