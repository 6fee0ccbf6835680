"""Reads a batch file: the offsets of its lines, and the best order to answer them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from engine.batch.lines import MOST_BYTES, BatchLine, Form, custom_id_of, line_id, parse_line
from engine.errors import UsageError
from engine.messages import ChatPrompt, TextPrompt
from engine.numbers import byte_size
from engine.regular_file import open_regular
from engine.text import file_name

_BOM: Final = b"\xef\xbb\xbf"
_KEY: Final = 512
"""Characters of a prompt used to sort lines."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line that can be answered."""

    number: int
    id: str
    custom_id: str
    offset: int
    length: int
    beginning: str
    """The first characters of its prompt."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that can't be answered, with the error."""

    number: int
    id: str
    custom_id: str
    error: UsageError


class BatchSource:
    """The lines of a file. They are read again when needed, so that a large file takes little memory."""

    def __init__(self, path: Path, form: Form = Form.AUTO, system: str | None = None) -> None:
        """Read the whole file once; `system` is the system prompt of the lines without one.

        Raises:
            UsageError: It can't be read, or has no lines.
        """
        self._path = path
        self._system = system
        self.entries: list[Entry] = []
        """The lines that can be answered, those with a common prefix in succession."""
        self.bad: list[BadLine] = []
        try:
            with open(open_regular(path), "rb") as file:
                self.form = form if form is not Form.AUTO else _form_of(file, path)
                self._read(file)
        except OSError as error:
            raise UsageError(f"{file_name(path)} can't be read", error.strerror or str(error)) from error
        if not self.entries and not self.bad:
            raise UsageError(f"{file_name(path)} has no prompt")
        self.entries.sort(key=lambda entry: (entry.beginning, entry.number))

    @property
    def numbers(self) -> dict[str, int]:
        """Return the number of each line by its id."""
        return {entry.id: entry.number for entry in self.entries} | {bad.id: bad.number for bad in self.bad}

    def lines(self, skip: set[str]) -> Iterator[BatchLine]:
        """Yield the lines to answer in their order, except the ids in `skip`.

        Raises:
            UsageError: The file has changed.
        """
        with open(open_regular(self._path), "rb") as file:
            for entry in self.entries:
                if entry.id in skip:
                    continue
                file.seek(entry.offset)
                raw = file.read(entry.length)
                if line_id(entry.custom_id, raw) != entry.id:
                    raise UsageError(f"{file_name(self._path)} changed during the run", "", "Run the same command again.")
                yield parse_line(raw, entry.custom_id, self.form, self._system)

    def _read(self, file: BinaryIO) -> None:
        seen: dict[str, int] = {}
        for number, offset, raw, whole in _raw_lines(file):
            custom_id = custom_id_of(raw, number, self.form) if whole else f"line-{number}"
            ident = line_id(custom_id, raw)
            try:
                if not whole:
                    raise UsageError(f"The line is longer than {byte_size(MOST_BYTES)}")
                first = seen.setdefault(custom_id, number)
                if first != number:
                    ident = line_id(f"{custom_id} {number}", raw)
                    raise UsageError(f"The line repeats the id of line {first}")
                line = parse_line(raw, custom_id, self.form, self._system)
            except UsageError as error:
                self.bad.append(BadLine(number, ident, custom_id, error))
            else:
                self.entries.append(Entry(number, ident, custom_id, offset, len(raw), _beginning(line)))


def _raw_lines(file: BinaryIO) -> Iterator[tuple[int, int, bytes, bool]]:
    """Yield number, offset and bytes of each line that is not blank, and whether it is whole."""
    file.seek(0)
    file.seek(len(_BOM) if file.read(len(_BOM)) == _BOM else 0)
    number = 0
    while True:
        offset = file.tell()
        raw = file.readline(MOST_BYTES + 1)
        if not raw:
            return
        number += 1
        whole = len(raw) <= MOST_BYTES
        rest = raw
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(MOST_BYTES)
        raw = raw.rstrip(b"\r\n")
        if raw.strip():
            yield number, offset, raw, whole


def _form_of(file: BinaryIO, path: Path) -> Form:
    """Detect JSONL by the name or the first character; else text."""
    first = next((raw for _, _, raw, _ in _raw_lines(file)), b"")
    return Form.JSONL if path.suffix in {".jsonl", ".ndjson"} or first.lstrip().startswith(b"{") else Form.TEXT


def _beginning(line: BatchLine) -> str:
    if isinstance(line.prompt, ChatPrompt):
        return "\0".join(message.text for message in line.prompt.messages)[:_KEY]
    return line.prompt.text[:_KEY] if isinstance(line.prompt, TextPrompt) else ""
