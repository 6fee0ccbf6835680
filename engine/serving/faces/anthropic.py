"""Anthropic's messages API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from engine.backend import StopReason
from engine.messages import ChatPrompt
from engine.presets.preset import Preset
from engine.serving.answers import Answer, Growth
from engine.serving.bodies import Generation, question_of, read
from engine.serving.conversation import WireMessage, conversation, text_of
from engine.serving.exchange import EventFace, exchange
from engine.serving.faces.common import arguments_of, event, n_cached, n_generated, n_prompt, new_id
from engine.serving.refusal import Refusal
from engine.serving.request import Request
from engine.serving.served import Served
from engine.serving.tools import Tools, tools_of
from engine.text import one_line


class MessagesBody(Generation, kw_only=True):
    """The body of a request for a message."""

    stop_field: ClassVar = "stop_sequences"

    messages: list[WireMessage]
    system: str | list[dict[str, Any]] | None = None
    stop_sequences: list[str] | None = None
    thinking: dict[str, Any] | None = None
    tools: list[Any] = msgspec.field(default_factory=list)
    tool_choice: dict[str, Any] | None = None

    @property
    def offered(self) -> Tools | None:
        """The tools. Raises Refusal."""
        asked = self.tool_choice or {}
        kind = {None: None, "auto": "auto", "any": "required", "none": "none", "tool": str(asked.get("name"))}.get(asked.get("type"), "?")
        if kind == "?":
            raise Refusal(400, f"tool_choice.type = {one_line(str(asked.get('type')))[:40]} is not supported")
        return tools_of(self.tools, kind, parallel=asked.get("disable_parallel_tool_use") is not True)

    def prompt(self, preset: Preset) -> ChatPrompt:
        """Return the conversation. Raises Refusal."""
        system, problem = text_of(self.system) if self.system else ("", "")
        if problem:
            raise Refusal(400, f"system: {problem}")
        kind = (self.thinking or {}).get("type")
        thinking = {"enabled": "on", "adaptive": "on", "disabled": "off"}.get(str(kind))
        return conversation(self.messages, preset, system=system, thinking=thinking, tools=self.offered)  # type: ignore[arg-type]


class MessagesFace(EventFace):
    """The form of a message: a block of thinking, then a block of text."""

    ping = event({"type": "ping"}, "ping")

    def __init__(self, model: str, stops: tuple[str, ...]) -> None:
        self._model = model
        self._stops = stops
        self._id = new_id("msg_")
        self._blocks = 0
        self._open = ""

    def opening(self, answers: Sequence[Answer]) -> bytes:
        """Return the message without content."""
        prompt = answers[0].turn.prompt
        cached = n_cached(answers)
        usage = {
            "cache_read_input_tokens": cached,
            "input_tokens": ((prompt.prompt.n_tokens or 0) if prompt else 0) - cached,
            "output_tokens": 0,
        }
        message = {**self._message([], None, None), "usage": usage}
        return event({"type": "message_start", "message": message}, "message_start")

    def _message(self, content: list[dict[str, Any]], reason: str | None, stop: str | None) -> dict[str, Any]:
        head = {"id": self._id, "type": "message", "role": "assistant", "content": content, "model": self._model}
        return {**head, "stop_reason": reason, "stop_sequence": stop}

    def grown(self, answer: Answer, growth: Growth) -> bytes:  # noqa: ARG002
        """Return the addition to the open block."""
        parts = b""
        if growth.thinking:
            parts += self._block("thinking") + self._delta({"type": "thinking_delta", "thinking": growth.thinking})
        if growth.answer:
            parts += self._block("text") + self._delta({"type": "text_delta", "text": growth.answer})
        for call in growth.calls:
            parts += self._block("tool_use", id=call.id, name=call.name, input={})
            parts += self._delta({"type": "input_json_delta", "partial_json": call.arguments}) + self._stop_block()
            self._open = ""
        return parts

    def _delta(self, delta: dict[str, str]) -> bytes:
        return event({"type": "content_block_delta", "index": self._blocks - 1, "delta": delta}, "content_block_delta")

    def _block(self, kind: str, **fields: Any) -> bytes:
        """Begin a block of this kind unless one is open; return its data."""
        if self._open == kind:
            return b""
        before = self._stop_block()
        self._open = kind
        self._blocks += 1
        block = {"type": kind, **fields} if fields else {"type": kind, kind: ""}
        if kind == "thinking":
            block["signature"] = ""
        start = {"type": "content_block_start", "index": self._blocks - 1, "content_block": block}
        return before + event(start, "content_block_start")

    def _stop_block(self) -> bytes:
        return event({"type": "content_block_stop", "index": self._blocks - 1}, "content_block_stop") if self._open else b""

    def ended(self, answer: Answer) -> bytes:
        """Return the end of the block and the stop reason."""
        before = b"" if self._blocks else self._block("text")
        reason, stop = self._reason(answer)
        delta = {"stop_reason": reason, "stop_sequence": stop}
        usage = {"output_tokens": n_generated([answer])}
        return before + self._stop_block() + event({"type": "message_delta", "delta": delta, "usage": usage}, "message_delta")

    def closing(self, answers: Sequence[Answer]) -> bytes:  # noqa: ARG002
        """Return the end."""
        return event({"type": "message_stop"}, "message_stop")

    def failed(self, refusal: Refusal) -> bytes:
        """Return the error."""
        return event({"type": "error", "error": {"type": error_type(refusal), "message": refusal.message}}, "error")

    def _reason(self, answer: Answer) -> tuple[str, str | None]:
        match answer.finished.reason:
            case StopReason.LENGTH:
                return "max_tokens", None
            case StopReason.STOP_STRING if self._stops:
                return "stop_sequence", self._stops[0] if len(self._stops) == 1 else None
            case _:
                return "tool_use" if answer.calls else "end_turn", None

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """Return the message."""
        parser = answers[0].turn.parser
        content: list[dict[str, Any]] = []
        if parser.thinking:
            content.append({"type": "thinking", "thinking": parser.thinking, "signature": ""})
        if (text := answers[0].text) or not answers[0].calls:
            content.append({"type": "text", "text": text})
        content += [{"type": "tool_use", "id": call.id, "name": call.name, "input": arguments_of(call)} for call in answers[0].calls]
        cached = n_cached(answers)
        usage = {
            "cache_read_input_tokens": cached,
            "input_tokens": n_prompt(answers) - cached,
            "output_tokens": n_generated(answers),
        }
        return {**self._message(content, *self._reason(answers[0])), "usage": usage}


def error_type(refusal: Refusal) -> str:
    """Return the name of an error in this API."""
    names = {429: "rate_limit_error", 503: "overloaded_error", 500: "api_error", 413: "request_too_large"}
    return names.get(refusal.status, "invalid_request_error" if refusal.status == 400 else refusal.kind)


async def messages(request: Request, served: Served) -> None:
    """Answer `POST /v1/messages`."""
    body = read(MessagesBody, request.body)
    question = await question_of(body, served, body.prompt(served.preset), tools=body.offered)
    await exchange(request, served, question, MessagesFace(served.name, question.stop), stream=body.stream)


async def count_tokens(request: Request, served: Served) -> None:
    """Answer `POST /v1/messages/count_tokens`."""
    body = read(MessagesBody, request.body)
    await request.answer({"input_tokens": (await served.rendered(body.prompt(served.preset))).n_tokens})


POST = {"/v1/messages": messages, "/v1/messages/count_tokens": count_tokens}
