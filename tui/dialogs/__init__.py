"""Shared dialogs: pick, confirm, help, text.

May import engine.text, textual, tui.actions, tui.text.
"""
