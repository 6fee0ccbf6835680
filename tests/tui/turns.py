"""A turn for tests that need one."""

from __future__ import annotations

from engine.backend import StopReason
from engine.records import TurnRecord
from engine.timings import Timings


def turn_record(reason: StopReason = StopReason.EOG, *, thinking_n: int = 0) -> TurnRecord:
    """Ten tokens at 50 tokens/s."""
    timings = Timings(
        cache_n=5,
        prompt_n=20,
        prompt_ms=100.0,
        predicted_n=10,
        predicted_ms=200.0,
        ttft_ms=300.0,
        itl_p50_ms=20.0,
        itl_p95_ms=21.0,
        itl_p99_ms=22.0,
        itl_max_ms=23.0,
    )
    return TurnRecord(
        id=1,
        session_id=1,
        user_message_id=1,
        started_ms=0,
        model="fake",
        model_path="/fake.gguf",
        model_fingerprint="f",
        quant="Q4_K_M",
        preset="daily",
        preset_json="{}",
        n_ctx=4096,
        threads=2,
        threads_batch=2,
        stream_batch=4,
        stop_reason=reason,
        timings=timings,
        token_ns=(),
        thinking_n=thinking_n,
        judged=True,
    )
