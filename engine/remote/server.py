"""One server of an engine: its address, models, load, and requests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

from engine.messages import ChatPrompt
from engine.presets.preset import Sampling
from engine.text import printable


class Kind(StrEnum):
    """The program behind the API, which determines the request fields beyond OpenAI's."""

    LLAMA = "llama.cpp"
    XCHAT = "xchat"
    VLLM = "vLLM"
    OLLAMA = "Ollama"
    OTHER = "other"


_OWNERS: Final[Mapping[str, Kind]] = {"llamacpp": Kind.LLAMA, "xchat": Kind.XCHAT, "vllm": Kind.VLLM, "library": Kind.OLLAMA}


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model as a server lists it. Numbers are 0 where not reported."""

    name: str
    n_ctx: int = 0
    n_ctx_train: int = 0
    n_params: int = 0
    n_vocab: int = 0
    size_bytes: int = 0
    quant: str = ""
    kind: Kind = Kind.OTHER


@dataclass(slots=True, eq=False)
class Server:
    """A server. For the thread of its backend only."""

    url: str
    """As configured."""
    models: tuple[ServedModel, ...] | None = None
    """None before the first query."""
    n_ctx: int = 0
    """Of each answer; 0 where not reported."""
    parallel: int = 1
    busy: int = 0
    """Requests of this program in progress on it."""
    failures: int = 0
    """Failures since its last answer."""
    cold_until_s: float = 0.0
    """By the loop's clock: until then other servers are preferred."""

    @property
    def base(self) -> str:
        """The address before `/chat/completions`."""
        url = self.url.rstrip("/")
        return url if urlsplit(url).path else f"{url}/v1"

    @property
    def root(self) -> str:
        """The address before `/props`, `/slots` and `/metrics`."""
        return self.base.removesuffix("/v1")

    @property
    def host(self) -> str:
        """Host and port, for messages."""
        return printable(urlsplit(self.url).netloc, 60)

    def model(self, name: str) -> ServedModel | None:
        """Return the model of a name; an Ollama name without a tag means `latest`."""
        return next((model for model in self.models or () if model.name in {name, f"{name}:latest"}), None)

    def kind_of(self, name: str) -> Kind:
        """Return the program that runs a model."""
        model = self.model(name) or next(iter(self.models or ()), None)
        return model.kind if model is not None else Kind.OTHER


def models_in(listing: object) -> tuple[ServedModel, ...]:
    """Return the models of a response to `GET /models`, except those without a name. Raises ValueError when it is not one."""
    entries = listing.get("data", listing.get("models")) if isinstance(listing, dict) else listing
    if not isinstance(entries, list):
        raise ValueError("there is no list of models in it")
    found = {model.name: model for entry in entries[:MOST_MODELS] if isinstance(entry, dict) and (model := _model(entry)) is not None}
    return tuple(found.values())


MOST_MODELS: Final = 2000
LONGEST_NAME: Final = 300


def _model(entry: dict[str, Any]) -> ServedModel | None:
    name = entry.get("id") or entry.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        return None
    meta = entry["meta"] if isinstance(entry.get("meta"), dict) else {}
    quant = meta.get("ftype")
    return ServedModel(
        name,
        n_ctx=number(meta, "n_ctx") or number(entry, "max_model_len") or number(entry, "context_length"),
        n_ctx_train=number(meta, "n_ctx_train"),
        n_params=number(meta, "n_params"),
        n_vocab=number(meta, "n_vocab"),
        size_bytes=number(meta, "size"),
        quant=printable(quant, 20) if isinstance(quant, str) else "",
        kind=_OWNERS.get(str(entry.get("owned_by")), Kind.OTHER),
    )


def number(values: Mapping[str, Any], name: str) -> int:
    """Return a count of a response; 0 without a sensible one."""
    value = values.get(name)
    return int(value) if isinstance(value, int | float) and 0 <= value < 1 << 60 else 0


# Requests

_BASIC: Final = ("temperature", "top_p", "seed")
_PENALTIES: Final = ("presence_penalty", "frequency_penalty")
_VLLM_NAMES: Final[Mapping[str, str]] = {"repeat_penalty": "repetition_penalty"}
_SENT: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.LLAMA: Sampling.__struct_fields__,
    Kind.XCHAT: Sampling.__struct_fields__,
    Kind.VLLM: (*_BASIC, *_PENALTIES, "top_k", "min_p", "repeat_penalty", "ignore_eos"),
    Kind.OLLAMA: _BASIC + _PENALTIES,
    Kind.OTHER: _BASIC + _PENALTIES,
}
"""The sampling settings that each kind of server accepts; strict ones refuse requests with unknown fields."""
_ALWAYS: Final = frozenset({*_BASIC, "top_k", "min_p", "repeat_penalty", "repeat_last_n"})
"""Settings sent even at their defaults, since a server has its own defaults."""
CONTINUES: Final = frozenset({Kind.LLAMA, Kind.VLLM, Kind.OLLAMA, Kind.XCHAT})
"""Kinds that continue an answer sent as the last message."""
_THINKS: Final = frozenset({Kind.LLAMA, Kind.XCHAT, Kind.VLLM})
"""Kinds that pass `chat_template_kwargs` to the chat template."""


def body_of(
    kind: Kind, model: str, prompt: ChatPrompt, sampling: Sampling, *, max_tokens: int | None, stop: tuple[str, ...]
) -> dict[str, Any]:
    """Return the body of a request for a streamed answer."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role.value, "content": message.text} for message in prompt.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        **_settings(kind, sampling),
    }
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    if stop:
        body["stop"] = list(stop)
    if kind in _THINKS and prompt.thinking != "auto":
        body["chat_template_kwargs"] = {"enable_thinking": prompt.thinking == "on"}
    if kind is Kind.LLAMA:
        body |= {"cache_prompt": True, "timings_per_token": True, "return_progress": True}
    if kind is Kind.VLLM and prompt.continue_answer:
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    return body


def not_sent(kind: Kind, prompt: ChatPrompt, sampling: Sampling) -> tuple[str, ...]:
    """Return sentences on settings of the preset that this kind of server does not accept."""
    default = Sampling()
    lost = [name for name in Sampling.__struct_fields__ if name not in _SENT[kind] and getattr(sampling, name) != getattr(default, name)]
    if prompt.thinking != "auto" and kind not in _THINKS:
        lost.append("thinking")
    return (f"Not sent to this server, which has no such setting: {', '.join(lost)}",) if lost else ()


def _settings(kind: Kind, sampling: Sampling) -> dict[str, Any]:
    default, sent = Sampling(), {}
    for name in _SENT[kind]:
        value = getattr(sampling, name)
        if value is None or (name not in _ALWAYS and value == getattr(default, name)):
            continue
        if name == "logit_bias":
            value = [[token, bias if math.isfinite(bias) else bias > 0] for token, bias in sampling.biases.items()]
        if kind is Kind.VLLM and name == "top_k" and not value:
            value = -1
        sent[_VLLM_NAMES.get(name, name) if kind is Kind.VLLM else name] = value
    return sent
