"""The steps of the time to first token."""

from __future__ import annotations

from dataclasses import dataclass

from engine.clock import NS_PER_MS
from engine.records import TurnRecord


@dataclass(frozen=True, slots=True)
class Waterfall:
    """The steps until the first token, in milliseconds; they add up to `ttft_ms`. None is unknown."""

    queue_ms: float | None = None
    """Waiting for the compute thread."""
    template_ms: float | None = None
    """Making the prompt's text."""
    tokenize_ms: float | None = None
    """Text to tokens."""
    reuse_ms: float | None = None
    """Comparing with the KV cache and restoring a checkpoint."""
    prefill_ms: float = 0.0
    """Evaluating the prompt."""
    first_sample_ms: float | None = None
    """From the end of the prefill to the first token."""
    ttft_ms: float | None = None
    """From submitting to the first token in the engine."""
    first_visible_ms: float | None = None
    """From submitting to the first token with visible text."""
    first_paint_ms: float | None = None
    """From submitting to the first painted text."""

    @property
    def steps(self) -> tuple[tuple[str, float | None], ...]:
        """Names and lengths in order."""
        return (
            ("queue", self.queue_ms),
            ("template", self.template_ms),
            ("tokenize", self.tokenize_ms),
            ("reuse", self.reuse_ms),
            ("prefill", self.prefill_ms),
            ("first sample", self.first_sample_ms),
        )


def waterfall(turn: TurnRecord) -> Waterfall:
    """Return the steps of a finished turn."""
    timings = turn.timings
    first_sample = reuse = None
    if turn.token_ns and turn.template_ms is not None:  # an engine elsewhere reports no steps
        first_sample = max(0.0, timings.predicted_ms - (turn.token_ns[-1] - turn.token_ns[0]) / NS_PER_MS)
        known = [turn.queue_ms, turn.template_ms, turn.tokenize_ms, timings.prompt_ms, first_sample]
        if timings.ttft_ms is not None and None not in known:
            reuse = max(0.0, timings.ttft_ms - sum(part for part in known if part is not None))
    return Waterfall(
        turn.queue_ms,
        turn.template_ms,
        turn.tokenize_ms,
        reuse,
        timings.prompt_ms,
        first_sample,
        timings.ttft_ms,
        turn.first_visible_ms,
        turn.first_paint_ms,
    )
