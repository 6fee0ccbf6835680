"""Systemd's protocols between a service manager and the server: passed sockets and notices of readiness."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import MutableMapping
from typing import Final

from engine.errors import UsageError

_FIRST: Final = 3
"""Descriptor of the first passed socket."""


def passed_socket(environ: MutableMapping[str, str] = os.environ) -> socket.socket | None:
    """Return the listening socket that the service manager passed; None without one. Processes started later do not inherit it.

    Raises:
        UsageError: It passed more than one, or something else.
    """
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or count in {"", "0"}:
        return None
    hint = "Give the .socket unit one ListenStream=."
    if count != "1":
        raise UsageError(f"xchat serve can't use {count[:20]} passed sockets", "", hint)
    try:
        passed = socket.socket(fileno=_FIRST)
        passed.set_inheritable(False)
        listening = passed.type == socket.SOCK_STREAM and passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise UsageError("xchat serve can't use the passed socket", str(error), hint) from error
    if not listening:
        raise UsageError("xchat serve can't use the passed socket", "it does not listen for connections", hint)
    return passed


def notify(*lines: str, environ: MutableMapping[str, str] = os.environ) -> None:
    """Notify the service manager, if it asks for that: `READY=1`, `STOPPING=1`, `STATUS=...`."""
    address = environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in {"/", "@"}:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.connect("\0" + address[1:] if address[0] == "@" else address)
        manager.send("\n".join(lines).encode())
