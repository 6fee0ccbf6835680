"""The prompt and its history.

May import textual, tui.actions, tui.terminal, tui.text.
"""
