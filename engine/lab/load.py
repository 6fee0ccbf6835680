"""Load-tests an OpenAI-compatible server, and measures latency and throughput as its clients see them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import httpx2
import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.clock import NS_PER_MS, NS_PER_S, now_ns
from engine.errors import UsageError
from engine.lab.statistics import Interval
from engine.lab.traffic import Traffic
from engine.text import one_line
from engine.timings import inter_token_ms, percentile

DEFAULT: Final = Traffic("Explain in one paragraph what a token is.")
ANSWER_S: Final = 600.0
"""Longest time between two chunks of an answer."""
SHARES: Final = (0.50, 0.95, 0.99)
RESAMPLES: Final = 2_000
MOST_COMPARED: Final = 2_000
"""Requests of a test that are compared."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """The requests of a load test."""

    url: str
    """URL of the server, with or without `/v1`."""
    concurrency: int = 8
    """Requests in flight at any time: the next is sent when one has ended."""
    requests: int = 32
    traffic: Traffic = DEFAULT
    slo_ttft_ms: float | None = None
    """Longest time to the first token of a good answer."""
    slo_gap_ms: float | None = None
    """Longest mean gap between the chunks of a good answer."""
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

    @property
    def ttft_ms(self) -> float | None:
        """From sending to the first text."""
        return (self.chunk_ns[0] - self.sent_ns) / NS_PER_MS if self.chunk_ns else None

    @property
    def mean_gap_ms(self) -> float | None:
        """Between two chunks."""
        return (self.chunk_ns[-1] - self.chunk_ns[0]) / NS_PER_MS / (len(self.chunk_ns) - 1) if len(self.chunk_ns) > 1 else None


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
            "ttft_ms": sorted(call.ttft_ms for call in good if call.ttft_ms is not None),
            "gap_ms": sorted(gap for call in good for gap in inter_token_ms(call.chunk_ns)),
            "total_ms": sorted((call.ended_ns - call.sent_ns) / NS_PER_MS for call in good),
            "tokens_per_second": sorted(
                (call.tokens - 1) * NS_PER_S / (call.chunk_ns[-1] - call.chunk_ns[0])
                for call in good
                if len(call.chunk_ns) > 1 and call.tokens > 1 and call.chunk_ns[-1] > call.chunk_ns[0]
            ),
        }

    def _within(self, call: Call) -> bool:
        """Whether an answer keeps what was promised."""
        limits = ((call.ttft_ms, self.plan.slo_ttft_ms), (call.mean_gap_ms, self.plan.slo_gap_ms))
        return all(limit is None or (value or 0.0) <= limit for value, limit in limits)

    def as_dict(self) -> dict[str, Any]:
        """Return all figures for JSON."""
        good = self.good
        tokens, prompts = sum(call.tokens for call in good), sum(call.prompt for call in good)
        return {
            "concurrency": self.plan.concurrency,
            "rate": self.plan.traffic.rate,
            "requests": len(self.calls),
            "succeeded": len(good),
            "success_rate": len(good) / len(self.calls) if self.calls else None,
            "elapsed_s": self.elapsed_s,
            "requests_per_second": len(good) / self.elapsed_s,
            "goodput_per_second": sum(map(self._within, good)) / self.elapsed_s,
            "tokens": tokens,
            "throughput_tokens_per_second": tokens / self.elapsed_s,
            "prompt_tokens": prompts,
            "cached_share": sum(call.cached for call in good) / prompts if prompts else None,
            **{name: _spread(values) for name, values in self.spreads().items()},
            "each": {
                "ttft_ms": [call.ttft_ms for call in good if call.ttft_ms is not None],
                "gap_ms": [call.mean_gap_ms for call in good if call.mean_gap_ms is not None],
                "total_ms": [(call.ended_ns - call.sent_ns) / NS_PER_MS for call in good],
            },
            "errors": sorted({call.error for call in self.calls if call.error})[:10],
        }


def changes(before: Mapping[str, Sequence[float]], after: Mapping[str, Sequence[float]]) -> dict[str, Interval]:
    """Return the ratios of the medians after to before by name, with their 95 % intervals, by bootstrap over the requests."""
    random = np.random.default_rng(1)

    def medians(values: Sequence[float]) -> NDArray[np.float64]:
        found = np.asarray(values[:MOST_COMPARED], float)
        drawn: NDArray[np.float64] = np.median(random.choice(found, (RESAMPLES, len(found))), axis=1)
        return drawn

    ratios = {}
    for name in before.keys() & after.keys():
        if before[name] and after[name] and min(before[name]) > 0:
            drawn = medians(after[name]) / medians(before[name])
            low, high = np.quantile(drawn, (0.025, 0.975))
            ratios[name] = Interval(float(np.median(after[name]) / np.median(before[name])), float(low), float(high))
    return dict(sorted(ratios.items()))


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    shares = {f"p{share * 100:.0f}": percentile(values, share) for share in SHARES}
    mean = sum(values) / len(values) if values else None
    return {"mean": mean, "min": values[0] if values else None, **shares, "max": values[-1] if values else None}


async def load(plan: LoadPlan, on_call: Callable[[Call], None] = lambda _call: None) -> LoadResult:
    """Send all requests; call `on_call` for each that has ended.

    Raises:
        UsageError: The URL can't be used, or no server answers there.
    """
    messages = islice(plan.traffic.messages(), plan.requests)
    calls: list[Call] = []
    most = plan.concurrency if plan.traffic.rate is None else None
    limits = httpx2.Limits(max_connections=most, max_keepalive_connections=most)
    headers = {"Authorization": f"Bearer {plan.key}"} if plan.key else {}
    async with httpx2.AsyncClient(timeout=ANSWER_S, limits=limits, headers=headers, trust_env=False) as client:

        async def ask_one_after_the_other() -> None:
            for message, max_tokens, _ in messages:
                await ask(message, max_tokens)

        async def ask(message: str, max_tokens: int) -> None:
            call = await _ask(client, plan, message, max_tokens)
            calls.append(call)
            on_call(call)

        async def ask_at_random_moments() -> None:
            async with asyncio.TaskGroup() as group:
                for message, max_tokens, wait_s in messages:
                    await asyncio.sleep(wait_s)
                    group.create_task(ask(message, max_tokens))

        began = now_ns()
        if plan.traffic.rate is None:
            await asyncio.gather(*(ask_one_after_the_other() for _ in range(plan.concurrency)))
        else:
            try:
                await ask_at_random_moments()
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from None
        return LoadResult(plan, calls, (now_ns() - began) / NS_PER_S)


async def _ask(client: httpx2.AsyncClient, plan: LoadPlan, message: str, max_tokens: int) -> Call:
    body = {
        "model": plan.model,
        "messages": [{"role": "user", "content": message}],
        "max_tokens": max_tokens,
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
