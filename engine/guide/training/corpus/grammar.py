"""Wordings with choices: `{a|b|}` picks one alternative (they nest, one may be empty), `$name` and `${name}` are filled from the slots."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

Slot = str | Sequence[str] | Callable[[Random], str]
"""What a `$name` stands for: a wording, several to pick from, or something that makes up a finished text."""


@dataclass(frozen=True, slots=True)
class _Hole:
    """A `$name` to be filled."""

    name: str


@dataclass(frozen=True, slots=True)
class _Choice:
    """Alternatives, each a sequence of nodes."""

    options: tuple[tuple[_Node, ...], ...]


_Node = str | _Hole | _Choice
_HOLE = re.compile(r"\$(?:\{(?P<braced>[^}]+)\}|(?P<bare>[a-z_]+))")
_LITERAL = re.compile(r"[^${|}]+")


@cache
def _parse(pattern: str) -> tuple[_Node, ...]:
    nodes, end = _sequence(pattern, 0, nested=False)
    if end != len(pattern):
        raise ValueError(f"unbalanced braces in {pattern!r}")
    return nodes


def _sequence(pattern: str, position: int, *, nested: bool) -> tuple[tuple[_Node, ...], int]:
    """The nodes from here to the end of the pattern or, when nested, to the next separator or brace of this level."""
    nodes: list[_Node] = []
    while position < len(pattern):
        if match := _HOLE.match(pattern, position):
            nodes.append(_Hole(match["braced"] or match["bare"]))
            position = match.end()
        elif match := _LITERAL.match(pattern, position):
            nodes.append(match[0])
            position = match.end()
        elif pattern[position] == "{":
            choice, position = _choice(pattern, position + 1)
            nodes.append(choice)
        elif nested and pattern[position] in "|}":
            break
        else:
            nodes.append(pattern[position])
            position += 1
    return tuple(nodes), position


def _choice(pattern: str, position: int) -> tuple[_Choice, int]:
    options: list[tuple[_Node, ...]] = []
    while True:
        option, position = _sequence(pattern, position, nested=True)
        if position >= len(pattern):
            raise ValueError(f"unbalanced braces in {pattern!r}")
        options.append(option)
        position += 1
        if pattern[position - 1] == "}":
            return _Choice(tuple(options)), position


def expand(pattern: str, rng: Random, slots: Mapping[str, Slot] | None = None) -> str:
    """One text of the pattern. Unknown slots raise KeyError: a wording that names a fact the program lost must not be written."""

    def render(node: _Node) -> str:
        if isinstance(node, str):
            return node
        if isinstance(node, _Choice):
            return "".join(render(part) for part in rng.choice(node.options))
        slot = (slots or {})[node.name]
        if callable(slot):
            return slot(rng)
        return expand(slot if isinstance(slot, str) else rng.choice(slot), rng, slots)

    return "".join(render(node) for node in _parse(pattern))
