"""Drawing in cells: braille, charts, rows of figures."""
