"""Runs of the laboratory as documents: verdict first, then the figures, charts, how they were measured, and how to repeat it.

May import engine.lab, engine.store, engine.text.
"""
