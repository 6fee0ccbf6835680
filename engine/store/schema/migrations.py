"""The schema, as the ordered steps that made it. A new database is built by replaying all of them.

`PRAGMA user_version` counts the steps a file has seen. A step is one transaction, and never changes once it was released: the next
change is another step. Only the figures of a sample need none: see `add_figures`. Tables are the program's own business; the views are
the interface for other programs (`VIEWS.md`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.metrics.figures import FIGURES
from engine.metrics.figures.figure import Figure
from engine.store.errors import SCHEMA_TOO_NEW, StoreNewerError, not_a_database
from engine.store.schema.tables import (
    CAPTURE_STACKS,
    CAPTURES,
    EVENTS,
    INDEXES,
    JUDGED,
    JUDGED_BEFORE,
    MESSAGES,
    PROCESSES,
    SAMPLES,
    SEARCH,
    SEARCH_TRIGGERS,
    SESSION_OF_MESSAGE,
    SESSIONS,
    TURNS,
)
from engine.store.schema.views import V_ITL, V_SAMPLES, v_turns
from engine.store.transaction import transaction

APPLICATION_ID = 0x78636874
"""`xcht`: how `file` and xchat know the file as ours."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema."""

    title: str
    statements: tuple[str, ...]


MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        "Sessions, messages, turns, samples, events, search and views",
        (
            f"PRAGMA application_id = {APPLICATION_ID}",
            PROCESSES,
            SESSIONS,
            MESSAGES,
            TURNS,
            SAMPLES,
            EVENTS,
            *INDEXES,
            SEARCH,
            *SEARCH_TRIGGERS,
            v_turns("t.noisy, t.noisy IS NULL AND t.stop_reason <> 'error' AS clean"),
            V_ITL,
            V_SAMPLES,
        ),
    ),
    Migration("Captures of the profiler and their stacks", (CAPTURES, CAPTURE_STACKS)),
    Migration("Which session a message belongs to, without reading the message", (SESSION_OF_MESSAGE,)),
    Migration("How often a capture looked", ("ALTER TABLE captures ADD COLUMN looks INTEGER",)),
    Migration(
        "Whether a turn was judged",
        (
            JUDGED,
            JUDGED_BEFORE,
            "DROP VIEW v_turns",
            v_turns("t.judged, t.noisy, t.judged AND t.noisy IS NULL AND t.stop_reason <> 'error' AS clean"),
        ),
    ),
    Migration(
        "Which share of a turn's time others took, and its speed without them",
        (
            "ALTER TABLE turns ADD COLUMN disturbed REAL",
            "ALTER TABLE turns ADD COLUMN quiet_per_second REAL",
            "DROP VIEW v_turns",
            v_turns(
                "t.judged, t.disturbed, t.quiet_per_second, t.noisy, t.judged AND t.noisy IS NULL AND t.stop_reason <> 'error' AS clean"
            ),
        ),
    ),
)

VERSION = len(MIGRATIONS)
"""The schema this program writes."""


def version_of(db: sqlite3.Connection) -> int:
    """How many steps a file has seen."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def check_ours(db: sqlite3.Connection, path: Path) -> int:
    """The schema version of the file at `path`, 0 for one that is still empty.

    Raises:
        StoreUnusableError: Another program made the file.
    """
    version = version_of(db)
    ours = db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    if not ours and (version or db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]):
        raise not_a_database(path, "It is an SQLite file of another program.")
    return version


def refuse_newer(version: int, path: Path) -> None:
    """Stop before writing into a file whose schema this program doesn't know."""
    if version > VERSION:
        raise StoreNewerError(
            f"{path} was made by a newer xchat", f"It has schema {version}, this program knows {VERSION}.", SCHEMA_TOO_NEW
        )


def migrate(db: sqlite3.Connection, path: Path, steps: tuple[Migration, ...] = MIGRATIONS) -> int:
    """Bring a file up to date, each step in one transaction, and return how many steps that took. Figures get their columns last.

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
                for statement in steps[version].statements:
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {version + 1}")
                done += 1
    add_figures(db)
    return done


def add_figures(db: sqlite3.Connection, figures: Iterable[Figure] = FIGURES) -> None:
    """Give every logged figure without a column one, in `samples` and at the end of `v_samples`: a new figure needs no step of its own."""
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
    """Names and types of the columns that `samples` lacks."""
    present = {name for _, name, *_ in db.execute("PRAGMA table_info (samples)")}
    return {figure.column_name: figure.column.type for figure in figures if figure.column and figure.column_name not in present}
