"""What stands in for lines, blocks and symbols where the locale has no UTF-8. Each stand-in takes one cell, as the original."""

from __future__ import annotations

_STANDS_IN = {
    "-": "─━╌╍┄┅┈┉–—╴╶",
    "=": "═",
    "|": "│┃║╎╏┆┇┊┋▌▍▎▏▐",
    "+": "┌┐└┘├┤┬┴┼╭╮╯╰╔╗╚╝╠╣╦╩╬┏┓┗┛┣┫┳┻╋",
    "_": "▁▂",
    "o": "▃▄○●",
    "O": "▅▆",
    "#": "▇█▉▊▋▓",
    '"': "▀“”",
    ".": "░…·",
    ":": "▒",
    "*": "•✓",
    "x": "×✗",
    "'": "‘’",
    "^": "↑▴▲",
    "v": "↓▾▼",
    "<": "←◂◀",
    ">": "→▸▶❯",
}


def _braille(code: int) -> str:
    dots = code.bit_count()
    return " " if not dots else "." if dots <= 2 else ":" if dots <= 5 else "#"


ASCII_DRAWING = {ord(symbol): sign for sign, symbols in _STANDS_IN.items() for symbol in symbols} | {
    0x2800 + code: _braille(code) for code in range(256)
}
"""A table for `str.translate`."""
