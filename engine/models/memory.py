"""Predicts the memory that loading a model takes.

The formulas follow llama.cpp's allocations: weights, KV cache and output rows to the byte, compute buffers by the widest stage of a layer
(exact on most shapes, within a fifth on the rest).
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass

from engine.metrics.roofline import ModelTraffic
from engine.models.facts import KvGroup, ModelFacts
from engine.models.ggml_types import TYPE_BY_NAME
from engine.presets.preset import Preset, splits_kv

AUTO_CONTEXT = 8192
"""Largest window of `n_ctx = "auto"`."""
AUTO_UBATCH = 256
"""Value of `n_ubatch = "auto"`."""
KV_PAD = 256
"""The native library rounds windows up to multiples of this."""
SPARE_OUTPUTS = 31
"""Rows of logits in a call beside one for each answer: for guessed tokens, and for prompts whose logits are wanted."""
VOCABULARY_BYTES = 165
"""Measured per token of the vocabulary: its texts, maps and merge ranks on the heap."""

_X86_REPACKS = {"avx2": ("q4_0", "q4_K", "iq4_nl", "mxfp4"), "avx512f": ("q2_K",)}
_ARM_REPACKS = {"asimddp": ("q4_0", "q4_K", "q5_K", "q6_K", "q8_0", "iq4_nl", "mxfp4")}


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes that a load needs, by purpose; the names are those of `EngineInfo.memory`."""

    weights: int
    """The file's weights, mapped or read."""
    weights_repacked: int
    """Weights rearranged for the CPU, kept beside the mapped originals."""
    kv: int
    """KV cache, and the state of recurrent layers."""
    compute: int
    """Scratch space of one compute graph."""
    output: int
    """Logits."""
    vocabulary: int
    evictable: int
    """The part of `weights` that is not read after loading: mapped originals of repacked weights."""

    @property
    def total(self) -> int:
        """All bytes."""
        return self.weights + self.weights_repacked + self.kv + self.compute + self.output + self.vocabulary

    @property
    def needed(self) -> int:
        """The part that must stay in memory for decoding at full speed."""
        return self.total - self.evictable


def repacked_types(features: Collection[str]) -> frozenset[str]:
    """Tensor types that the CPU backend repacks on a CPU with these instruction sets."""
    tables = itertools.chain(_X86_REPACKS.items(), _ARM_REPACKS.items())
    return frozenset(itertools.chain.from_iterable(types for feature, types in tables if feature in features))


def predict(facts: ModelFacts, preset: Preset, *, features: Collection[str], n_seq: int | None = None) -> MemoryEstimate:
    """Predict the memory of a model with a preset, on a CPU with these features, for `n_seq` parallel answers.

    `n_seq` defaults to the preset's number, or 1 where that is `auto`.
    """
    if n_seq is None:
        n_seq = 1 if preset.parallel == "auto" else preset.parallel
    types = repacked_types(features) if preset.repack else frozenset[str]()
    repacked = sum(size for name, size in facts.repackable.items() if name in types)
    n_ctx = window_of(preset, facts)
    n_ubatch = min(preset.n_batch, AUTO_UBATCH if preset.n_ubatch == "auto" else preset.n_ubatch)
    return MemoryEstimate(
        weights=facts.weight_bytes if preset.mmap else facts.weight_bytes - repacked,
        weights_repacked=repacked,
        kv=_kv_bytes(facts, preset, n_ctx, n_ubatch, n_seq),
        compute=_compute_bytes(facts, preset, n_ctx, n_ubatch, n_seq),
        output=facts.n_vocab * 4 * (n_seq + SPARE_OUTPUTS),
        vocabulary=facts.n_vocab * VOCABULARY_BYTES,
        evictable=repacked if preset.mmap else 0,
    )


def window_of(preset: Preset, facts: ModelFacts) -> int:
    """Return the context window of a preset for this model, rounded up as the library does."""
    wanted = min(facts.n_ctx_train or AUTO_CONTEXT, AUTO_CONTEXT) if preset.n_ctx == "auto" else preset.n_ctx
    return _padded(wanted)


def answers_of(preset: Preset, facts: ModelFacts, *, wanted: int, available: int, features: Collection[str]) -> int:
    """Return the number of parallel answers: the preset's, else at most `wanted` that need at most half of the `available` bytes."""
    if preset.parallel != "auto":
        return preset.parallel
    if preset.flash_attn == "off":
        return 1

    def needed(n_seq: int) -> int:
        return predict(facts, preset, features=features, n_seq=n_seq).needed

    return next((n_seq for n_seq in range(wanted, 1, -1) if needed(n_seq) - needed(1) <= available // 2), 1)


def traffic_of(facts: ModelFacts, preset: Preset) -> ModelTraffic:
    """Return the bytes that one token reads, for the roofline."""
    window = min(facts.window + AUTO_UBATCH, window_of(preset, facts))
    return ModelTraffic(
        weights_bytes=facts.token_bytes,
        kv_bytes_per_position=sum(row_bytes(group, preset) for group in facts.kv if not group.windowed),
        active_params=facts.n_params_active,
        window_bytes=facts.recurrent_bytes + sum(row_bytes(group, preset) * window for group in facts.kv if group.windowed),
    )


def kv_misfit(facts: ModelFacts, preset: Preset) -> str:
    """Say why a preset's KV types can't be used with this model; empty when they can."""
    for key, name, sizes in (
        ("type_k", preset.type_k, {group.head_k for group in facts.kv}),
        ("type_v", preset.type_v, {group.head_v for group in facts.kv if group.v_width}),
    ):
        block = TYPE_BY_NAME[name].block
        odd = next((size for size in sorted(sizes) if size % block), None)
        if odd is not None:
            return f"{key} = {name} stores blocks of {block} values, which do not divide this model's head size of {odd}"
    return ""


def _padded(n: int) -> int:
    return -(-n // KV_PAD) * KV_PAD


def row_bytes(group: KvGroup, preset: Preset) -> int:
    """Return the bytes of K and V of one position in all layers of a group."""
    k, v = TYPE_BY_NAME[preset.type_k], TYPE_BY_NAME[preset.type_v]
    return group.layers * (k.size * group.k_width // k.block + v.size * group.v_width // v.block)


def _kv_bytes(facts: ModelFacts, preset: Preset, n_ctx: int, n_ubatch: int, n_seq: int) -> int:
    pools, sharers = (n_seq, 1) if splits_kv(preset) else (1, n_seq)
    rows = sum(row_bytes(group, preset) * _cells(facts, group, n_ctx, n_ubatch, sharers) for group in facts.kv)
    return facts.recurrent_bytes * n_seq + rows * pools


def _compute_bytes(facts: ModelFacts, preset: Preset, n_ctx: int, n_ubatch: int, n_seq: int) -> int:
    """Return the bytes of the widest stage of a layer, or of the output rows if wider. Widths are in floats per token."""
    forward = 3 * facts.n_ff + 4 * facts.n_embd
    if facts.n_expert:
        forward = max(forward, 2 * (facts.n_embd * facts.n_expert_used + facts.n_ff))
    forward = max(forward, 6 * facts.n_inner + facts.n_embd if facts.n_inner else 0)
    # Each kind of layer has its own mask: a row of cells for every token.
    sharers = 1 if splits_kv(preset) else n_seq
    cells = sum({_cells(facts, group, n_ctx, n_ubatch, sharers) for group in facts.kv})
    if preset.flash_attn == "off" and facts.kv:
        queries = max(facts.n_head * group.head_k for group in facts.kv)
        keys = max(group.k_width for group in facts.kv)
        scores = facts.n_head * max(_cells(facts, group, n_ctx, n_ubatch, sharers) for group in facts.kv)
        layer = 4 * (max(forward, 3 * facts.n_embd + 2 * (queries + keys) + scores) + cells)
    else:
        layer = 4 * forward + 2 * cells
    return max(n_ubatch * layer, (n_seq + SPARE_OUTPUTS) * 4 * (facts.n_vocab + 2 * facts.n_embd))


def _cells(facts: ModelFacts, group: KvGroup, n_ctx: int, n_ubatch: int, sharers: int) -> int:
    """Return the positions in one cache of these layers, shared by `sharers` sequences."""
    return min(n_ctx, _padded(facts.window * sharers + n_ubatch)) if group.windowed else n_ctx
