"""What several commands say in the same way, and the terminal that they say it to."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, TextIO

import msgspec

from engine.errors import UsageError
from engine.text import visible


class InertTerminal(io.TextIOBase):
    """A stream to a terminal on which text is shown and never acts, whatever command writes it and wherever it came from."""

    def __init__(self, terminal: TextIO) -> None:
        self.terminal = terminal
        """Takes the few sequences that are our own."""
        self.buffer: BinaryIO = _InertBytes(self)

    def write(self, text: str, /) -> int:
        """Show `text`."""
        self.terminal.write(visible(text))
        return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        self.terminal.flush()

    def fileno(self) -> int:
        """The descriptor, which shows what is written to it as it is."""
        return self.terminal.fileno()

    def isatty(self) -> bool:
        """It is a terminal."""
        return True


class _InertBytes(io.BytesIO):
    """The binary side of an InertTerminal: text as well, since nothing else can be shown."""

    def __init__(self, stream: InertTerminal) -> None:
        super().__init__()
        self._stream = stream

    def write(self, data: object, /) -> int:
        assert isinstance(data, bytes | bytearray | memoryview)
        self._stream.write(bytes(data).decode("utf-8", "replace"))
        return len(data)


def guarded(stream: TextIO) -> TextIO:
    """A stream that is inert where it is a terminal, and takes the exact text, odd file names too, where it is a pipe or a file."""
    if stream.isatty():
        return stream if isinstance(stream, InertTerminal) else InertTerminal(stream)  # type: ignore[return-value]
    if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors="surrogateescape")
    return stream


@contextmanager
def guarded_output() -> Iterator[None]:
    """Guard standard output and error for as long as a command runs."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = guarded(sys.stdout), guarded(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def write_sequence(sequence: str, stream: TextIO) -> None:
    """Write a control sequence of our own to a terminal; elsewhere it has no meaning and is left out."""
    if isinstance(stream, InertTerminal):
        stream.terminal.write(sequence)
    elif stream.isatty():
        stream.write(sequence)


def write_json(value: object) -> None:
    """One JSON value and a newline on standard output."""
    try:
        text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    except UnicodeEncodeError:  # a file name that is not UTF-8, whose bytes JSON can hold as escapes only
        text = json.dumps(msgspec.to_builtins(value), indent=2)
    write_json_text(text + "\n")


def write_json_text(text: str) -> None:
    """JSON on standard output; a terminal, which shows no hidden characters, gets them as escapes, so that the value stays the same."""
    if sys.stdout.isatty() and visible(text) != text:
        text = "".join(char if visible(char) == char else json.dumps(char)[1:-1] for char in text)
    sys.stdout.write(text)


def confirmed(question: str) -> bool:
    """Whether the person says yes.

    Raises:
        UsageError: There is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise UsageError("Deleting needs a yes", "", "Add --yes to delete without being asked.")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
