"""Explains the time of a turn: each cause with its share, a remedy and its estimated gain. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from engine.host.bandwidth import HostLimits
from engine.metrics.roofline import BUSY_SHARE, ModelTraffic, roofline
from engine.records import TurnRecord

WORTH: Final = 0.05
"""Least share of a turn for a cause."""
_KV_SHARE: Final = 0.25
"""Least share of the bytes per token for suggesting a smaller KV type."""


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """One cause."""

    share: float
    """Share of the turn's time, 0 to 1."""
    sentence: str
    help: str = ""
    """A remedy with its gain, estimated from this turn and this machine's limits; empty where there is none."""

    @property
    def words(self) -> str:
        """Both sentences."""
        return f"{self.sentence}. {self.help}.".replace("..", ".") if self.help else f"{self.sentence}."


def turn_ms(turn: TurnRecord) -> float:
    """Return the time from submitting to the last token."""
    timings = turn.timings
    before = (turn.queue_ms or 0.0) + (turn.template_ms or 0.0) + (turn.tokenize_ms or 0.0) + timings.prompt_ms
    return max(timings.ttft_ms or 0.0, before) + timings.predicted_ms


def bottlenecks(
    turn: TurnRecord,
    traffic: ModelTraffic | None,
    limits: HostLimits | None,
    major_faults: float = 0.0,
    smaller_kv: ModelTraffic | None = None,
) -> tuple[Bottleneck, ...]:
    """Return the causes of at least `WORTH` of the turn, the largest first.

    Args:
        turn: The turn's record.
        traffic: Bytes and operations of the model per token; None where its file is gone.
        limits: Measured limits of this machine at the turn's thread count; None before they were measured.
        major_faults: Pages that were read from the disk while it ran.
        smaller_kv: The traffic with a q8_0 KV cache; None where the type is already as small.
    """
    total = turn_ms(turn)
    if total <= 0:
        return ()
    found = (
        *_others(turn),
        *_prefill(turn, total),
        *_decode(turn, total, traffic, limits, smaller_kv),
        *_around(turn, total, major_faults),
    )
    return tuple(sorted((one for one in found if one.share >= WORTH), key=lambda one: -one.share))


def _others(turn: TurnRecord) -> Iterator[Bottleneck]:
    if turn.disturbed is None:
        return
    speed, quiet = turn.timings.predicted_per_second, turn.quiet_per_second
    gain = quiet / speed - 1 if speed and quiet else 0.0
    hint = f"Without them decode would be {gain:.0%} faster, {quiet:.1f} tokens/s" if gain > WORTH else "Fewer other programs would help"
    yield Bottleneck(turn.disturbed, f"Waiting for a CPU: other programs took {turn.disturbed:.0%} of its time", hint)


def _prefill(turn: TurnRecord, total: float) -> Iterator[Bottleneck]:
    timings = turn.timings
    share, tokens = timings.prompt_ms / total, timings.prompt_n
    what = f"Prefill of {tokens:,} tokens took {timings.prompt_ms / 1e3:.1f} s, {share:.0%} of the turn"
    if turn.diverged_at is not None:
        change = f"{what}: the prompt differs from the KV cache from token {turn.diverged_at:,} on"
        yield Bottleneck(share, change, f"An unchanged beginning would save up to {timings.prompt_ms / 1e3:.1f} s")
    elif timings.cache_n:
        yield Bottleneck(
            share, f"{what}; {timings.cache_n:,} more came from the KV cache", "A shorter message, or threads_batch: try /race"
        )
    else:
        yield Bottleneck(share, f"{what}: nothing of it was in the KV cache", "The next turn of this conversation prefills only new tokens")


def _decode(
    turn: TurnRecord, total: float, traffic: ModelTraffic | None, limits: HostLimits | None, smaller_kv: ModelTraffic | None
) -> Iterator[Bottleneck]:
    timings = turn.timings
    speed = timings.predicted_per_second
    if not speed:
        return
    share = timings.predicted_ms / total
    what = f"Decoding took {share:.0%} of the turn, {speed:.1f} tokens/s"
    if traffic is None:
        yield Bottleneck(share, what)
        return
    depth = timings.cache_n + timings.prompt_n + timings.predicted_n // 2
    roof = roofline(traffic, depth, speed, limits)
    if roof.bandwidth_share is None:
        yield Bottleneck(
            share, f"{what}; it reads {roof.bandwidth_gb_s:.1f} GB/s", "Measure this machine's bandwidth: xchat stats --measure"
        )
        return
    if roof.bandwidth_share >= BUSY_SHARE and roof.bandwidth_share >= (roof.compute_share or 0.0):
        whole = roof.bytes_per_token
        smaller = replace(traffic, weights_bytes=traffic.weights_bytes // 2).bytes_per_token(depth)
        hint = f"A quant of half the size would decode up to {whole / smaller - 1:.0%} faster"
        if smaller_kv is not None and whole - traffic.weights_bytes >= _KV_SHARE * whole:
            hint += f"; q8_0 for the KV cache up to {whole / smaller_kv.bytes_per_token(depth) - 1:.0%}"
        yield Bottleneck(share, f"{what}: memory-bound at {roof.bandwidth_share:.0%} of this machine's bandwidth", hint)
    elif roof.compute_share is not None and roof.compute_share >= BUSY_SHARE:
        yield Bottleneck(
            share, f"{what}: compute-bound at {roof.compute_share:.0%} of this machine's compute", "More threads help: try /race"
        )
    else:
        room = (roof.ceiling_tokens_per_second or 0.0) / speed
        hint = f"Memory bandwidth would allow {room:.1f} times the speed: try another thread count, /tune"
        yield Bottleneck(share, f"{what}: {roof.bandwidth_share:.0%} of this machine's bandwidth, so not memory-bound", hint)


def _around(turn: TurnRecord, total: float, major_faults: float) -> Iterator[Bottleneck]:
    timings = turn.timings
    if turn.queue_ms is not None:
        yield Bottleneck(turn.queue_ms / total, f"It waited {turn.queue_ms / 1e3:.1f} s for a model or another answer")
    prepared = (turn.template_ms or 0.0) + (turn.tokenize_ms or 0.0)
    yield Bottleneck(prepared / total, f"Template and tokenizing took {prepared:.0f} ms")
    if turn.paint_ms is not None and timings.predicted_ms > 0:
        share = turn.paint_ms / timings.predicted_ms
        hint = f"Twice the tokens per chunk (now {turn.stream_batch}) would halve it; stream_batch = auto chooses"
        yield Bottleneck(
            min(1.0, turn.paint_ms / total), f"Painting took {share:.0%} of the decode time, {turn.paint_ms / 1e3:.1f} s", hint
        )
    if major_faults:
        # The kernel reads at least a page of 4 KiB for each; a fast disk needs half a millisecond.
        share = min(1.0, 0.5 * major_faults / total)
        yield Bottleneck(share, f"Memory was read from the disk {major_faults:,.0f} times", "Free some memory: see xchat doctor")
