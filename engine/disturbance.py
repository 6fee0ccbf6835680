"""Computes the share of a turn's time taken by other programs, and its undisturbed speed. Pure.

The inputs are readings of the time that compute threads waited for a CPU (`engine.host.contention`). With one thread that is the time
taken. Several threads wait for each other, so their waits add up, at most to all of the time. Programs that compete only for memory
bandwidth or caches are not detected.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

QUIET_SHARE = 0.05
"""Taken share below which a turn is clean; the program's own screen takes about 0.02."""
UNDISTURBED_SHARE = 0.02
"""Share of waiting below which tokens are undisturbed."""
FEWEST_UNDISTURBED = 16
"""Fewest undisturbed tokens for a speed."""


class Wait(NamedTuple):
    """Waiting time of compute threads for a CPU since the last reading."""

    at_ns: int
    """Time of the reading."""
    waited_ns: int
    """Waiting time of all threads together."""


def taken_share(waits: Sequence[Wait], begin_ns: int) -> float | None:
    """Return the share of the time since `begin_ns` taken by other programs, 0 to 1; None where the kernel does not report it."""
    if not waits or waits[-1].at_ns <= begin_ns:
        return None
    spans = pairwise((Wait(begin_ns, 0), *(wait for wait in waits if wait.at_ns > begin_ns)))
    taken = sum(min(wait.waited_ns, wait.at_ns - before.at_ns) for before, wait in spans)
    return taken / (waits[-1].at_ns - begin_ns)


def quiet_speed(waits: Sequence[Wait], token_ns: Sequence[int]) -> float | None:
    """Return the tokens/s over the time after the first token in which no thread waited; None with too few tokens.

    At least the speed including waits, since few undisturbed tokens can be slower by chance.
    """
    tokens = elapsed_ns = 0
    for before, wait in pairwise(waits):
        span = wait.at_ns - before.at_ns
        if token_ns and before.at_ns >= token_ns[0] and wait.waited_ns < UNDISTURBED_SHARE * span:
            tokens += bisect_right(token_ns, wait.at_ns) - bisect_right(token_ns, before.at_ns)
            elapsed_ns += span
    if tokens < FEWEST_UNDISTURBED:
        return None
    return max(tokens / elapsed_ns, (len(token_ns) - 1) / (token_ns[-1] - token_ns[0])) * 1e9
