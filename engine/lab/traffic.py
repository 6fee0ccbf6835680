"""The requests of a load test: when each is sent and what it asks, from a seed, so that two tests send the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

_WORDS: Final = tuple(
    "time year people way day man thing woman life child world school state family student group country problem hand part place"  # noqa: SIM905
    " case week company system program question work government number night point home water room mother area money story".split()
)
_SHARED_SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Traffic:
    """How requests are made."""

    prompt: str = ""
    """The message of each request, where `words` is not set."""
    words: tuple[int, int] | None = None
    """Least and most words of a message; each length is as likely."""
    shared: float = 0.0
    """Share of the longest message, 0 to 1, with which all messages begin."""
    max_tokens: tuple[int, int] = (64, 64)
    """Least and most tokens of an answer's limit; each is as likely."""
    rate: float | None = None
    """Requests per second at random moments (Poisson), whether others have ended or not; None sends the next one when one has ended."""
    seed: int = 1

    def messages(self) -> Iterator[tuple[str, int, float]]:
        """Yield for each request its message, the limit of its answer, and the seconds to wait before it is sent."""
        random = Random(self.seed)
        common = Random(_SHARED_SEED).choices(_WORDS, k=round(self.shared * self.words[1])) if self.words else []
        while True:
            wait = random.expovariate(self.rate) if self.rate else 0.0
            yield self._message(random, common), random.randint(*self.max_tokens), wait

    def _message(self, random: Random, common: list[str]) -> str:
        if self.words is None:
            return self.prompt
        n = random.randint(*self.words)
        fresh = random.choices(_WORDS, k=max(1, n - len(common)))
        return " ".join([*common[: n - 1], *fresh])
