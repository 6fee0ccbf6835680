"""What is remembered: the one SQLite file, how it is opened, written, read, exported and maintained.

`writer.Store` writes, `reader.Reader` reads; both live on the event loop and do their work on a thread of their own. Exports and upkeep
are plain functions with a connection of their own, for a worker thread or the command line. The views described in `VIEWS.md` are the
interface for other programs.

May import aiosqlite, engine.atomic_write, engine.backend, engine.chat, engine.clock, engine.drafts, engine.errors, engine.messages,
engine.metrics, engine.numbers, engine.paths, engine.presets, engine.profiling, engine.prompt_history, engine.records, engine.regular_file,
engine.text, engine.timings, msgspec, psutil.
"""
