"""Profiling: py-spy on the running program, folded stacks, flame trees, differences and exports.

The only room that starts py-spy. May import `engine.errors`, `engine.clock` and the standard library; never a native
library of the engine, never the database driver.
"""
