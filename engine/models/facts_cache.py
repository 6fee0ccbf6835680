"""Caches the facts of model files between runs, by path, size and time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from engine.atomic_write import write_atomically
from engine.models.facts import ModelFacts, facts_of
from engine.models.gguf_header import join_headers, read_header
from engine.models.gguf_metadata import KnownArrays
from engine.paths import cache_dir
from engine.regular_file import read_regular

_LAYOUT = 4
"""Version of the cache, raised whenever `ModelFacts` or its computation changes; older caches are ignored."""
_MOST_ENTRIES = 5000

Stamp = tuple[int, int]
"""Size and time of the last change (nanoseconds) of a file."""


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    stamps: tuple[Stamp, ...]
    facts: ModelFacts


class _Stored(msgspec.Struct, frozen=True):
    layout: int
    entries: dict[str, msgspec.Raw]


def read_facts(parts: Sequence[Path], known: KnownArrays | None = None) -> ModelFacts:
    """Return the facts of a model file, or of all parts of a split one in order. Raises ModelError."""
    headers = [read_header(part, known) for part in parts]
    return facts_of(headers[0] if len(headers) == 1 else join_headers(headers))


class FactsCache:
    """Facts by path, valid while size and time stay the same. A cache file that can't be read or written only costs time."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path if path is not None else cache_dir() / "model-facts.msgpack"
        self._entries: dict[str, msgspec.Raw] = {}
        self._changed = False
        self._known = KnownArrays()
        with suppress(OSError, msgspec.MsgspecError):
            stored = msgspec.msgpack.decode(read_regular(self._path), type=_Stored)
            if stored.layout == _LAYOUT:
                self._entries = stored.entries

    def facts(self, parts: Sequence[Path]) -> ModelFacts:
        """Return the facts of a model (`parts` has one path, or those of a split model in order). Raises ModelError."""
        key = os.fsencode(parts[0]).decode("utf-8", "replace")
        try:
            stamps = tuple((status.st_size, status.st_mtime_ns) for status in (part.stat() for part in parts))
        except OSError:
            return read_facts(parts)
        stored = self._entries.get(key)
        if stored is not None:
            with suppress(msgspec.MsgspecError):
                entry = msgspec.msgpack.decode(stored, type=_Entry)
                if entry.stamps == stamps:
                    return entry.facts
        facts = read_facts(parts, self._known)
        self._entries.pop(key, None)
        self._entries[key] = msgspec.Raw(msgspec.msgpack.encode(_Entry(stamps, facts)))
        self._changed = True
        return facts

    def save(self) -> None:
        """Write new entries, if any; the oldest are dropped when there are too many."""
        self._known = KnownArrays()
        if not self._changed:
            return
        entries = dict(list(self._entries.items())[-_MOST_ENTRIES:])
        with suppress(OSError):
            write_atomically(self._path, msgspec.msgpack.encode(_Stored(_LAYOUT, entries)))
            self._changed = False
