"""Saved sessions: lists, branches, performance, comparison, export.

May import engine.chat, engine.clock, engine.errors, engine.metrics, engine.numbers, engine.records, engine.session, engine.store,
engine.text, rich, textual, tui.actions, tui.dialogs, tui.drawing, tui.text.
"""
