-- Runs of the laboratory: what was measured, on what, and what came out

-- `facts` is a JSON object of figures only: rows of a benchmark, arms of a race. It holds no prompts and no answers.
CREATE TABLE lab_runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    started_ms INTEGER NOT NULL,
    seconds REAL NOT NULL,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    verdict TEXT NOT NULL,
    model TEXT NOT NULL,
    disturbed REAL,
    command TEXT NOT NULL,
    host TEXT NOT NULL,
    kernel TEXT NOT NULL,
    cpu TEXT NOT NULL,
    cores INTEGER NOT NULL,
    memory_bytes INTEGER NOT NULL,
    xchat_version TEXT NOT NULL,
    llama_cpp_version TEXT NOT NULL,
    facts TEXT NOT NULL
) STRICT;
