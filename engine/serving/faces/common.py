"""Parts shared by the API forms: names, counts, timings."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from engine import __version__
from engine.backend import PrefillProgressed, StopReason
from engine.logprobs import Likely, TokenLogprobs
from engine.messages import Thinking, ToolCall
from engine.serving.answers import Answer
from engine.serving.request import encode
from engine.timings import Timings

FINGERPRINT: Final = f"b-xchat-{__version__}"
_TIMINGS: Final = (
    "cache_n",
    "prompt_n",
    "prompt_ms",
    "prompt_per_token_ms",
    "prompt_per_second",
    "predicted_n",
    "predicted_ms",
    "predicted_per_token_ms",
    "predicted_per_second",
)


def new_id(prefix: str) -> str:
    """Return an unguessable id."""
    return prefix + secrets.token_hex(16)


def arguments_of(call: ToolCall) -> Any:
    """Return the arguments of a call as an object; text that is not JSON is wrapped in one."""
    try:
        return msgspec.json.decode(call.arguments)
    except (msgspec.DecodeError, RecursionError):
        return {"arguments": call.arguments}


def thinking_of(effort: object) -> Thinking | None:
    """Return the thinking setting for OpenAI's `effort`; None where the request has none."""
    return None if effort is None else "off" if effort == "none" else "on"


def event(value: object, name: str = "") -> bytes:
    """Return a server-sent event with a JSON object."""
    data = encode(value)
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data) if name else b"data: %b\n\n" % data


def finish_reason(answer: Answer) -> str:
    """Return OpenAI's `finish_reason` of an answer."""
    if answer.finished.reason is StopReason.LENGTH:
        return "length"
    return "tool_calls" if answer.calls else "stop"


def calls_object(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    """Return OpenAI's `tool_calls`."""
    return [{"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in calls]


def timings_of(answers: Sequence[Answer]) -> dict[str, Any]:
    """Return the timings of the first answer, in llama-server's form."""
    return timings_object(answers[0].finished.timings)


def timings_object(timings: Timings) -> dict[str, Any]:
    """Return timings in llama-server's form, 0 where unknown. As there, the decode rate excludes the first token."""
    every = timings.as_dict()
    later = timings.predicted_n - 1
    every["predicted_per_token_ms"] = timings.predicted_ms / later if later > 0 else 0.0
    every["predicted_per_second"] = later / timings.predicted_ms * 1e3 if later > 0 and timings.predicted_ms > 0 else 0.0
    return {name: every[name] or 0.0 if isinstance(every[name], float | None) else every[name] for name in _TIMINGS}


def progress_object(answer: Answer, progress: PrefillProgressed | None = None) -> dict[str, Any]:
    """Return the progress of a prefill in llama-server's form; without `progress`, of its beginning."""
    processed, ms = (progress.processed, progress.elapsed_ms) if progress else (0, 0.0)
    return {"total": answer.n_prompt, "cache": answer.cached, "processed": answer.cached + processed, "time_ms": round(ms)}


def logprobs_object(tokens: Sequence[TokenLogprobs]) -> dict[str, Any]:
    """Return OpenAI's `logprobs` of a chat."""
    return {"content": [{**_likely(token.chosen), "top_logprobs": list(map(_likely, token.top))} for token in tokens]}


def _likely(likely: Likely) -> dict[str, Any]:
    head = {"id": likely.token, "token": piece_text(likely), "bytes": list(likely.piece)}
    return {**head, "logprob": least(likely.logprob)}


def least(logprob: float) -> float:
    """Return a finite log-probability: JSON has no infinity for impossible tokens."""
    return max(logprob, -9_999.0)


def piece_text(likely: Likely) -> str:
    """Return the text of a token without the bytes of an incomplete character."""
    return likely.piece.decode("utf-8", "ignore")


def n_prompt(answers: Sequence[Answer]) -> int:
    """Return the number of prompt tokens."""
    return sum(answer.finished.prompt_tokens for answer in answers if answer.leads)


def n_cached(answers: Sequence[Answer]) -> int:
    """Return the prompt tokens of the first answer that were in the KV cache."""
    return answers[0].cached


def n_generated(answers: Sequence[Answer]) -> int:
    """Return the number of tokens of all answers."""
    return sum(answer.finished.timings.predicted_n for answer in answers)


def usage_of(answers: Sequence[Answer]) -> dict[str, Any]:
    """Return OpenAI's `usage`."""
    prompt, generated = n_prompt(answers), n_generated(answers)
    return {
        "completion_tokens": generated,
        "prompt_tokens": prompt,
        "total_tokens": prompt + generated,
        "prompt_tokens_details": {"cached_tokens": n_cached(answers)},
    }
