"""Records that tests need, with every field that does not matter to them filled in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.backend import EngineInfo, MemoryKind, ModelInfo, StopReason
from engine.model_ref import ModelRef, file_of
from engine.presets.preset import Preset
from engine.records import TurnRecord
from engine.timings import Timings

CHATML = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)

_TEN_TOKENS = Timings(
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

_TURN = TurnRecord(
    id=1,
    session_id=1,
    user_message_id=1,
    started_ms=0,
    model="fake",
    model_path="/models/fake-Q4_K_M.gguf",
    model_fingerprint="fake",
    quant="Q4_K_M",
    preset="daily",
    preset_json="{}",
    n_ctx=4096,
    threads=2,
    threads_batch=2,
    stream_batch=4,
    stop_reason=StopReason.EOG,
    timings=_TEN_TOKENS,
    token_ns=(),
    judged=True,
)


def turn_record(**fields: Any) -> TurnRecord:
    """A quiet turn of ten tokens at 50 tokens/s, but for these fields."""
    return replace(_TURN, **fields)


def model_info(ref: ModelRef = Path("/models/fake-Q4_K_M.gguf"), **fields: Any) -> ModelInfo:
    """A model of 0.6 billion parameters, but for these fields."""
    info = ModelInfo(
        ref=ref,
        path=file_of(ref),
        name=ref.stem if isinstance(ref, Path) else str(ref),
        architecture="qwen3",
        quant="Q4_K_M",
        n_params=600_000_000,
        size_bytes=400_000_000,
        n_ctx_train=4096,
        n_vocab=260,
        memory_kind=MemoryKind.ATTENTION,
        chat_template=CHATML,
        fingerprint="fake",
    )
    return replace(info, **fields)


def engine_info(model: ModelInfo | None = None, **fields: Any) -> EngineInfo:
    """That model, loaded for two threads, but for these fields."""
    info = EngineInfo(
        model=model or model_info(),
        preset=Preset(),
        n_ctx=4096,
        n_batch=512,
        n_ubatch=128,
        threads=2,
        threads_batch=2,
        load_ms=12.0,
        memory={"weights": 400_000_000, "kv": 50_000_000, "compute": 2_000_000},
        system_info="AVX2 = 1",
        library="0.5.0, build 0a1b2c3",
    )
    return replace(info, **fields)
