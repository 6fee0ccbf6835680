"""Recommends models that fit this machine. Downloads nothing."""

from __future__ import annotations

from dataclasses import dataclass

from engine.host.topology import Room
from engine.models.references import cache_folder

GB = 10**9
OVERHEAD = 1.15
"""Memory needed per byte of the file: repacked weights and compute buffers, roughly."""
CACHE_BYTES = GB
"""KV cache of a typical window."""
SHARE = 0.75
"""Usable share of the memory; the rest is for other programs."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One model."""

    name: str
    reference: str
    """A reference for `pull`."""
    file_bytes: int
    """Approximate size; planning the pull gets the exact one."""
    note: str
    """Its strengths, in a few words."""

    @property
    def cache_folder(self) -> str:
        """Name of its repository's folder in the hub's cache."""
        return cache_folder(self.reference.removeprefix("hf:").partition(":")[0])

    def fits(self, room: Room) -> bool:
        """Return whether it runs well in this machine's memory."""
        return self.file_bytes * OVERHEAD + CACHE_BYTES <= room.total * SHARE


RECOMMENDED = (
    Recommendation("SmolLM2 360M Instruct", "hf:HuggingFaceTB/SmolLM2-360M-Instruct-GGUF:Q8_0", 386_000_000, "tiny and quick; simple talk"),
    Recommendation("Qwen3 0.6B", "hf:Qwen/Qwen3-0.6B-GGUF:Q8_0", 639_000_000, "small, thinks, many languages"),
    Recommendation("Gemma 3 1B", "hf:ggml-org/gemma-3-1b-it-GGUF:Q4_K_M", 806_000_000, "small, good prose"),
    Recommendation("Qwen3 1.7B", "hf:Qwen/Qwen3-1.7B-GGUF:Q8_0", 1_834_000_000, "thinks; good on small machines"),
    Recommendation("Gemma 3 4B", "hf:ggml-org/gemma-3-4b-it-GGUF:Q4_K_M", 2_490_000_000, "good prose, many languages"),
    Recommendation("Qwen3 4B", "hf:Qwen/Qwen3-4B-GGUF:Q4_K_M", 2_500_000_000, "thinks; the usual choice for 8 GB"),
    Recommendation("Qwen3 8B", "hf:Qwen/Qwen3-8B-GGUF:Q4_K_M", 5_030_000_000, "thinks; the usual choice for 16 GB"),
    Recommendation("Qwen3 14B", "hf:Qwen/Qwen3-14B-GGUF:Q4_K_M", 9_000_000_000, "strong, slow on a CPU"),
    Recommendation("gpt-oss 20B", "hf:ggml-org/gpt-oss-20b-GGUF:MXFP4", 12_110_000_000, "mixture of experts: quick for its size"),
    Recommendation("Qwen3 30B-A3B", "hf:Qwen/Qwen3-30B-A3B-GGUF:Q4_K_M", 18_560_000_000, "mixture of experts: quick for its size, strong"),
)
"""The models, from small to large."""


def recommended(room: Room, most: int = 5) -> tuple[Recommendation, ...]:
    """Return the largest models that fit, the largest first; the smallest of all when none fits."""
    fitting = [model for model in reversed(RECOMMENDED) if model.fits(room)]
    return tuple(fitting[:most]) or RECOMMENDED[:1]
