"""Races and searches on the engine of an open session, without a second copy of its model."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from engine.clock import wall_ms
from engine.config import load_config
from engine.errors import EngineError, StoreError
from engine.host.topology import read_topology
from engine.lab.arms import CURRENT, Base, arms_of, memory_of, preset_with, use_of
from engine.lab.engine import LabEngine
from engine.lab.log import known_gains, run_of_race, run_of_tuning
from engine.lab.progress import Progress, progress_of
from engine.lab.race import SECONDS, Use, race
from engine.lab.stages import Bounds, stages_of
from engine.lab.tune import MINUTES, tune
from engine.lab.wording import race_in_words, race_lines, tuning_in_words, tuning_lines
from engine.llama.backend import LlamaBackend
from engine.paths import database_path
from engine.presets.preset import Preset
from engine.session.session import Session
from engine.store.lab_runs import LabRun, known_runs, save_run

KV_TYPES: Final = ("q8_0",)
"""Types of the KV cache that a search tries."""

Returned = TypeVar("Returned")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a measurement ended."""

    verdict: str
    table: tuple[str, ...]
    """The figures, as lines of text."""
    faster: Preset | None
    """Settings shown to be faster than those in use; None where there are none."""
    run: int | None
    """The number in the log of runs; None where it is not logged."""


class LiveRun:
    """One measurement on the engine of a session. An answer pauses it; it delays an answer by at most one probe."""

    def __init__(self, session: Session, report: Callable[[Progress], None]) -> None:
        """`report` is called on another thread.

        Raises:
            EngineError: No model is loaded, or the engine is not in this process.
        """
        info, backend = session.slot.ready(), session.slot.backend
        if not isinstance(backend, LlamaBackend):
            raise EngineError("This engine can't be measured", "It runs outside this process")
        self.base = Base(info.model.ref, session.preset, load_config())
        self._logged, self._library = session.logging, info.library
        self._report = report
        self._engine = LabEngine(backend, self.base.ref)

    def stop(self) -> None:
        """End the measurement with the results so far."""
        self._engine.stop()

    def choices(self) -> tuple[str, ...]:
        """List arms worth comparing with the settings in use, as they are typed."""
        preset, most = self.base.preset, read_topology().most_threads
        words = [f"threads={count}" for count in range(1, most + 1)] if most <= 8 else [f"threads={most // 2}", f"threads={most}"]
        words += [f"flash_attn={value}" for value in ("on", "off") if value != preset.flash_attn]
        words += [f"type_k={name},type_v={name}" for name in KV_TYPES]
        return (*words, "n_ubatch=128", f"repack={'off' if preset.repack else 'on'}")

    async def race(self, words: Sequence[str]) -> Outcome:
        """Race the named arms, a single one against the settings in use.

        Raises:
            UsageError, ModelError: A word does not name anything that can be measured.
            TooLargeError, EngineError: An arm can't be made here.
        """
        return await self._on_thread(lambda: self._race(words))

    async def tune(self, use: Use, minutes: float = MINUTES) -> Outcome:
        """Search the fastest settings; raises the errors of `race`."""
        return await self._on_thread(lambda: self._tune(use, minutes))

    async def _on_thread(self, measure: Callable[[], Returned]) -> Returned:
        """Measure on a thread of the event loop's pool, and free the contexts made for it."""

        def run() -> Returned:
            try:
                return measure()
            finally:
                with suppress(EngineError):
                    self._engine.free()

        return await asyncio.to_thread(run)

    def _race(self, words: Sequence[str]) -> Outcome:
        arms = arms_of(words if len(words) > 1 else [CURRENT, *words], self.base)
        started_ms = wall_ms()
        result = race(self._engine, arms, use_of(arms), report=lambda state: self._report(progress_of(state, SECONDS)))
        command = shlex.join(["xchat", "race", *(arm.name for arm in arms), "-m", str(self.base.ref)])
        run = self._log(run_of_race(result, self._library, started_ms=started_ms, command=command)) if result.units else None
        winner = result.winner
        faster = None if winner is None else preset_with(self.base, arms[winner].setup, "")
        return Outcome(race_in_words(result), tuple(race_lines(result)), faster, run)

    def _tune(self, use: Use, minutes: float) -> Outcome:
        (today,) = arms_of([CURRENT], self.base)
        stages = list(stages_of(use, today.setup, most_threads=read_topology().most_threads, kv_types=KV_TYPES, quants=()))
        started_ms = wall_ms()
        earlier = known_runs(database_path()) if self._logged else ()
        known = known_gains(earlier, self.base.ref, use, today.setup.preset, self._library)
        bounds = Bounds(memory_of(self.base), known=known)
        result = tune(self._engine, today, use, stages, minutes=minutes, bounds=bounds, report=self._report)
        command = shlex.join(["xchat", "tune", "--for", use, "--minutes", f"{minutes:g}", "-m", str(self.base.ref)])
        run = self._log(run_of_tuning(result, self._library, started_ms=started_ms, command=command)) if result.tried else None
        faster = preset_with(self.base, result.best.setup, f"Tuned for {use}, from {self.base.preset.name}") if result.adopted else None
        return Outcome(tuning_in_words(result), tuple(tuning_lines(result)), faster, run)

    def _log(self, run: LabRun) -> int | None:
        if not self._logged:
            return None
        try:
            return save_run(database_path(), run)
        except StoreError:
            return None  # the session's own log reports a database that fails
