"""Text made fit for a grid of cells: whatever terminals draw at different widths is drawn in the way they all agree on.

For drawing only. What is copied, sent or logged is always the text itself.
"""

from __future__ import annotations

from tui.text.sanitize import visible

_NOTHING = (
    0x00AD,  # soft hyphen: no cell or one
    *range(0x180B, 0x180F),
    *range(0x200B, 0x200E),
    *range(0x2060, 0x2065),
    0x20E3,  # enclosing keycap
    *range(0xFE00, 0xFE10),  # variation selectors: an emoji of one cell or of two
    0xFEFF,
    *range(0x1F3FB, 0x1F400),  # skin tones: joined with the emoji before, or two cells of their own
    *range(0xE0000, 0xE0080),
    *range(0xE0100, 0xE01F0),
)
_FLAGS = {0x1F1E6 + index: ord("A") + index for index in range(26)}
_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), 0xFFFD)
_TABLE = dict.fromkeys(_NOTHING, None) | _FLAGS | _SURROGATES


def drawable(text: str) -> str:
    """`text` with control characters as visible symbols, and with joined emoji taken apart.

    Terminals join emoji, flags and skin tones into one or two cells, or do not, and a terminal multiplexer in between may think
    differently again. Taken apart, each code point has one width everywhere, and the columns stay in line. Zero-width joiners go
    with them, at the price of a few ligatures.
    """
    if text.isascii():
        return visible(text)
    return visible(text).translate(_TABLE)
