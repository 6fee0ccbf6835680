"""A snapshot as plain data for other programs: `xchat stats --json` and whoever asks the running program. Names follow llama-server."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

from engine.host.cpu import own_share
from engine.host.memory import Residency
from engine.host.sampler import HostSample
from engine.host.value import Unavailable
from engine.metrics.snapshot import Snapshot

VERSION = 1
"""Rises when a name changes its meaning; new names may come at any time."""

Report = dict[str, Any]


def plain(value: float | str | Unavailable | None) -> object:
    """A figure, or an object that says why there is none."""
    return {"unavailable": value.reason} if isinstance(value, Unavailable) else value


def report(now: Snapshot) -> Report:
    """Everything but the history."""
    engine = now.engine
    return {
        "version": VERSION,
        "pid": os.getpid(),
        "wall_ms": now.wall_ms,
        "uptime_s": round(now.uptime_s, 3),
        "phase": now.phase.value,
        "model": None if engine is None else engine.model,
        "quant": None if engine is None else engine.quant,
        "preset": now.preset,
        "threads": None if engine is None else engine.threads,
        "threads_batch": None if engine is None else engine.threads_batch,
        "stream_batch": now.stream_batch,
        "stream_batch_auto": now.stream_batch_auto,
        "tokens_per_second": now.speed.now,
        "predicted_per_second": now.speed.mean,
        "on_screen_per_second": now.speed.on_screen,
        "prompt_per_second": now.speed.prompt_per_second,
        "predicted_n": now.speed.predicted_n,
        "prefill": {"processed": now.prefill.processed, "total": now.prefill.total, "eta_ms": now.prefill.eta_ms},
        "itl_p50_ms": now.gaps.p50_ms,
        "itl_p95_ms": now.gaps.p95_ms,
        "itl_p99_ms": now.gaps.p99_ms,
        "itl_max_ms": now.gaps.max_ms,
        "stalls_per_minute": now.stalls_per_minute,
        "ttft_ms": now.waterfall.ttft_ms if now.waterfall else None,
        "first_visible_ms": now.waterfall.first_visible_ms if now.waterfall else None,
        "first_paint_ms": now.waterfall.first_paint_ms if now.waterfall else None,
        "waterfall_ms": dict(now.waterfall.steps) if now.waterfall else None,
        "context": {
            "used": now.context.used,
            "n_ctx": now.context.n_ctx,
            "cache_n": now.context.cache_n,
            "prompt_n": now.context.prompt_n,
            "diverged_at": now.context.diverged_at,
            "left_out": now.context.left_out,
        },
        "memory_by_purpose": dict(engine.memory) if engine else {},
        "host": _host(now.host) if now.host else None,
        "joules_per_token": now.joules_per_token,
        "bandwidth_gb_s": now.roofline.bandwidth_gb_s if now.roofline else None,
        "bandwidth_share": now.roofline.bandwidth_share if now.roofline else None,
        "bytes_per_token": now.roofline.bytes_per_token if now.roofline else None,
        "ceiling_tokens_per_second": now.roofline.ceiling_tokens_per_second if now.roofline else None,
        "compute_share": now.roofline.compute_share if now.roofline else None,
        "bound": now.roofline.words if now.roofline else None,
        "paint_ms": now.price.paint_ms,
        "loop_lag_p99_ms": now.price.lag_p99_ms,
        "loop_lag_max_ms": now.price.lag_max_ms,
        "ui_pct": now.price.ui_pct,
        "tty_bytes_per_s": now.price.tty_bytes_per_s,
        "noisy": now.noisy,
        "alerts": [alert.sentence for alert in now.alerts],
        "totals": {
            "turns": now.totals.turns,
            "failed": now.totals.failed,
            "prompt_n": now.totals.prompt_n,
            "cache_n": now.totals.cache_n,
            "predicted_n": now.totals.predicted_n,
            "stalls": now.totals.stalls,
        },
    }


def _host(host: HostSample) -> Report:
    memory, cpu = host.memory, host.cpu
    weights = host.weights
    return {
        "rss_bytes": plain(memory.rss),
        "anon_bytes": plain(memory.anon),
        "file_bytes": plain(memory.file),
        "swap_bytes": plain(memory.swap),
        "total_bytes": plain(memory.total),
        "available_bytes": plain(memory.available),
        "weights_mapped_bytes": weights.mapped if isinstance(weights, Residency) else plain(weights),
        "weights_resident_bytes": weights.resident if isinstance(weights, Residency) else plain(weights),
        "major_faults": plain(host.major_faults),
        "cpu_machine_pct": plain(cpu.machine_pct),
        "cpu_cores_pct": [round(share, 1) for share in cpu.cores_pct],
        "cpu_process_pct": plain(cpu.process_pct),
        "cpu_own_pct": plain(own_share(cpu)),
        "cpu_others_pct": plain(cpu.others_pct),
        "steal_pct": plain(cpu.steal_pct),
        "throttled_pct": plain(cpu.throttled_pct),
        "freq_mhz": plain(cpu.freq_mhz),
        "governor": plain(cpu.governor),
        "temperature_c": plain(cpu.temperature_c),
        "quota_cores": plain(cpu.quota_cores),
        "load": plain(cpu.load),
        "power_w": plain(host.power_w),
        "threads": [asdict(share) for share in host.threads],
    }
