"""Drawing in cells: braille, charts, rows of figures.

May import engine.host, engine.metrics, engine.store, plotext, rich, textual, tui.text.
"""
