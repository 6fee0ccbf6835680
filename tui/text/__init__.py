"""Text for cells: what may be shown, widths, wording."""
