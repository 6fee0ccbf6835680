"""The timings of one turn, computed from engine timestamps; names follow llama-server's `timings` object.

Definitions (each field's docstring is what the screen shows under "explain this number"):

* prefill runs from its first decode call to the return of its last one; only tokens really evaluated count, not reused ones;
* decode runs from the end of the prefill to the last generated token, so it contains the sampling of the first token;
* inter-token latencies are differences of neighbouring engine timestamps, never of paint times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from engine.clock import NS_PER_MS

STALL_FACTOR = 4.0
"""Factor of the median gap above which a gap is a stall."""


@dataclass(frozen=True, slots=True)
class Timings:
    """The timings of one turn. Times are milliseconds, speeds tokens/s; None is unknown."""

    cache_n: int
    """Prompt tokens reused from the KV cache."""
    prompt_n: int
    """Prompt tokens evaluated."""
    prompt_ms: float
    """Prefill time."""
    predicted_n: int
    """Generated tokens, thinking included; the end-of-generation token does not count."""
    predicted_ms: float
    """Decode time: from the end of the prefill to the last generated token."""
    ttft_ms: float | None
    """Time from submitting the message to the first token in the engine."""
    itl_p50_ms: float | None
    """Median inter-token latency."""
    itl_p95_ms: float | None
    """95th percentile of the inter-token latency."""
    itl_p99_ms: float | None
    """99th percentile of the inter-token latency."""
    itl_max_ms: float | None
    """Longest inter-token latency."""
    draft_n: int = 0
    """Tokens guessed from earlier text and checked."""
    draft_n_accepted: int = 0
    """Guessed tokens that came."""
    draft_gain: float | None = None
    """Decode time without guesses, as a multiple of the decode time; None where none was checked."""

    @property
    def prompt_per_second(self) -> float | None:
        """Prefill speed: tokens evaluated divided by prefill time."""
        return self.prompt_n / self.prompt_ms * 1e3 if self.prompt_n and self.prompt_ms > 0 else None

    @property
    def predicted_per_second(self) -> float | None:
        """Decode speed: generated tokens divided by decode time."""
        return self.predicted_n / self.predicted_ms * 1e3 if self.predicted_n and self.predicted_ms > 0 else None

    @property
    def context_used(self) -> int:
        """Tokens of the window in use after the turn."""
        return self.cache_n + self.prompt_n + self.predicted_n

    def as_dict(self) -> dict[str, int | float | None]:
        """Return all fields and the derived speeds, under llama-server's names."""
        return {
            **asdict(self),
            "prompt_per_token_ms": self.prompt_ms / self.prompt_n if self.prompt_n else None,
            "prompt_per_second": self.prompt_per_second,
            "predicted_per_token_ms": self.predicted_ms / self.predicted_n if self.predicted_n else None,
            "predicted_per_second": self.predicted_per_second,
        }


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return the nearest-rank percentile of an ascending sequence: the smallest value that `share` (0 to 1) of the values do not exceed."""
    if not ordered:
        return None
    rank = max(1, -(-len(ordered) * share // 1))
    return ordered[int(rank) - 1]


def inter_token_ms(token_ns: Sequence[int]) -> list[float]:
    """Return the gaps between neighbouring token timestamps, in milliseconds."""
    return [(late - early) / NS_PER_MS for early, late in pairwise(token_ns)]


def compute_timings(
    *,
    cache_n: int,
    prompt_n: int,
    submitted_ns: int,
    prefill_start_ns: int,
    prefill_end_ns: int,
    token_ns: Sequence[int],
    draft: tuple[int, int, float] = (0, 0, 0.0),
) -> Timings:
    """Compute the timings of a turn from timestamps of one clock in nanoseconds; `token_ns` has one per generated token.

    `draft`: tokens guessed, those that came, and the nanoseconds saved.
    """
    predicted_ns = token_ns[-1] - prefill_end_ns if token_ns else 0
    gaps = sorted(inter_token_ms(token_ns))
    return Timings(
        cache_n=cache_n,
        prompt_n=prompt_n,
        prompt_ms=(prefill_end_ns - prefill_start_ns) / NS_PER_MS,
        predicted_n=len(token_ns),
        predicted_ms=predicted_ns / NS_PER_MS,
        ttft_ms=(token_ns[0] - submitted_ns) / NS_PER_MS if token_ns else None,
        itl_p50_ms=percentile(gaps, 0.50),
        itl_p95_ms=percentile(gaps, 0.95),
        itl_p99_ms=percentile(gaps, 0.99),
        itl_max_ms=gaps[-1] if gaps else None,
        draft_n=draft[0],
        draft_n_accepted=draft[1],
        draft_gain=(predicted_ns + draft[2]) / predicted_ns if draft[0] and predicted_ns > 0 else None,
    )
