"""Small files of /proc and /sys, kept open and re-read from their start; they may vanish."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_CHUNK = 65536
"""More than these files hold on all but the largest machines; longer ones are read in several goes."""


class KernelFile:
    """One file that the kernel writes anew for each reader; re-reading an open one costs a third of opening it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def read(self) -> str | None:
        """The content now, or None when the file can't be opened or has gone; tried afresh the next time."""
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
        """The content as one whole number; None when there is none."""
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
