"""Computes the roofline of decode on this machine, for charts."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from engine.errors import XchatError
from engine.host.bandwidth import remembered
from engine.models.check import check_model
from engine.models.facts import ModelFacts
from engine.models.memory import traffic_of
from engine.presets.preset import Preset


def decode_ceiling(path: Path, preset: Preset, *, threads: int, depth: int, sequences: int = 1) -> float | None:
    """Return the limit in tokens/s of all sequences together; None before `xchat stats --measure` at this thread count or without the file.

    A step reads the weights once for all sequences and the KV cache of each, and computes a token of each.
    """
    limits, facts = remembered(threads), _facts(path)
    if limits is None or facts is None:
        return None
    traffic = traffic_of(facts, preset)
    once = traffic.weights_bytes
    step_bytes = once + sequences * (traffic.bytes_per_token(depth) - once)
    reading = sequences * limits.read_gb_s * 1e9 / step_bytes
    return min(reading, limits.gflop_s * 1e9 / traffic.flops_per_token) if limits.gflop_s else reading


@lru_cache(maxsize=16)
def _facts(path: Path) -> ModelFacts | None:
    try:
        return check_model(path).facts
    except XchatError:
        return None
