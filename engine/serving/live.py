"""The state of the server as immutable facts: its requests with their figures, and the total speed. On the event loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from engine.backend import PoolNow, StopReason, TokensDecoded
from engine.clock import NS_PER_MS, NS_PER_S, now_ns
from engine.records import TurnRecord
from engine.serving.answers import Answer, Answers
from engine.timings import percentile

if TYPE_CHECKING:
    from engine.serving.served import Served

KEPT: Final = 100
"""Most ended answers that are listed."""
SPEED_S: Final = 60
"""Seconds of recorded speed."""
SMOOTH_S: Final = 2
"""Full seconds over which the current speed is averaged."""


class State(StrEnum):
    """The state of an answer."""

    HELD = "held"
    """The server is paused; the engine has not received it."""
    WAITING = "waiting"
    PROMPT = "prompt"
    """Prefill of its prompt."""
    DECODING = "decoding"
    DONE = "done"
    STOPPED = "stopped"
    """By the client, which disconnected, or by the operator."""
    FAILED = "failed"

    @property
    def under_way(self) -> bool:
        """Whether it has not ended."""
        return self in _UNDER_WAY


_UNDER_WAY: Final = frozenset({State.HELD, State.WAITING, State.PROMPT, State.DECODING})


class RequestNow(msgspec.Struct, frozen=True):
    """One answer to a request. Times are in milliseconds; None is unknown yet."""

    number: int
    client: str
    path: str
    state: State
    started_ms: int
    """Wall-clock Unix time."""
    total_ms: float
    """From its arrival until now or its end."""
    wait_ms: float
    """Wait for the engine."""
    prompt_n: int | None = None
    """Tokens of its prompt."""
    cache_n: int | None = None
    """Of them, those found in the KV cache."""
    predicted_n: int = 0
    ttft_ms: float | None = None
    predicted_per_second: float | None = None


class ServerNow(msgspec.Struct, frozen=True):
    """A server at one moment."""

    state: str
    """`loading`, `serving`, `paused`, `draining`, `ending` or `failed`."""
    model: str
    n_ctx: int
    parallel: int
    uptime_s: float
    tokens_per_second: float
    """Total of all answers."""
    speed: tuple[int, ...]
    """Tokens in each of the last full seconds, the newest last."""
    running: int
    waiting: int
    cells: int
    """Capacity of the KV cache in tokens; 0 where each answer has a cache of its own."""
    cells_used: int
    answered: int
    failed: int
    tokens: int
    """Generated since the start."""
    ttft_p50_ms: float | None
    """Over the listed ended answers."""
    ttft_p95_ms: float | None
    requests: tuple[RequestNow, ...]
    """Newest first; those under way before ended ones."""


class Live:
    """Tracks the answers of one server."""

    def __init__(self) -> None:
        self._began_ns = now_ns()
        self._ended: deque[tuple[RequestNow, TurnRecord]] = deque(maxlen=KEPT)
        self._seconds: deque[tuple[int, int]] = deque(maxlen=SPEED_S + 1)
        """Seconds of the clock in which tokens arrived, with their number."""
        self._answered = self._failed = self._tokens = 0

    def grew(self, event: TokensDecoded) -> None:
        """Count the tokens of a chunk."""
        n, second = len(event.token_ns), now_ns() // NS_PER_S
        self._tokens += n
        if self._seconds and self._seconds[-1][0] == second:
            n += self._seconds.pop()[1]
        self._seconds.append((second, n))

    def ended(self, answer: Answer, caller: Answers, record: TurnRecord) -> None:
        """Record an ended answer."""
        row = _ended_row(answer, caller)
        self._answered += row.state is State.DONE
        self._failed += row.state is State.FAILED
        self._ended.append((row, record))

    def turn(self, number: int) -> TurnRecord | None:
        """Return the turn of an ended answer, as logged; None for any other."""
        return next((record for row, record in self._ended if row.number == number), None)

    def now(self, served: Served) -> ServerNow:
        """Return the state of the server at this moment."""
        info, pool = served.backend.loaded, served.backend.pool_now
        rows = [*_rows_under_way(served)]
        rows.sort(key=lambda row: row.number, reverse=True)
        ended = [row for row, _ in reversed(self._ended)]
        ttft = sorted(row.ttft_ms for row in ended if row.ttft_ms is not None)
        speed = self._speed()
        running = sum(row.state in {State.PROMPT, State.DECODING} for row in rows)
        return ServerNow(
            state=_state_of(served),
            model=served.name if info is not None and served.backend.dead is None and not served.closing else "",
            n_ctx=info.n_ctx if info is not None else 0,
            parallel=info.parallel if info is not None else 0,
            uptime_s=(now_ns() - self._began_ns) / NS_PER_S,
            tokens_per_second=sum(speed[-SMOOTH_S:]) / SMOOTH_S,
            speed=speed,
            running=running,
            waiting=len(rows) - running,
            **_cells(pool),
            answered=self._answered,
            failed=self._failed,
            tokens=self._tokens,
            ttft_p50_ms=percentile(ttft, 0.50),
            ttft_p95_ms=percentile(ttft, 0.95),
            requests=(*rows, *ended),
        )

    def _speed(self) -> tuple[int, ...]:
        now, by_second = now_ns() // NS_PER_S, dict(self._seconds)
        return tuple(by_second.get(second, 0) for second in range(now - SPEED_S, now))


def _cells(pool: PoolNow | None) -> Mapping[str, int]:
    return {"cells": pool.cells if pool is not None else 0, "cells_used": pool.cells_used if pool is not None else 0}


def _state_of(served: Served) -> str:
    if served.backend.dead is not None:
        return "failed"
    if served.closing:
        return "ending"
    if served.backend.loaded is None:
        return "loading"
    return "paused" if served.paused else "draining" if served.draining else "serving"


def _rows_under_way(served: Served) -> Iterator[RequestNow]:
    now = now_ns()
    for answers in served.under_way:
        held = served.holds(answers)
        for answer in answers.all:
            if answer.end is None:
                yield _row_under_way(answer, answers, now, held=held)


def _row_under_way(answer: Answer, caller: Answers, now: int, *, held: bool) -> RequestNow:
    turn, prompt = answer.turn, answer.turn.prompt
    n = turn.n_tokens
    return RequestNow(
        number=answer.number,
        client=caller.client,
        path=caller.path,
        state=State.HELD if held else State.WAITING if prompt is None else State.DECODING if n else State.PROMPT,
        started_ms=turn.started_ms,
        total_ms=(now - turn.submitted_ns) / NS_PER_MS,
        wait_ms=((now if prompt is None else prompt.started_ns) - turn.submitted_ns) / NS_PER_MS,
        prompt_n=prompt.prompt.n_tokens if prompt is not None else None,
        cache_n=prompt.cache_n if prompt is not None else None,
        predicted_n=n,
        ttft_ms=(answer.first_ns - turn.submitted_ns) / NS_PER_MS if answer.first_ns else None,
        predicted_per_second=(n - 1) * NS_PER_S / (answer.last_ns - answer.first_ns) if answer.last_ns > answer.first_ns else None,
    )


def _ended_row(answer: Answer, caller: Answers) -> RequestNow:
    turn, end = answer.turn, answer.finished
    states = {StopReason.ERROR: State.FAILED, StopReason.CANCELLED: State.STOPPED}
    return RequestNow(
        number=answer.number,
        client=caller.client,
        path=caller.path,
        state=states.get(end.reason, State.DONE),
        started_ms=turn.started_ms,
        total_ms=(end.at_ns - turn.submitted_ns) / NS_PER_MS,
        wait_ms=((turn.prompt.started_ns if turn.prompt is not None else end.started_ns) - turn.submitted_ns) / NS_PER_MS,
        prompt_n=end.prompt_tokens or None,
        cache_n=turn.prompt.cache_n if turn.prompt is not None else None,
        predicted_n=end.timings.predicted_n,
        ttft_ms=end.timings.ttft_ms,
        predicted_per_second=end.timings.predicted_per_second,
    )
