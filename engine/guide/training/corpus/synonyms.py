"""Other words for the same: a question may be worded anew, word by word, before it is typed.

`synonyms.toml` has words and phrases, each with what may stand in its place: close enough for a question, not always the same.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from random import Random

_WORD = re.compile(r"[\w'+/`-]+")
"""Keys, commands, code and compounds are words of their own, so that no part of them is replaced."""
_EACH = 0.5
"""Share of the known words that are replaced."""


@cache
def synonyms() -> Mapping[str, tuple[str, ...]]:
    """The alternatives of each known word or phrase."""
    table = tomllib.loads(files("engine.guide.training.corpus").joinpath("synonyms.toml").read_text(encoding="utf-8"))
    return {head: tuple(others) for head, others in table["words"].items()}


@cache
def _longest() -> int:
    return max(head.count(" ") + 1 for head in synonyms())


def reworded(rng: Random, text: str) -> str:
    """The question with about half of the words and phrases that are known said otherwise; the longest phrase goes first."""
    spans = [match.span() for match in _WORD.finditer(text)]
    parts: list[str] = []
    written = index = 0
    while index < len(spans):
        start = spans[index][0]
        for last in range(min(index + _longest(), len(spans)) - 1, index - 1, -1):
            end = spans[last][1]
            others = synonyms().get(text[start:end].lower())
            if others:
                parts += [text[written:start], rng.choice(others) if rng.random() < _EACH else text[start:end]]
                written, index = end, last
                break
        index += 1
    return "".join(parts) + text[written:]
