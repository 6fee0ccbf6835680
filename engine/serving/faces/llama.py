"""llama-server's own completion of texts and tokens."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from engine.logprobs import TokenLogprobs
from engine.messages import TokenPrompt
from engine.serving.answers import Answer, Growth
from engine.serving.bodies import Generation, question_of, read
from engine.serving.exchange import EventFace, exchange
from engine.serving.faces.common import event, logprobs_object, progress_object, timings_object
from engine.serving.faces.details import Details, details_of
from engine.serving.prompts import Prompts, prompts_of
from engine.serving.request import Request
from engine.serving.served import Served


class CompletionBody(Generation, kw_only=True):
    """The body of a completion."""

    prompt: Prompts
    return_tokens: bool = False
    n_probs: int = 0
    response_fields: list[str] | None = None


class LlamaFace(EventFace):
    """The form of a completion."""

    def __init__(self, body: CompletionBody, details: Details, prompts: Sequence[str]) -> None:
        self._body = body
        self._details = details
        self._prompts = prompts

    def _part(
        self, answer: Answer, text: str, tokens: Sequence[int], count: int, likely: Sequence[TokenLogprobs] = (), **more: Any
    ) -> bytes:
        if likely:
            more["completion_probabilities"] = logprobs_object(likely)["content"]
        if self._body.timings_per_token:
            more["timings"] = timings_object(answer.timings_after(count))
        head = {"index": answer.index, "content": text, "tokens": tokens, "stop": False, "id_slot": answer.index}
        return event({**head, "tokens_predicted": count, "tokens_evaluated": answer.n_prompt, **more})

    def opening(self, answers: Sequence[Answer]) -> bytes:
        """Return the beginning of the prefill, if requested."""
        if not self._body.return_progress:
            return b""
        return b"".join(self._part(answer, "", (), 0, prompt_progress=progress_object(answer)) for answer in answers)

    def grown(self, answer: Answer, growth: Growth) -> bytes:
        """Return an event for each token."""
        parts = [self._part(answer, "", (), 0, prompt_progress=progress_object(answer, progress)) for progress in growth.progress]
        count = answer.turn.n_tokens - sum(len(chunk.tokens) for chunk in growth.chunks)
        for chunk in growth.chunks:
            for piece, token, likely in zip_longest(chunk.pieces, chunk.tokens, chunk.logprobs):
                count += 1
                parts.append(self._part(answer, piece, (token,), count, [likely] if likely else ()))
        if tail := growth.answer[sum(len(piece) for chunk in growth.chunks for piece in chunk.pieces) :]:
            parts.append(self._part(answer, tail, (), count))
        return b"".join(parts)

    def ended(self, answer: Answer) -> bytes:
        """Return the figures."""
        return event(self._whole(answer))

    def closing(self, answers: Sequence[Answer]) -> bytes:  # noqa: ARG002
        """Return nothing."""
        return b""

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any] | list[dict[str, Any]]:
        """Return the completion; a list for several."""
        every = [self._whole(answer) for answer in answers]
        return every[0] if len(every) == 1 else every

    def _whole(self, answer: Answer) -> dict[str, Any]:
        tokens = answer.turn.tokens if self._body.return_tokens and not self._body.stream else ()
        whole = self._details.of(answer, self._prompts[answer.index], tokens)
        if answer.logprobs and not self._body.stream:
            whole["completion_probabilities"] = logprobs_object(answer.logprobs)["content"]
        return {path: _at(whole, path) for path in self._body.response_fields} if self._body.response_fields else whole


def _at(whole: dict[str, Any], path: str) -> Any:
    """Return the value of a field, such as `timings/prompt_n`; None where missing."""
    value: Any = whole
    for name in path.split("/"):
        value = value.get(name) if isinstance(value, dict) else None
    return value


async def completion(request: Request, served: Served) -> None:
    """Answer `POST /completion`."""
    body = read(CompletionBody, request.body)
    prompts = await prompts_of(body.prompt, served)
    question = await question_of(body, served, *map(TokenPrompt, prompts), plain=True, logprobs=body.n_probs or None)
    texts = [await served.shown(prompt) for prompt in prompts]
    face = LlamaFace(body, await details_of(served, question, stream=body.stream), texts)
    await exchange(request, served, question, face, stream=body.stream)


POST = {"/completion": completion, "/completions": completion}
