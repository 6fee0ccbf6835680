"""Searches the settings of a model on this machine: one group after another, by halving, and at the end against today's settings."""

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
from engine.lab.race import LONGEST_PROBE, TASKS, Arm, Lane, Race, Task, Use, measure_unit, race
from engine.lab.statistics import Finding
from engine.llama.measuring.work import Setup
from engine.model_ref import ModelRef, short_name
from engine.presets.preset import Preset
from engine.presets.settings import difference, shown
from engine.text import one_line

MINUTES: Final = 3.0
GAIN: Final = 0.01
"""Gain for which a setting is taken into the final race."""
GAIN_FOR_QUALITY: Final = 0.03
"""The same for a setting that changes the answers."""
_UNITS: Final = (2, 3, 5)
"""Units of each round; after a round the slower half leaves."""
_FINAL: Final = "the best against today's settings"
_FINAL_SHARE: Final = 2.0
"""The final race's share of the time; that of a stage is 1."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Settings that are searched together, on top of the best of the stages before."""

    name: str
    use: Use
    changes: tuple[dict[str, Any], ...]
    """Candidates: settings, and `ref` for another model."""
    least_gain: float = GAIN


@dataclass(frozen=True, slots=True)
class Tried:
    """One candidate and what came of it."""

    stage: str
    name: str
    gain: float | None
    """Speed compared with the best before it, minus 1; None where it can't be measured."""
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
    """Today's settings against the best; None where nothing better was found, or nothing else was measured."""
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def adopted(self) -> bool:
        """Whether the best settings were shown to be faster than today's."""
        decision = self.final.lanes[1].decision if self.final is not None else None
        return decision is not None and decision.finding is Finding.FASTER

    @property
    def changes(self) -> dict[str, str]:
        """The settings that differ from today's, as they are typed."""
        return {change.key: shown(change.after) for change in difference(self.today.setup.preset, self.best.setup.preset)}


def stages_of(use: Use, today: Setup, *, most_threads: int, kv_types: Sequence[str], quants: Sequence[ModelRef]) -> Iterator[Stage]:
    """The groups of settings to search, cheap changes first.

    Args:
        use: What to make faster.
        today: The settings in use.
        most_threads: CPUs that this process may use.
        kv_types: Types of the KV cache to try.
        quants: Other files of the model's family to try.
    """
    counts = thread_counts(most_threads)
    if use is not Use.PREFILL:
        yield Stage("threads", Use.DECODE, tuple({"threads": count} for count in counts))
    if use is not Use.DECODE:
        yield Stage("threads_batch", Use.PREFILL, tuple({"threads_batch": count} for count in counts))
        sizes = [size for size in (32, 64, 128, 256, 512) if size <= TASKS[use].probe.n_prompt]
        batch = today.preset.n_batch
        yield Stage("n_ubatch", Use.PREFILL, tuple({"n_ubatch": size, "n_batch": max(size, batch)} for size in sizes))
    yield Stage(
        "flash_attn", use, ({"flash_attn": "on"}, *(({"flash_attn": "off"},) if today.preset.type_v in {"f16", "bf16", "f32"} else ()))
    )
    types = [name for name in kv_types if (name, name) != (today.preset.type_k, today.preset.type_v)]
    if types:
        yield Stage("KV cache", use, tuple({"type_k": name, "type_v": name, "flash_attn": "auto"} for name in types), GAIN_FOR_QUALITY)
    if quants:
        yield Stage("quant", use, tuple({"ref": ref} for ref in quants), GAIN_FOR_QUALITY)


def thread_counts(most: int) -> list[int]:
    """Counts to try: all up to 8, then in steps of a quarter."""
    counts = list(range(1, min(most, 8) + 1))
    while counts[-1] < most:
        counts.append(min(most, counts[-1] + max(1, counts[-1] // 4)))
    return counts


def tune(
    engine: LabEngine,
    today: Arm,
    use: Use,
    stages: Sequence[Stage],
    *,
    minutes: float = MINUTES,
    report: Callable[[Progress], None] = lambda _progress: None,
    seed: int | None = None,
) -> Tuning:
    """Search the stages in order within the time, then race the best against today's settings. An interrupt ends it.

    Raises:
        ModelError, TooLargeError, EngineError: Today's settings can't be measured.
    """
    began = engine.time_ns
    rng = random.Random(seed)
    result = Tuning(today, today, use)
    whole_s = minutes * 60
    try:
        for number, stage in enumerate(stages):
            left_s = whole_s - (engine.time_ns - began) / NS_PER_S
            share = left_s / (len(stages) - number + _FINAL_SHARE)
            _search(engine, stage, result, share, rng, report)
        if result.best.setup != today.setup:
            left_s = max(1.0, whole_s - (engine.time_ns - began) / NS_PER_S)
            arms = [replace(today, name="today"), replace(result.best, name="tuned")]
            result.final = race(
                engine, arms, use, seconds=left_s, report=lambda state: report(replace(progress_of(state, left_s), stage=_FINAL)), seed=seed
            )
            result.interrupted = result.final.interrupted
    except KeyboardInterrupt:
        result.interrupted = True
    result.seconds = (engine.time_ns - began) / NS_PER_S
    return result


def _search(
    engine: LabEngine, stage: Stage, result: Tuning, seconds: float, rng: random.Random, report: Callable[[Progress], None]
) -> None:
    """Search one stage by successive halving on units that contain the best so far; the winner becomes the best."""
    began_ns = engine.time_ns
    end_ns = began_ns + round(seconds * NS_PER_S)
    task = TASKS[stage.use]
    if stage.use in {Use.CHAT, Use.LONG_PROMPTS, Use.PREFILL}:
        task = replace(task, probe=replace(task.probe, n_prompt=TASKS[result.use].probe.n_prompt or task.probe.n_prompt))
    best = result.best.with_window(_window(task))
    reference = Lane(best)
    first = engine.run(best.setup, task.probe)
    if task.gen:
        task = task.scaled(first.gen_ns / task.probe.n_gen)
    lanes = []
    for changes in stage.changes:
        arm = _changed(result.best, changes)
        if arm.setup == result.best.setup:
            continue
        lane = Lane(arm.with_window(_window(task)))
        try:
            engine.run(lane.arm.setup, replace(task.probe, n_prompt=min(2, task.probe.n_prompt), n_gen=min(1, task.probe.n_gen)))
            lanes.append(lane)
        except XchatError as error:
            result.tried.append(Tried(stage.name, arm.name, None, 0, skipped=str(error)))
    running = list(lanes)
    for units in _UNITS:
        for _ in range(units):
            if running and (engine.time_ns < end_ns or not running[0].differences):
                measure_unit(engine, task, [reference, *running], rng)
                spent_s = (engine.time_ns - began_ns) / NS_PER_S
                report(progress_of_stage(stage.name, reference, running, seconds=spent_s, limit_s=seconds, stated=stage.least_gain))
        running = sorted(running, key=_gain, reverse=True)[: max(1, (len(running) + 1) // 2)]
    winner = max(lanes, key=_gain, default=None)
    taken = winner if winner is not None and winner in running and _gain(winner) >= stage.least_gain else None
    result.tried += [Tried(stage.name, lane.arm.name, _gain(lane), len(lane.differences), lane is taken) for lane in lanes]
    if taken is not None:
        result.best = _changed(result.best, stage.changes[_index(stage, result.best, taken)])


def _index(stage: Stage, best: Arm, lane: Lane) -> int:
    return next(index for index, changes in enumerate(stage.changes) if _changed(best, changes).name == lane.arm.name)


def _gain(lane: Lane) -> float:
    """Speed compared with the reference, minus 1."""
    return math.expm1(-median(lane.differences)) if lane.differences else -1.0


def _window(task: Task) -> int:
    return task.probe.n_depth + task.probe.n_prompt + LONGEST_PROBE


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
