"""Reads small files of /proc and /sys, kept open and re-read from their start; they may vanish."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_CHUNK = 65536
"""Bytes per read; enough for these files on all but the largest machines."""


class KernelFile:
    """A file whose content the kernel makes for each read; re-reading an open one costs a third of opening it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def read(self) -> str | None:
        """Return the current content, or None when the file can't be opened or has vanished; the next call tries again."""
        try:
            if self._fd is None:
                self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            parts, offset = [], 0
            while part := os.pread(self._fd, _CHUNK, offset):
                parts.append(part)
                offset += len(part)
                if len(part) < 4096:
                    break
            return b"".join(parts).decode("ascii", "replace")
        except OSError:
            self.close()
            return None

    def read_int(self) -> int | None:
        """Return the content as a whole number; None when it is not one."""
        text = self.read()
        try:
            return None if text is None else int(text)
        except ValueError:
            return None

    def close(self) -> None:
        """Close the file."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = None
