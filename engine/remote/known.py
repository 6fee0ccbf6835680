"""The last known models of the configured engines, read without any server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine.atomic_write import write_atomically
from engine.config import EngineConfig
from engine.paths import cache_dir
from engine.remote.server import ServedModel


@dataclass(frozen=True, slots=True)
class Listing:
    """The models of one engine."""

    engine: str
    models: tuple[ServedModel, ...] = ()
    problem: str = ""
    """Why the last attempt to list them failed; `models` are then from an earlier one."""


def known(engines: Sequence[EngineConfig]) -> tuple[Listing, ...]:
    """Return the last known lists; empty ones for engines never listed. Reads one file."""
    saved = _read()
    return tuple(saved.get(engine.name) or Listing(engine.name) for engine in engines)


def keep(listings: Iterable[Listing]) -> None:
    """Save the lists for `known`. Raises OSError."""
    write_atomically(_path(), msgspec.json.encode({listing.engine: listing for listing in listings}))


def _path() -> Path:
    return cache_dir() / "engines.json"


def _read() -> Mapping[str, Listing]:
    try:
        return msgspec.json.decode(_path().read_bytes(), type=dict[str, Listing])
    except (OSError, msgspec.MsgspecError, RecursionError):
        return {}
