"""The figures that have a history, and how a snapshot is put into them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.clock import NS_PER_S
from engine.host.value import known
from engine.metrics.history import Fold, Trace, Track, Window
from engine.metrics.snapshot import Phase, Snapshot

FOLDS: Mapping[str, Fold] = {
    "tokens_per_second": "mean",
    "on_screen_per_second": "mean",
    "prompt_per_second": "mean",
    "itl_ms": "max",
    "context_used": "mean",
    "rss_bytes": "mean",
    "available_bytes": "mean",
    "cpu_machine_pct": "mean",
    "cpu_own_pct": "mean",
    "bandwidth_gb_s": "mean",
    "temperature_c": "max",
    "freq_mhz": "mean",
    "power_w": "mean",
    "loop_lag_ms": "max",
    "tty_bytes_per_s": "mean",
    "major_faults": "max",
}
"""Every figure with a history, and what becomes of several values in one bucket."""

OF_THE_LAST_SECOND = frozenset({"tokens_per_second", "on_screen_per_second", "prompt_per_second", "itl_ms", "bandwidth_gb_s"})
"""Figures of what flows. The others stand for all the time since the look before: at rest looks are seconds apart."""

LONGEST_LOOK_NS = 10 * NS_PER_S
"""A longer pause between two looks is one in which the program stood still: a gap."""


@dataclass(frozen=True, slots=True)
class Between:
    """What happened between two snapshots and is in neither."""

    longest_gap_ms: float | None = None
    longest_lag_ms: float | None = None
    finished_per_second: float | None = None
    """Mean speed of a turn that ended: a quick one may begin and end between two looks."""


class Tracks:
    """All histories of a program run."""

    def __init__(self) -> None:
        self._tracks = {name: Track(fold=fold) for name, fold in FOLDS.items()}
        self._before_ns: int | None = None

    def push(self, now: Snapshot, since_start_ns: int, since: Between) -> None:
        """Add a snapshot, with what happened since the one before."""
        values = _values(now) | {"itl_ms": since.longest_gap_ms, "loop_lag_ms": since.longest_lag_ms}
        if values["tokens_per_second"] is None:
            values["tokens_per_second"] = since.finished_per_second
            if since.finished_per_second is not None and now.roofline is not None:
                values["bandwidth_gb_s"] = now.roofline.bandwidth_gb_s
        passed_ns = 0 if self._before_ns is None else since_start_ns - self._before_ns
        self._before_ns = since_start_ns
        covers_s = passed_ns / NS_PER_S if 0 < passed_ns <= LONGEST_LOOK_NS else 0.0
        for name, track in self._tracks.items():
            track.push(since_start_ns, values.get(name), covers_s=min(covers_s, 1.0) if name in OF_THE_LAST_SECOND else covers_s)

    def freeze(self) -> Mapping[Window, Mapping[str, Trace]]:
        """All histories in every window."""
        return {window: {name: track.trace(window) for name, track in self._tracks.items()} for window in Window}


def _values(now: Snapshot) -> dict[str, float | None]:
    flowing = now.speed.now is not None
    values: dict[str, float | None] = {
        "tokens_per_second": now.speed.now,
        "on_screen_per_second": now.speed.on_screen,
        "prompt_per_second": now.speed.prompt_per_second if now.phase is Phase.PREFILL else None,
        "context_used": float(now.context.used),
        "bandwidth_gb_s": now.roofline.bandwidth_gb_s if now.roofline and flowing else None,
        "tty_bytes_per_s": now.price.tty_bytes_per_s,
    }
    host = now.host
    if host is None:
        return values
    own = known(host.cpu.process_pct)
    return values | {
        "rss_bytes": known(host.memory.rss),
        "available_bytes": known(host.memory.available),
        "cpu_machine_pct": known(host.cpu.machine_pct),
        "cpu_own_pct": None if own is None else own / max(1, len(host.cpu.cores_pct)),
        "temperature_c": known(host.cpu.temperature_c),
        "freq_mhz": known(host.cpu.freq_mhz),
        "power_w": known(host.power_w),
        "major_faults": known(host.major_faults),
    }
