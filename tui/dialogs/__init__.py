"""Dialogs that all features share: pick, confirm, help, text.

May import engine.text, textual, tui.actions, tui.text.
"""
