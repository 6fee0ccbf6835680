-- Captures of the profiler and their stacks

-- A capture may outlive its turn, so turn_id isn't a foreign key. Stacks have a table of their own: lists of captures don't read them.
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
) STRICT;

CREATE TABLE capture_stacks (
    capture_id INTEGER PRIMARY KEY REFERENCES captures (id) ON DELETE CASCADE,
    folded BLOB NOT NULL,
    runs BLOB NOT NULL
) STRICT;
