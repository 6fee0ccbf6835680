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
from engine.store.transaction import transaction

APPLICATION_ID = 0x78636874
"""`xcht`: how `file` and xchat know the file as ours."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema."""

    title: str
    statements: tuple[str, ...]


_PROCESSES = """
CREATE TABLE processes (
    id INTEGER PRIMARY KEY,
    pid INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    process_started REAL NOT NULL,
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    host TEXT NOT NULL,
    kernel TEXT NOT NULL,
    cpu TEXT NOT NULL,
    cpu_flags TEXT NOT NULL,
    cores INTEGER NOT NULL,
    memory_bytes INTEGER NOT NULL,
    xchat_version TEXT NOT NULL,
    llama_cpp_version TEXT NOT NULL
) STRICT
"""

# AUTOINCREMENT: people type these ids, so that of a deleted session must never mean another one.
_SESSIONS = """
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    head_id INTEGER,
    pinned INTEGER NOT NULL DEFAULT 0,
    interrupted INTEGER NOT NULL DEFAULT 0,
    answering_process INTEGER REFERENCES processes (id) ON DELETE SET NULL
) STRICT
"""

_MESSAGES = """
CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    session_id INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    parent_id INTEGER,
    role TEXT NOT NULL CHECK (role IN ('system', 'user', 'assistant')),
    text TEXT NOT NULL,
    thinking TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('complete', 'partial', 'failed')),
    created_ms INTEGER NOT NULL,
    tokens BLOB,
    tokens_of TEXT
) STRICT
"""

_TURNS = """
CREATE TABLE turns (
    id INTEGER PRIMARY KEY,
    session_id INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    user_message_id INTEGER,
    process_id INTEGER REFERENCES processes (id) ON DELETE SET NULL,
    started_ms INTEGER NOT NULL,
    model TEXT NOT NULL,
    model_path TEXT NOT NULL,
    model_fingerprint TEXT NOT NULL,
    quant TEXT NOT NULL,
    preset TEXT NOT NULL,
    preset_json TEXT NOT NULL,
    n_ctx INTEGER NOT NULL,
    threads INTEGER NOT NULL,
    threads_batch INTEGER NOT NULL,
    stream_batch INTEGER NOT NULL,
    stop_reason TEXT NOT NULL,
    cache_n INTEGER NOT NULL,
    prompt_n INTEGER NOT NULL,
    prompt_ms REAL NOT NULL,
    predicted_n INTEGER NOT NULL,
    predicted_ms REAL NOT NULL,
    ttft_ms REAL,
    itl_p50_ms REAL,
    itl_p95_ms REAL,
    itl_p99_ms REAL,
    itl_max_ms REAL,
    token_times BLOB NOT NULL,
    thinking_n INTEGER NOT NULL,
    queue_ms REAL,
    template_ms REAL,
    tokenize_ms REAL,
    first_visible_ms REAL,
    first_paint_ms REAL,
    paint_ms REAL,
    diverged_at INTEGER,
    left_out INTEGER NOT NULL,
    noisy TEXT,
    rss_peak_bytes INTEGER,
    error TEXT
) STRICT
"""

# A sample is written while its turn is still under way, so turn_id can't be a foreign key.
_SAMPLES = """
CREATE TABLE samples (
    id INTEGER PRIMARY KEY,
    wall_ms INTEGER NOT NULL,
    session_id INTEGER REFERENCES sessions (id) ON DELETE CASCADE,
    turn_id INTEGER,
    tokens_per_second REAL,
    prompt_per_second REAL,
    context_used INTEGER,
    cpu_process_pct REAL,
    cpu_machine_pct REAL,
    steal_pct REAL,
    rss_bytes INTEGER,
    available_bytes INTEGER,
    swap_bytes INTEGER,
    major_faults INTEGER,
    freq_mhz REAL,
    temperature_c REAL,
    power_w REAL,
    threads INTEGER,
    loop_lag_ms REAL,
    tty_bytes_per_s REAL
) STRICT
"""

_EVENTS = """
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    wall_ms INTEGER NOT NULL,
    session_id INTEGER REFERENCES sessions (id) ON DELETE CASCADE,
    turn_id INTEGER,
    kind TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT
"""

_SEARCH = """
CREATE VIRTUAL TABLE messages_fts USING fts5 (
    text, content = 'messages', content_rowid = 'id', tokenize = "unicode61 remove_diacritics 2"
)
"""

# The index keeps no text of its own, so it must be told the old text to forget it.
_SEARCH_TRIGGERS = (
    """
    CREATE TRIGGER messages_indexed AFTER INSERT ON messages BEGIN
        INSERT INTO messages_fts (rowid, text) VALUES (new.id, new.text);
    END
    """,
    """
    CREATE TRIGGER messages_unindexed AFTER DELETE ON messages BEGIN
        INSERT INTO messages_fts (messages_fts, rowid, text) VALUES ('delete', old.id, old.text);
    END
    """,
    """
    CREATE TRIGGER messages_reindexed AFTER UPDATE OF text ON messages WHEN old.text IS NOT new.text BEGIN
        INSERT INTO messages_fts (messages_fts, rowid, text) VALUES ('delete', old.id, old.text);
        INSERT INTO messages_fts (rowid, text) VALUES (new.id, new.text);
    END
    """,
)

_INDEXES = (
    "CREATE INDEX messages_by_session ON messages (session_id)",
    "CREATE INDEX turns_by_session ON turns (session_id)",
    "CREATE INDEX turns_by_model ON turns (model, quant, preset)",
    "CREATE INDEX samples_by_session ON samples (session_id)",
    "CREATE INDEX events_by_session ON events (session_id)",
)


def _v_turns(verdict: str) -> str:
    return f"""
CREATE VIEW v_turns AS
SELECT
    t.id AS turn_id,
    t.session_id,
    s.title,
    strftime('%Y-%m-%dT%H:%M:%fZ', t.started_ms / 1000.0, 'unixepoch') AS started,
    t.started_ms,
    p.host,
    t.model,
    t.quant,
    t.preset,
    t.n_ctx,
    t.threads,
    t.threads_batch,
    t.stream_batch,
    t.stop_reason,
    t.cache_n,
    t.prompt_n,
    t.prompt_ms,
    CASE WHEN t.prompt_n > 0 AND t.prompt_ms > 0 THEN t.prompt_n / t.prompt_ms * 1000.0 END AS prompt_per_second,
    t.predicted_n,
    t.predicted_ms,
    CASE WHEN t.predicted_n > 0 AND t.predicted_ms > 0 THEN t.predicted_n / t.predicted_ms * 1000.0 END AS predicted_per_second,
    t.thinking_n,
    t.cache_n + t.prompt_n + t.predicted_n AS context_used,
    t.ttft_ms,
    t.first_visible_ms,
    t.first_paint_ms,
    t.itl_p50_ms,
    t.itl_p95_ms,
    t.itl_p99_ms,
    t.itl_max_ms,
    t.queue_ms,
    t.template_ms,
    t.tokenize_ms,
    t.paint_ms,
    t.diverged_at,
    t.left_out,
    t.rss_peak_bytes,
    {verdict},
    t.error,
    t.model_path,
    t.model_fingerprint,
    t.preset_json,
    p.cpu,
    p.kernel,
    p.xchat_version,
    p.llama_cpp_version
FROM turns AS t
JOIN sessions AS s ON s.id = t.session_id
LEFT JOIN processes AS p ON p.id = t.process_id
"""


def _byte(position: str) -> str:
    digits = f"hex(substr(t.token_times, {position}, 1))"
    return f"(instr('123456789ABCDEF', substr({digits}, 1, 1)) * 16 + instr('123456789ABCDEF', substr({digits}, 2, 1)))"


# The decoder of token_blob in SQL: `walk` goes byte by byte and gathers the bits of a varint, `steps` undoes the zigzag, the running
# sum turns changes of gaps into gaps. Being an argument of json_each, it runs only for the turns that the outer query asks for.
_V_ITL = f"""
CREATE VIEW v_itl AS
SELECT
    t.id AS turn_id,
    t.session_id,
    t.model,
    t.quant,
    t.preset,
    gap.key + 2 AS token,
    gap.value / 1e6 AS itl_ms,
    gap.value / 1e6 > 4 * t.itl_p50_ms AS stall
FROM turns AS t, json_each((
    WITH RECURSIVE walk (position, byte, bits, shift) AS (
        SELECT 2, {_byte("2")}, {_byte("2")} & 127, 0
        UNION ALL
        SELECT
            position + 1,
            {_byte("position + 1")},
            CASE WHEN byte > 127 THEN bits | (({_byte("position + 1")} & 127) << (shift + 7)) ELSE {_byte("position + 1")} & 127 END,
            CASE WHEN byte > 127 THEN shift + 7 ELSE 0 END
        FROM walk
        WHERE position < length(t.token_times)
    ),
    steps (n, value) AS (
        SELECT row_number() OVER (ORDER BY position), CASE bits & 1 WHEN 1 THEN -(bits >> 1) - 1 ELSE bits >> 1 END
        FROM walk
        WHERE byte < 128
    )
    SELECT json_group_array(gap) FROM (SELECT sum(value) OVER (ORDER BY n) AS gap FROM steps WHERE n > 1)
)) AS gap
"""

_V_SAMPLES = """
CREATE VIEW v_samples AS
SELECT
    a.id AS sample_id,
    strftime('%Y-%m-%dT%H:%M:%fZ', a.wall_ms / 1000.0, 'unixepoch') AS at,
    a.wall_ms,
    a.session_id,
    a.turn_id,
    t.model,
    t.quant,
    t.preset,
    a.tokens_per_second,
    a.prompt_per_second,
    a.context_used,
    a.cpu_process_pct,
    a.cpu_machine_pct,
    a.steal_pct,
    a.rss_bytes,
    a.available_bytes,
    a.swap_bytes,
    a.major_faults,
    a.freq_mhz,
    a.temperature_c,
    a.power_w,
    a.threads,
    a.loop_lag_ms,
    a.tty_bytes_per_s
FROM samples AS a
LEFT JOIN turns AS t ON t.id = a.turn_id
"""

# A capture may outlive its turn, so turn_id is no foreign key. Stacks stand apart: lists of captures never read them.
_CAPTURES = """
CREATE TABLE captures (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    started_ms INTEGER NOT NULL,
    mode TEXT NOT NULL,
    seconds REAL NOT NULL,
    rate INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    behind_s REAL NOT NULL,
    turn_id INTEGER,
    model TEXT NOT NULL,
    quant TEXT NOT NULL,
    preset TEXT NOT NULL,
    tokens INTEGER,
    sampler_cpu_pct REAL,
    speed_outside REAL,
    speed_during REAL,
    notes TEXT NOT NULL,
    lanes TEXT NOT NULL
) STRICT
"""

_CAPTURE_STACKS = """
CREATE TABLE capture_stacks (
    capture_id INTEGER PRIMARY KEY REFERENCES captures (id) ON DELETE CASCADE,
    folded BLOB NOT NULL,
    runs BLOB NOT NULL
) STRICT
"""

_JUDGED = "ALTER TABLE turns ADD COLUMN judged INTEGER NOT NULL DEFAULT 0"

# A turn without a verdict counted as quiet until here, whether anybody had watched the machine or not. The first sample of a turn covers
# what was before it, so only the second one proves that the machine was watched.
_JUDGED_BEFORE = """
UPDATE turns SET judged = 1
WHERE noisy IS NOT NULL OR id IN (SELECT turn_id FROM samples WHERE turn_id IS NOT NULL GROUP BY turn_id HAVING count(*) > 1)
"""

_SESSION_OF_MESSAGE = "CREATE INDEX messages_session_of ON messages (id, session_id)"

MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        "Sessions, messages, turns, samples, events, search and views",
        (
            f"PRAGMA application_id = {APPLICATION_ID}",
            _PROCESSES,
            _SESSIONS,
            _MESSAGES,
            _TURNS,
            _SAMPLES,
            _EVENTS,
            *_INDEXES,
            _SEARCH,
            *_SEARCH_TRIGGERS,
            _v_turns("t.noisy, t.noisy IS NULL AND t.stop_reason <> 'error' AS clean"),
            _V_ITL,
            _V_SAMPLES,
        ),
    ),
    Migration("Captures of the profiler and their stacks", (_CAPTURES, _CAPTURE_STACKS)),
    Migration("Which session a message belongs to, without reading the message", (_SESSION_OF_MESSAGE,)),
    Migration("How often a capture looked", ("ALTER TABLE captures ADD COLUMN looks INTEGER",)),
    Migration(
        "Whether a turn was judged",
        (
            _JUDGED,
            _JUDGED_BEFORE,
            "DROP VIEW v_turns",
            _v_turns("t.judged, t.noisy, t.judged AND t.noisy IS NULL AND t.stop_reason <> 'error' AS clean"),
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
