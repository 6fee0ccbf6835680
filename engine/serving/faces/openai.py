"""OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, ClassVar

import msgspec

from engine.clock import wall_ms
from engine.logprobs import TokenLogprobs
from engine.messages import ChatPrompt, Thinking
from engine.serving.answers import Answer, Growth
from engine.serving.bodies import Generation, question_of, read
from engine.serving.conversation import WireMessage, conversation
from engine.serving.exchange import EventFace, exchange
from engine.serving.faces.common import (
    FINGERPRINT,
    calls_object,
    event,
    finish_reason,
    logprobs_object,
    new_id,
    progress_object,
    thinking_of,
    timings_object,
    timings_of,
    usage_of,
)
from engine.serving.faces.details import Details, details_of
from engine.serving.refusal import Refusal
from engine.serving.request import Request
from engine.serving.served import Served
from engine.serving.tools import Tools, choice_of, tools_of


class StreamOptions(msgspec.Struct):
    """Optional contents of a stream."""

    include_usage: bool = False


class ChatBody(Generation, kw_only=True):
    """The body of a chat completion."""

    limits: ClassVar = ("max_completion_tokens", *Generation.limits)

    messages: list[WireMessage]
    n: int = 1
    max_completion_tokens: int | None = None
    stream_options: StreamOptions | None = None
    tools: list[Any] = msgspec.field(default_factory=list)
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool = True
    logprobs: bool = False
    top_logprobs: int | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool = False
    chat_template_kwargs: dict[str, Any] | None = None
    reasoning_effort: str | None = None

    @property
    def thinking(self) -> Thinking | None:
        """The thinking setting; None where the request has none."""
        asked = (self.chat_template_kwargs or {}).get("enable_thinking")
        if isinstance(asked, bool):
            return "on" if asked else "off"
        return thinking_of(self.reasoning_effort)

    def prompt(self, served: Served) -> ChatPrompt:
        """Return the conversation. Raises Refusal."""
        if self.add_generation_prompt and self.continue_final_message:
            raise Refusal(HTTPStatus.BAD_REQUEST, "add_generation_prompt and continue_final_message exclude each other")
        return conversation(self.messages, served.preset, thinking=self.thinking, tools=self.offered)

    @property
    def offered(self) -> Tools | None:
        """The tools. Raises Refusal."""
        return tools_of(self.tools, choice_of(self.tool_choice), parallel=self.parallel_tool_calls)


class ChatFace(EventFace):
    """The form of a chat completion."""

    def __init__(self, model: str, body: ChatBody, details: Details | None) -> None:
        """Create the form; `details` are for verbose requests."""
        self._include_usage = body.stream_options is not None and body.stream_options.include_usage
        self._body = body
        self._details = details
        self._rest = {"created": wall_ms() // 1000, "id": new_id("chatcmpl-"), "model": model, "system_fingerprint": FINGERPRINT}

    def _chunk(self, answer: Answer, delta: dict[str, Any], *, logprobs: Sequence[TokenLogprobs] = (), **more: Any) -> bytes:
        choice: dict[str, Any] = {"finish_reason": more.pop("reason", None), "index": answer.index, "delta": delta}
        if logprobs:
            choice["logprobs"] = logprobs_object(logprobs)
        return event({"choices": [choice], **self._rest, "object": "chat.completion.chunk", **more})

    def opening(self, answers: Sequence[Answer]) -> bytes:
        """Return the role of each answer."""
        delta = {"role": "assistant", "content": None}
        if not self._body.return_progress:
            return b"".join(self._chunk(answer, delta) for answer in answers)
        return b"".join(self._chunk(answer, delta, prompt_progress=progress_object(answer)) for answer in answers)

    def grown(self, answer: Answer, growth: Growth) -> bytes:
        """Return the text and the reasoning added to an answer."""
        parts = b"".join(self._chunk(answer, {}, prompt_progress=progress_object(answer, progress)) for progress in growth.progress)
        deltas: list[dict[str, Any]] = [
            {name: text} for name, text in (("reasoning_content", growth.thinking), ("content", growth.answer)) if text
        ]
        first = len(answer.calls) - len(growth.calls)
        deltas += [{"tool_calls": [{"index": first + at, **call}]} for at, call in enumerate(calls_object(growth.calls))]
        if growth.logprobs and not deltas:
            deltas.append({})
        for delta in deltas:
            more: dict[str, Any] = (
                {"timings": timings_object(answer.timings_after(answer.turn.n_tokens))} if self._body.timings_per_token else {}
            )
            parts += self._chunk(answer, delta, logprobs=growth.logprobs if delta is deltas[-1] else (), **more)
        return parts

    def ended(self, answer: Answer) -> bytes:
        """Return the finish reason; with the timings where no other chunk follows."""
        more = self._verbose(answer)
        if not self._include_usage:
            more["timings"] = timings_of([answer])
        return self._chunk(answer, {}, reason=finish_reason(answer), **more)

    def _verbose(self, answer: Answer) -> dict[str, Any]:
        return {} if self._details is None else {"__verbose": self._details.of(answer)}

    def closing(self, answers: Sequence[Answer]) -> bytes:
        """Return the usage, if asked for, and the end."""
        if not self._include_usage:
            return b"data: [DONE]\n\n"
        last = {"usage": usage_of(answers), "timings": timings_of(answers)}
        return event({"choices": [], **self._rest, "object": "chat.completion.chunk", **last}) + b"data: [DONE]\n\n"

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """Return the completion."""
        return {
            "choices": list(map(self._choice, answers)),
            **self._rest,
            "object": "chat.completion",
            "usage": usage_of(answers),
            "timings": timings_of(answers),
            **self._verbose(answers[0]),
        }

    def _choice(self, answer: Answer) -> dict[str, Any]:
        parser = answer.turn.parser
        message: dict[str, Any] = {"role": "assistant", "content": answer.text}
        if answer.calls:
            message |= {"content": answer.text or None, "tool_calls": calls_object(answer.calls)}
        if parser.thinking:
            message["reasoning_content"] = parser.thinking
        choice: dict[str, Any] = {"finish_reason": finish_reason(answer), "index": answer.index, "message": message}
        if self._body.logprobs:
            choice["logprobs"] = logprobs_object(answer.logprobs)
        return choice


async def chat(request: Request, served: Served) -> None:
    """Answer `POST /v1/chat/completions`."""
    body = read(ChatBody, request.body)
    most = (body.top_logprobs or 0) if body.logprobs else None
    question = await question_of(body, served, body.prompt(served), n=body.n, logprobs=most, tools=body.offered)
    verbose = served.options.verbose if body.verbose is None else body.verbose
    details = await details_of(served, question, stream=body.stream) if verbose else None
    await exchange(request, served, question, ChatFace(served.name, body, details), stream=body.stream)


async def input_tokens(request: Request, served: Served) -> None:
    """Answer `POST /v1/chat/completions/input_tokens`."""
    body = read(ChatBody, request.body)
    await request.answer({"input_tokens": (await served.rendered(body.prompt(served))).n_tokens})


_PATHS = ("/v1/chat/completions", "/chat/completions")
POST = {**dict.fromkeys(_PATHS, chat), **{f"{path}/input_tokens": input_tokens for path in _PATHS}}
