"""ASCII replacements of lines, blocks and symbols for locales without UTF-8, each one cell wide."""

from __future__ import annotations

_REPLACEMENTS = {
    "-": "─╌╍┄┅┈┉–—╴╶",
    "=": "═━",
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


ASCII_DRAWING = {ord(symbol): sign for sign, symbols in _REPLACEMENTS.items() for symbol in symbols} | {
    0x2800 + code: _braille(code) for code in range(256)
}
"""A table for `str.translate`."""
