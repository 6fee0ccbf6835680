"""Profiling: py-spy on the running program, folded stacks, flame trees, differences and exports.

The only room that starts py-spy. No native library of the engine, no database driver.

May import engine.atomic_write, engine.child, engine.clock, engine.errors, engine.host, engine.numbers, engine.regular_file, engine.text,
msgspec, numpy.
"""
