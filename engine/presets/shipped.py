"""The shipped presets, sized for this machine."""

from __future__ import annotations

from engine.host.topology import Room, Topology
from engine.presets.preset import Preset, Sampling

NAMES = ("daily", "fast", "low-memory", "quality", "long-context")

TYPICAL_KV_BYTES = 128 * 1024
"""f16 cache of one token of a typical 8B model; smaller ones need less."""


def shipped_presets(topology: Topology, room: Room) -> dict[str, Preset]:
    """Make the presets `daily`, `fast`, `low-memory`, `quality` and `long-context`, by name."""
    daily = _window(room.total / 8, TYPICAL_KV_BYTES, 2048, 8192)
    wide = _window(room.total / 6, TYPICAL_KV_BYTES, 4096, 16_384)
    # A quantized cache needs about half.
    longest = _window(room.total / 4, TYPICAL_KV_BYTES * 17 // 32, 8192, 131_072)
    few = topology.most_threads <= 2
    presets = (
        Preset(
            name="daily",
            description="Balanced: a window that leaves room for other programs, threads as the machine allows",
            n_ctx=daily if daily < 8192 else "auto",
        ),
        Preset(
            name="fast",
            description="Speed first: a small window, paints less often",
            n_ctx=min(4096, daily),
            stream_batch=8 if few else 4,
            n_ubatch=128 if few else 256,
        ),
        Preset(
            name="low-memory",
            description="For a machine that is short of memory: small window, 8-bit cache, weights kept once",
            n_ctx=2048,
            n_batch=128,
            n_ubatch=64,
            type_k="q8_0",
            type_v="q8_0",
            repack=False,
        ),
        Preset(
            name="quality",
            description="Answers first: full-precision cache, wide window, thinks where the model can",
            n_ctx=wide,
            thinking="on",
            sampling=Sampling(temperature=0.6, top_k=0, top_p=0.95, min_p=0.02),
        ),
        Preset(
            name="long-context",
            description=f"For long documents: a window of {longest:,} tokens with an 8-bit cache",
            n_ctx=longest,
            n_ubatch=256 if few else 512,
            type_k="q8_0",
            type_v="q8_0",
            flash_attn="on",
        ),
    )
    return {preset.name: preset for preset in presets}


def _window(budget_bytes: float, token_bytes: int, least: int, most: int) -> int:
    """Return the largest power of two of tokens whose cache fits the budget, within bounds."""
    tokens = least
    while 2 * tokens <= most and 2 * tokens * token_bytes <= budget_bytes:
        tokens *= 2
    return tokens
