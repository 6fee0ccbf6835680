"""Keeps the native library's log in a bounded ring and writes it to a log file, never to the screen."""

from __future__ import annotations

import ctypes
import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.llama.native import lib
from engine.regular_file import open_regular
from engine.text import printable

INFO: Final = 2
WARN: Final = 3
ERROR: Final = 4
CONTINUED: Final = 5
"""Levels as ggml counts them, 1 being debug; a continued line goes on where the one before ended."""

RING_LINES: Final = 1_000
MAX_LINE: Final = 2_000
"""Most characters of a line; metadata such as a chat template may be longer."""

MAX_FILE: Final = 4 << 20
"""Size from which a log file is rotated when it is opened; one old file is kept."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the native log."""

    level: int
    text: str


_installed: list[NativeLog] = []
"""Keeps alive the log that native code has a pointer to."""


class NativeLog:
    """Receives the native log of this process; the last one to call `listen` has it.

    The loader prints metadata of model files, so characters that a terminal acts on are replaced.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lines: deque[LogLine] = deque(maxlen=RING_LINES)
        self._level = INFO
        self._file: int | None = None
        if path is not None:
            self._file = _open(path)
        self._callback = lib.llama_log_callback(self._receive)

    def listen(self, *setters: Callable[[object, ctypes.c_void_p], None]) -> None:
        """Receive the native log from now on; earlier lines are dropped, so that `errors` belongs to the next call.

        `setters` set the logs of further native libraries.
        """
        self._lines.clear()
        _installed[:] = [self]
        for set_log in (lib.llama_log_set, *setters):
            set_log(self._callback, ctypes.c_void_p(0))

    def lines(self) -> tuple[LogLine, ...]:
        """Return the latest lines, oldest first."""
        return tuple(self._lines)

    def errors(self) -> list[str]:
        """Texts of the errors among the latest lines, oldest first; of the warnings when there is no error."""
        return [line.text for line in self._lines if line.level == ERROR] or [line.text for line in self._lines if line.level == WARN]

    def _receive(self, level: int, text: bytes | None, _data: object) -> None:
        if level == CONTINUED:
            level = self._level
        self._level = level
        if level < INFO or not text:
            return
        for raw in text.decode(errors="replace").splitlines():
            line = printable(raw.rstrip(), MAX_LINE)
            if line.strip(" ."):
                self._lines.append(LogLine(level, line))
                self._write(line)

    def _write(self, line: str) -> None:
        if self._file is None:
            return
        try:
            os.write(self._file, f"{line}\n".encode())
        except OSError:
            self._file = None


def _open(path: Path) -> int | None:
    """Open a log for appending, rotated when it is large. None when that fails; the lines in memory suffice for errors."""
    try:
        if path.exists() and path.stat().st_size > MAX_FILE:
            path.replace(path.with_name(f"{path.name}.1"))
        return open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    except OSError:
        return None


LOADING: Final = ("llama_model_load: ", "llama_model_load_from_file_impl: ", "error loading model: ")
"""Prefixes of the native library before the reason why a model isn't loaded."""


def last_reason(lines: Iterable[str], prefixes: tuple[str, ...] = LOADING) -> str:
    """Return the reason in some error lines: the first line without its function's name; later ones come from callers."""
    for line in lines:
        text = line
        for prefix in prefixes:
            text = text.removeprefix(prefix)
        if text:
            return text
    return ""
