"""Searches the fastest settings of a model: each group by successive halving, then a race against the current settings."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any, Final

import msgspec

from engine.clock import NS_PER_S
from engine.errors import XchatError
from engine.lab.engine import LabEngine
from engine.lab.progress import Progress, progress_of, progress_of_stage
from engine.lab.race import CLIENTS, STATED, TASKS, Arm, Lane, Race, Task, Use, measure_unit, race, task_of
from engine.lab.stages import SLOWDOWN, UNBOUND, Bounds, Stage
from engine.lab.statistics import Finding, Verdict
from engine.llama.measuring.work import Setup
from engine.model_ref import short_name
from engine.presets.preset import Preset
from engine.presets.settings import difference, shown
from engine.text import one_line

MINUTES: Final = 3.0
_UNITS: Final = (2, 3, 5)
"""Units of each round; after each the slower half is dropped."""
_FINAL: Final = "the best against the current settings"
_FINAL_SHARE: Final = 2.0
"""The final race's weight in the time limit; that of a stage is 1."""
_LATE: Final = "the time was up"


@dataclass(frozen=True, slots=True)
class Tried:
    """One candidate and its result."""

    stage: str
    name: str
    gain: float | None
    """Speed compared with the best before it, minus 1; None where it was not measured."""
    units: int
    chosen: bool = False
    skipped: str = ""


@dataclass(slots=True)
class Tuning:
    """A search, while it runs and afterwards."""

    today: Arm
    best: Arm
    use: Use
    tried: list[Tried] = field(default_factory=list)
    final: Race | None = None
    """The current settings against the best; None where nothing better was found."""
    saved_bytes: int = 0
    """Predicted memory that the best settings save."""
    least_memory: bool = False
    clients: int = CLIENTS
    """Parallel answers, where throughput is searched."""
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def adopted(self) -> bool:
        """Whether the best settings were shown to be faster than the current ones; for memory, not slower than accepted."""
        decision = self.final.lanes[1].decision if self.final is not None else None
        if decision is None:
            return False
        return decision.verdict is Verdict.PASS if self.least_memory else decision.finding is Finding.FASTER

    @property
    def changes(self) -> dict[str, str]:
        """The settings that differ from the current ones, as typed; `model` too where another file is better."""
        today, best = self.today.setup, self.best.setup
        model = {} if best.ref == today.ref else {"model": str(best.ref)}
        return model | {change.key: shown(change.after) for change in difference(today.preset, best.preset)}


def tune(
    engine: LabEngine,
    today: Arm,
    use: Use,
    stages: Sequence[Stage],
    *,
    minutes: float = MINUTES,
    bounds: Bounds = UNBOUND,
    report: Callable[[Progress], None] = lambda _progress: None,
    seed: int | None = None,
) -> Tuning:
    """Search the stages in order within the time, then race the best against the current settings. An interrupt ends it.

    The final race keeps its share of the time: candidates that a stage had no time for are listed as skipped.

    Raises:
        ModelError, TooLargeError, EngineError: The current settings can't be measured.
    """
    began = engine.time_ns
    rng = random.Random(seed)
    result = Tuning(today, today, use, least_memory=bounds.least_memory, clients=bounds.clients)
    whole_s = minutes * 60
    until_ns = began + whole_s * NS_PER_S * len(stages) / (len(stages) + _FINAL_SHARE)
    try:
        for number, stage in enumerate(stages):
            share = (until_ns - engine.time_ns) / NS_PER_S / (len(stages) - number)
            _search(engine, stage, result, share, until_ns, bounds, rng, report)
        if result.best.setup != today.setup:
            result.saved_bytes = bounds.memory_of(today.setup) - bounds.memory_of(result.best.setup)
            left_s = max(0.0, whole_s - (engine.time_ns - began) / NS_PER_S)
            arms = [replace(today, name="today"), replace(result.best, name="tuned")]
            stated = SLOWDOWN if bounds.least_memory else STATED
            result.final = race(
                engine,
                arms,
                use,
                stated=stated,
                clients=bounds.clients,
                seconds=left_s,
                report=lambda state: report(replace(progress_of(state, left_s), stage=_FINAL)),
                seed=seed,
            )
            result.interrupted = result.final.interrupted
    except KeyboardInterrupt:
        result.interrupted = True
    result.seconds = (engine.time_ns - began) / NS_PER_S
    return result


def _search(
    engine: LabEngine,
    stage: Stage,
    result: Tuning,
    seconds: float,
    until_ns: float,
    bounds: Bounds,
    rng: random.Random,
    report: Callable[[Progress], None],
) -> None:
    """Search one stage by successive halving on units that contain the best so far; the winner becomes the best.

    It takes `seconds`, or the time of the first unit if longer, and exceeds `until_ns` by at most one piece of work. After an interrupt the
    result has the measurements so far.
    """
    began_ns = engine.time_ns
    task = task_of(stage.use, bounds.clients)
    if stage.use in {Use.CHAT, Use.LONG_PROMPTS, Use.PREFILL}:
        task = replace(task, probe=replace(task.probe, n_prompt=TASKS[result.use].probe.n_prompt or task.probe.n_prompt))
    best = result.best.ready_for(task)
    reference = Lane(best)
    if engine.time_ns < until_ns:
        first = engine.run(best.setup, task.probe)
        if task.gen:
            task = task.scaled(first.gen_ns / task.probe.n_gen)
    candidates = list(_candidates(engine, stage, result, task, bounds, until_ns))
    lanes = running = [lane for lane, _ in candidates]
    taken: Lane | None = None
    try:
        for units in _UNITS:
            for _ in range(units):
                more = running and ((engine.time_ns - began_ns) / NS_PER_S < seconds or not running[0].differences)
                if more and measure_unit(engine, task, [reference, *running], rng, until_ns):
                    spent_s = (engine.time_ns - began_ns) / NS_PER_S
                    report(progress_of_stage(stage.name, reference, running, seconds=spent_s, limit_s=seconds, stated=stage.least_gain))
            if not bounds.least_memory:
                running = sorted(running, key=_gain, reverse=True)[: max(1, (len(running) + 1) // 2)]
        taken = _winner(stage, best, running, bounds)
        result.tried += [Tried(stage.name, lane.arm.name, None, 0, skipped=_LATE) for lane in lanes if not lane.differences]
    finally:
        result.tried += [
            Tried(stage.name, lane.arm.name, _gain(lane), len(lane.differences), lane is taken) for lane in lanes if lane.differences
        ]
    if taken is not None:
        result.best = _changed(result.best, next(changes for lane, changes in candidates if lane is taken))


def _candidates(
    engine: LabEngine, stage: Stage, result: Tuning, task: Task, bounds: Bounds, until_ns: float
) -> Iterator[tuple[Lane, dict[str, Any]]]:
    """Yield the candidates that can be measured, with their changes; add the others to the result with the reason."""
    for changes in stage.changes:
        arm = _changed(result.best, changes)
        if arm.setup == result.best.setup:
            continue
        reason = bounds.refusal(stage, arm.name, arm.setup) or (_LATE if engine.time_ns >= until_ns else "")
        lane = Lane(arm.ready_for(task))
        try:
            if not reason:
                engine.run(lane.arm.setup, replace(task.probe, n_prompt=min(2, task.probe.n_prompt), n_gen=min(1, task.probe.n_gen)))
        except XchatError as error:
            reason = str(error)
        if reason:
            result.tried.append(Tried(stage.name, arm.name, None, 0, skipped=reason))
        else:
            yield lane, changes


def _winner(stage: Stage, best: Arm, running: Sequence[Lane], bounds: Bounds) -> Lane | None:
    """Return the fastest candidate, or the smallest that is fast enough; None where none is better than the best so far."""
    if bounds.most_ttft_s is not None:
        running = [lane for lane in running if not lane.prefill_s or median(lane.prefill_s) <= bounds.most_ttft_s]
    if not bounds.least_memory:
        winner = max(running, key=_gain, default=None)
        return winner if winner is not None and _gain(winner) >= stage.least_gain else None
    fast = [lane for lane in running if _gain(lane) >= -SLOWDOWN]
    least = min(fast, key=lambda lane: bounds.memory_of(lane.arm.setup), default=None)
    return least if least is not None and bounds.memory_of(least.arm.setup) < 0.99 * bounds.memory_of(best.setup) else None


def _gain(lane: Lane) -> float:
    """Return the speed compared with the reference, minus 1."""
    return math.expm1(-median(lane.differences)) if lane.differences else -1.0


def _changed(arm: Arm, changes: dict[str, Any]) -> Arm:
    settings = {key: value for key, value in changes.items() if key != "ref"}
    ref = changes.get("ref", arm.setup.ref)
    preset: Preset = msgspec.structs.replace(arm.setup.preset, **settings)
    name = ",".join(
        [
            *(f"{key}={shown(value)}" for key, value in settings.items() if key != "n_batch"),
            *([one_line(short_name(ref))] if "ref" in changes else []),
        ]
    )
    return Arm(name, Setup(ref, preset))
