"""The schema as ordered migrations, one SQL file each. A new database runs all of them.

`PRAGMA user_version` counts the steps a file has seen. A step is one transaction, and never changes once it was released: the next change
is another file. Figures of samples need no step, see `add_figures`. Tables are internal; the views are the interface for other programs
(`VIEWS.md`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path

from engine.metrics.figures import FIGURES
from engine.metrics.figures.figure import Figure
from engine.store.errors import SCHEMA_TOO_NEW, StoreNewerError, damaged_header, not_a_database
from engine.store.sqlite.header import APPLICATION_ID
from engine.store.sqlite.transaction import transaction


def _steps() -> tuple[str, ...]:
    scripts = sorted((file for file in files(__package__).iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return tuple(script.read_text("utf-8") for script in scripts)


MIGRATIONS: tuple[str, ...] = _steps()
"""The SQL of each step."""

VERSION = len(MIGRATIONS)
"""The schema this program writes."""


MOST_STEPS = 100
"""Most steps of a file; with more it is damaged, not of a newer xchat."""


def version_of(db: sqlite3.Connection) -> int:
    """Return the number of migrations of a file."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def check_ours(db: sqlite3.Connection, path: Path) -> int:
    """Return the schema version of the file at `path`, 0 for an empty one. Raises StoreUnusableError when another program made it."""
    version = version_of(db)
    ours = db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    if not ours and {"sessions", "messages_fts"} <= tables:
        raise damaged_header(path)
    if not ours and (version or tables):
        raise not_a_database(path, "It is an SQLite file of another program.")
    return version


def refuse_newer(version: int, path: Path) -> None:
    """Refuse to write a file with an unknown schema."""
    if not 0 <= version <= MOST_STEPS:
        raise damaged_header(path)
    if version > VERSION:
        raise StoreNewerError(
            f"{path} was made by a newer xchat", f"It has schema {version}, this program knows {VERSION}.", SCHEMA_TOO_NEW
        )


def migrate(db: sqlite3.Connection, path: Path, steps: tuple[str, ...] = MIGRATIONS) -> int:
    """Migrate a file, each step in one transaction, and return the number of steps. Figures get their columns last.

    Raises:
        StoreNewerError: The file has seen steps that this program doesn't know.
        StoreUnusableError: Another program made the file.
    """
    refuse_newer(check_ours(db, path), path)
    done = 0
    while version_of(db) < len(steps):
        with transaction(db):
            # Read again under the lock: another xchat may have migrated in the meantime.
            version = version_of(db)
            if version < len(steps):
                for statement in _statements(steps[version]):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {version + 1}")
                done += 1
    add_figures(db)
    return done


def _statements(script: str) -> Iterator[str]:
    """Split a script, since `executescript` would commit the transaction that a step is."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def add_figures(db: sqlite3.Connection, figures: Iterable[Figure] = FIGURES) -> None:
    """Add the missing columns of logged figures to `samples` and to the end of `v_samples`, so that a new figure needs no step."""
    if not _without_column(db, figures):
        return
    with transaction(db):
        # Read again under the lock: another xchat may have added them in the meantime.
        added = _without_column(db, figures)
        for name, kind in added.items():
            db.execute(f"ALTER TABLE samples ADD COLUMN {name} {kind}")
        (view,) = db.execute("SELECT sql FROM sqlite_master WHERE name = 'v_samples'").fetchone()
        db.execute("DROP VIEW v_samples")
        db.execute(view.replace("\nFROM samples", "".join(f",\n    a.{name}" for name in added) + "\nFROM samples"))


def _without_column(db: sqlite3.Connection, figures: Iterable[Figure]) -> dict[str, str]:
    """Return names and types of the columns that `samples` lacks."""
    present = {name for _, name, *_ in db.execute("PRAGMA table_info (samples)")}
    return {figure.column_name: figure.column.type for figure in figures if figure.column and figure.column_name not in present}
