"""The instrument panel.

May import engine.atomic_write, engine.errors, engine.host, engine.metrics, engine.numbers, engine.regular_file, engine.store, engine.text,
msgspec, rich, textual, tui.actions, tui.dialogs, tui.drawing.
"""
