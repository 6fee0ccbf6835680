"""OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from engine.chat.thinking import Split
from engine.clock import wall_ms
from engine.messages import Thinking
from engine.serving.answers import Answer
from engine.serving.bodies import Generation, question_of, read
from engine.serving.conversation import WireMessage, conversation
from engine.serving.exchange import EventFace, exchange
from engine.serving.faces.common import FINGERPRINT, event, finish_reason, new_id, thinking_of, timings_of, usage_of
from engine.serving.refusal import Refusal
from engine.serving.request import Request
from engine.serving.served import Served


class StreamOptions(msgspec.Struct):
    """What else a stream has."""

    include_usage: bool = False


class ChatBody(Generation, kw_only=True):
    """The body of a chat completion."""

    limits: ClassVar = ("max_completion_tokens", *Generation.limits)

    messages: list[WireMessage]
    n: int = 1
    max_completion_tokens: int | None = None
    stream_options: StreamOptions | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    reasoning_effort: str | None = None

    @property
    def thinking(self) -> Thinking | None:
        """Whether the model is to think; None where the request does not say."""
        asked = (self.chat_template_kwargs or {}).get("enable_thinking")
        if isinstance(asked, bool):
            return "on" if asked else "off"
        return thinking_of(self.reasoning_effort)


class ChatFace(EventFace):
    """The form of a chat completion."""

    def __init__(self, model: str, *, include_usage: bool) -> None:
        self._include_usage = include_usage
        self._rest = {"created": wall_ms() // 1000, "id": new_id("chatcmpl-"), "model": model, "system_fingerprint": FINGERPRINT}

    def _chunk(self, index: int, delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
        choices = [{"finish_reason": reason, "index": index, "delta": delta}]
        return event({"choices": choices, **self._rest, "object": "chat.completion.chunk", **more})

    def opening(self, answers: Sequence[Answer]) -> bytes:
        """The role of each answer."""
        return b"".join(self._chunk(answer.index, {"role": "assistant", "content": None}) for answer in answers)

    def grown(self, answer: Answer, split: Split) -> bytes:
        """The text and the reasoning that an answer grew by."""
        parts = b""
        if split.thinking:
            parts += self._chunk(answer.index, {"reasoning_content": split.thinking})
        if split.answer:
            parts += self._chunk(answer.index, {"content": split.answer})
        return parts

    def ended(self, answer: Answer) -> bytes:
        """Why it ended; with the timings where no other chunk follows."""
        more = {} if self._include_usage else {"timings": timings_of([answer])}
        return self._chunk(answer.index, {}, finish_reason(answer.finished), **more)

    def closing(self, answers: Sequence[Answer]) -> bytes:
        """The usage, if asked for, and the end."""
        if not self._include_usage:
            return b"data: [DONE]\n\n"
        last = {"usage": usage_of(answers), "timings": timings_of(answers)}
        return event({"choices": [], **self._rest, "object": "chat.completion.chunk", **last}) + b"data: [DONE]\n\n"

    def failed(self, refusal: Refusal) -> bytes:
        """The error."""
        return event({"error": refusal.error})

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """The completion."""
        choices = []
        for answer in answers:
            parser = answer.turn.parser
            message = {"role": "assistant", "content": parser.answer}
            if parser.thinking:
                message["reasoning_content"] = parser.thinking
            choices.append({"finish_reason": finish_reason(answer.finished), "index": answer.index, "message": message})
        return {
            "choices": choices,
            **self._rest,
            "object": "chat.completion",
            "usage": usage_of(answers),
            "timings": timings_of(answers),
        }


async def chat(request: Request, served: Served) -> None:
    """Answer `POST /v1/chat/completions`."""
    body = read(ChatBody, request.body)
    question = await question_of(body, served, conversation(body.messages, served.preset, thinking=body.thinking), n=body.n)
    face = ChatFace(served.name, include_usage=body.stream_options is not None and body.stream_options.include_usage)
    await exchange(request, served, question, face, stream=body.stream)


POST = {"/v1/chat/completions": chat, "/chat/completions": chat}
