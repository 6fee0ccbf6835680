"""Ollama's API, as far as its clients need it for answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

import msgspec

from engine.backend import StopReason
from engine.clock import NS_PER_MS, wall_ms
from engine.messages import Prompt, Thinking, TokenPrompt, ToolCall
from engine.serving.answers import Answer, Growth
from engine.serving.bodies import Generation, question_of, read
from engine.serving.conversation import WireMessage, conversation
from engine.serving.exchange import exchange
from engine.serving.faces.common import arguments_of, n_generated, n_prompt
from engine.serving.forms import of_format, of_schema
from engine.serving.refusal import Refusal
from engine.serving.request import Request, encode
from engine.serving.served import Served
from engine.serving.tools import Tools, tools_of

LINES: Final = b"application/x-ndjson"
VERSION: Final = "0.6.0"
"""The version of Ollama whose API this is."""


class Options(Generation, kw_only=True):
    """`options`: the settings of a request."""

    limits: ClassVar = ("num_predict",)

    num_predict: int | None = None


class OllamaBody(msgspec.Struct, kw_only=True):
    """Fields of both requests."""

    model: str = ""
    stream: bool = True
    think: bool | str | None = None
    format: str | dict[str, Any] | None = None
    options: dict[str, Any] | None = None

    @property
    def thinking(self) -> Thinking | None:
        """The thinking setting; None where the request has none."""
        return None if self.think is None else "on" if self.think else "off"


class ChatBody(OllamaBody, kw_only=True):
    """The body of a chat."""

    messages: list[WireMessage]
    tools: list[Any] = msgspec.field(default_factory=list)


class GenerateBody(OllamaBody, kw_only=True):
    """The body of a generation."""

    prompt: str
    system: str = ""
    raw: bool = False


class OllamaFace:
    """The form of Ollama's API: one JSON object per line."""

    kind = LINES
    ping = b""

    def __init__(self, model: str, *, chat: bool, plain: bool) -> None:
        self._model = model
        self._chat = chat
        self._plain = plain

    def _line(self, text: str, thinking: str, calls: Sequence[ToolCall] = (), **more: Any) -> dict[str, Any]:
        created = datetime.fromtimestamp(wall_ms() / 1e3, UTC).isoformat().replace("+00:00", "Z")
        thought = {"thinking": thinking} if thinking else {}
        called = {"tool_calls": [{"function": {"name": call.name, "arguments": arguments_of(call)}} for call in calls]} if calls else {}
        message = {"role": "assistant", "content": text, **thought, **called}
        content = {"message": message} if self._chat else {"response": text, **thought}
        return {"model": self._model, "created_at": created, **content, **more}

    def opening(self, answers: Sequence[Answer]) -> bytes:  # noqa: ARG002
        """Return nothing."""
        return b""

    def grown(self, answer: Answer, growth: Growth) -> bytes:  # noqa: ARG002
        """Return the added text."""
        if not growth.answer and not growth.thinking and not growth.calls:
            return b""
        return encode(self._line(growth.answer, growth.thinking, growth.calls, done=False)) + b"\n"

    def ended(self, answer: Answer) -> bytes:  # noqa: ARG002
        """Return nothing."""
        return b""

    def closing(self, answers: Sequence[Answer]) -> bytes:
        """Return the end, with the figures."""
        return encode(self._line("", "", **self._end(answers))) + b"\n"

    def failed(self, refusal: Refusal) -> bytes:
        """Return the error."""
        return encode({"error": refusal.message}) + b"\n"

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """Return the answer."""
        parser = answers[0].turn.parser
        thinking = "" if self._plain else parser.thinking
        return self._line(answers[0].text, thinking, answers[0].calls, **self._end(answers))

    def _end(self, answers: Sequence[Answer]) -> dict[str, Any]:
        end = answers[0].finished
        return {
            "done": True,
            "done_reason": "length" if end.reason is StopReason.LENGTH else "stop",
            "total_duration": end.at_ns - answers[0].turn.submitted_ns,
            "load_duration": 0,
            "prompt_eval_count": n_prompt(answers),
            "prompt_eval_duration": round(end.timings.prompt_ms * NS_PER_MS),
            "eval_count": n_generated(answers),
            "eval_duration": round(end.timings.predicted_ms * NS_PER_MS),
        }


async def _answer(
    request: Request, served: Served, body: OllamaBody, prompt: Prompt, *, plain: bool = False, tools: Tools | None = None
) -> None:
    schema = isinstance(body.format, dict) and body.format.get("type") not in {"text", "json_object", "json_schema"}
    form = of_schema(body.format, "format") if schema else of_format(body.format, "format")
    options = read(Options, encode(body.options or {}))
    question = await question_of(options, served, prompt, plain=plain, constraint=form, tools=tools)
    face = OllamaFace(served.name, chat=isinstance(body, ChatBody), plain=plain)
    await exchange(request, served, question, face, stream=body.stream)


async def chat(request: Request, served: Served) -> None:
    """Answer `POST /api/chat`."""
    body = read(ChatBody, request.body)
    tools = tools_of(body.tools, None)
    await _answer(request, served, body, conversation(body.messages, served.preset, thinking=body.thinking, tools=tools), tools=tools)


async def generate(request: Request, served: Served) -> None:
    """Answer `POST /api/generate`."""
    body = read(GenerateBody, request.body)
    if body.raw:
        await _answer(request, served, body, TokenPrompt(await served.tokenize(body.prompt, add_special=True)), plain=True)
        return
    messages = [WireMessage(role="user", content=body.prompt)]
    await _answer(request, served, body, conversation(messages, served.preset, system=body.system, thinking=body.thinking))


async def version(request: Request, served: Served) -> None:  # noqa: ARG001
    """Answer `GET /api/version`."""
    await request.answer({"version": VERSION})


def _details(served: Served) -> dict[str, Any]:
    model = served.info.model
    size = f"{model.n_params / 1e9:.1f}B" if model.n_params >= 1e9 else f"{model.n_params / 1e6:.1f}M"
    names = {"parent_model": "", "format": "gguf", "family": model.architecture, "families": [model.architecture]}
    return {**names, "parameter_size": size, "quantization_level": model.quant}


def _model(served: Served) -> dict[str, Any]:
    model = served.info.model
    return {"name": served.name, "model": served.name, "size": model.size_bytes, "digest": model.fingerprint, "details": _details(served)}


async def tags(request: Request, served: Served) -> None:
    """Answer `GET /api/tags`."""
    modified = datetime.fromtimestamp(0, UTC).isoformat().replace("+00:00", "Z")
    await request.answer({"models": [{**_model(served), "modified_at": modified}]})


async def ps(request: Request, served: Served) -> None:
    """Answer `GET /api/ps`."""
    expires = datetime(9999, 1, 1, tzinfo=UTC).isoformat().replace("+00:00", "Z")
    await request.answer({"models": [{**_model(served), "expires_at": expires, "size_vram": 0}]})


async def show(request: Request, served: Served) -> None:
    """Answer `POST /api/show`."""
    info = served.info
    architecture = info.model.architecture
    await request.answer(
        {
            "template": info.model.chat_template or "",
            "details": _details(served),
            "model_info": {
                "general.architecture": architecture,
                "general.parameter_count": info.model.n_params,
                f"{architecture}.context_length": info.model.n_ctx_train,
            },
            "capabilities": ["completion"],
        }
    )


GET = {"/api/version": version, "/api/tags": tags, "/api/ps": ps}
POST = {"/api/chat": chat, "/api/generate": generate, "/api/show": show}
