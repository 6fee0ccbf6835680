"""How likely tokens were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Likely(NamedTuple):
    """A token that could have come."""

    token: int
    piece: bytes
    """Its bytes; the text of a control token."""
    logprob: float
    """Natural logarithm of its probability in the model's distribution, before sampling settings and a constraint change it."""


class TokenLogprobs(NamedTuple):
    """How likely a token was."""

    chosen: Likely
    top: tuple[Likely, ...] = ()
    """The most likely tokens, the most likely first; the chosen one may be among them."""


@dataclass(frozen=True, slots=True)
class PromptScored:
    """The tokens of the prompt but the first one, and how likely each was after those before it."""

    turn: int
    first: int
    """The first token."""
    logprobs: tuple[TokenLogprobs, ...]
