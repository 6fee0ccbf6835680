"""Makes the result of a line as JSON, and the figures of a whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.backend import StopReason
from engine.batch.lines import BatchLine, Shape
from engine.batch.results import ENGINE_ERROR
from engine.batch.runner import Outcome
from engine.clock import NS_PER_MS, NS_PER_S
from engine.errors import XchatError
from engine.timings import percentile

INVALID = "invalid_request"


def result_of(outcome: Outcome, model: str, created_s: int) -> dict[str, Any]:
    """Make the result of a line, in OpenAI's format for OpenAI's lines."""
    line, end = outcome.line, outcome.end
    error = outcome.error
    if error is not None or end is None:
        return error_result(
            line.id, line.custom_id, error or XchatError("There is no answer"), INVALID if outcome.refused else ENGINE_ERROR
        )
    text, thinking = outcome.text()
    finish = "length" if end.reason is StopReason.LENGTH else "stop"
    timings = end.timings
    usage = {
        "prompt_tokens": end.prompt_tokens,
        "completion_tokens": timings.predicted_n,
        "total_tokens": end.prompt_tokens + timings.predicted_n,
        "prompt_tokens_details": {"cached_tokens": timings.cache_n},
    }
    if line.shape is Shape.PLAIN:
        thought = {"thinking": thinking} if thinking else {}
        plain = {"text": text, **thought, "finish_reason": finish, "usage": usage, "timings": timings.as_dict(), "error": None}
        return {"id": line.id, "custom_id": line.custom_id, **plain}
    body = {
        "id": f"{'chatcmpl' if line.shape is Shape.CHAT else 'cmpl'}-{line.id.rpartition('_')[2]}",
        "object": str(line.shape),
        "created": created_s,
        "model": model,
        "choices": [{"index": 0, **_choice(line, text, thinking), "logprobs": None, "finish_reason": finish}],
        "usage": usage,
        "timings": timings.as_dict(),
    }
    response = {"status_code": 200, "request_id": line.id, "body": body}
    return {"id": line.id, "custom_id": line.custom_id, "response": response, "error": None}


def _choice(line: BatchLine, text: str, thinking: str) -> dict[str, Any]:
    if line.shape is Shape.COMPLETION:
        return {"text": thinking + text}
    thought = {"reasoning_content": thinking} if thinking else {}
    return {"message": {"role": "assistant", "content": text, **thought}}


def error_result(ident: str, custom_id: str, error: XchatError, code: str = INVALID) -> dict[str, Any]:
    """Make the result of a line without an answer."""
    return {"id": ident, "custom_id": custom_id, "response": None, "error": {"code": code, "message": str(error)}}


@dataclass(slots=True)
class Summary:
    """The figures of the lines answered in this run."""

    answered: int = 0
    failed: int = 0
    prompt_n: int = 0
    cache_n: int = 0
    predicted_n: int = 0
    swaps: int = 0
    _ttft_ms: list[float] = field(default_factory=list)
    _total_ms: list[float] = field(default_factory=list)
    _per_second: list[float] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count the outcome of a line."""
        end = outcome.end
        if outcome.error is not None or end is None:
            self.failed += 1
            return
        self.answered += 1
        self.prompt_n += end.timings.prompt_n
        self.cache_n += end.timings.cache_n
        self.predicted_n += end.timings.predicted_n
        self.swaps += end.n_swaps
        if end.timings.ttft_ms is not None:
            self._ttft_ms.append((end.token_ns[0] - end.started_ns) / NS_PER_MS)
        self._total_ms.append((end.at_ns - end.prefill_start_ns) / NS_PER_MS)
        if end.timings.predicted_per_second is not None:
            self._per_second.append(end.timings.predicted_per_second)

    def lines(self, elapsed_ns: int) -> list[str]:
        """Format the summary as lines of text; `elapsed_ns`: the time of the batch."""
        seconds = elapsed_ns / NS_PER_S
        lines = [f"{self.answered:,} answered, {self.failed:,} failed in {seconds:,.1f} s"]
        if not self.answered:
            return lines
        prompts = self.prompt_n + self.cache_n
        lines.append(
            f"{self.predicted_n:,} tokens generated, {self.predicted_n / seconds if seconds else 0:,.1f} tokens/s; "
            f"{prompts:,} prompt tokens, {self.cache_n / prompts if prompts else 0:.0%} of them reused"
        )
        lines.append("                   p50        p95        p99")
        rows = (("TTFT", "s", self._ttft_ms, 1e-3), ("answer", "s", self._total_ms, 1e-3), ("tokens/s each", "", self._per_second, 1.0))
        lines += [_row(name, unit, values, scale) for name, unit, values, scale in rows if values]
        if self.swaps:
            lines.append(f"{self.swaps:,} swaps: a larger n_ctx or fewer parallel answers would avoid them")
        return lines


def _row(name: str, unit: str, values: Sequence[float], scale: float) -> str:
    ordered = sorted(values)
    figures = "".join(f"{(percentile(ordered, share) or 0.0) * scale:9,.2f}{unit:2}" for share in (0.50, 0.95, 0.99))
    return f"{name:13}{figures}".rstrip()
