"""Presets: named settings of the engine, and the cost of each change.

May import engine.atomic_write, engine.errors, engine.host, engine.paths, engine.text, engine.written_files, msgspec, tomli_w.
"""
