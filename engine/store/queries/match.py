"""Converts search words to a query of the full-text index, or to a LIKE pattern."""

from __future__ import annotations

import re

SHORTEST_BEGINNING = 2
"""Shortest prefix that is completed; a single letter matches a twentieth of all words, which is slow."""

_WORD = re.compile(r'"([^"]*)"|(\S+)')


def fts_query(text: str) -> str | None:
    """Make a query: every word must occur, the last may be a prefix, quoted words must be adjacent; None without words.

    The words are quoted for FTS5, so its operators and column names have no meaning in them, and no input is a syntax error.
    """
    terms = [(phrase or word.replace('"', ""), not phrase) for phrase, word in _WORD.findall(text.replace("\0", " "))]
    terms = [(term, open_ended) for term, open_ended in terms if any(character.isalnum() for character in term)]
    if not terms:
        return None
    quoted = [f'"{term}"' for term, _ in terms]
    if terms[-1][1] and len(terms[-1][0]) >= SHORTEST_BEGINNING and not text.endswith((" ", '"')):
        quoted[-1] += "*"
    return " ".join(quoted)


def like_pattern(text: str) -> str:
    """Make a pattern for LIKE … ESCAPE that matches texts containing `text`."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def needs_scan(text: str) -> bool:
    """Return whether the text has a script without spaces, whose words are not in the index."""
    return any(_UNSPACED.match(character) for character in text)


_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002ffff]")
"""Thai, Lao, Burmese, Khmer, kana, and Chinese characters."""
