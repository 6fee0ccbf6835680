"""Presets: named settings of the engine, and what each change costs.

May import `engine.errors`, `engine.paths`, `engine.atomic_write` and the standard library beside msgspec, psutil and tomli_w; never a
native library.
"""
