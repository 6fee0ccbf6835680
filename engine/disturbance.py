"""How much of a turn's time others took, and how fast it was while they took none. Pure.

What is known are readings of how long the compute threads waited for a CPU (`engine.host.contention`). With one thread the wait is what
others took. Several threads wait for each other, so that what each of them waited for a CPU adds up, at most to all of the time.
Neighbours that share only the memory's bandwidth or the caches take no time, and are not seen here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

QUIET_SHARE = 0.05
"""A turn of which others took less than this counts as quiet: the program's own screen takes about 0.02."""
UNDISTURBED_SHARE = 0.02
"""Tokens during which the threads waited less than this share of the time count as undisturbed."""
FEWEST_UNDISTURBED = 16
"""A speed over fewer undisturbed tokens is mostly chance."""


class Wait(NamedTuple):
    """How long compute threads waited for a CPU since the reading before."""

    at_ns: int
    """When it was read."""
    waited_ns: int
    """Of all threads together."""


def taken_share(waits: Sequence[Wait], begin_ns: int) -> float | None:
    """The share of the time since `begin_ns` that others took, 0 to 1; None where the kernel does not say."""
    if not waits or waits[-1].at_ns <= begin_ns:
        return None
    spans = pairwise((Wait(begin_ns, 0), *(wait for wait in waits if wait.at_ns > begin_ns)))
    taken = sum(min(wait.waited_ns, wait.at_ns - before.at_ns) for before, wait in spans)
    return taken / (waits[-1].at_ns - begin_ns)


def quiet_speed(waits: Sequence[Wait], token_ns: Sequence[int]) -> float | None:
    """Tokens per second over the time after the first token in which no thread waited; None when there was too little of it.

    Never less than the speed with the waits, which a few undisturbed tokens can be by chance.
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
