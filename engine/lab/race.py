"""Races settings, presets and quants: interleaved, until the interval decides or the time is up."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from statistics import median
from typing import Final

import msgspec

from engine.clock import NS_PER_S
from engine.disturbance import QUIET_SHARE
from engine.lab.engine import LabEngine
from engine.lab.statistics import LOOKS, Decision, Finding, Interval, judge, sign_test
from engine.llama.measuring.work import SMALLEST_WINDOW, Setup, Took, Work

_PROBE_NS: Final = 50_000_000
"""Decode time of one probe: long compared with a scheduler's time slice, short compared with a drift."""
_FEWEST_TOKENS = 4
LONGEST_PROBE: Final = 64
"""Most tokens decoded in one probe."""
STATED: Final = 0.03
SECONDS: Final = 120.0
CLIENTS: Final = 4
"""Clients of `Use.THROUGHPUT`."""


class Use(StrEnum):
    """The use whose speed is compared."""

    DECODE = "decode"
    PREFILL = "prefill"
    CHAT = "chat"
    """A turn: prefill of a short prompt and decode of a medium answer."""
    LONG_PROMPTS = "long-prompts"
    THROUGHPUT = "throughput"
    """Turns of several clients at once."""


@dataclass(frozen=True, slots=True)
class Task:
    """The typical turn of a use, in tokens, and the probe that is measured for it."""

    prompt: int
    gen: int
    probe: Work

    def seconds(self, took: Took) -> float:
        """Compute the time of the turn from that of a probe."""
        prefill = took.prompt_ns * self.prompt / self.probe.n_prompt if self.probe.n_prompt else 0.0
        decode = took.gen_ns * self.gen / self.probe.n_gen if self.probe.n_gen else 0.0
        return (prefill + decode) / NS_PER_S

    def scaled(self, token_ns: float) -> Task:
        """Return the task with enough tokens in a probe for its length."""
        count = math.ceil(_PROBE_NS / max(1.0, token_ns))
        return replace(self, probe=replace(self.probe, n_gen=max(_FEWEST_TOKENS, min(LONGEST_PROBE, count)) if self.gen else 0))


TASKS: Final = {
    Use.DECODE: Task(0, 256, Work(0, _FEWEST_TOKENS, 256)),
    Use.PREFILL: Task(512, 0, Work(256, 0, 0)),
    Use.CHAT: Task(128, 256, Work(128, _FEWEST_TOKENS, 256)),
    Use.LONG_PROMPTS: Task(2048, 128, Work(256, _FEWEST_TOKENS, 512)),
    Use.THROUGHPUT: Task(128, 256, Work(64, _FEWEST_TOKENS, 0, CLIENTS)),
}


def task_of(use: Use, clients: int = CLIENTS) -> Task:
    """Return the task of a use; for throughput, of `clients` in parallel."""
    task = TASKS[use]
    return replace(task, probe=replace(task.probe, n_parallel=clients)) if task.probe.n_parallel > 1 else task


def clients_of(use: Use, clients: int = CLIENTS) -> int:
    """Return the number of parallel turns in a use's task: `clients` for throughput, else 1."""
    return task_of(use, clients).probe.n_parallel


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the choices compared."""

    name: str
    setup: Setup

    def ready_for(self, task: Task) -> Arm:
        """Return the arm with the sequences of a task and a window that fits its probes, or a larger one that is asked for."""
        preset, probe = self.setup.preset, task.probe
        asked = 0 if preset.n_ctx == "auto" else preset.n_ctx
        tokens = (probe.n_depth + probe.n_prompt + LONGEST_PROBE) * probe.n_parallel
        parallel = probe.n_parallel if probe.n_parallel > 1 else preset.parallel
        changed = msgspec.structs.replace(preset, n_ctx=max(asked, tokens, SMALLEST_WINDOW), parallel=parallel)
        return replace(self, setup=replace(self.setup, preset=changed))


@dataclass(slots=True)
class Lane:
    """The measurements of one arm."""

    arm: Arm
    seconds: list[float] = field(default_factory=list)
    """Time of the turn in each unit, the better of two probes."""
    differences: list[float] = field(default_factory=list)
    """log(time / time of the first arm), by unit."""
    prefill_s: list[float] = field(default_factory=list)
    """Time until the first token of the turn, of each probe; empty where nothing is prefilled."""
    disturbed: list[float] = field(default_factory=list)
    decision: Decision | None = None
    """None for the first arm, and before the first unit."""

    @property
    def typical(self) -> float:
        """Median time of the turn in seconds."""
        return median(self.seconds) if self.seconds else math.nan

    @property
    def speed_ratio(self) -> Interval | None:
        """Speed compared with the first arm's: 1.03 is 3 % faster."""
        return None if self.decision is None else self.decision.interval.map(-1.0)

    @property
    def sign_probability(self) -> float:
        """The probability of the sign test."""
        return sign_test(self.differences)


@dataclass(slots=True)
class Race:
    """A race while it runs and afterwards."""

    use: Use
    task: Task
    stated: float
    lanes: list[Lane]
    units: int = 0
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def disturbed(self) -> float | None:
        """Mean share of the time that other programs took; None where the kernel does not report it."""
        shares = [share for lane in self.lanes for share in lane.disturbed]
        return sum(shares) / len(shares) if shares else None

    @property
    def winner(self) -> int | None:
        """The number of the fastest arm among those shown to be faster than the first; None without any."""
        faster = [
            (lane.decision.interval.estimate, number)
            for number, lane in enumerate(self.lanes)
            if lane.decision is not None and lane.decision.finding is Finding.FASTER
        ]
        return min(faster)[1] if faster else None

    @property
    def remarks(self) -> tuple[str, ...]:
        """Disturbances and limits of the race, in sentences."""
        found = []
        share = self.disturbed
        if share is not None and share >= QUIET_SHARE:
            found.append(f"Other programs took {share:.0%} of the time; they affected both arms alike")
        if self.units < LOOKS[0]:
            found.append(f"An interval needs {LOOKS[0]} units, not {self.units}")
        if self.interrupted:
            found.append("Interrupted: judged by the results so far")
        return tuple(found)


def race(
    engine: LabEngine,
    arms: Sequence[Arm],
    use: Use,
    *,
    stated: float = STATED,
    seconds: float = SECONDS,
    report: Callable[[Race], None] = lambda _race: None,
    clients: int = CLIENTS,
    seed: int | None = None,
) -> Race:
    """Measure units, at least one, until every arm is decided against the first or the time is up.

    An interrupt ends it with the results so far.

    Raises:
        ModelError, TooLargeError, EngineError: An arm can't be made here.
    """
    rng = random.Random(seed)
    began = engine.time_ns
    task = task_of(use, clients)
    lanes = [Lane(arm.ready_for(task)) for arm in arms]
    result = Race(use, task, stated, lanes)
    try:
        if task.gen:
            first = engine.run(lanes[0].arm.setup, replace(task.probe, n_prompt=0))
            task = result.task = task.scaled(first.gen_ns / task.probe.n_gen)
        running = list(range(len(lanes)))
        while len(running) > 1 and result.units < LOOKS[-1]:
            until_ns = began + seconds * NS_PER_S if result.units else math.inf
            if not measure_unit(engine, task, [lanes[index] for index in running], rng, until_ns):
                break
            result.units += 1
            result.seconds = (engine.time_ns - began) / NS_PER_S
            at_look = result.units in LOOKS
            for index in running[1:]:
                lane = lanes[index]
                lane.decision = judge(lane.differences, stated, len(lanes))
                if not at_look:
                    lane.decision = replace(lane.decision, finding=Finding.UNDECIDED)
            if at_look:
                running = [0, *(index for index in running[1:] if _undecided(lanes[index]))]
            report(result)
    except KeyboardInterrupt:
        result.interrupted = True
    for lane in lanes[1:]:
        if lane.differences and _undecided(lane):  # a last look, where the time ended between two
            lane.decision = judge(lane.differences, stated, len(lanes))
    result.seconds = (engine.time_ns - began) / NS_PER_S
    return result


def _undecided(lane: Lane) -> bool:
    return lane.decision is None or lane.decision.finding is Finding.UNDECIDED


def measure_unit(engine: LabEngine, task: Task, lanes: Sequence[Lane], rng: random.Random, until_ns: float = math.inf) -> bool:
    """Measure each arm twice, in a random order and back; the others are compared with the first of `lanes`.

    After a change of arm, a short warm-up runs. Nothing begins after `until_ns` on the engine's clock; an unfinished unit does not count.
    Returns whether it was finished.
    """
    order = list(range(len(lanes)))
    rng.shuffle(order)
    settle = replace(task.probe, n_prompt=min(2, task.probe.n_prompt), n_gen=min(1, task.probe.n_gen))
    before = None
    measured: list[tuple[int, Took]] = []
    for index in (*order, *reversed(order)):
        if engine.time_ns >= until_ns:
            return False
        setup = lanes[index].arm.setup
        if index != before:
            engine.run(setup, settle)
        measured.append((index, engine.run(setup, task.probe)))
        before = index
    for index, took in measured:
        if task.probe.n_prompt:
            lanes[index].prefill_s.append(took.prompt_ns * task.prompt / task.probe.n_prompt / NS_PER_S)
        if took.disturbed is not None:
            lanes[index].disturbed.append(took.disturbed)
    best = [min(task.seconds(took) for at, took in measured if at == index) for index in range(len(lanes))]
    for lane, value in zip(lanes, best, strict=True):
        lane.seconds.append(value)
        lane.differences.append(math.log(value / best[0]))
    return True
