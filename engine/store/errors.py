"""Errors of the database file, one class for each cause that the program or the user can act on."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from engine.errors import StoreError, UsageError
from engine.paths import HINT
from engine.store.sqlite.header import looks_like_ours

SCHEMA_TOO_NEW = "The chat continues, but is not logged. Use the newer xchat, or set XDG_DATA_HOME to another folder."
REPAIR = "Run `xchat db repair` to save the readable parts into a new file."


class StoreLockedError(StoreError):
    """Another program has the write lock for longer than `busy_timeout`."""


class StoreReadOnlyError(StoreError):
    """The file, its folder or its file system can't be written to."""


class StoreFullError(StoreError):
    """The disk, a quota or the largest size of the file is reached."""


class StoreNewerError(StoreError):
    """A newer xchat made the file; it can be read, but not written."""


class StoreDamagedError(StoreError):
    """SQLite finds the file inconsistent."""


class StoreUnusableError(StoreError):
    """The path is not an xchat database: a folder, another program's file, or not SQLite."""


class StoreSwappedError(StoreError):
    """The file was deleted or replaced while it was open."""


class TargetExistsError(UsageError):
    """The target of a write exists already."""

    def __init__(self, target: Path) -> None:
        super().__init__(f"{target} exists already", "", "Give another name, or add --force to overwrite it.")
        self.target = target


class SessionMissingError(StoreError):
    """The session does not exist, or another xchat has deleted it."""


def session_missing(session_id: int | None) -> SessionMissingError:
    """Make the error for a session id that isn't in the database."""
    return SessionMissingError(
        f"There is no session {session_id}", "It may have been deleted by another xchat.", "`xchat sessions list` shows them."
    )


def swapped(path: Path) -> StoreSwappedError:
    """Make the error for a file that is no longer at its path."""
    detail = "The sessions saved before are not in the new file." if path.exists() else "The sessions in it are lost."
    hint = "This conversation and new ones are saved in a file of that name."
    return StoreSwappedError(f"{path} was replaced or deleted while it was open", detail, hint)


def overwritten(path: Path) -> StoreError:
    """Make the error for a file that another program is overwriting."""
    return StoreError(f"{path} is being overwritten by another program", "", "Nothing is saved until the new file is complete.")


def damaged_row(kind: str, row_id: object, error: Exception) -> StoreDamagedError:
    """Make the error for a row with a value of a wrong type."""
    return StoreDamagedError(f"{kind} {row_id} of the database is damaged", str(error), REPAIR)


UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
"""Exceptions of the sqlite3 module for a file; decoding fails where SQLite's message quotes a damaged schema."""
REFUSED = (*UNREADABLE, OSError)
"""Exceptions of the sqlite3 module and of the file system."""


def explain(error: sqlite3.Error | UnicodeDecodeError | OSError, path: Path) -> StoreError:
    """Explain an error of SQLite or the file system about the database at `path`."""
    if isinstance(error, OSError):
        return _explain_os(error, path)
    if isinstance(error, UnicodeDecodeError):
        return StoreDamagedError(f"{path} is damaged", "Its schema can't be read.", REPAIR)
    # Extended codes have the cause in the high bits; the low byte is the class.
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code == sqlite3.SQLITE_NOTADB:
        return damaged_header(path) if looks_like_ours(path) else not_a_database(path)
    if code == sqlite3.SQLITE_CANTOPEN and path.exists():
        code = sqlite3.SQLITE_READONLY
    kind, title, detail, hint = _BY_CODE.get(code, _UNKNOWN)
    return kind(title.format(path=path), detail.format(error=error), hint)


_Text = tuple[type[StoreError], str, str, str]

_READ_ONLY: _Text = (
    StoreReadOnlyError,
    "{path} can't be written",
    "The file or its folder is read-only.",
    f"Give yourself write permission to both. Or: {HINT}",
)
_LOCKED: _Text = (
    StoreLockedError,
    "{path} is locked",
    "Another program writes to it for too long.",
    "Close that program, then try again.",
)
_FULL: _Text = (StoreFullError, "No disk space is left for {path}", "{error}", "Free some disk space, or delete old sessions.")
_UNKNOWN: _Text = (StoreError, "{path} can't be used", "{error}", f"`xchat db check` looks for damage. {REPAIR}")

_BY_CODE: dict[int, _Text] = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_AUTH: _READ_ONLY,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: (
        StoreError,
        "{path} can't be read or written",
        "{error}; the disk may be full or failing.",
        "Check the disk and its free space.",
    ),
    sqlite3.SQLITE_CORRUPT: (StoreDamagedError, "{path} is damaged", "{error}", REPAIR),
    sqlite3.SQLITE_CANTOPEN: (StoreUnusableError, "{path} can't be opened", "{error}", f"Check the folder and its permissions. {HINT}"),
}


def not_a_database(path: Path, detail: str = "It is not an SQLite file.") -> StoreUnusableError:
    """Make the error for a file of another program."""
    return StoreUnusableError(f"{path} is not an xchat database", detail, "Move it away; xchat then makes a new one.")


def damaged_header(path: Path) -> StoreDamagedError:
    """Make the error for a database of xchat with a damaged header."""
    return StoreDamagedError(f"{path} is damaged", "Its header is damaged.", REPAIR)


def _explain_os(error: OSError, path: Path) -> StoreError:
    reason = error.strerror or str(error)
    if isinstance(error, IsADirectoryError):
        return StoreUnusableError(f"{path} is a folder", "The database is one file.", "Move the folder away; xchat then makes the file.")
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        kind, title, detail, hint = _READ_ONLY
        return kind(title.format(path=path), detail, hint)
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        kind, title, _, hint = _FULL
        return kind(title.format(path=path), reason, hint)
    return StoreUnusableError(f"{path} can't be opened", reason, "Check the folder and its permissions.")
