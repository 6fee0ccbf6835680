"""Remembers model files known to be harmless, in this process and on disk."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Final

from engine.atomic_write import write_atomically
from engine.llama.files import ModelFile
from engine.llama.native import library_version
from engine.llama.processes.probe import projector_path
from engine.presets.preset import Preset
from engine.regular_file import read_kept

_MAX_ENTRIES: Final = 500


class Verdicts:
    """Files that passed the probe, by path, size, modification time, and the settings and the build of the library they were tried with."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._passed: dict[str, None] | None = None

    def passed(self, file: ModelFile, preset: Preset) -> bool:
        """Return whether this file is known to be harmless with these settings."""
        return _key(file, preset) in self._load()

    def remember(self, file: ModelFile, preset: Preset) -> None:
        """Record that a file is harmless; if that can't be saved, it is tried again the next time."""
        passed = self._load()
        key = _key(file, preset)
        if key in passed:
            return
        passed[key] = None
        while len(passed) > _MAX_ENTRIES:
            del passed[next(iter(passed))]
        with suppress(OSError):
            write_atomically(self._path, json.dumps(list(passed)).encode())

    def _load(self) -> dict[str, None]:
        if self._passed is None:
            self._passed = {str(key): None for key in read_kept(self._path, list[object]())}
        return self._passed


def _key(file: ModelFile, preset: Preset) -> str:
    return f"{file.identity}|{preset.type_k} {preset.type_v} {preset.flash_attn} {preset.repack:d}|{_projector(preset)}{library_version()}"


def _projector(preset: Preset) -> str:
    """Return the projector that is tried with the model, and what changes with its content."""
    projector = projector_path(preset)
    if projector is None:
        return ""
    status = projector.stat()
    return f"{projector}|{status.st_size}|{status.st_mtime_ns}|"
