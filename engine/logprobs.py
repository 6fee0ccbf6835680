"""Log-probabilities of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Likely(NamedTuple):
    """A candidate for a token."""

    token: int
    piece: bytes
    """Its bytes; the text of a control token."""
    logprob: float
    """Natural logarithm of its probability in the model's distribution, before sampling settings and a constraint change it."""


class TokenLogprobs(NamedTuple):
    """The log-probability of a token."""

    chosen: Likely
    top: tuple[Likely, ...] = ()
    """The most likely tokens, the most likely first; the chosen one may be among them."""


@dataclass(frozen=True, slots=True)
class PromptScored:
    """The log-probabilities of the prompt's tokens, except the first."""

    turn: int
    first: int
    """The first token."""
    logprobs: tuple[TokenLogprobs, ...]
