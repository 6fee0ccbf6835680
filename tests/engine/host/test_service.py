"""Sockets that a service manager passed, and what it is told."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UsageError
from engine.host import service
from engine.host.service import notify, passed_socket
from engine.serving.server import address_of


def passed(monkeypatch: pytest.MonkeyPatch, number: int, **environ: str) -> tuple[socket.socket | None, dict[str, str]]:
    monkeypatch.setattr(service, "_FIRST", number)
    variables = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "http", **environ}
    return passed_socket(variables), variables


def test_a_listening_socket_is_taken_once_and_not_by_children(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, copy = listener.getsockname()[1], os.dup(listener.fileno())
        os.set_inheritable(copy, True)
        found, left = passed(monkeypatch, copy)
        assert found is not None
        with found:
            assert left == {}
            assert not os.get_inheritable(copy)
            assert (address_of(found).host, address_of(found).port) == ("127.0.0.1", port)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        found, _ = passed(monkeypatch, os.dup(listener.fileno()))
        assert found is not None
        with found:
            assert address_of(found).unix == tmp_path / "socket"


@pytest.mark.parametrize("environ", [{"LISTEN_PID": "1"}, {"LISTEN_PID": ""}, {"LISTEN_FDS": "0"}, {"LISTEN_FDS": ""}])
def test_what_is_meant_for_another_process_is_left(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
    assert passed(monkeypatch, 99, **environ) == (None, {})


def test_what_is_no_listening_socket_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach()
    fresh = socket.socket().detach()
    for number, more in ((os.dup(read), {}), (datagram, {}), (fresh, {}), (read, {"LISTEN_FDS": "2"}), (read, {"LISTEN_FDS": "x" * 99})):
        with pytest.raises(UsageError, match="can't use"):
            passed(monkeypatch, number, **more)
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_is_told(tmp_path: Path, abstract: bool) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        name = f"@{tmp_path.name}-{os.getpid()}" if abstract else str(tmp_path / "notify")
        manager.bind("\0" + name[1:] if abstract else name)
        notify("READY=1", "STATUS=serving", environ={"NOTIFY_SOCKET": name})
        assert manager.recv(100) == b"READY=1\nSTATUS=serving"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative"}, {"NOTIFY_SOCKET": "/nonexistent/x"}])
def test_without_a_service_manager_nobody_is_told(environ: dict[str, Any]) -> None:
    notify("READY=1", environ=environ)
