"""The prompt and its history.

May import engine.atomic_write, textual, tui.actions, tui.terminal, tui.text.
"""
