"""Screens of the doctor and of the laboratory.

May import engine.doctor, engine.text, textual, tui.dialogs.
"""
