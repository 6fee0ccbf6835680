"""Which model files are known not to bring the native library down: remembered for this process and, on disk, for later ones."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Final

from engine.atomic_write import write_atomically
from engine.llama.files import ModelFile
from engine.llama.native import library_version

_MAX_ENTRIES: Final = 500


class Verdicts:
    """Files that passed the probe, by path, size and modification time, and by the build of the library that tried them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._passed: dict[str, None] | None = None

    def passed(self, file: ModelFile) -> bool:
        """Whether this very file is known to be harmless."""
        return _key(file) in self._load()

    def remember(self, file: ModelFile) -> None:
        """Note that a file is harmless; a disk that can't be written only means that it is tried again next time."""
        passed = self._load()
        if _key(file) in passed:
            return
        passed[_key(file)] = None
        while len(passed) > _MAX_ENTRIES:
            del passed[next(iter(passed))]
        with suppress(OSError):
            write_atomically(self._path, json.dumps(list(passed)).encode())

    def _load(self) -> dict[str, None]:
        if self._passed is None:
            try:
                stored = json.loads(self._path.read_text())
            except (OSError, ValueError):
                stored = []
            self._passed = {str(key): None for key in stored} if isinstance(stored, list) else {}
        return self._passed


def _key(file: ModelFile) -> str:
    return f"{file.identity}|{library_version()}"
