"""Records to store, with every field told apart from its neighbours."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate, count, cycle, islice

from engine.messages import Role
from engine.records import Message, MessageStatus, Sample, TurnRecord
from engine.timings import compute_timings
from tests.factories import turn_record

_ids = count(1_700_000_000_000 << 20)


def next_id() -> int:
    return next(_ids)


def user(text: str = "Hello", parent_id: int | None = None, created_ms: int = 1_000) -> Message:
    return Message(next_id(), parent_id, Role.USER, text, created_ms=created_ms)


def answer(text: str = "Hi there", parent_id: int | None = None, created_ms: int = 2_000) -> Message:
    return Message(
        next_id(),
        parent_id,
        Role.ASSISTANT,
        text,
        thinking="hm",
        status=MessageStatus.PARTIAL,
        created_ms=created_ms,
        tokens=(5, 3, 70_000),
        tokens_of="abc",
    )


def token_times(n: int, start_ns: int = 5_000_000_000) -> tuple[int, ...]:
    """Timestamps about 16 ms apart that never repeat a pattern of two."""
    gaps = cycle((16_100_000, 15_900_001, 16_000_500))
    return tuple(islice(accumulate(gaps, initial=start_ns), n))


def turn(session_id: int | None, of: Message, *, asked: Message | None = None, tokens: int = 20, gap_factor: float = 1.0) -> TurnRecord:
    start = 5_000_000_000
    times = tuple(start + round((at - start) * gap_factor) for at in token_times(tokens, start))
    return turn_record(
        id=of.id,
        session_id=session_id,
        user_message_id=asked.id if asked else None,
        started_ms=of.created_ms,
        model="Tiny 0.6B",
        model_path="/models/tiny-0.6b-q4_k_m.gguf",
        model_fingerprint="f00d",
        preset_json='{"name":"daily","n_batch":512}',
        threads=4,
        threads_batch=8,
        stream_batch=2,
        timings=compute_timings(
            cache_n=7,
            prompt_n=30,
            submitted_ns=start - 400_000_000,
            prefill_start_ns=start - 390_000_000,
            prefill_end_ns=start - 16_000_000,
            token_ns=times,
        ),
        token_ns=times,
        thinking_n=3,
        queue_ms=0.1,
        template_ms=0.2,
        tokenize_ms=0.3,
        first_visible_ms=450.5,
        first_paint_ms=460.5,
        paint_ms=12.25,
        diverged_at=7,
        left_out=1,
        disturbed=0.02,
        quiet_per_second=71.5,
        rss_peak_bytes=900_000_000,
    )


def sample(session_id: int | None = None, wall_ms: int = 1_000, turn_id: int | None = None) -> Sample:
    figures = {
        "tokens_per_second": 61.5,
        "prompt_per_second": 500.5,
        "context_used": 120,
        "cpu_process_pct": 180.0,
        "cpu_machine_pct": 91.0,
        "steal_pct": 0.5,
        "rss_bytes": 800_000_000,
        "available_bytes": 9_000_000_000,
        "swap_bytes": 0,
        "major_faults": 2,
        "freq_mhz": 2400.0,
        "temperature_c": 55.5,
        "power_w": None,
        "threads": 4,
        "loop_lag_ms": 0.7,
        "tty_bytes_per_s": 1200.0,
    }
    return Sample(wall_ms, session_id, turn_id, figures)


def noisy(record: TurnRecord, reason: str = "a busy neighbour") -> TurnRecord:
    return replace(record, noisy=reason)
