"""Checks the header of a database file, its first 100 bytes, and recreates a damaged one."""

from __future__ import annotations

import sqlite3
import struct
from pathlib import Path

from engine.regular_file import read_regular

APPLICATION_ID = 0x78636874
"""`xcht`, by which `file` and xchat recognize a database of xchat."""

PAGE_SIZE = 4096

FORMATS_AT, WITHOUT_LOG = 18, b"\1\1"
"""Offset of the read and write versions, and their values for a file without a write-ahead log."""

_LAYOUT = struct.Struct(">16sHBBBBBB12I20x2I")
_FIXED = (0, 64, 32, 32)
"""Reserved bytes of a page, and the payload fractions."""
_FIRST_NUMBER = 8
_NUMBERS = {5: 4, 7: 0, 8: 1, 11: APPLICATION_ID}
"""Constant numbers by position: schema format, largest root page, text encoding, application."""
_MAGIC = b"SQLite format 3\0"
_TABLE = b"CREATE TABLE sessions"
_SEARCHED_BYTES = 1 << 20


def looks_like_ours(path: Path) -> bool:
    """Return whether a file that SQLite refuses may be a damaged database of xchat."""
    try:
        start = read_regular(path, _SEARCHED_BYTES)
    except OSError:
        return False
    return start[68:72] == APPLICATION_ID.to_bytes(4) or (_TABLE in start and len(start) >= PAGE_SIZE)


def is_sound(header: bytes) -> bool:
    """Return whether the fields have xchat's values, so that SQLite reads the rest correctly."""
    if len(header) < _LAYOUT.size:
        return False
    fields = _LAYOUT.unpack_from(header)
    numbers = fields[_FIRST_NUMBER:]
    return (
        fields[:2] == (_MAGIC, PAGE_SIZE)
        and fields[2:4] in {(1, 1), (2, 2)}
        and fields[4:_FIRST_NUMBER] == _FIXED
        and all(numbers[place] == value for place, value in _NUMBERS.items())
    )


def made_anew(size: int, version: int) -> bytes:
    """Make the header of a file of `size` bytes with a schema version, without a free list and a write-ahead log."""
    major, minor, patch = sqlite3.sqlite_version_info
    known = {0: 1, 1: size // PAGE_SIZE, 4: 1, 9: version, 12: 1, 13: major * 1_000_000 + minor * 1_000 + patch} | _NUMBERS
    return _LAYOUT.pack(_MAGIC, PAGE_SIZE, *WITHOUT_LOG, *_FIXED, *(known.get(place, 0) for place in range(14)))
