"""A progress line on standard error."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tui.cli.output import write_sequence

PATIENCE_S = 0.5
"""Work shorter than this shows no progress line."""

EVERY_S = 0.1


class Progress:
    """Shows progress on a terminal; nothing elsewhere."""

    def __init__(self, verb: str, unit: str) -> None:
        self._verb = verb
        self._unit = unit
        self._began = time.monotonic()
        self._shown_at = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._shown_at:
            write_sequence("\r\x1b[K", sys.stderr)
            sys.stderr.flush()

    def show(self, done: int, whole: int, *, waiting: bool = False) -> None:
        """Show `done` of `whole`; `waiting` for another process that does the same work."""
        now = time.monotonic()
        if now - self._began < PATIENCE_S or now - self._shown_at < EVERY_S or not sys.stderr.isatty():
            return
        self._shown_at = now
        share = done / whole if whole else 1.0
        bar = "#" * round(share * 24)
        write_sequence("\r\x1b[K", sys.stderr)
        sys.stderr.write(
            f"{self._verb} [{bar:<24}] {share:4.0%}  {done:,} of {whole:,} {self._unit}{', by another process' if waiting else ''}"
        )
        sys.stderr.flush()
