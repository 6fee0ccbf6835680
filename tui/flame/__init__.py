"""Captures and the flamegraph.

May import engine.errors, engine.last_used, engine.paths, engine.profiling, engine.text, rich, textual, tui.actions, tui.dialogs,
tui.terminal, tui.text, tui.theming.
"""
