"""A meter fed by a scripted session on a scripted clock: the same numbers on every machine, as fast as wanted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from engine.clock import NS_PER_MS, NS_PER_S
from engine.events import AnswerGrew, ModelReady, PromptEvaluated, TurnFinished, TurnStarted
from engine.host.bandwidth import HostLimits
from engine.host.cpu import CpuFigures
from engine.host.memory import MemoryFigures, Residency
from engine.host.sampler import HostSample
from engine.host.threads import ThreadGroup, ThreadShare
from engine.host.value import Unavailable
from engine.messages import Role
from engine.metrics.meter import Meter
from engine.metrics.roofline import ModelTraffic
from engine.metrics.snapshot import Snapshot
from engine.records import Message, MessageStatus
from engine.timings import compute_timings
from tests.factories import engine_info, model_info, turn_record

TICK_NS = NS_PER_S // 2
MODEL = Path("/models/tiny-Q4_K_M.gguf")
WAITS = {"queue_ms": 0.4, "template_ms": 1.1, "tokenize_ms": 2.3, "first_visible_ms": 2010.0, "first_paint_ms": 2040.0}
"""Of a turn's time, what the engine does not measure itself."""
ENGINE = engine_info(
    model_info(MODEL, name="tiny", n_ctx_train=8192),
    n_ctx=8192,
    load_ms=812.0,
    n_ubatch=512,
    memory={"weights": 400_000_000, "kv": 117_000_000, "compute": 60_000_000, "output": 1_000_000},
)


def host_sample(at_ns: int, interval_s: float | None = 0.5, *, busy: float = 80.0, others: float = 3.0) -> HostSample:
    absent = Unavailable("no such sensor here")
    cpu = CpuFigures(busy, (busy, busy - 5), 150.0, others, 0.0, absent, absent, absent, 61.0, absent, 0.0, 1.7)
    memory = MemoryFigures(0.7e9, 0.2e9, 0.5e9, 0.0, 0.0, 16e9, 9e9, 0.0, absent)
    threads = (
        ThreadShare(11, "compute", ThreadGroup.COMPUTE, busy, 2.0),
        ThreadShare(12, "worker 12 (xchat)", ThreadGroup.COMPUTE, busy - 3, 1.0),
        ThreadShare(10, "MainThread", ThreadGroup.UI, 3.1, 0.4),
        ThreadShare(13, "aiosqlite", ThreadGroup.DATABASE, 0.2, 0.0),
    )
    return HostSample(at_ns, interval_s, memory, cpu, threads, 0.0, 0.0, absent, Residency(400_000_000, 380_000_000), 0.4)


class ScriptedSession:
    """Turns that follow one another: prefill, then an answer at about `rate` tokens a second."""

    def __init__(self, *, rate: float = 60.0) -> None:
        self.now_ns = 1_000 * NS_PER_S
        self.meter = Meter(clock=lambda: self.now_ns)
        self.meter.traffic = ModelTraffic(380_000_000, 114_688, 600_000_000)
        self.meter.limits = HostLimits(2, 34.0, 90.0)
        self.meter.handle(ModelReady(ENGINE))
        self._rate = rate
        self._terminal = 0
        self._tick = 0
        self._script = self._turns()

    def step(self) -> Snapshot:
        """Half a second later."""
        next(self._script)
        self._tick += 1
        self._terminal += 9_000 + 700 * (self._tick % 5)
        self.meter.terminal(self._terminal, busy=False)
        self.meter.lag.note(2.0 + self._tick % 7)
        return self.meter.tick(host_sample(self.now_ns, busy=60 + 30 * math.sin(self._tick / 6)))

    def _turns(self) -> Iterator[None]:
        for number in range(1, 1_000_000):
            yield from self._turn(number)

    def _turn(self, number: int) -> Iterator[None]:
        submitted = self.now_ns
        user = Message(number * 2, None, Role.USER, "hello")
        answer = Message(number * 2 + 1, user.id, Role.ASSISTANT, "hi", status=MessageStatus.COMPLETE)
        self.meter.handle(TurnStarted(user, answer.id, submitted, 0))
        total, cached = 1_200, 400 * number % 3_000
        for done in range(0, total + 1, 400):
            elapsed = done / 435 * 1e3
            self.meter.handle(PromptEvaluated(answer.id, cached, done, total, elapsed, (total - done) / 435 * 1e3, 0, 228, ""))
            self.now_ns += TICK_NS
            yield
        prefilled = self.now_ns
        times: list[int] = []
        at = self.now_ns
        for tick in range(40):
            fresh: list[int] = []
            while at < self.now_ns + TICK_NS:
                gap = 1 / (self._rate * (1 + 0.15 * math.sin(tick / 4)))
                at += int((gap * 9 if len(times) == 500 else gap) * NS_PER_S)
                fresh.append(at)
                times.append(at)
            self.now_ns += TICK_NS
            self.meter.handle(AnswerGrew(answer.id, "words ", "", False, tuple(fresh), cached + total + len(times)))
            self.meter.painted(self.now_ns - 3 * NS_PER_MS, 3 * NS_PER_MS)
            yield
        timings = compute_timings(
            cache_n=cached,
            prompt_n=total,
            submitted_ns=submitted,
            prefill_start_ns=submitted + 3_800_000,
            prefill_end_ns=prefilled,
            token_ns=times,
        )
        record = turn_record(id=answer.id, timings=timings, token_ns=tuple(times), **WAITS)
        self.meter.handle(TurnFinished(answer, record))
        for _ in range(6):
            self.now_ns += TICK_NS
            yield


@cache
def moments(count: int) -> tuple[Snapshot, ...]:
    """The snapshots of the first `count` steps of a session."""
    session = ScriptedSession()
    return tuple(session.step() for _ in range(count))
