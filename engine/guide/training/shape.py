"""The sizes of the guide's network; what it says about itself follows them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a network. Every row length is a multiple of 256, so that every K-quant can be made from it."""

    vocabulary: int = 4096
    width: int = 256
    layers: int = 4
    feed_forward: int = 768
    heads: int = 4
    kv_heads: int = 2
    head_size: int = 64
    context: int = 4096
    rope_base: float = 10_000.0
    epsilon: float = 1e-6

    @property
    def parameters(self) -> int:
        """Weights in all; embedding and output are tied."""
        attention = self.width * self.head_size * (2 * self.heads + 2 * self.kv_heads)
        norms = 2 * self.width + 2 * self.head_size
        return self.vocabulary * self.width + self.layers * (attention + 3 * self.width * self.feed_forward + norms) + self.width

    def slots(self) -> dict[str, str]:
        """`million`, `layers` and `megabytes` (as F16) for the wordings that tell its size."""
        return {
            "million": f"{self.parameters / 1e6:.0f}",
            "layers": str(self.layers),
            "megabytes": f"{2 * self.parameters / 1e6:.0f}",
        }
