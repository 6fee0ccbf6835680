"""OpenAI's completions of a text."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from engine.chat.thinking import Split
from engine.clock import wall_ms
from engine.messages import TokenPrompt
from engine.serving.answers import Answer
from engine.serving.bodies import Generation, question_of, read
from engine.serving.exchange import EventFace, exchange
from engine.serving.faces.common import FINGERPRINT, event, finish_reason, new_id, timings_of, usage_of
from engine.serving.faces.openai import StreamOptions
from engine.serving.refusal import Refusal
from engine.serving.request import Request
from engine.serving.served import Served

DEFAULT_TOKENS = 16
"""OpenAI's, where a request sets no limit and the preset none either."""


class CompletionBody(Generation, kw_only=True):
    """The body of a completion."""

    prompt: str | list[str | int]
    n: int = 1
    stream_options: StreamOptions | None = None


class CompletionFace(EventFace):
    """The form of a completion."""

    def __init__(self, model: str) -> None:
        self._rest = {"created": wall_ms() // 1000, "model": model, "system_fingerprint": FINGERPRINT, "object": "text_completion"}
        self._id = {"id": new_id("cmpl-")}

    def _chunk(self, index: int, text: str, reason: str | None = None, **more: Any) -> bytes:
        choices = [{"text": text, "index": index, "logprobs": None, "finish_reason": reason}]
        return event({"choices": choices, **self._rest, **self._id, **more})

    def opening(self, answers: Sequence[Answer]) -> bytes:  # noqa: ARG002
        """Nothing."""
        return b""

    def grown(self, answer: Answer, split: Split) -> bytes:
        """The text that an answer grew by."""
        return self._chunk(answer.index, split.answer)

    def ended(self, answer: Answer) -> bytes:
        """Why it ended, with the usage and the timings."""
        return self._chunk(answer.index, "", finish_reason(answer.finished), usage=usage_of([answer]), timings=timings_of([answer]))

    def closing(self, answers: Sequence[Answer]) -> bytes:  # noqa: ARG002
        """The end."""
        return b"data: [DONE]\n\n"

    def failed(self, refusal: Refusal) -> bytes:
        """The error."""
        return event({"error": refusal.error})

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """The completion."""
        choices = [
            {"text": answer.text, "index": answer.index, "logprobs": None, "finish_reason": finish_reason(answer.finished)}
            for answer in answers
        ]
        return {"choices": choices, **self._rest, "usage": usage_of(answers), **self._id, "timings": timings_of(answers)}


async def completions(request: Request, served: Served) -> None:
    """Answer `POST /v1/completions`."""
    body = read(CompletionBody, request.body)
    tokens = await _tokens(body.prompt, served)
    if body.max_tokens is None and body.n_predict is None and served.preset.max_tokens is None:
        body.max_tokens = DEFAULT_TOKENS
    question = await question_of(body, served, TokenPrompt(tokens), n=body.n, plain=True)
    await exchange(request, served, question, CompletionFace(served.name), stream=body.stream)


async def _tokens(prompt: str | list[str | int], served: Served) -> tuple[int, ...]:
    """The tokens of a prompt: one text, or their ids."""
    ids = [part for part in prompt if isinstance(part, int)]
    if ids and len(ids) == len(prompt):
        return await served.known(ids)
    texts = [prompt] if isinstance(prompt, str) else [part for part in prompt if isinstance(part, str)]
    if len(texts) != 1 or ids:
        raise Refusal(HTTPStatus.BAD_REQUEST, "prompt is neither one text nor a list of tokens: send a request for each text")
    if not texts[0]:
        raise Refusal(HTTPStatus.BAD_REQUEST, "prompt is empty")
    return await served.tokenize(texts[0], add_special=True)


POST = {"/v1/completions": completions}
