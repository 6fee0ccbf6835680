"""The estimate of what a capture costs, on made-up notes of which the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from engine.clock import NS_PER_MS, NS_PER_S
from tests.bench.bench_profile import AWAY_S, QUIET_S, Rows, cost

TOKEN_NS = 25 * NS_PER_MS
LOOK_NS = NS_PER_MS
CAPTURES, SECONDS, LOOKS_PER_SECOND = 8, 10, 50


def notes(slope: float, noise: float) -> tuple[Rows, Rows, float]:
    """Notes, and the share of the captures' time that was lost in them.

    Tokens swing by `noise`, and come `slope` times as much later as py-spy looked, at random moments, in their gap.
    """
    chance = np.random.default_rng(7)
    tokens, captures = [], []
    now = sampler = loop = 0
    lost = 0.0
    for _ in range(CAPTURES):
        begin = now + round((QUIET_S + 1) * NS_PER_S)
        end = begin + SECONDS * NS_PER_S
        used_before = sampler
        while now < end + round((AWAY_S + QUIET_S + 1) * NS_PER_S):
            gap = TOKEN_NS * chance.lognormal(sigma=noise)
            looks = int(chance.poisson(gap / NS_PER_S * LOOKS_PER_SECOND)) if begin <= now < end else 0
            now += round(gap + slope * looks * LOOK_NS)
            lost += slope * looks * LOOK_NS
            sampler += looks * LOOK_NS
            loop += round(chance.uniform(0.02, 0.04) * gap)
            tokens.append((now, loop, sampler if begin <= now < end else -1))
        captures.append((begin, end, sampler - used_before))
        now += NS_PER_S
    return np.array(tokens, np.int64), np.array(captures, np.int64), lost / (CAPTURES * SECONDS * NS_PER_S)


@pytest.mark.parametrize("noise", [0.02, 0.15], ids=["quiet machine", "noisy machine"])
@pytest.mark.parametrize("slope", [0.0, 0.8, 1.5])
def test_the_cost_of_looking_is_found_whatever_else_delays_tokens(slope: float, noise: float) -> None:
    tokens, captures, lost = notes(slope, noise)
    found = cost(tokens, captures)
    assert found.error < 0.01
    assert 1 - found.kept == pytest.approx(lost, abs=3 * found.error + 0.002)
