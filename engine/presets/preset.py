"""One preset: every setting of a load and of a turn, and what changing each of them costs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import msgspec

Auto = Literal["auto"]

KvType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]
"""Types that llama.cpp takes for the K and V halves of the KV cache."""


class Cost(StrEnum):
    """What it takes until a changed setting is in force."""

    HOT = "hot"
    """Applies to the next token."""
    REBUILD = "rebuild"
    """Needs a new context on the loaded model; the KV state is carried over where it is compatible."""
    RELOAD = "reload"
    """Needs another file; the conversation is prefilled again."""


class Sampling(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the next token is picked from the logits. Names and defaults are llama.cpp's, except `repeat_penalty` = 1 (off) as there."""

    temperature: Annotated[float, msgspec.Meta(ge=0.0, le=10.0)] = 0.7
    """0 is greedy: always the most likely token."""
    top_k: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 40
    """Keep the k most likely tokens; 0 keeps all."""
    top_p: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 0.95
    """Keep the smallest set of tokens whose probabilities sum to p; 1 keeps all."""
    min_p: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 0.05
    """Drop tokens less likely than this share of the most likely one; 0 drops none."""
    repeat_penalty: Annotated[float, msgspec.Meta(gt=0.0, le=10.0)] = 1.0
    """Divide the logits of recent tokens by this; 1 is off."""
    repeat_last_n: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 64
    """How many recent tokens the penalty looks at."""
    seed: Annotated[int, msgspec.Meta(ge=0, le=4_294_967_294)] | None = None
    """The same seed, prompt and settings give the same answer; none draws a fresh one for each turn."""


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A named set of engine settings.

    `auto` means: found out on this machine when it is needed. Where a field takes a number, the unit is in its sentence.
    """

    name: str = "daily"
    """How the preset is called, also its file name."""
    description: str = ""
    """One sentence for the list."""
    model: str | None = None
    """A path, `builtin`, or a family's name; none keeps the model in use."""
    quant: str | None = None
    """Which quant of the family, such as `Q4_K_M`; none keeps the one in use."""
    threads: Annotated[int, msgspec.Meta(ge=1, le=1024)] | Auto = "auto"
    """Threads while decoding, one token at a time."""
    threads_batch: Annotated[int, msgspec.Meta(ge=1, le=1024)] | Auto = "auto"
    """Threads while prefilling, many tokens at a time."""
    n_ctx: Annotated[int, msgspec.Meta(ge=256, le=16_777_216)] | Auto = "auto"
    """Size of the context window, in tokens; `auto` takes what the model was trained for, at most 8,192."""
    n_batch: Annotated[int, msgspec.Meta(ge=32, le=16_384)] = 512
    """Most prompt tokens handed to one decode call."""
    n_ubatch: Annotated[int, msgspec.Meta(ge=32, le=4096)] | Auto = "auto"
    """Most tokens in one compute graph; smaller stops sooner, larger prefills faster."""
    type_k: KvType = "f16"
    """Type of the K half of the KV cache."""
    type_v: KvType = "f16"
    """Type of the V half of the KV cache; anything but f16, bf16 and f32 needs flash attention."""
    flash_attn: Literal["auto", "on", "off"] = "auto"
    """Fused attention kernels."""
    mmap: bool = True
    """Map the file instead of reading it into private memory."""
    repack: bool = True
    """Let the CPU backend keep a rearranged copy of the weights: faster prefill, up to twice the memory."""
    stream_batch: Annotated[int, msgspec.Meta(ge=1, le=256)] | Auto = "auto"
    """Tokens that travel together from the engine to the screen."""
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=16_777_216)] | None = None
    """Longest answer, in tokens; none lets the model end by itself or the context fill up."""
    system: str | None = None
    """System prompt of new sessions; none sends no system message."""
    thinking: Literal["auto", "on", "off"] = "auto"
    """Ask templates that know the switch (`enable_thinking`) to think, or not to."""
    sampling: Sampling = Sampling()
    """How tokens are picked."""


COSTS: dict[str, Cost] = {
    "model": Cost.RELOAD,
    "quant": Cost.RELOAD,
    "mmap": Cost.RELOAD,
    "repack": Cost.RELOAD,
    "n_ctx": Cost.REBUILD,
    "n_batch": Cost.REBUILD,
    "n_ubatch": Cost.REBUILD,
    "type_k": Cost.REBUILD,
    "type_v": Cost.REBUILD,
    "flash_attn": Cost.REBUILD,
    "threads": Cost.HOT,
    "threads_batch": Cost.HOT,
    "stream_batch": Cost.HOT,
    "max_tokens": Cost.HOT,
    "system": Cost.HOT,
    "thinking": Cost.HOT,
    "sampling": Cost.HOT,
}
"""What a change of each field costs; a test holds that no field is missing."""

_ORDER = (Cost.HOT, Cost.REBUILD, Cost.RELOAD)


def cost_of_change(old: Preset, new: Preset) -> Cost | None:
    """The dearest cost among the fields that differ, or None when nothing that costs differs."""
    costs = [cost for field, cost in COSTS.items() if getattr(old, field) != getattr(new, field)]
    return max(costs, key=_ORDER.index, default=None)
