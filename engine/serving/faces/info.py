"""Information about the server: health, models, properties, slots, metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

from engine.clock import wall_ms
from engine.serving.faces.common import FINGERPRINT
from engine.serving.faces.details import params_of
from engine.serving.refusal import Refusal
from engine.serving.request import Request
from engine.serving.served import Served

VOCABULARIES: Final = {"llama": 1, "gpt2": 2, "bert": 3, "t5": 4, "rwkv": 5, "plamo2": 6}
"""llama.cpp's numbers of vocabulary kinds."""
_STARTED: Final = b"%d" % (wall_ms() // 1000)
METRICS: Final = b"text/plain; version=0.0.4; charset=utf-8"


async def health(request: Request, served: Served) -> None:
    """Answer `GET /health`."""
    _ = served.info
    served.check_open()
    await request.answer({"status": "ok"})


async def models(request: Request, served: Served) -> None:
    """Answer `GET /v1/models`."""
    info, name = served.info, served.name
    model = info.model
    width = model.metadata.get(f"{model.architecture}.embedding_length", "")
    vocab_type = VOCABULARIES.get(model.metadata.get("tokenizer.ggml.model", ""), 0)
    meta = {
        "vocab_type": vocab_type,
        "n_embd": int(width) if width.isdecimal() and len(width) < 10 else 0,
        "n_vocab": model.n_vocab,
        "n_ctx": info.n_ctx,
        "n_ctx_train": model.n_ctx_train,
        "n_params": model.n_params,
    }
    entry = {
        "id": name,
        "aliases": served.names,
        "tags": served.options.tags,
        "object": "model",
        "created": wall_ms() // 1000,
        "owned_by": "xchat",
        "meta": {**meta, "size": model.size_bytes, "ftype": model.quant},
    }
    details = {"parent_model": "", "format": "gguf", "family": model.architecture, "families": [model.architecture]}
    of_ollama = {
        "name": name,
        "model": name,
        "type": "model",
        "capabilities": ["completion"],
        "details": {**details, "parameter_size": "", "quantization_level": model.quant},
    }
    await request.answer({"models": [of_ollama], "object": "list", "data": [entry]})


async def props(request: Request, served: Served) -> None:
    """Answer `GET /props`. The model's path is only its file name, to keep its location private."""
    info = served.info
    specials = await served.consult(lambda model, _n_ctx: (model.vocabulary.bos_text, model.vocabulary.eos_text))
    await request.answer(
        {
            "default_generation_settings": {
                "params": params_of(served.preset.sampling, served.preset.max_tokens),
                "n_ctx": info.n_ctx,
            },
            "total_slots": info.parallel,
            "model_alias": served.name,
            "model_ftype": info.model.quant,
            "model_path": f"{served.name}.gguf",
            "modalities": {"vision": False, "video": False, "audio": False},
            "endpoint_slots": True,
            "endpoint_props": False,
            "endpoint_metrics": True,
            "chat_template": info.model.chat_template or "",
            "bos_token": specials[0],
            "eos_token": specials[1],
            "build_info": FINGERPRINT,
            "is_sleeping": False,
        }
    )


async def slots(request: Request, served: Served) -> None:
    """Answer `GET /slots`: one entry per parallel answer; waiting ones have none."""
    info = served.info
    running = [answer for answers in served.under_way for answer in answers.all if answer.turn.prompt is not None and answer.end is None]
    rows = []
    for number in range(info.parallel):
        answer = running[number] if number < len(running) else None
        row: dict[str, Any] = {"id": number, "n_ctx": info.n_ctx, "speculative": False, "is_processing": answer is not None}
        if answer is not None and answer.turn.prompt is not None:
            prompt = answer.turn.prompt
            row["id_task"] = answer.number
            row["n_prompt_tokens"] = prompt.prompt.n_tokens
            row["n_prompt_tokens_cache"] = prompt.cache_n
            row["params"] = params_of(answer.turn.preset.sampling, answer.turn.preset.max_tokens)
            row["next_token"] = [{"has_next_token": True, "n_decoded": answer.turn.n_tokens}]
        rows.append(row)
    await request.answer(rows)


async def metrics(request: Request, served: Served) -> None:
    """Answer `GET /metrics`."""
    processing = sum(answer.end is None for answers in served.under_way for answer in answers.all)
    await request.answer_bytes(
        served.tally.page(processing, served.backend.pool_now).encode(), METRICS, headers=((b"Process-Start-Time-Unix", _STARTED),)
    )


async def live(request: Request, served: Served) -> None:
    """Answer `GET /live`: the requests and the total speed, for the page and `xchat stats`."""
    await request.answer(served.live.now(served))


def _not_supported(what: str) -> Callable[[Request, Served], Awaitable[None]]:
    async def refuse(_request: Request, _served: Served) -> None:
        raise Refusal(HTTPStatus.NOT_IMPLEMENTED, f"This server does not support {what}")

    return refuse


_NOT_SUPPORTED: Final = {
    "embeddings": ("/v1/embeddings", "/embeddings", "/embedding", "/api/embed", "/api/embeddings"),
    "ranking": ("/v1/rerank", "/rerank", "/v1/reranking", "/reranking"),
    "infill": ("/infill",),
    "audio": ("/v1/audio/transcriptions", "/v1/audio/translations", "/v1/audio/speech"),
    "images": ("/v1/images/generations",),
    "changes of its properties": ("/props",),
    "adapters that change while it runs": ("/lora-adapters",),
    "moderation": ("/v1/moderations",),
}
POST = {path: _not_supported(what) for what, paths in _NOT_SUPPORTED.items() for path in paths}
GET = {
    "/live": live,
    "/health": health,
    "/v1/health": health,
    "/v1/models": models,
    "/models": models,
    "/props": props,
    "/slots": slots,
    "/metrics": metrics,
}
