"""Search words as a query of the full-text index, or as a LIKE pattern."""

from __future__ import annotations

import re

SHORTEST_BEGINNING = 2
"""Shortest prefix that is completed: a single letter matches a twentieth of all words, which is slow."""

_WORD = re.compile(r'"([^"]*)"|(\S+)')


def fts_query(text: str) -> str | None:
    """Every word must occur, the last one may be unfinished, words in double quotes must stand together; None when nothing is asked.

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
    """Make a pattern for LIKE … ESCAPE that matches text that contains `text`."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def needs_scan(text: str) -> bool:
    """Whether the text is of a script that is written without spaces, whose words the index therefore doesn't know."""
    return any(_UNSPACED.match(character) for character in text)


_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002ffff]")
"""Thai, Lao, Burmese, Khmer, kana, and Chinese characters."""
