"""Serves the figures of the running program to the same user: a Unix socket that answers each connection with one JSON line.

The folder and the socket are private to the owner. Nothing is read from clients, so they can get only the figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from engine.errors import XchatError
from engine.metrics.bounded_server import BoundedServer
from engine.metrics.report import Report, report
from engine.metrics.snapshot import Snapshot
from engine.paths import state_dir

LONGEST_NAME = 100
"""Longest path of a socket in bytes; the kernel's limit is 107, some systems' lower."""

ANSWER_TIMEOUT_S = 2.0
_ANSWER_BYTES = 1 << 20
"""Most bytes read of a reply, which has about 10 KB."""


def live_dir() -> Path:
    """Return the folder of the sockets of running programs."""
    folder = state_dir() / "live"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@contextlib.contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """Yield the socket's path, short enough for the kernel."""
    if len(os.fsencode(path)) <= LONGEST_NAME:
        yield str(path)
    elif sys.platform.startswith("linux"):
        folder = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{folder}/{path.name}"
        finally:
            os.close(folder)
    else:
        raise OSError(f"the path {path} is too long for a socket")


class SnapshotServer:
    """Serves the newest snapshot. Lives on the event loop."""

    def __init__(self, newest: Callable[[], Snapshot | None], folder: Path | None = None) -> None:
        """`newest` is called for each connection; it returns None before the first snapshot."""
        self._newest = newest
        self._folder = folder
        self._path: Path | None = None
        self._server = BoundedServer(self._answer)

    async def start(self) -> None:
        """Open the socket. Raises XchatError when it can't be opened; the program works without it."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path = (self._folder or live_dir()) / f"{os.getpid()}.sock"
            path.unlink(missing_ok=True)
            with _reachable(path) as name:
                before = os.umask(0o177)
                try:
                    listener.bind(name)
                finally:
                    os.umask(before)
            self._path = path
            await self._server.listen_unix(listener)
        except OSError as error:
            listener.close()
            raise XchatError("The figures can't be read by `xchat stats`", str(error)) from error

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        now = self._newest()
        if now is not None:
            writer.write(msgspec.json.encode(report(now)) + b"\n")

    async def close(self) -> None:
        """Close and remove the socket; safe to call twice."""
        await self._server.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None


def running(folder: Path | None = None) -> list[Report]:
    """Return the reports of every running xchat of this user, the last started first; removes sockets of ended programs."""
    reports = []
    for path in sorted((folder or live_dir()).glob("*.sock"), key=_age, reverse=True):
        try:
            reports.append(_ask(path))
        except ConnectionRefusedError:
            with contextlib.suppress(OSError):
                path.unlink()
        except (OSError, msgspec.DecodeError):
            continue
    return reports


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _ask(path: Path) -> Report:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking, _reachable(path) as name:
        asking.settimeout(ANSWER_TIMEOUT_S)
        asking.connect(name)
        answer = b""
        while len(answer) < _ANSWER_BYTES and (part := asking.recv(65536)):
            answer += part
    return msgspec.json.decode(answer, type=Report)
