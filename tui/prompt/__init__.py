"""The prompt and its history.

May import engine.atomic_write, engine.text, textual, tui.actions, tui.terminal.
"""
