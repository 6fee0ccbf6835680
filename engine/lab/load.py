"""Load-tests an OpenAI-compatible server, and measures latency and throughput as its clients see them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
import msgspec

from engine.clock import NS_PER_MS, NS_PER_S, now_ns
from engine.errors import UsageError
from engine.text import one_line
from engine.timings import inter_token_ms, percentile

ANSWER_S: Final = 600.0
"""Longest time between two chunks of an answer."""
SHARES: Final = (0.50, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """The requests of a load test."""

    url: str
    """URL of the server, with or without `/v1`."""
    concurrency: int = 8
    """Requests in flight at any time: the next is sent when one has ended."""
    requests: int = 32
    prompt: str = "Explain in one paragraph what a token is."
    max_tokens: int = 64
    model: str = "default"
    key: str = ""

    @property
    def endpoint(self) -> str:
        """URL of chat completions."""
        return f"{self.url.rstrip('/').removesuffix('/v1')}/v1/chat/completions"


@dataclass(slots=True)
class Call:
    """One request as its client saw it."""

    sent_ns: int
    chunk_ns: list[int] = field(default_factory=list)
    """When each chunk with text arrived."""
    ended_ns: int = 0
    tokens: int = 0
    """Tokens of the answer as the server counted them, else the number of chunks."""
    cached: int = 0
    prompt: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The result of a load test."""

    plan: LoadPlan
    calls: Sequence[Call]
    elapsed_s: float

    @property
    def good(self) -> list[Call]:
        """The requests that succeeded."""
        return [call for call in self.calls if not call.error]

    def spreads(self) -> dict[str, list[float]]:
        """Return sorted values by name: milliseconds, and tokens per second of each answer."""
        good = self.good
        return {
            "ttft_ms": sorted((call.chunk_ns[0] - call.sent_ns) / NS_PER_MS for call in good if call.chunk_ns),
            "gap_ms": sorted(gap for call in good for gap in inter_token_ms(call.chunk_ns)),
            "total_ms": sorted((call.ended_ns - call.sent_ns) / NS_PER_MS for call in good),
            "tokens_per_second": sorted(
                (call.tokens - 1) * NS_PER_S / (call.chunk_ns[-1] - call.chunk_ns[0])
                for call in good
                if len(call.chunk_ns) > 1 and call.tokens > 1 and call.chunk_ns[-1] > call.chunk_ns[0]
            ),
        }

    def as_dict(self) -> dict[str, Any]:
        """Return all figures for JSON."""
        good = self.good
        tokens, prompts = sum(call.tokens for call in good), sum(call.prompt for call in good)
        return {
            "concurrency": self.plan.concurrency,
            "requests": len(self.calls),
            "succeeded": len(good),
            "success_rate": len(good) / len(self.calls) if self.calls else None,
            "elapsed_s": self.elapsed_s,
            "requests_per_second": len(good) / self.elapsed_s,
            "tokens": tokens,
            "throughput_tokens_per_second": tokens / self.elapsed_s,
            "prompt_tokens": prompts,
            "cached_share": sum(call.cached for call in good) / prompts if prompts else None,
            **{name: _spread(values) for name, values in self.spreads().items()},
            "errors": sorted({call.error for call in self.calls if call.error})[:10],
        }


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    shares = {f"p{share * 100:.0f}": percentile(values, share) for share in SHARES}
    mean = sum(values) / len(values) if values else None
    return {"mean": mean, "min": values[0] if values else None, **shares, "max": values[-1] if values else None}


async def load(plan: LoadPlan, on_call: Callable[[Call], None] = lambda _call: None) -> LoadResult:
    """Send all requests; call `on_call` for each that has ended.

    Raises:
        UsageError: The URL can't be used, or no server answers there.
    """
    numbers = iter(range(plan.requests))
    calls: list[Call] = []
    limits = httpx2.Limits(max_connections=plan.concurrency, max_keepalive_connections=plan.concurrency)
    headers = {"Authorization": f"Bearer {plan.key}"} if plan.key else {}
    async with httpx2.AsyncClient(timeout=ANSWER_S, limits=limits, headers=headers, trust_env=False) as client:

        async def ask_one_after_the_other() -> None:
            for _ in numbers:
                call = await _ask(client, plan)
                calls.append(call)
                on_call(call)

        began = now_ns()
        await asyncio.gather(*(ask_one_after_the_other() for _ in range(plan.concurrency)))
        return LoadResult(plan, calls, (now_ns() - began) / NS_PER_S)


async def _ask(client: httpx2.AsyncClient, plan: LoadPlan) -> Call:
    body = {
        "model": plan.model,
        "messages": [{"role": "user", "content": plan.prompt}],
        "max_tokens": plan.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    call = Call(now_ns())
    try:
        async with client.stream("POST", plan.endpoint, json=body) as answer:
            if answer.status_code != 200:
                call.error = f"{answer.status_code} {one_line((await answer.aread()).decode('utf-8', 'replace'))[:200]}"
            else:
                async for line in answer.aiter_lines():
                    _read(call, line)
    except httpx2.ConnectError as error:
        raise UsageError(
            f"No server answers at {one_line(plan.url)[:200]}", str(error), "Start a server there, or give another URL."
        ) from error
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        raise UsageError(f"{one_line(plan.url)[:200]} is not the URL of a server", str(error)) from error
    except httpx2.HTTPError as error:
        call.error = type(error).__name__
    call.ended_ns = now_ns()
    call.tokens = call.tokens or len(call.chunk_ns)
    if not call.error and not call.tokens:
        call.error = "an answer without text"
    return call


def _read(call: Call, line: str) -> None:
    """Read a line of a stream."""
    if not line.startswith("data: ") or line == "data: [DONE]":
        return
    at = now_ns()
    try:
        event = msgspec.json.decode(line[6:], type=_Event)
    except (msgspec.MsgspecError, RecursionError):
        call.error = "a chunk that is not one of a chat completion"
        return
    if event.error is not None:
        call.error = one_line(str(event.error))[:200]
    if any(choice.delta.content or choice.delta.reasoning_content for choice in event.choices):
        call.chunk_ns.append(at)
    if event.usage is not None:
        call.tokens, call.prompt = event.usage.completion_tokens, event.usage.prompt_tokens
        call.cached = (event.usage.prompt_tokens_details or {}).get("cached_tokens") or 0


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)


class _Usage(msgspec.Struct):
    completion_tokens: int = 0
    prompt_tokens: int = 0
    prompt_tokens_details: dict[str, int | None] | None = None


class _Event(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None
