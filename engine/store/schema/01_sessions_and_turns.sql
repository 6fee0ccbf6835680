-- Sessions, messages, turns, samples, events, search and views

PRAGMA application_id = 2019780724;

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
) STRICT;

-- AUTOINCREMENT: users type these ids, so the id of a deleted session must not be reused.
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    head_id INTEGER,
    pinned INTEGER NOT NULL DEFAULT 0,
    interrupted INTEGER NOT NULL DEFAULT 0,
    answering_process INTEGER REFERENCES processes (id) ON DELETE SET NULL
) STRICT;

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
) STRICT;

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
) STRICT;

-- A sample is written before its turn, so turn_id can't be a foreign key.
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
) STRICT;

CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    wall_ms INTEGER NOT NULL,
    session_id INTEGER REFERENCES sessions (id) ON DELETE CASCADE,
    turn_id INTEGER,
    kind TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;

CREATE INDEX messages_by_session ON messages (session_id);

CREATE INDEX turns_by_session ON turns (session_id);

CREATE INDEX turns_by_model ON turns (model, quant, preset);

CREATE INDEX samples_by_session ON samples (session_id);

CREATE INDEX events_by_session ON events (session_id);

CREATE VIRTUAL TABLE messages_fts USING fts5 (
    text, content = 'messages', content_rowid = 'id', tokenize = "unicode61 remove_diacritics 2"
);

-- The index keeps no text of its own: to remove a message it needs the old text.
CREATE TRIGGER messages_indexed AFTER INSERT ON messages BEGIN
    INSERT INTO messages_fts (rowid, text) VALUES (new.id, new.text);
END;

CREATE TRIGGER messages_unindexed AFTER DELETE ON messages BEGIN
    INSERT INTO messages_fts (messages_fts, rowid, text) VALUES ('delete', old.id, old.text);
END;

CREATE TRIGGER messages_reindexed AFTER UPDATE OF text ON messages WHEN old.text IS NOT new.text BEGIN
    INSERT INTO messages_fts (messages_fts, rowid, text) VALUES ('delete', old.id, old.text);
    INSERT INTO messages_fts (rowid, text) VALUES (new.id, new.text);
END;

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
    t.noisy, t.noisy IS NULL AND t.stop_reason <> 'error' AS clean,
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
LEFT JOIN processes AS p ON p.id = t.process_id;

-- Decodes token_blob: `walk` goes byte by byte and gathers the bits of a varint, `steps` undoes the zigzag, the running sum turns changes
-- of gaps into gaps. As an argument of json_each it runs only for the turns that the outer query selects.
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
        SELECT 2, (instr('123456789ABCDEF', substr(hex(substr(t.token_times, 2, 1)), 1, 1)) * 16 + instr('123456789ABCDEF', substr(hex(substr(t.token_times, 2, 1)), 2, 1))), (instr('123456789ABCDEF', substr(hex(substr(t.token_times, 2, 1)), 1, 1)) * 16 + instr('123456789ABCDEF', substr(hex(substr(t.token_times, 2, 1)), 2, 1))) & 127, 0
        UNION ALL
        SELECT
            position + 1,
            (instr('123456789ABCDEF', substr(hex(substr(t.token_times, position + 1, 1)), 1, 1)) * 16 + instr('123456789ABCDEF', substr(hex(substr(t.token_times, position + 1, 1)), 2, 1))),
            CASE WHEN byte > 127 THEN bits | (((instr('123456789ABCDEF', substr(hex(substr(t.token_times, position + 1, 1)), 1, 1)) * 16 + instr('123456789ABCDEF', substr(hex(substr(t.token_times, position + 1, 1)), 2, 1))) & 127) << (shift + 7)) ELSE (instr('123456789ABCDEF', substr(hex(substr(t.token_times, position + 1, 1)), 1, 1)) * 16 + instr('123456789ABCDEF', substr(hex(substr(t.token_times, position + 1, 1)), 2, 1))) & 127 END,
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
)) AS gap;

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
LEFT JOIN turns AS t ON t.id = a.turn_id;
