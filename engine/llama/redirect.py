"""Redirects the output of native code on descriptors 1 and 2 to the log."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

from engine.regular_file import open_regular


@dataclass(frozen=True, slots=True)
class RealOutput:
    """The original standard output and error."""

    stdout: TextIOWrapper
    stderr: TextIOWrapper

    def restore(self) -> None:
        """Restore descriptors 1 and 2."""
        for stream, descriptor in ((self.stdout, 1), (self.stderr, 2)):
            stream.flush()
            os.dup2(stream.fileno(), descriptor)


def redirect_native_output(log_path: Path) -> RealOutput:
    """Send everything written to descriptors 1 and 2, by native libraries and by stray prints, to the end of a log file.

    `sys.__stdout__` and `sys.__stderr__` become files on the real ones: that is where Textual draws. Call it before the engine starts,
    and only once; child processes that inherit the descriptors write to the log too. Where the log can't be opened, the output is lost.
    """
    try:
        log = open_regular(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    except OSError:
        log = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    real = RealOutput(_real(1), _real(2))
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.__stdout__ = real.stdout  # type: ignore[misc]
    sys.__stderr__ = real.stderr  # type: ignore[misc]
    return real


def _real(descriptor: int) -> TextIOWrapper:
    return os.fdopen(os.dup(descriptor), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
