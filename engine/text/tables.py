"""Tables of characters that act on a terminal, hide, or differ in width between terminals, as tuples of ranges."""

from __future__ import annotations

Characters = tuple[range, ...]

CONTROLS: Characters = (range(0x20), range(0x7F, 0x80))
"""C0 and delete: the start of terminal sequences."""
C1: Characters = (range(0x80, 0xA0),)
"""Characters that some terminals interpret as sequences too."""
BIDI: Characters = (range(0x061C, 0x061D), range(0x200E, 0x2010), range(0x202A, 0x202F), range(0x2066, 0x206A))
"""Characters that change the direction of the text, so that it looks like another one."""
SEPARATORS: Characters = (range(0x2028, 0x202A),)
"""Lines and paragraphs that end without a newline."""
NO_TEXT: Characters = (
    range(0xD800, 0xE000),
    range(0xFDD0, 0xFDF0),
    range(0xFFFE, 0x10000),
    range(0xE0080, 0xE0100),
    range(0xE01F0, 0xE1000),
    range(0x10EEEE, 0x10EEEF),
)
"""Halves of surrogate pairs, noncharacters, unassigned format characters, and the one that kitty puts an image in place of."""
HIDDEN: Characters = (
    range(0x180E, 0x180F),
    range(0x2061, 0x2066),
    range(0x206A, 0x2070),
    range(0xFEFF, 0xFF00),
    range(0xFFF0, 0xFFFC),
    range(0x1BCA0, 0x1BCA4),
    range(0x1D173, 0x1D17B),
    range(0xE0000, 0xE0080),
)
"""Invisible characters: byte order marks, annotations, tags, deprecated format characters."""
BREAKS: Characters = (range(0xAD, 0xAE), range(0x200B, 0x200C), range(0x2060, 0x2061))
"""Characters for line breaking: soft hyphen, zero-width space, word joiner."""
JOINERS: Characters = (range(0x200C, 0x200E),)
"""Characters that join emoji, and shape letters of some scripts."""
VARIANTS: Characters = (range(0x180B, 0x180E), range(0x180F, 0x1810), range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))
"""Characters that select a form of the one before: an emoji of one cell or two, an old form of an ideograph."""
MODIFIERS: Characters = (range(0x20E3, 0x20E4), range(0x1F3FB, 0x1F400))
"""Keycaps and skin tones, joined with the character before or in separate cells."""
FLAGS: Characters = (range(0x1F1E6, 0x1F200),)
"""Letters that some terminals draw in pairs as flags."""


ALL: tuple[Characters, ...] = (
    CONTROLS,
    C1,
    BIDI,
    SEPARATORS,
    NO_TEXT,
    HIDDEN,
    BREAKS,
    JOINERS,
    VARIANTS,
    MODIFIERS,
    FLAGS,
)


def pictures(kept: str = "") -> dict[str, str]:
    """Map control characters to their visible symbols, except those kept."""
    symbols = {chr(code): chr(0x2421 if code == 0x7F else 0x2400 + code) for span in CONTROLS for code in span}
    return {character: symbol for character, symbol in symbols.items() if character not in kept}


def becoming(replacement: str, *tables: Characters) -> dict[str, str]:
    """Map every character of the tables to the same replacement."""
    return {chr(code): replacement for table in tables for span in table for code in span}
