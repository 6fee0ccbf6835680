"""The API description of `/openapi.json`, derived from the endpoints and the types of their bodies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

from engine import __version__
from engine.serving.faces import anthropic, completions, info, llama, ollama, openai, responses, tokens
from engine.serving.guard import PUBLIC
from engine.serving.live import ServerNow

BODIES: Final[Mapping[Callable[..., Any], type[msgspec.Struct]]] = {
    openai.chat: openai.ChatBody,
    openai.input_tokens: openai.ChatBody,
    completions.completions: completions.CompletionBody,
    responses.responses: responses.ResponsesBody,
    anthropic.messages: anthropic.MessagesBody,
    anthropic.count_tokens: anthropic.MessagesBody,
    llama.completion: llama.CompletionBody,
    ollama.chat: ollama.ChatBody,
    ollama.generate: ollama.GenerateBody,
    tokens.tokenize: tokens.TokenizeBody,
    tokens.detokenize: tokens.DetokenizeBody,
    tokens.apply_template: tokens.TemplateBody,
}
"""The body type of each endpoint; endpoints without a body are missing."""
_ANSWERS: Final[Mapping[Callable[..., Any], type[msgspec.Struct]]] = {info.live: ServerNow}
_REFERENCE: Final = "#/components/schemas/{name}"


class ErrorBody(msgspec.Struct):
    """The reason for an error response. Ollama's endpoints have only the message, Anthropic's their own form around it."""

    code: int
    message: str
    type: str


class Refused(msgspec.Struct):
    """The body of every error response."""

    error: ErrorBody


def described(endpoints: Mapping[str, Mapping[str, Callable[..., Any]]]) -> dict[str, Any]:
    """Return the description of endpoints by method and path."""
    bodies = sorted(set(BODIES.values()), key=lambda kind: (kind.__module__, kind.__name__))
    kinds: list[type[Any]] = [*bodies, *_ANSWERS.values(), Refused]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REFERENCE)
    schema_of: dict[type, dict[str, Any]] = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for method, functions in endpoints.items():
        for path, function in functions.items():
            paths.setdefault(path, {})[method.lower()] = _operation(path, function, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "xchat", "version": __version__, "description": "The APIs of OpenAI, Anthropic, Ollama and llama-server."},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": components, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(path: str, function: Callable[..., Any], schema_of: Mapping[type, dict[str, Any]]) -> dict[str, Any]:
    body, answer = BODIES.get(function), _ANSWERS.get(function)
    content = {"application/json": {"schema": schema_of[answer]}} if answer is not None else {}
    operation: dict[str, Any] = {
        "summary": (function.__doc__ or "").strip().partition("\n")[0],
        "responses": {
            "200": {"description": HTTPStatus.OK.phrase, "content": content},
            "default": {"description": "Refused", "content": {"application/json": {"schema": schema_of[Refused]}}},
        },
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema_of[body]}}}
    if path not in PUBLIC:
        operation["security"] = [{"key": []}, {}]
    return operation
