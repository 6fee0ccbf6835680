"""Prompt lookup: guesses the next tokens from an earlier occurrence of the latest ones. Pure: no clock, no native call."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Final, NamedTuple

KEY: Final = 6
"""Tokens that must repeat before a guess."""
LONGEST_RUN: Final = 64
"""Longest repetition that counts as evidence for its continuation."""
FADING: Final = 0.97
"""Factor on the weight of earlier guesses for each further one: text changes."""


class Guess(NamedTuple):
    """Tokens that may come next."""

    tokens: Sequence[int] = ()
    chance: float = 0.0
    """Probability of each token, given the ones before it."""


NO_GUESS: Final = Guess()


class Lookup:
    """The last position of each run of KEY tokens in one prompt and its answer, and the success rate of guesses."""

    def __init__(self) -> None:
        self._after: dict[tuple[int, ...], int] = {}
        """The position after a run."""
        self._known = 0
        """Tokens whose runs are in the map; a run is added when its next token is known."""
        self._right = 0.0
        self._wrong = 0.0
        """Guessed tokens accepted, and guesses that ended with another token; earlier ones count less."""

    def guess(self, tokens: Sequence[int], most: int) -> Guess:
        """Return the tokens that followed the earlier occurrence of the latest ones, at most `most`; empty without one."""
        end = len(tokens)
        for behind in range(max(self._known, KEY), end):
            self._after[tuple(tokens[behind - KEY : behind])] = behind
        self._known = max(self._known, end)
        at = self._after.get(tuple(tokens[-KEY:]))
        if at is None or most <= 0 or end <= KEY:
            return NO_GUESS
        run = KEY
        while run < LONGEST_RUN and run < at and tokens[at - run - 1] == tokens[end - run - 1]:
            run += 1
        right = self._right + run
        period = end - at
        guessed = tokens[at : at + most] if period >= most else [tokens[at + index % period] for index in range(most)]
        guessed = list(takewhile(lambda token: token >= 0, guessed))  # negative ids are pictures
        return Guess(guessed, right / (right + self._wrong + 1.0))

    def checked(self, guessed: int, came: int) -> None:
        """Count the accepted tokens of a guess."""
        self._right = self._right * FADING + came
        self._wrong = self._wrong * FADING + (came < guessed)


def expected(guess: Guess, length: int) -> float:
    """Return the expected number of accepted tokens among the first `length`."""
    chance = guess.chance
    return length * 1.0 if chance >= 1.0 else chance * (1.0 - chance**length) / (1.0 - chance)
