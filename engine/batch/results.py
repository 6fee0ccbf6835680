"""Writes the results of a batch: a durable journal, and the final file made from it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from engine.atomic_write import replacing
from engine.errors import UsageError
from engine.regular_file import open_regular, read_regular
from engine.text import file_name

ENGINE_ERROR = "engine_error"
"""Code of a transient error: the line is answered again when the batch is resumed."""


class _Result(msgspec.Struct):
    """The fields of a result that are read back."""

    id: str
    error: dict[str, Any] | None = None


def partial_of(path: Path) -> Path:
    """Return the path of the journal of the results in `path`."""
    return path.with_name(f"{path.name}.partial")


class Results:
    """Results by line: appended to `NAME.partial` as they finish, each written whole, and moved to NAME at the end.

    The files are private. Use as a context manager.
    """

    def __init__(self, path: Path, numbers: Mapping[str, int]) -> None:
        """`numbers`: the number of each line of the batch by its id.

        Raises:
            UsageError: Another process writes them, or the file has other contents.
            OSError: It can't be written.
        """
        self._path = path
        self._numbers = numbers
        self._partial = partial_of(path)
        if path.exists():
            self._refuse_other_content()
        self._handle = os.open(self._partial, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._lock()
            os.fchmod(self._handle, 0o600)
            self._take_over()
            self._places, self._failed = self._read()
        except BaseException:
            os.close(self._handle)
            raise

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self._handle)

    @property
    def done(self) -> set[str]:
        """Return the ids of the lines that are done."""
        return set(self._places) - self._failed

    def write(self, ident: str, result: Mapping[str, Any], *, again: bool = False) -> None:
        """Append the result of a line, durably; `again`: answer the line again when the batch is resumed.

        Raises:
            OSError: Writing failed.
        """
        data = msgspec.json.encode(result) + b"\n"
        end = os.lseek(self._handle, 0, os.SEEK_END)
        try:
            self._append(data)
        except OSError:
            os.ftruncate(self._handle, end)
            raise
        self._places[ident] = (end, len(data))
        (self._failed.add if again else self._failed.discard)(ident)

    def finish(self, *, in_order: bool) -> None:
        """Write the file of results, one for each line, in the order of the lines or as they finished.

        Raises:
            OSError: Writing failed; the journal is kept.
        """
        ids = sorted(self._places, key=self._numbers.__getitem__ if in_order else self._places.__getitem__)
        with replacing(self._path) as whole, whole.open("wb") as out:
            for ident in ids:
                offset, length = self._places[ident]
                out.write(os.pread(self._handle, length, offset))
            out.flush()
        self._partial.unlink()

    def _lock(self) -> None:
        """Lock the journal; raise UsageError when another process writes it, or has just finished it."""
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = os.fstat(self._handle).st_nlink > 0
        except OSError:
            free = False
        if not free:
            raise UsageError(f"{file_name(self._path)} is being written by another xchat batch", "", "Wait until it ends, or use --output")

    def _take_over(self) -> None:
        """Begin the journal with the results of the finished file; replace an incomplete copy of them."""
        if not self._path.exists():
            return
        finished = read_regular(self._path)
        if finished.startswith(os.pread(self._handle, len(finished) + 1, 0)):
            os.ftruncate(self._handle, 0)
            self._append(finished)

    def _append(self, data: bytes) -> None:
        written = 0
        while written < len(data):
            written += os.write(self._handle, data[written:])
        os.fdatasync(self._handle)

    def _read(self) -> tuple[dict[str, tuple[int, int]], set[str]]:
        """Return offset and length of the last result of each line, and the failed ones; cut off a partial line at the end."""
        places: dict[str, tuple[int, int]] = {}
        failed = set[str]()
        whole = 0
        with os.fdopen(os.dup(self._handle), "rb") as file:
            file.seek(0)
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                whole += len(raw)
                result = _decoded(raw)
                if result is None or result.id not in self._numbers:
                    continue
                places[result.id] = (whole - len(raw), len(raw))
                again = result.error is not None and result.error.get("code") == ENGINE_ERROR
                (failed.add if again else failed.discard)(result.id)
        if whole and not places:
            raise self._other_content(self._partial)
        os.ftruncate(self._handle, whole)
        return places, failed

    def _refuse_other_content(self) -> None:
        with open(open_regular(self._path), "rb") as file:
            if any(result is None or result.id not in self._numbers for result in _results(file)):
                raise self._other_content(self._path)

    @staticmethod
    def _other_content(path: Path) -> UsageError:
        title = f"{file_name(path)} exists and is not a file of results of these prompts"
        return UsageError(title, "", "Use --output for another name.")


def _results(lines: Iterator[bytes]) -> Iterator[_Result | None]:
    return (_decoded(raw) for raw in lines)


def _decoded(raw: bytes) -> _Result | None:
    try:
        return msgspec.json.decode(raw, type=_Result)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
