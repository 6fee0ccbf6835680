"""The SQLite database: opening, writing, reading, export and maintenance.

`writer.Store` writes, `reader.Reader` reads; both live on the event loop and work on their own threads. Exports and upkeep are functions
with their own connections, for a worker thread or the command line. The views described in `VIEWS.md` are the interface for other programs.

May import aiosqlite, engine.atomic_write, engine.backend, engine.chat, engine.clock, engine.drafts, engine.errors, engine.messages,
engine.metrics, engine.numbers, engine.paths, engine.pictures, engine.presets, engine.profiling, engine.prompt_history, engine.records,
engine.regular_file, engine.text, engine.timings, msgspec, psutil.
"""
