"""Who may ask: keys, host names, origins; and where a server may listen."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.llama.backend import LlamaBackend
from engine.serving.guard import Guard, guard_of, read_keys
from engine.serving.refusal import Refusal
from engine.serving.server import Address, Server
from tests.engine.serving.conftest import PRESET


def status(guard: Guard, path: str = "/v1/models", **headers: str) -> int:
    try:
        guard.check(
            path, {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in {"host": "localhost", **headers}.items()}
        )
    except Refusal as refusal:
        return refusal.status
    return 200


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "192.168.1.4:80", "LOCALHOST"])
def test_addresses_and_localhost_are_names_of_this_host(host: str) -> None:
    assert status(guard_of("127.0.0.1", (), ()), host=host) == 200


@pytest.mark.parametrize("host", ["", "evil.example", "localhost.evil.example", "evil.example:8080", "[evil]", "127.0.0.1.evil.example"])
def test_another_name_of_this_host_is_refused_unless_it_is_allowed(host: str) -> None:
    assert status(guard_of("127.0.0.1", (), ()), host=host) == 421
    assert status(guard_of("127.0.0.1", (), ("box.example",)), host="box.example:8080") == 200


def test_pages_of_other_origins_are_refused() -> None:
    guard = guard_of("127.0.0.1", (), ())
    assert status(guard, host="localhost:8080", origin="http://localhost:8080") == 200
    for origin in ("http://evil.example", "null", "http://localhost:9", ""):
        assert status(guard, host="localhost:8080", origin=origin) == 403


def test_a_key_is_needed_for_all_but_health_and_the_page() -> None:
    guard = guard_of("127.0.0.1", ("first", "sécond"), ())
    assert status(guard) == 401
    assert status(guard, "/health") == 200
    assert status(guard, authorization="Bearer wrong") == 401
    assert status(guard, authorization="first") == 401
    assert status(guard, authorization="Bearer first") == 200
    assert status(guard, x_api_key="first") == 200
    assert guard.check("/props", {b"host": b"localhost", b"authorization": "bearer sécond".encode()}) == 1


def test_another_address_needs_a_key() -> None:
    for host in ("0.0.0.0", "::", "box.example", "10.0.0.1"):
        with pytest.raises(UsageError, match="key is needed"):
            guard_of(host, (), ())
        assert guard_of(host, ("key",), ()).keys


def test_a_key_file_has_a_key_on_each_line(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# mine\n\n one \ntwo\n")
    assert read_keys(path) == ("one", "two")
    path.write_text("# none\n")
    with pytest.raises(UsageError, match="no key"):
        read_keys(path)
    with pytest.raises(UsageError, match="can't be read"):
        read_keys(tmp_path / "missing")


def test_a_port_that_is_taken_and_a_bad_certificate_are_errors_of_the_user(tmp_path: Path) -> None:
    backend = LlamaBackend(log_path=tmp_path / "log")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"can't listen on 127.0.0.1:{port}"):
            Server(backend, PRESET, Guard(), Address(port=port))
    for address in (Address("no.such.host.invalid"), Address(port=70_000)):
        with pytest.raises(UsageError, match="can't listen"):
            Server(backend, PRESET, Guard(), address)
    bad = tmp_path / "bad.pem"
    bad.write_text("not a certificate")
    with pytest.raises(UsageError, match="certificate"):
        Server(backend, PRESET, Guard(), Address(port=0, certificate=bad, key=bad))
    backend.close()
