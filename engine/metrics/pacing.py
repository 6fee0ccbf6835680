"""Chooses `stream_batch = auto`: the fewest tokens per chunk that the screen and the link can afford. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

UI_SHARE = 0.01
"""Share of one core for painting text: three or four frames a second on a slow core. Events, echo and panel use twice as much in addition,
and where every core decodes, that time is lost to decode.
"""

BIGGEST = 64
"""Largest batch; with more an answer no longer appears to stream."""

LONGEST_CHUNK_S = 0.5
"""A chunk may delay text by at most this while the link can carry more."""

LEAVE_SHARE = 0.7
"""A smaller batch must stay under this share of the bounds, so that the choice does not oscillate."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Measured costs of painting."""

    tokens_per_second: float
    """Decode speed."""
    paint_ms: float
    """Time to paint one chunk."""
    chunk_bytes: float
    """Bytes sent to the terminal for one chunk."""
    link_bytes_per_s: float | None = None
    """Measured capacity of the link; None while it has never fallen behind."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The choice of `auto`."""

    batch: int
    sentence: str
    """The choice with its reason, for the panel."""


def smallest_batch(costs: Costs, *, current: int = 1, ui_share: float = UI_SHARE) -> Choice:
    """Choose the smallest batch under both bounds; one smaller than `current` must be well below them."""
    if costs.tokens_per_second <= 0:
        return Choice(current, f"{current}: no answer in progress")
    by_cpu = costs.tokens_per_second * costs.paint_ms / 1e3 / ui_share
    by_link = costs.tokens_per_second * costs.chunk_bytes / costs.link_bytes_per_s if costs.link_bytes_per_s else 0.0
    needed = _batch(max(by_cpu, by_link))
    if needed < current:
        needed = min(current, _batch(max(by_cpu, by_link) / LEAVE_SHARE))
    patience = max(1, math.floor(costs.tokens_per_second * LONGEST_CHUNK_S))
    batch = needed if by_link > patience else min(needed, patience)
    return Choice(batch, _reason(batch, by_cpu, by_link, ui_share))


def _batch(tokens: float) -> int:
    return min(BIGGEST, max(1, math.ceil(tokens - 1e-9)))


def _reason(batch: int, by_cpu: float, by_link: float, ui_share: float) -> str:
    if batch == 1:
        return "1: painting every token is cheap enough"
    if by_link > by_cpu:
        return f"{batch}: the limit of the connection"
    if by_cpu > batch:
        return f"{batch}: painting costs more than {ui_share * 100:.0f} % of a core, but text may not wait longer"
    return f"{batch}: keeps painting under {ui_share * 100:.0f} % of a core"
