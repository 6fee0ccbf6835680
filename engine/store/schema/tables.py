"""The tables of the database, their indexes and triggers, as SQL."""

from __future__ import annotations

PROCESSES = """
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
SESSIONS = """
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

MESSAGES = """
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

TURNS = """
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
SAMPLES = """
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

EVENTS = """
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    wall_ms INTEGER NOT NULL,
    session_id INTEGER REFERENCES sessions (id) ON DELETE CASCADE,
    turn_id INTEGER,
    kind TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT
"""

SEARCH = """
CREATE VIRTUAL TABLE messages_fts USING fts5 (
    text, content = 'messages', content_rowid = 'id', tokenize = "unicode61 remove_diacritics 2"
)
"""

# The index keeps no text of its own, so it must be told the old text to forget it.
SEARCH_TRIGGERS = (
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

INDEXES = (
    "CREATE INDEX messages_by_session ON messages (session_id)",
    "CREATE INDEX turns_by_session ON turns (session_id)",
    "CREATE INDEX turns_by_model ON turns (model, quant, preset)",
    "CREATE INDEX samples_by_session ON samples (session_id)",
    "CREATE INDEX events_by_session ON events (session_id)",
)

CAPTURES = """
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

CAPTURE_STACKS = """
CREATE TABLE capture_stacks (
    capture_id INTEGER PRIMARY KEY REFERENCES captures (id) ON DELETE CASCADE,
    folded BLOB NOT NULL,
    runs BLOB NOT NULL
) STRICT
"""

JUDGED = "ALTER TABLE turns ADD COLUMN judged INTEGER NOT NULL DEFAULT 0"

# A turn without a verdict counted as quiet until here, whether anybody had watched the machine or not. The first sample of a turn covers
# what was before it, so only the second one proves that the machine was watched.
JUDGED_BEFORE = """
UPDATE turns SET judged = 1
WHERE noisy IS NOT NULL OR id IN (SELECT turn_id FROM samples WHERE turn_id IS NOT NULL GROUP BY turn_id HAVING count(*) > 1)
"""

SESSION_OF_MESSAGE = "CREATE INDEX messages_session_of ON messages (id, session_id)"
