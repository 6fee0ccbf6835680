"""Opens and reads regular files only, since reading a pipe might never return, and a device never end."""

from __future__ import annotations

import errno
import os
import stat
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from engine.errors import UsageError

T = TypeVar("T")

MOST_KEPT_BYTES = 256 << 20
"""Most bytes of one of xchat's own files."""
_SMALL = 1 << 16
"""Asked for at least: the system states no size of its own files."""
MOST_WRITTEN_BYTES = 1 << 20
"""Most bytes of a file written by a person."""


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a file without waiting, for its owner only where it is made, and return the descriptor.

    Raises:
        OSError: Opening failed, or it is not a regular file.
    """
    handle = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o600)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "It is not a regular file", str(path))
    return handle


def read_regular(path: Path, most: int = MOST_KEPT_BYTES) -> bytes:
    """Read a file; of a longer one, `most` bytes and one more.

    Raises:
        OSError: As for `open_regular`.
    """
    with open(open_regular(path), "rb") as file:
        # Python sets aside all bytes that are asked for, so ask for little more than there are.
        return file.read(min(most, max(os.fstat(file.fileno()).st_size, _SMALL)) + 1)


def read_kept(path: Path, default: T) -> T:
    """Read one of xchat's own JSON files as the type of `default`, which is returned when the file is missing or invalid."""
    try:
        return msgspec.json.decode(read_regular(path), type=type(default))
    except (OSError, msgspec.MsgspecError, RecursionError):
        return default


def read_written(path: Path) -> str:
    """Read the text of a file.

    Raises:
        FileNotFoundError: There is none.
        UsageError: It is a pipe, a device or a folder, too long, not UTF-8, or can't be read.
    """
    try:
        data = read_regular(path, MOST_WRITTEN_BYTES)
        if len(data) > MOST_WRITTEN_BYTES:
            raise UsageError(f"{path} can't be read", "It is longer than a mebibyte", f"Shorten or remove {path}")
        return data.decode("utf-8")
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path} can't be read", reason, f"Fix or remove {path}") from error


def read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    """Read a TOML file; returns text and values. Raises the errors of `read_written`, and UsageError with the line of an error."""
    text = read_written(path)
    try:
        values = tomllib.loads(text)
        # Numbers beyond 64 bits and endless nesting parse, but can be neither compared nor printed.
        msgspec.json.encode(values)
    except (ValueError, OverflowError, RecursionError) as error:
        raise UsageError(
            f"{path} is not valid TOML", str(error)[:300], f"Fix the line, or remove {path} to restore the defaults"
        ) from error
    return text, values
