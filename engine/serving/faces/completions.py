"""OpenAI's text completions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from engine.clock import wall_ms
from engine.logprobs import TokenLogprobs
from engine.messages import TokenPrompt
from engine.serving.answers import Answer, Growth
from engine.serving.bodies import Generation, question_of, read
from engine.serving.exchange import EventFace, exchange
from engine.serving.faces.common import (
    FINGERPRINT,
    event,
    finish_reason,
    least,
    logprobs_object,
    new_id,
    piece_text,
    progress_object,
    timings_of,
    usage_of,
)
from engine.serving.faces.details import Details, details_of
from engine.serving.faces.openai import StreamOptions
from engine.serving.prompts import Prompts, prompts_of
from engine.serving.request import Request
from engine.serving.served import Served

DEFAULT_TOKENS = 16
"""OpenAI's default, where neither request nor preset sets a limit."""


class CompletionBody(Generation, kw_only=True):
    """The body of a completion."""

    prompt: Prompts
    n: int = 1
    logprobs: int | bool | None = None
    echo: bool = False
    stream_options: StreamOptions | None = None

    @property
    def n_likely(self) -> int | None:
        """Number of the likeliest tokens to report; None for no report."""
        return None if self.logprobs is None or self.logprobs is False else int(self.logprobs)


class Echo(NamedTuple):
    """A prompt returned in front of its answers."""

    text: str
    first: str
    """The text of its first token, which has no log-probability."""


class CompletionFace(EventFace):
    """The form of a completion."""

    def __init__(self, model: str, body: CompletionBody, echoes: Sequence[Echo], details: Details | None) -> None:
        """Create the form; `details` are for verbose requests."""
        self._rest = {"created": wall_ms() // 1000, "model": model, "system_fingerprint": FINGERPRINT, "object": "text_completion"}
        self._id = {"id": new_id("cmpl-")}
        self._body = body
        self._echoes = echoes
        self._echoed: set[Answer] = set()
        self._details = details

    def _choice(self, answer: Answer, text: str, tokens: Sequence[TokenLogprobs], reason: str | None = None) -> dict[str, Any]:
        """Return a part of an answer; the first one begins with the prompt, if requested."""
        first = ""
        if self._echoes and answer not in self._echoed:
            self._echoed.add(answer)
            echo = self._echoes[answer.index // self._body.n]
            text = echo.text + text
            if answer.scored is not None:
                first, tokens = echo.first, [*answer.scored.logprobs, *tokens]
        logprobs = None if self._body.n_likely is None or (reason and not tokens) else _logprobs(first, tokens)
        return {"text": text, "index": answer.index, "logprobs": logprobs, "finish_reason": reason}

    def _chunk(self, choice: dict[str, Any], **more: Any) -> bytes:
        return event({"choices": [choice], **self._rest, **self._id, **more})

    def opening(self, answers: Sequence[Answer]) -> bytes:  # noqa: ARG002
        """Return nothing."""
        return b""

    def grown(self, answer: Answer, growth: Growth) -> bytes:
        """Return the text added to an answer."""
        empty = {"text": "", "index": answer.index, "logprobs": None, "finish_reason": None}
        parts = b"".join(self._chunk(empty, prompt_progress=progress_object(answer, progress)) for progress in growth.progress)
        if growth.answer or growth.logprobs:
            parts += self._chunk(self._choice(answer, growth.answer, growth.logprobs))
        return parts

    def ended(self, answer: Answer) -> bytes:
        """Return the finish reason, with the usage and the timings."""
        choice = self._choice(answer, "", (), finish_reason(answer))
        return self._chunk(choice, usage=usage_of([answer]), timings=timings_of([answer]), **self._verbose(answer))

    def _verbose(self, answer: Answer) -> dict[str, Any]:
        return {} if self._details is None else {"__verbose": self._details.of(answer)}

    def closing(self, answers: Sequence[Answer]) -> bytes:  # noqa: ARG002
        """Return the end."""
        return b"data: [DONE]\n\n"

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """Return the completion."""
        choices = [self._choice(answer, answer.text, answer.logprobs, finish_reason(answer)) for answer in answers]
        rest = {**self._rest, "usage": usage_of(answers), **self._id, "timings": timings_of(answers)}
        return {"choices": choices, **rest, **self._verbose(answers[0])}


def _logprobs(first: str, tokens: Sequence[TokenLogprobs]) -> dict[str, Any]:
    """Return the `logprobs` of a completion, also in the form of a chat; `first` is a token without one."""
    before = [first] if first else []
    texts = before + [piece_text(token.chosen) for token in tokens]
    nothing = [None] * len(before)
    return {
        "tokens": texts,
        "token_logprobs": [*nothing, *(least(token.chosen.logprob) for token in tokens)],
        "top_logprobs": [*nothing, *({piece_text(likely): least(likely.logprob) for likely in token.top} for token in tokens)],
        "text_offset": list(accumulate(map(len, texts[:-1]), initial=0)) if texts else [],
        **logprobs_object(tokens),
    }


async def completions(request: Request, served: Served) -> None:
    """Answer `POST /v1/completions`."""
    body = read(CompletionBody, request.body)
    prompts = await prompts_of(body.prompt, served)
    if body.max_tokens is None and body.n_predict is None and served.preset.max_tokens is None:
        body.max_tokens = DEFAULT_TOKENS
    question = await question_of(
        body, served, *map(TokenPrompt, prompts), n=body.n, plain=True, logprobs=body.n_likely, prompt_logprobs=body.echo
    )
    echoes = [Echo(await served.text(prompt), await served.shown(prompt[:1])) for prompt in prompts] if body.echo else []
    verbose = served.options.verbose if body.verbose is None else body.verbose
    details = await details_of(served, question, stream=body.stream) if verbose else None
    await exchange(request, served, question, CompletionFace(served.name, body, echoes, details), stream=body.stream)


POST = {"/v1/completions": completions}
