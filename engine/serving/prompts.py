"""Prompts of completions: texts, tokens, or both."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from engine.serving.refusal import Refusal
from engine.serving.served import Served

Prompts = str | list[Any] | dict[str, Any]


async def prompts_of(prompt: Prompts, served: Served) -> list[tuple[int, ...]]:
    """Return the tokens of each prompt: a text, ids, texts and ids mixed, an object with a text, or a list of these. Raises Refusal."""
    if isinstance(prompt, list) and prompt and not any(type(part) is int for part in prompt):
        return [await _tokens(part, served) for part in prompt]
    return [await _tokens(prompt, served)]


async def _tokens(prompt: Prompts, served: Served) -> tuple[int, ...]:
    """Return the tokens of one prompt."""
    if isinstance(prompt, dict):
        if prompt.get("multimodal_data"):
            raise Refusal(HTTPStatus.BAD_REQUEST, "prompt has images or audio, which are not supported")
        prompt = prompt.get("prompt_string", "")
    parts = prompt if isinstance(prompt, list) else [prompt]
    tokens: tuple[int, ...] = ()
    for index, part in enumerate(parts):
        if isinstance(part, str):
            tokens += await served.tokenize(part, add_special=not index)
        elif type(part) is int:
            tokens += (part,)
        else:
            raise Refusal(HTTPStatus.BAD_REQUEST, "prompt has a part that is neither a text nor a token")
    if not tokens:
        raise Refusal(HTTPStatus.BAD_REQUEST, "prompt is empty")
    return await served.known(tokens)
