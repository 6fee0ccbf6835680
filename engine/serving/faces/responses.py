"""OpenAI's responses, without storage of earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, ClassVar

import msgspec

from engine.clock import wall_ms
from engine.messages import ToolCall
from engine.serving.answers import Answer, Growth
from engine.serving.bodies import Generation, question_of, read
from engine.serving.conversation import WireMessage, conversation
from engine.serving.exchange import EventFace, exchange
from engine.serving.faces.common import (
    event,
    n_cached,
    n_generated,
    n_prompt,
    new_id,
    progress_object,
    thinking_of,
    timings_object,
    timings_of,
)
from engine.serving.forms import of_format
from engine.serving.refusal import Refusal
from engine.serving.request import Request
from engine.serving.served import Served
from engine.serving.tools import choice_of, tools_of


class ResponsesBody(Generation, kw_only=True):
    """The body of a response."""

    limits: ClassVar = ("max_output_tokens",)

    input: str | list[dict[str, Any]]
    instructions: str | None = None
    max_output_tokens: int | None = None
    previous_response_id: str | None = None
    text: dict[str, Any] | None = None
    tools: list[Any] = msgspec.field(default_factory=list)
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool = True
    reasoning: dict[str, Any] | None = None

    @property
    def messages(self) -> list[WireMessage]:
        """The input as messages. Raises Refusal."""
        if isinstance(self.input, str):
            return [WireMessage(role="user", content=self.input)]
        messages: list[WireMessage] = []
        wrong = []
        for index, item in enumerate(self.input):
            kind = item.get("type", "message")
            if kind == "reasoning":
                continue
            try:
                if kind == "function_call":
                    if not messages or messages[-1].role != "assistant":
                        messages.append(WireMessage(role="assistant"))
                    call = {"id": item.get("call_id"), "function": {"name": item.get("name"), "arguments": item.get("arguments")}}
                    messages[-1].tool_calls = [*(messages[-1].tool_calls or ()), call]
                elif kind == "function_call_output":
                    result = {"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output")}
                    messages.append(msgspec.convert(result, WireMessage))
                else:
                    messages.append(msgspec.convert({"role": None, **item}, WireMessage))
            except msgspec.ValidationError as error:
                wrong.append(f"input[{index}]: {error}")
        if wrong:
            raise Refusal(HTTPStatus.BAD_REQUEST, "; ".join(wrong[:20]))
        return messages


class ResponsesFace(EventFace):
    """The form of a response."""

    def __init__(self, model: str, body: ResponsesBody) -> None:
        self._body = body
        self._model = model
        self._id = new_id("resp_")
        self._item = new_id("msg_")
        self._created = wall_ms() // 1000
        self._opened: int | None = None
        """Index of the text in the output."""
        self._n_items = 0
        self._sequence = 0

    def _event(self, name: str, /, **fields: Any) -> bytes:
        self._sequence += 1
        return event({"type": name, "sequence_number": self._sequence - 1, **fields}, name)

    def _at(self) -> dict[str, Any]:
        return {"item_id": self._item, "output_index": self._opened, "content_index": 0}

    def opening(self, answers: Sequence[Answer]) -> bytes:
        """Return the response without output."""
        response = self._response("in_progress", [])
        more = {"prompt_progress": progress_object(answers[0])} if self._body.return_progress else {}
        return self._event("response.created", response=response) + self._event("response.in_progress", response=response, **more)

    def grown(self, answer: Answer, growth: Growth) -> bytes:
        """Return the added text."""
        response = self._response("in_progress", [])
        parts = b"".join(
            self._event("response.in_progress", response=response, prompt_progress=progress_object(answer, progress))
            for progress in growth.progress
        )
        if not growth.answer:
            return parts + b"".join(map(self._call, growth.calls))
        more = {"timings": timings_object(answer.timings_after(answer.turn.n_tokens))} if self._body.timings_per_token else {}
        parts += self._open()
        parts += self._event("response.output_text.delta", **self._at(), delta=growth.answer, logprobs=[], **more)
        return parts + b"".join(map(self._call, growth.calls))

    def _call(self, call: ToolCall) -> bytes:
        """Return a whole call."""
        item = _item_of(call)
        at = {"output_index": self._n_items}
        self._n_items += 1
        return (
            self._event("response.output_item.added", **at, item={**item, "arguments": "", "status": "in_progress"})
            + self._event("response.function_call_arguments.delta", **at, item_id=item["id"], delta=call.arguments)
            + self._event("response.function_call_arguments.done", **at, item_id=item["id"], name=call.name, arguments=call.arguments)
            + self._event("response.output_item.done", **at, item=item)
        )

    def _open(self) -> bytes:
        if self._opened is not None:
            return b""
        self._opened = self._n_items
        self._n_items += 1
        item = {"content": [], "id": self._item, "role": "assistant", "status": "in_progress", "type": "message"}
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
        return self._event("response.output_item.added", output_index=self._opened, item=item) + self._event(
            "response.content_part.added", **self._at(), part=part
        )

    def ended(self, answer: Answer) -> bytes:
        """Return the whole text, if there is one."""
        if answer.calls and not answer.text:
            return b""
        text = answer.text
        before, item = self._open(), self._items(answer)[0]
        return (
            before
            + self._event("response.output_text.done", **self._at(), text=text, logprobs=[])
            + self._event("response.content_part.done", **self._at(), part=item["content"][0])
            + self._event("response.output_item.done", output_index=self._opened, item=item)
        )

    def closing(self, answers: Sequence[Answer]) -> bytes:
        """Return the whole response."""
        return self._event("response.completed", response=self.whole(answers), timings=timings_of(answers))

    def failed(self, refusal: Refusal) -> bytes:
        """Return the error."""
        error = {"code": "server_error", "message": refusal.message}
        return self._event("response.failed", response={**self._response("failed", []), "error": error})

    def _items(self, answer: Answer) -> list[dict[str, Any]]:
        content = [{"type": "output_text", "annotations": [], "logprobs": [], "text": answer.text}]
        message = {"type": "message", "status": "completed", "id": self._item, "content": content, "role": "assistant"}
        return [*([message] if answer.text or not answer.calls else []), *map(_item_of, answer.calls)]

    def _response(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "model": self._model,
            "output": output,
            "parallel_tool_calls": self._body.parallel_tool_calls,
            "tool_choice": self._body.tool_choice or "auto",
            "tools": self._body.tools,
        }

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """Return the response."""
        prompt, generated = n_prompt(answers), n_generated(answers)
        usage = {
            "input_tokens": prompt,
            "output_tokens": generated,
            "total_tokens": prompt + generated,
            "input_tokens_details": {"cached_tokens": n_cached(answers)},
            "output_tokens_details": {"reasoning_tokens": answers[0].turn.parser.thinking_tokens},
        }
        output = self._items(answers[0])
        return {**self._response("completed", output), "completed_at": wall_ms() // 1000, "usage": usage}


def _item_of(call: ToolCall) -> dict[str, Any]:
    head = {"type": "function_call", "id": f"fc_{call.id}", "call_id": call.id, "status": "completed"}
    return {**head, "name": call.name, "arguments": call.arguments}


async def responses(request: Request, served: Served) -> None:
    """Answer `POST /v1/responses`."""
    body = read(ResponsesBody, request.body)
    if body.previous_response_id is not None:
        raise Refusal(HTTPStatus.BAD_REQUEST, "previous_response_id is not supported: no response is kept")
    form = of_format((body.text or {}).get("format"), "text.format")
    thinking = thinking_of((body.reasoning or {}).get("effort"))
    tools = tools_of(body.tools, choice_of(body.tool_choice), parallel=body.parallel_tool_calls)
    prompt = conversation(body.messages, served.preset, system=body.instructions or "", thinking=thinking, tools=tools)
    question = await question_of(body, served, prompt, constraint=form, tools=tools)
    await exchange(request, served, question, ResponsesFace(served.name, body), stream=body.stream)


POST = {"/v1/responses": responses, "/responses": responses}
