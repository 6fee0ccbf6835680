"""The tuning of the database: named sets of pragmas, each with its reason, and overridable.

Precedence, strongest first: `XCHAT_SQLITE_<PRAGMA>`, the config's pragmas, the named profile (`XCHAT_SQLITE_PROFILE` over the config's).
`sqlite` is SQLite's own defaults.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace

from engine.errors import UsageError

PREFIX = "XCHAT_SQLITE_"

Value = str | int


@dataclass(frozen=True, slots=True)
class Pragma:
    """A pragma that a profile may set."""

    name: str
    default: Value
    """SQLite's default."""
    reason: str
    """Its effect here, and the reason for its value in `balanced`."""
    choices: tuple[str, ...] = ()
    """Its words, in the order of SQLite's numbers for them; empty for an integer."""
    low: int = 0
    high: int = 2**40

    def check(self, value: object, where: str) -> Value:
        """Return the value in SQLite's spelling. Raises UsageError for an invalid value."""
        if self.choices:
            word = str(int(value) if isinstance(value, bool) else value).strip().upper()
            if word in self.choices:
                return word
            synonyms = {"TRUE": "ON", "YES": "ON", "FALSE": "OFF", "NO": "OFF"}
            if synonyms.get(word) in self.choices:
                return synonyms[word]
            if word.isdecimal() and int(word) < len(self.choices):
                return self.choices[int(word)]
            raise UsageError(f"{where} can't be {value!r}", f"Possible values: {', '.join(self.choices)}.", "Fix or remove it.")
        try:
            number = int(str(value).strip())
        except ValueError:
            raise UsageError(f"{where} can't be {value!r}", "It must be a whole number.", "Fix or remove it.") from None
        if isinstance(value, bool) or not self.low <= number <= self.high:
            raise UsageError(f"{where} can't be {value!r}", f"It must be a number from {self.low} to {self.high}.", "Fix or remove it.")
        return number

    def read(self, db: sqlite3.Connection) -> Value:
        """Return the current value on a connection."""
        row = db.execute(f"PRAGMA {self.name}").fetchone()
        if row is None:
            return self.default
        if self.choices:
            return str(row[0]).upper() if isinstance(row[0], str) else self.choices[row[0]]
        return int(row[0])


PRAGMAS: Mapping[str, Pragma] = {
    pragma.name: pragma
    for pragma in (
        Pragma(
            "busy_timeout",
            0,
            "Milliseconds to wait for another program's lock; enough for two xchats at once.",
            high=600_000,
        ),
        Pragma(
            "journal_mode",
            "DELETE",
            "A write-ahead log: readers and the writer never wait for each other, and a commit is one sequential append.",
            ("DELETE", "WAL", "TRUNCATE", "PERSIST"),
        ),
        Pragma(
            "synchronous",
            "FULL",
            "NORMAL syncs the log at checkpoints only: a killed process loses nothing, a power cut possibly the last commits.",
            ("OFF", "NORMAL", "FULL", "EXTRA"),
        ),
        Pragma(
            "cache_size",
            -2000,
            "64 MB of pages kept in memory (negative means KiB): lists and searches of a large file need no disk access.",
            low=-(2**31),
            high=2**31 - 1,
        ),
        Pragma(
            "mmap_size",
            0,
            "Map the first 256 MB instead of reading pages: cheaper scans for lists and exports.",
            high=2**40,
        ),
        Pragma(
            "temp_store",
            "DEFAULT",
            "Sorting happens in memory, so conversations never reach a temporary file.",
            ("DEFAULT", "FILE", "MEMORY"),
        ),
        Pragma(
            "wal_autocheckpoint",
            1000,
            "Checkpoint the log every 4 MB: the log stays short, and checkpoints are not noticeable.",
            low=1,
            high=1_000_000,
        ),
        Pragma(
            "journal_size_limit",
            -1,
            "Truncate the log to 16 MB after a checkpoint, if a long reader let it grow.",
            low=-1,
        ),
        Pragma("foreign_keys", "OFF", "SQLite itself refuses rows of a deleted session.", ("OFF", "ON")),
    )
}
"""Every pragma that may be set, in the order of application: the timeout first, because the next may have to wait."""

_DEFAULTS: dict[str, Value] = {name: pragma.default for name, pragma in PRAGMAS.items()}

_BALANCED: dict[str, Value] = {
    "busy_timeout": 5000,
    "journal_mode": "WAL",
    "synchronous": "NORMAL",
    "cache_size": -64_000,
    "mmap_size": 268_435_456,
    "temp_store": "MEMORY",
    "wal_autocheckpoint": 1000,
    "journal_size_limit": 16_777_216,
    "foreign_keys": "ON",
}


@dataclass(frozen=True, slots=True)
class Profile:
    """A named set of pragma values."""

    name: str
    sentence: str
    """Its purpose."""
    values: Mapping[str, Value]

    @classmethod
    def of(cls, name: str = "balanced", pragmas: Mapping[str, object] | None = None, environ: Mapping[str, str] = os.environ) -> Profile:
        """Return the profile of a config and the environment.

        Raises UsageError for an unknown profile or pragma, or an invalid value.
        """
        chosen = environ.get(f"{PREFIX}PROFILE", name)
        if chosen not in PROFILES:
            raise UsageError(f"There is no database profile {chosen!r}", f"Known profiles: {', '.join(PROFILES)}.", "Use one of them.")
        values = dict(PROFILES[chosen].values)
        for key, value in (pragmas or {}).items():
            if key not in PRAGMAS:
                raise UsageError(f"There is no pragma {key!r} to set", f"Known pragmas: {', '.join(PRAGMAS)}.", "Fix or remove it.")
            values[key] = PRAGMAS[key].check(value, key)
        for key, pragma in PRAGMAS.items():
            if (variable := PREFIX + key.upper()) in environ:
                values[key] = pragma.check(environ[variable], variable)
        return replace(PROFILES[chosen], values=values)

    def apply(self, db: sqlite3.Connection) -> Mapping[str, Value]:
        """Set the pragmas on a connection and return their values afterwards.

        Another process may block a change of the journal mode, and a network file system may refuse WAL; the mode then stays, as the
        returned mapping shows.
        """
        for name, value in self.values.items():
            try:
                db.execute(f"PRAGMA {name}={value}")
            except sqlite3.OperationalError as error:
                if name != "journal_mode" or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                db.execute("PRAGMA schema_version")  # Also fails when the whole file is locked.
        return in_force(db)


def can_lose(values: Mapping[str, Value]) -> str:
    """Say what a killed process and a power cut may lose with these values."""
    match values.get("synchronous"), values.get("journal_mode"):
        case "OFF", _:
            cut = "possibly the whole file"
        case "NORMAL", "WAL":
            cut = "possibly the last commits, never the file"
        case "NORMAL", _:
            cut = "possibly the last commits, very rarely the file"
        case _:
            cut = "nothing that was committed"
    return f"Killed process: nothing that was committed. Power cut: {cut}."


def in_force(db: sqlite3.Connection) -> Mapping[str, Value]:
    """Read every known pragma of a connection."""
    return {name: pragma.read(db) for name, pragma in PRAGMAS.items()}


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            "balanced",
            "Fast enough that no frame waits for the disk, and safe when the process is killed.",
            _BALANCED,
        ),
        Profile(
            "safe",
            "A rollback journal, every commit synced to the disk.",
            _DEFAULTS | {"busy_timeout": 5000, "synchronous": "FULL", "foreign_keys": "ON"},
        ),
        Profile(
            "fast",
            "Leaves syncing to the operating system; for logs that can be recreated.",
            _BALANCED | {"synchronous": "OFF", "cache_size": -256_000, "mmap_size": 1_073_741_824, "wal_autocheckpoint": 10_000},
        ),
        Profile(
            "sqlite",
            "SQLite's own defaults for everything.",
            _DEFAULTS,
        ),
    )
}
"""The named profiles, the default first."""

BALANCED = PROFILES["balanced"]
