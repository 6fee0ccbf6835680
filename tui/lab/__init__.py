"""Screens of the doctor and of the laboratory.

May import engine.doctor, engine.lab, engine.text, textual, tui.actions, tui.dialogs, tui.text.
"""
