"""Dialogs that all features share: pick, confirm, help, text."""
