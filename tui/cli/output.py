"""Output of the commands: guarded streams, JSON, confirmation."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import BinaryIO, TextIO

import msgspec

from engine.errors import UsageError
from engine.text import visible


class InertTerminal(io.TextIOBase):
    """A stream to a terminal that makes control characters visible instead of sending them."""

    def __init__(self, terminal: TextIO) -> None:
        self.terminal = terminal
        """The stream itself, for xchat's own control sequences."""
        self.buffer: BinaryIO = _InertBytes(self)

    def write(self, text: str, /) -> int:
        """Write `text` with control characters made visible."""
        self.terminal.write(visible(text))
        return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        self.terminal.flush()

    def fileno(self) -> int:
        """Return the descriptor of the terminal, not guarded."""
        return self.terminal.fileno()

    def isatty(self) -> bool:
        """Return True."""
        return True


class _InertBytes(io.BytesIO):
    """The binary buffer of an InertTerminal; decodes bytes as text."""

    def __init__(self, stream: InertTerminal) -> None:
        super().__init__()
        self._stream = stream

    def write(self, data: object, /) -> int:
        assert isinstance(data, bytes | bytearray | memoryview)
        self._stream.write(bytes(data).decode("utf-8", "replace"))
        return len(data)


def guarded(stream: TextIO) -> TextIO:
    """Guard a stream if it is a terminal; otherwise let it write any file name unchanged."""
    if stream.isatty():
        return stream if isinstance(stream, InertTerminal) else InertTerminal(stream)  # type: ignore[return-value]
    if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors="surrogateescape")
    return stream


@contextmanager
def guarded_output() -> Iterator[None]:
    """Guard standard output and error while a command runs."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = guarded(sys.stdout), guarded(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def write_sequence(sequence: str, stream: TextIO) -> None:
    """Write a control sequence to a terminal; do nothing elsewhere."""
    if isinstance(stream, InertTerminal):
        stream.terminal.write(sequence)
    elif stream.isatty():
        stream.write(sequence)


def write_json(value: object) -> None:
    """Print one JSON value and a newline."""
    try:
        text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    except UnicodeEncodeError:  # a file name that is not UTF-8: JSON represents its bytes as escapes
        text = json.dumps(msgspec.to_builtins(value), indent=2)
    write_json_text(text + "\n")


def write_json_text(text: str) -> None:
    """Print JSON; on a terminal, write hidden characters as escapes, which keeps the value."""
    if sys.stdout.isatty() and visible(text) != text:
        text = "".join(char if visible(char) == char else json.dumps(char)[1:-1] for char in text)
    sys.stdout.write(text)


def confirmed(question: str) -> bool:
    """Ask for confirmation; returns whether the user agreed.

    Raises:
        UsageError: Standard input is not a terminal.
    """
    if not sys.stdin.isatty():
        raise UsageError("Deleting needs confirmation", "", "Add --yes to delete without asking.")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


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
        """Show `done` of `whole`; `waiting` says that another process does the work."""
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
