"""Drawing in cells: braille, charts, rows of figures.

May import engine.host, engine.metrics, plotext, rich, textual, tui.text.
"""
