"""Parser of server-sent events as they arrive, within bounds. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.numbers import byte_size

MOST_EVENT_BYTES: Final = 1_000_000
"""Bytes of the longest event; one token with its probabilities has a few KiB."""


class EventTooLongError(ValueError):
    """An event longer than the bound."""


class EventParser:
    """Yields the data of each event and ignores comments, names, ids and retry times."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, part: bytes) -> Iterator[bytes]:
        """Parse the next bytes; yield the events that end in them. Raises EventTooLongError."""
        self._rest += part
        if b"\n" not in part and b"\r" not in part:
            self._bound(len(self._rest))
            return
        lines = self._rest.splitlines(keepends=True) if b"\r" in self._rest else self._rest.split(b"\n")
        self._rest = lines.pop()
        if self._rest.endswith(b"\n"):
            lines.append(self._rest)
            self._rest = b""
        self._bound(len(self._rest))
        for line in lines:
            yield from self._line(line.rstrip(b"\r\n"))

    def finish(self) -> Iterator[bytes]:
        """Yield the last event where its blank line is missing; servers omit it at the end."""
        yield from self._line(self._rest.rstrip(b"\r\n"))
        yield from self._line(b"")

    def _line(self, line: bytes) -> Iterator[bytes]:
        if line.startswith(b"data:"):
            data = line[6:] if line[5:6] == b" " else line[5:]
            self._bound(self._size + len(data))
            self._data.append(data)
            self._size += len(data)
        elif not line and self._data:
            yield b"\n".join(self._data)
            self._data, self._size = [], 0

    def _bound(self, size: int) -> None:
        if size > MOST_EVENT_BYTES:
            raise EventTooLongError(f"An event has more than {byte_size(MOST_EVENT_BYTES)}")
