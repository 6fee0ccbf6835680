"""Drawing in cells: braille, charts, rows of figures.

May import engine.host, engine.lab, engine.metrics, engine.numbers, engine.store, engine.text, plotext, rich, textual, tui.actions.
"""
