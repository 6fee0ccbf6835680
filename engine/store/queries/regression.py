"""Finds figures in which a turn was slower than usual on this host with the same model, quant and preset."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from engine.backend import StopReason
from engine.records import TurnRecord
from engine.store.queries import turns

HISTORY = 100
"""Number of earlier clean turns to compare with."""
FEWEST = 8
"""Fewest comparable turns for a comparison."""
DEVIATIONS = 4.0
"""A regression differs by at least this many robust standard deviations,"""
SMALLEST_SHARE = 0.05
"""and this share of the median: on a quiet host deviations are tiny."""
MAD_TO_SIGMA = 1.4826
"""A normal distribution's standard deviation over its median absolute deviation."""
FEWEST_TOKENS = 16
"""Fewest tokens for a speed; over fewer it is mostly noise."""


@dataclass(frozen=True, slots=True)
class Regression:
    """A figure of a turn that is clearly below its history."""

    figure: str
    """`predicted_per_second` or `prompt_per_second`."""
    value: float
    usual: float
    """Median of the history."""
    deviation: float
    """Median absolute deviation of the history."""
    turns: int
    """Number of turns of the history."""
    estimated: bool = False
    """Whether the value is an estimate of the undisturbed speed of a disturbed turn."""

    @property
    def share(self) -> float:
        """The decrease from the usual value, 0 to 1."""
        return 1.0 - self.value / self.usual

    @property
    def sentence(self) -> str:
        """The regression as a sentence."""
        what = "Decoding" if self.figure == "predicted_per_second" else "Prefill"
        what += " without other programs, by estimate," if self.estimated else ""
        return (
            f"{what} was {self.share:.0%} slower than usual here: {self.value:.1f} tokens/s, "
            f"where {self.turns} earlier turns had a median of {self.usual:.1f} (± {self.deviation:.1f})"
        )


Speed = Callable[[TurnRecord], float | None]


def find_regressions(db: sqlite3.Connection, turn: TurnRecord) -> tuple[Regression, ...]:
    """Return the figures in which a stored turn was clearly slower than earlier clean turns on its host with the same settings."""
    host = turns.host_of_turn(db, turn.id)
    if host is None:
        return ()
    return compare(turn, turns.clean_history(db, turn, host.name, HISTORY))


def compare(turn: TurnRecord, history: Sequence[TurnRecord]) -> tuple[Regression, ...]:
    """Return the figures in which a turn was clearly slower than its history; for a disturbed turn, of its undisturbed estimate."""
    if not turn.judged or turn.stop_reason is StopReason.ERROR:
        return ()
    found = (_fallen(name, speed, turn, history) for name, speed in (("predicted_per_second", _decode), ("prompt_per_second", _prefill)))
    return tuple(regression for regression in found if regression is not None)


def _fallen(name: str, speed: Speed, turn: TurnRecord, history: Sequence[TurnRecord]) -> Regression | None:
    value = speed(turn)
    alike = [earlier for earlier in history if _comparable(earlier, turn)]
    usual = [past for earlier in alike if earlier.clean and (past := speed(earlier)) is not None]
    if len(usual) < FEWEST:
        usual = [past for earlier in alike if (past := speed(earlier)) is not None]
    if value is None or len(usual) < FEWEST:
        return None
    middle = median(usual)
    deviation = median(abs(past - middle) for past in usual)
    if middle - value <= max(DEVIATIONS * MAD_TO_SIGMA * deviation, SMALLEST_SHARE * middle):
        return None
    return Regression(name, value, middle, deviation, len(usual), estimated=not turn.clean)


def _comparable(earlier: TurnRecord, turn: TurnRecord) -> bool:
    """Return whether an earlier turn is comparable: similar depth, since speed falls with it, and the same threads."""
    shallow, deep = sorted((earlier.timings.context_used, turn.timings.context_used))
    return deep <= max(2 * shallow, shallow + 512) and (earlier.threads, earlier.threads_batch) == (turn.threads, turn.threads_batch)


def _decode(turn: TurnRecord) -> float | None:
    if not turn.clean:
        return turn.quiet_per_second
    return turn.timings.predicted_per_second if turn.timings.predicted_n >= FEWEST_TOKENS else None


def _prefill(turn: TurnRecord) -> float | None:
    return turn.timings.prompt_per_second if turn.clean and turn.timings.prompt_n >= FEWEST_TOKENS else None
