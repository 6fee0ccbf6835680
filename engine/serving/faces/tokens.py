"""Tokens and templates: llama-server's `/tokenize`, `/detokenize` and `/apply-template`."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec

from engine.llama.model import Model
from engine.serving.bodies import read
from engine.serving.conversation import WireMessage, conversation
from engine.serving.refusal import Refusal
from engine.serving.request import Request
from engine.serving.served import Served
from engine.serving.tools import tools_of


class TokenizeBody(msgspec.Struct, kw_only=True):
    """A text."""

    content: str
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


class DetokenizeBody(msgspec.Struct, kw_only=True):
    """Tokens."""

    tokens: list[int]


class TemplateBody(msgspec.Struct, kw_only=True):
    """A conversation."""

    messages: list[WireMessage]
    tools: list[Any] = msgspec.field(default_factory=list)


async def tokenize(request: Request, served: Served) -> None:
    """Answer `POST /tokenize`."""
    body = read(TokenizeBody, request.body)
    tokens = await served.tokenize(body.content, add_special=body.add_special, parse_special=body.parse_special)
    if not body.with_pieces:
        await request.answer({"tokens": tokens})
        return

    def pieces(model: Model, _n_ctx: int) -> list[dict[str, Any]]:
        return [{"id": token, "piece": _piece(model, token)} for token in tokens]

    await request.answer({"tokens": await served.consult(pieces)})


def _piece(model: Model, token: int) -> str | list[int]:
    """Return the text of a token, or its bytes where it is part of a character."""
    data = model.vocabulary.piece(token)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return list(data)


async def detokenize(request: Request, served: Served) -> None:
    """Answer `POST /detokenize`."""
    body = read(DetokenizeBody, request.body)
    tokens = await served.known(body.tokens)
    await request.answer({"content": await served.text(tokens)})


async def apply_template(request: Request, served: Served) -> None:
    """Answer `POST /apply-template`."""
    body = read(TemplateBody, request.body)
    facts = await served.rendered(conversation(body.messages, served.preset, tools=tools_of(body.tools, None)))
    if not facts.text:
        raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "The prompt has no text")
    await request.answer({"prompt": facts.text})


POST = {"/tokenize": tokenize, "/detokenize": detokenize, "/apply-template": apply_template}
