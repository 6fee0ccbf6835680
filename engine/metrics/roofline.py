"""Compares decode with the memory bandwidth and compute of this host.

Each token reads all active weights and the KV cache once. Bytes per token times tokens per second is the bandwidth that decode reaches; the
host's limit at the same thread count is measured (`engine.host.bandwidth`). Bytes per token come from the model's header, so the result is
an estimate from a model of the work, not a counter.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.host.bandwidth import HostLimits

KV_PAD = 256
"""The KV cache is read in blocks of this many positions."""

BUSY_SHARE = 0.5
"""A resource that is used at this share or more bounds the speed."""


@dataclass(frozen=True, slots=True)
class ModelTraffic:
    """The bytes and operations of a loaded model per token."""

    weights_bytes: int
    """Bytes of weights read per token: all tensors except a token embedding that isn't also the output, and only active experts."""
    kv_bytes_per_position: int
    """Bytes of K and V of all layers with an unlimited cache."""
    active_params: int
    """Weights active for one token."""
    window_bytes: int = 0
    """KV bytes of sliding-window layers and recurrent state, which don't grow with depth."""

    def bytes_per_token(self, depth: int) -> int:
        """Return the bytes read to generate the token at position `depth`."""
        padded = -(-(depth + 1) // KV_PAD) * KV_PAD
        return self.weights_bytes + self.window_bytes + padded * self.kv_bytes_per_position

    @property
    def flops_per_token(self) -> int:
        """Multiplications and additions per token, without attention."""
        return 2 * self.active_params


def sentence(newest: HostLimits, best: HostLimits) -> str:
    """Format the result of a measurement, and the best of earlier ones, since other programs only lower it."""
    found = f"{newest.threads} threads read {newest.read_gb_s:.1f} GB/s"
    if best.read_gb_s <= newest.read_gb_s:
        return f"{found}."
    return f"{found} now; {best.read_gb_s:.1f} GB/s counts, the best of the last measurements."


@dataclass(frozen=True, slots=True)
class Roofline:
    """The decode speed relative to the roofline."""

    bytes_per_token: int
    bandwidth_gb_s: float
    """Bytes per token x tokens per second, 10^9 bytes per second."""
    bandwidth_share: float | None
    """Share of the measured read bandwidth, 0 to 1; None until it was measured."""
    compute_share: float | None
    """Share of the measured compute."""
    ceiling_tokens_per_second: float | None
    """The speed at which reading uses all of the measured bandwidth."""
    words: str
    """The resource that bounds the speed, in words."""


def roofline(traffic: ModelTraffic, depth: int, tokens_per_second: float, limits: HostLimits | None) -> Roofline:
    """Compare a decode speed with the roofline of this host; `limits` must be of the thread count in use."""
    size = traffic.bytes_per_token(depth)
    reached = size * tokens_per_second / 1e9
    if limits is None:
        return Roofline(size, reached, None, None, None, "not measured yet: the read bandwidth of this host at this thread count")
    share = reached / limits.read_gb_s
    compute = traffic.flops_per_token * tokens_per_second / 1e9 / limits.gflop_s if limits.gflop_s else None
    return Roofline(size, reached, share, compute, limits.read_gb_s * 1e9 / size, verdict(share, compute))


def verdict(bandwidth_share: float, compute_share: float | None) -> str:
    """Name the resource that bounds the speed."""
    if compute_share is not None and compute_share > bandwidth_share and compute_share >= BUSY_SHARE:
        return "compute-bound: more or faster cores help, a smaller quant hardly does"
    if bandwidth_share >= BUSY_SHARE:
        return "memory-bound: a smaller quant helps, more threads hardly do"
    if compute_share is not None and compute_share >= bandwidth_share:
        return "neither limit is near, compute is nearer: dequantizing or another program takes the time"
    return "neither limit is near: overhead, too few threads or another program takes the time"
