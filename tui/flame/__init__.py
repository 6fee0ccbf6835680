"""Captures and the flamegraph.

May import engine.errors, engine.last_used, engine.paths, engine.profiling, rich, textual, tui.actions, tui.terminal, tui.text,
tui.theming.
"""
