"""Dialogs that all features share: pick, confirm, help, text.

May import textual, tui.actions, tui.text.
"""
