"""Presets: named settings of the engine, and the cost of each change.

May import engine.atomic_write, engine.errors, engine.host, engine.paths, engine.regular_file, engine.text, engine.regular_file, msgspec,
tomli_w.
"""
