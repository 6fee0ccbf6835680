"""RPC workers: devices of other machines or processes that the native library computes on over TCP.

The library ends the calling thread when a worker can't be reached, so each is checked first. Nothing is authenticated or encrypted.
"""

from __future__ import annotations

import ctypes
import ipaddress
import re
import socket
import struct
from typing import Final

from engine.errors import EngineError, UsageError
from engine.llama.native import shared_library
from engine.text import printable

TIMEOUT_S: Final = 2.0
_HELLO: Final = 14
"""The command that begins a connection."""
_CAPABILITIES: Final = 24
"""Bytes of the client's capabilities, all zero."""
_MOST_REPLY: Final = 64
_added: dict[str, int] = {}
"""Registrations by endpoint: the library keeps them until the process ends."""
_lost: set[str] = set()
"""Endpoints of used workers that are lost."""


def endpoints_of(text: str) -> tuple[tuple[str, int], ...]:
    """Return the hosts and ports of `HOST:PORT,HOST:PORT`. Raises UsageError for anything else."""
    found = []
    for word in text.split(","):
        match = re.fullmatch(r"\s*([\w.-]{1,253}):(\d{1,5})\s*", word)
        if match is None or not 0 < int(match[2]) < 65536:
            raise UsageError(f"rpc can't be {printable(text, 80)!r}", "", "Write HOST:PORT,HOST:PORT, for example 127.0.0.1:50052.")
        found.append((match[1], int(match[2])))
    return tuple(dict.fromkeys(found))


def add_workers(text: str) -> None:
    """Register the devices of these workers with the native library.

    Raises:
        UsageError: The text names no workers, or this build has no RPC.
        EngineError: A worker can't be reached, or does not answer as one.
    """
    endpoints = endpoints_of(text)
    registry, base = shared_library("ggml"), shared_library("ggml-base")
    registry.ggml_backend_reg_by_name.restype = base.ggml_backend_reg_get_proc_address.restype = ctypes.c_void_p
    registry.ggml_backend_reg_by_name.argtypes = [ctypes.c_char_p]
    base.ggml_backend_reg_get_proc_address.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    registry.ggml_backend_register.argtypes = [ctypes.c_void_p]
    backend = registry.ggml_backend_reg_by_name(b"RPC")
    if not backend:
        raise UsageError(
            "This build of llama.cpp has no RPC", "rpc names workers", "Build it with -DGGML_RPC=ON (docs/devices.md), or unset rpc."
        )
    address = base.ggml_backend_reg_get_proc_address(backend, b"ggml_backend_rpc_add_server")
    add = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)(address)
    for host, port in endpoints:
        endpoint = f"{host}:{port}"
        if endpoint in _added:
            require_worker(endpoint)
            continue
        _greet(host, port)
        registration = add(endpoint.encode())
        if not registration:
            raise _unreachable(endpoint, "the native library refuses it")
        registry.ggml_backend_register(registration)
        _added[endpoint] = registration


def require_worker(endpoint: str) -> None:
    """Raise EngineError when a worker is lost. It serves one client at a time, so it can't be queried while in use.

    A lost worker stays lost: the library would use its broken connection, and end the thread.
    """
    if endpoint in _lost:
        raise _unreachable(endpoint, "it was gone before; xchat must be restarted to use it again")
    try:
        socket.create_connection(endpoints_of(endpoint)[0], TIMEOUT_S).close()
    except OSError as error:
        _lost.add(endpoint)
        raise _unreachable(endpoint, error.strerror or str(error)) from error


def is_lost(endpoint: str) -> bool:
    """Return whether a worker is lost: any use of its devices ends the thread."""
    try:
        require_worker(endpoint)
    except EngineError:
        return True
    return False


def insecurity(text: str) -> str:
    """Return the security risk of these workers as a sentence; empty where all are on this machine."""
    far = [host for host, _ in endpoints_of(text) if not _is_loopback(host)]
    return (
        f"RPC to {', '.join(far)} is neither authenticated nor encrypted: use it on a trusted net, or through an SSH tunnel." if far else ""
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _greet(host: str, port: int) -> None:
    """Check that a worker with this library's protocol answers."""
    endpoint = f"{host}:{port}"
    try:
        with socket.create_connection((host, port), TIMEOUT_S) as connection:
            connection.settimeout(TIMEOUT_S)
            connection.sendall(bytes([_HELLO]) + struct.pack("<Q", _CAPABILITIES) + bytes(_CAPABILITIES))
            size = struct.unpack("<Q", _received(connection, 8))[0]
            if not 3 <= size <= _MOST_REPLY:
                raise _unreachable(endpoint, "it speaks another protocol")
            _received(connection, size)
    except TimeoutError as error:
        raise _unreachable(endpoint, "it does not answer: it serves another client, or is not a worker") from error
    except OSError as error:
        raise _unreachable(endpoint, error.strerror or str(error)) from error


def _received(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("it closed the connection")
        data += part
    return data


def _unreachable(endpoint: str, reason: str) -> EngineError:
    return EngineError(f"The RPC worker {endpoint} can't be used", reason, "Start it again, or take it out of rpc.", "change_setting")
