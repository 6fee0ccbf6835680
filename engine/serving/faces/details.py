"""llama-server's full description of an answer and its settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from engine.backend import StopReason
from engine.presets.preset import Sampling
from engine.serving.answers import Answer, Question
from engine.serving.faces.common import timings_of
from engine.serving.served import Served

SAMPLERS: Final = ("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature")
"""In order of application."""
_CONSTANT: Final[dict[str, Any]] = {
    "n_keep": 0,
    "n_discard": 0,
    "min_keep": 0,
    "chat_format": "Content-only",
    "reasoning_format": "deepseek",
    "reasoning_in_content": False,
    "generation_prompt": "",
    "samplers": SAMPLERS,
    "speculative.types": "none",
    "post_sampling_probs": False,
    "backend_sampling": False,
    "lora": [],
}
BREAKERS: Final = ("\n", ":", '"', "*")
"""Texts that end a repetition for DRY."""


def params_of(sampling: Sampling, max_tokens: int | None, *, stream: bool = False) -> dict[str, Any]:
    """Return the settings of `/props` and `/slots`."""
    settings = msgspec.structs.asdict(sampling)
    del settings["logit_bias"]
    most = -1 if max_tokens is None else max_tokens
    return {
        **settings,
        "seed": -1 if sampling.seed is None else sampling.seed,
        **_CONSTANT,
        "max_tokens": most,
        "n_predict": most,
        "stream": stream,
        "n_probs": 0,
        "timings_per_token": False,
    }


def _settings_of(question: Question, eog: frozenset[int], *, stream: bool) -> dict[str, Any]:
    """Return the settings of a request."""
    sampling = question.sampling
    biases = [*sampling.biases.items(), *((token, float("-inf")) for token in sorted(eog) if sampling.ignore_eos)]
    return {
        **params_of(sampling, question.max_tokens, stream=stream),
        "dry_sequence_breakers": BREAKERS,
        "stop": question.stop,
        "logit_bias": [{"token": token, "bias": None if bias == float("-inf") else bias} for token, bias in biases],
        "grammar": question.constraint.text if question.constraint else "",
        "grammar_lazy": False,
        "grammar_triggers": [],
        "preserved_tokens": [],
    }


class Details:
    """llama-server's full description of an answer: the body of its completions, and `__verbose` of the other APIs."""

    def __init__(self, served: Served, question: Question, eog: frozenset[int], *, stream: bool) -> None:
        self._n_ctx = served.info.n_ctx
        self._model = served.name
        self._stops = question.stop
        self._settings = _settings_of(question, eog, stream=stream)
        self._stream = stream

    def of(self, answer: Answer, prompt: str = "", tokens: Sequence[int] = ()) -> dict[str, Any]:
        """Return an ended answer, without text if it was streamed. `prompt` is for prompts of tokens."""
        end = answer.finished
        text = answer.text
        stopped = end.reason is StopReason.STOP_STRING
        used = end.prompt_tokens + end.timings.predicted_n
        return {
            "index": answer.index,
            "content": "" if self._stream else text,
            "tokens": tokens,
            "id_slot": answer.index,
            "stop": True,
            "model": self._model,
            "tokens_predicted": end.timings.predicted_n,
            "tokens_evaluated": end.prompt_tokens,
            "generation_settings": self._settings,
            "prompt": prompt or (answer.turn.prompt.prompt.text if answer.turn.prompt else ""),
            "has_new_line": "\n" in text,
            "truncated": end.reason is StopReason.LENGTH and used >= self._n_ctx - 1,
            "stop_type": {StopReason.LENGTH: "limit", StopReason.STOP_STRING: "word"}.get(end.reason, "eos"),
            "stopping_word": self._stops[0] if stopped and len(self._stops) == 1 else "",
            "tokens_cached": max(0, used - 1),
            "timings": timings_of([answer]),
        }


async def details_of(served: Served, question: Question, *, stream: bool) -> Details:
    """Return the details of a request's answers."""
    eog = await served.consult(lambda model, _n_ctx: model.vocabulary.eog) if question.sampling.ignore_eos else frozenset[int]()
    return Details(served, question, eog, stream=stream)
