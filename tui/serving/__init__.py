"""Screens of the server: the live table of its requests, and one request.

May import engine.errors, engine.metrics, engine.numbers, engine.records, engine.serving, engine.text, textual, tui.actions, tui.dialogs,
tui.drawing, tui.text.
"""
