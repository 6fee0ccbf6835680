"""Saves KV states on disk, so that a resumed conversation need not be prefilled again.

One file per conversation in a folder of bounded size; the least recently used go first. Each file has the key of its model and settings and
a checksum, because the native library checks neither.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine.clock import NS_PER_MS, wall_ms
from engine.kv_state import StateKey
from engine.paths import cache_dir
from engine.regular_file import open_regular

Bytes = bytes | bytearray | memoryview

MAGIC = b"XCHATKV1"
DEFAULT_LIMIT_BYTES = 4 << 30
SPARE_BYTES = 512 << 20
"""Bytes to leave free on the disk."""
FRESH_PART_MS = 60_000
"""A partial file younger than this may still be written by another process."""
MOST_TOKENS = 1 << 24

_PREFIX = struct.Struct("<8sII")
_MOST_HEADER = 64 * 1024
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SUFFIX = ".kv"


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: StateKey
    n_tokens: int
    state_bytes: int
    checksum: int
    """CRC-32 of the tokens and the state."""


@dataclass(frozen=True, slots=True)
class SavedState:
    """A state as it was saved."""

    tokens: tuple[int, ...]
    """Token ids of the KV cache."""
    state: memoryview
    """Bytes for the native library."""


class KvFolder:
    """The folder of saved states. Blocking; use it on a worker thread. Losing a file only costs time."""

    def __init__(self, folder: Path | None = None, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        """`limit_bytes`: most bytes in `folder`."""
        self._folder = folder if folder is not None else cache_dir() / "kv"
        self._limit_bytes = limit_bytes

    def save(self, name: str, key: StateKey, tokens: Sequence[int], state: Bytes) -> bool:
        """Save the state of the conversation `name`; False when it does not fit or the disk refuses."""
        view = memoryview(state).cast("B")
        token_bytes = struct.pack(f"<{len(tokens)}i", *tokens)
        checksum = zlib.crc32(view, zlib.crc32(token_bytes))
        header = msgspec.msgpack.encode(_Header(key, len(tokens), len(view), checksum))
        prefix = _PREFIX.pack(MAGIC, len(header), zlib.crc32(header))
        size = len(prefix) + len(header) + len(token_bytes) + len(view)
        path = self._path(name)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self._make_room(size, path):
                return False
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb", buffering=0) as file:
                for piece in (prefix, header, token_bytes, view):
                    _write_all(file.fileno(), piece)
                os.fsync(file.fileno())
            part.replace(path)
        except OSError:
            with suppress(OSError):
                part.unlink()
            return False
        return True

    def load(self, name: str, key: StateKey) -> SavedState | None:
        """Load the state of a conversation; None when there is none for this model and settings. Removes a damaged file."""
        path = self._path(name)
        try:
            with open(open_regular(path), "rb", buffering=0) as file:
                content = _read_all(file.fileno(), os.fstat(file.fileno()).st_size)
        except OSError:
            return None
        header = _header(content)
        if header is None or not _is_whole(header, content):
            self.delete(name)
            return None
        if header.key != key:
            return None
        with suppress(OSError):
            os.utime(path)
        begin = _body_offset(content)
        middle = begin + 4 * header.n_tokens
        return SavedState(struct.unpack_from(f"<{header.n_tokens}i", content, begin), memoryview(content)[middle:])

    def delete(self, name: str) -> None:
        """Delete a conversation's state, if there is one."""
        with suppress(OSError):
            self._path(name).unlink()

    def names(self) -> tuple[str, ...]:
        """Return the conversations that have a state."""
        return tuple(path.stem for path, _, _ in self._files() if path.suffix == _SUFFIX)

    def clear(self) -> None:
        """Delete all states."""
        for path, _, _ in self._files():
            with suppress(OSError):
                path.unlink()

    @property
    def size_bytes(self) -> int:
        """Bytes in the folder."""
        return sum(size for _, size, _ in self._files())

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} can't be the name of a saved state")
        return self._folder / f"{name}{_SUFFIX}"

    def _files(self) -> list[tuple[Path, int, int]]:
        """List path, size and time of last use of every state, and of parts left by a killed program."""
        files = []
        with suppress(OSError):
            for entry in os.scandir(self._folder):
                if entry.name.endswith((_SUFFIX, ".part")):
                    status = entry.stat()
                    files.append((Path(entry.path), status.st_size, status.st_mtime_ns))
        return files

    def _make_room(self, size: int, target: Path) -> bool:
        """Remove the least recently used states until `size` more bytes fit; False when that is impossible."""
        if size > self._limit_bytes:
            return False
        files = sorted(self._files(), key=lambda file: file[2])
        replaced = sum(held for path, held, _ in files if path == target)
        total = sum(held for _, held, _ in files) - replaced
        free = shutil.disk_usage(self._folder).free - SPARE_BYTES
        for path, held, used_ns in files:
            if total + size <= self._limit_bytes and size <= free:
                break
            fresh_part = path.suffix == ".part" and wall_ms() - used_ns // NS_PER_MS < FRESH_PART_MS
            if path == target or fresh_part:
                continue
            path.unlink(missing_ok=True)
            total -= held
            free += held
        return total + size <= self._limit_bytes and size <= free


def worth_saving(*, n_tokens: int, state_bytes: int, prefill_tokens_per_s: float, disk_bytes_per_s: float) -> bool:
    """Return whether reading the state is at least twice as fast as prefilling its tokens again."""
    if n_tokens <= 0 or prefill_tokens_per_s <= 0 or disk_bytes_per_s <= 0:
        return False
    return 2 * state_bytes / disk_bytes_per_s < n_tokens / prefill_tokens_per_s


def _header(content: bytearray) -> _Header | None:
    if len(content) < _PREFIX.size:
        return None
    magic, length, checksum = _PREFIX.unpack_from(content)
    data = bytes(content[_PREFIX.size : _PREFIX.size + length]) if length <= _MOST_HEADER else b""
    if magic != MAGIC or len(data) != length or zlib.crc32(data) != checksum:
        return None
    try:
        return msgspec.msgpack.decode(data, type=_Header)
    except msgspec.MsgspecError:
        return None


def _body_offset(content: bytearray) -> int:
    length: int = _PREFIX.unpack_from(content)[1]
    return _PREFIX.size + length


def _is_whole(header: _Header, content: bytearray) -> bool:
    if not 0 <= header.n_tokens <= MOST_TOKENS or header.state_bytes < 0:
        return False
    begin = _body_offset(content)
    if begin + 4 * header.n_tokens + header.state_bytes != len(content):
        return False
    with memoryview(content) as view:
        return zlib.crc32(view[begin:]) == header.checksum


def _write_all(handle: int, data: Bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def _read_all(handle: int, size: int) -> bytearray:
    content = bytearray(size)
    view, at = memoryview(content), 0
    while at < size and (count := os.readv(handle, [view[at:]])):
        at += count
    view.release()
    del content[at:]
    return content
