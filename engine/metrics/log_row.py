"""From a snapshot to the row of the log, so that a session can be looked at later as it was seen."""

from __future__ import annotations

from engine.host.value import Reading, known
from engine.metrics.snapshot import Phase, Snapshot
from engine.records import Sample


def sample_of(now: Snapshot, *, session_id: int | None, turn_id: int | None) -> Sample:
    """The figures that are logged twice a second."""
    host = now.host
    cpu, memory = (host.cpu, host.memory) if host else (None, None)
    return Sample(
        wall_ms=now.wall_ms,
        session_id=session_id,
        turn_id=turn_id,
        tokens_per_second=now.speed.now,
        prompt_per_second=now.speed.prompt_per_second if now.phase is Phase.PREFILL else None,
        context_used=now.context.used,
        cpu_process_pct=known(cpu.process_pct) if cpu else None,
        cpu_machine_pct=known(cpu.machine_pct) if cpu else None,
        steal_pct=known(cpu.steal_pct) if cpu else None,
        rss_bytes=_whole(memory.rss) if memory else None,
        available_bytes=_whole(memory.available) if memory else None,
        swap_bytes=_whole(memory.swap) if memory else None,
        major_faults=_whole(host.major_faults) if host else None,
        freq_mhz=known(cpu.freq_mhz) if cpu else None,
        temperature_c=known(cpu.temperature_c) if cpu else None,
        power_w=known(host.power_w) if host else None,
        threads=now.engine.threads if now.engine else None,
        loop_lag_ms=now.price.lag_p99_ms,
        tty_bytes_per_s=now.price.tty_bytes_per_s,
    )


def _whole(reading: Reading) -> int | None:
    value = known(reading)
    return None if value is None else int(value)
