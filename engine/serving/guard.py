"""Access control: API keys, allowed host names and origins."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from engine.errors import UsageError
from engine.regular_file import read_regular
from engine.serving.refusal import Refusal
from engine.text import file_name

PUBLIC: Final = frozenset({"/", "/health", "/v1/health"})
"""Paths that need no key."""
MOST_KEYS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Guard:
    """Checks requests before their bodies are read."""

    keys: tuple[bytes, ...] = ()
    """Digests of the keys; without keys, none is needed."""
    names: frozenset[str] = frozenset()
    """Names of this host besides localhost and its addresses."""
    origins: frozenset[str] = frozenset()
    """Other origins whose pages are allowed: `https://chat.example`, `localhost` (any port of this machine) or `*`."""

    def check(self, path: str, headers: Mapping[bytes, bytes]) -> int | None:
        """Return the number of the key that a request has; None when none is needed.

        Checks the host against DNS rebinding, and the origin against pages of other sites.

        Raises:
            Refusal: It must not be answered.
        """
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._is_here(host):
            raise Refusal(HTTPStatus.MISDIRECTED_REQUEST, "This host does not go by that name", "permission_error")
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").rpartition("://")[2] != host and not self.allows(origin):
            raise Refusal(HTTPStatus.FORBIDDEN, "Pages of other origins are not answered")
        if not self.keys or path in PUBLIC:
            return None
        given = headers.get(b"authorization", b"")
        key = given[7:] if given[:7].lower() == b"bearer " else headers.get(b"x-api-key", b"")
        number = self._number_of(key.strip())
        if number is None:
            raise Refusal(HTTPStatus.UNAUTHORIZED, "Invalid API Key")
        return number

    def allows(self, origin: bytes) -> bool:
        """Return whether pages of another origin are allowed."""
        text = origin.decode("latin-1")
        if "*" in self.origins or text in self.origins:
            return True
        return "localhost" in self.origins and _name_of(text.rpartition("://")[2]) in {"localhost", "127.0.0.1", "::1"}

    def cors(self, headers: Mapping[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
        """Return the headers that let a page of another origin read an answer; none for a page that is not allowed."""
        origin = headers.get(b"origin")
        if origin is None or not self.allows(origin):
            return ()
        return (
            (b"Access-Control-Allow-Origin", origin),
            (b"Access-Control-Allow-Credentials", b"true"),
            (b"Access-Control-Allow-Methods", b"GET, POST, DELETE, OPTIONS"),
            (b"Access-Control-Allow-Headers", b"*"),
            (b"Vary", b"Origin"),
        )

    def _number_of(self, key: bytes) -> int | None:
        """Return the number of a key, compared with all keys in constant time."""
        digest, found = digest_of(key), None
        for number, known in enumerate(self.keys):
            if hmac.compare_digest(digest, known):
                found = number
        return found

    def _is_here(self, host: str) -> bool:
        name = _name_of(host)
        if name.lower() == "localhost" or name.lower() in self.names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _name_of(host: str) -> str:
    """Return a host without its port."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def digest_of(key: bytes) -> bytes:
    """Return the digest of a key, of fixed length for comparison."""
    return hashlib.sha256(key).digest()


def is_loopback(host: str) -> bool:
    """Return whether an address is reachable from this machine only."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_keys(path: Path) -> tuple[str, ...]:
    """Return the keys of a file, one per line; empty lines and comments are skipped.

    Raises:
        UsageError: It can't be read, or has none.
    """
    try:
        lines = read_regular(path).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The key file {file_name(path)} can't be read", str(error)) from error
    keys = tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    if not 0 < len(keys) <= MOST_KEYS:
        raise UsageError(f"The key file {file_name(path)} has {'too many keys' if keys else 'no key'}", "", "Write one key on each line.")
    return keys


def guard_of(host: str, keys: Sequence[str], names: Sequence[str], origins: Sequence[str] = ()) -> Guard:
    """Return the guard of a server on `host`.

    Raises:
        UsageError: Other machines reach the address, and there is no key.
    """
    if not is_loopback(host) and not keys:
        raise UsageError(
            f"An API key is needed to serve on {host}",
            "other machines can reach it",
            "Use --api-key-file FILE, set XCHAT_API_KEY, or leave --host away.",
        )
    return Guard(
        tuple(digest_of(key.encode(errors="surrogateescape")) for key in keys),
        frozenset(name.lower() for name in (host, *names)),
        frozenset(origins),
    )
