"""Loads a model with its context, and rebuilds only what a change of settings requires."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from engine.backend import EngineInfo
from engine.clock import NS_PER_MS, now_ns
from engine.errors import EngineError, ModelError
from engine.host.topology import Room, cpu_features, read_room, usable_cpus
from engine.kv_state import StateKey
from engine.llama.commands import ModelFiles
from engine.llama.context import Context
from engine.llama.devices.listing import Placement, devices_for
from engine.llama.devices.placement import placements
from engine.llama.devices.workers import insecurity
from engine.llama.files import ModelFile, examine, identity_of, read_ahead
from engine.llama.log import NativeLog
from engine.llama.model import LoadCancelled, Model
from engine.llama.native import library_name, library_version, system_info, trim_heap
from engine.llama.pictures.projector import projector_of
from engine.llama.processes.probe import Probe
from engine.llama.processes.probe_cache import Verdicts
from engine.llama.scheduler import Scheduler
from engine.llama.thread_counts import ContextThreads
from engine.model_ref import ModelRef
from engine.models.fit import TooLargeError, fit
from engine.models.memory import answers_of, predict
from engine.presets.preset import Cost, Preset, cost_of_change, kv_layout
from engine.text import file_name, printable
from engine.threads.auto import AutoThreads
from engine.threads.spin_lever import find_lever
from engine.threads.startable import require_threads
from engine.threads.wait_policy import WaitPolicy

_READING: Final = 0.8
"""Share of the progress for reading the file; the rest is the native load."""
_MIB: Final = 1 << 20


Report = Callable[[float], bool]
"""Reports the done fraction of a load; called often. Returning False cancels the load."""


@dataclass(slots=True)
class Loaded:
    """A model that can answer."""

    model: Model
    context: Context
    scheduler: Scheduler
    threads: ContextThreads
    info: EngineInfo

    @property
    def state_key(self) -> StateKey:
        """The key of KV states that can be restored into this context."""
        return StateKey(
            self.info.model.fingerprint,
            f"{kv_layout(self.info.preset)} {1 if self.context.unified else self.context.n_seq}",
            library_version(),
        )

    def close(self) -> None:
        """Free the context, then the model, and return the memory to the system."""
        self.scheduler.close()
        self.context.close()
        self.model.close()
        gc.collect()  # a vocabulary and its pieces form a cycle that would keep its pages in use
        trim_heap()


class Loader:
    """Loads models. For the compute thread only."""

    def __init__(self, *, parallel: int, files: ModelFiles, verdicts: Verdicts, log: NativeLog) -> None:
        self._parallel = parallel
        self._files = files
        self._verdicts = verdicts
        self._log = log
        self._waits: WaitPolicy | None = None

    def close(self) -> None:
        """Restore the state of the process's OpenMP threads."""
        if self._waits is not None:
            self._waits.close()

    @property
    def waits(self) -> WaitPolicy:
        """The policy for waiting compute threads: one per process, like the OpenMP threads. Needs the native library."""
        if self._waits is None:
            self._waits = WaitPolicy(*find_lever())
        return self._waits

    def fits(self, loaded: Loaded, ref: ModelRef, preset: Preset) -> Cost | None:
        """Return the cost of changing to `ref` with `preset`; None when nothing differs. Raises ModelError when another file is gone.

        A loaded model survives the deletion of its file and can still get another context.
        """
        if _is_another_file(self._path(ref), loaded.model.file):
            return Cost.RELOAD
        here = loaded.info.preset
        return cost_of_change(here, msgspec.structs.replace(preset, model=here.model, quant=here.quant))

    def load(
        self, ref: ModelRef, preset: Preset, report: Report, old: Loaded | None, free_old: Callable[[], None], *, force: bool = False
    ) -> Loaded:
        """Load a model; with `force`, also one that is too large for this machine.

        `free_old` is called before the native load if the model does not fit beside the old one.

        Raises:
            ModelError: The file can't be used.
            TooLargeError: It is too large for this machine.
            EngineError: The context can't be made.
            LoadCancelled: `report` returned False.
        """
        began = now_ns()
        file = self._checked(ref, preset, report, old, force=force)
        projector, notices = self._projector(file, preset, lambda: report(_READING))
        if preset.rpc is not None and (said := insecurity(preset.rpc)):
            notices = (*notices, said)
        for place, said in self._placements(file, preset, old, free_old, force=force):
            try:
                model = self._read(ref, file, preset, report, place, projector)
            except ModelError:
                if not place.layers:
                    raise
                continue
            try:
                if not report(1.0):
                    raise LoadCancelled
                return self._with_context(model, preset, began, AutoThreads(preset, waits=self.waits), (*notices, *filter(None, [said])))
            except (EngineError, LoadCancelled) as error:
                model.close()
                trim_heap()
                if not place.layers or isinstance(error, LoadCancelled):
                    raise
        raise AssertionError("the last placement is the CPU")

    def model(self, ref: ModelRef, preset: Preset, report: Report, free_old: Callable[[], None]) -> Model:
        """Load a model without a context, where its layers are predicted to fit; arguments and errors are those of `load`."""
        file = self._checked(ref, preset, report, None, force=False)
        place, _said = next(self._placements(file, preset, None, free_old, force=False))
        return self._read(ref, file, preset, report, place)

    def _checked(self, ref: ModelRef, preset: Preset, report: Report, old: Loaded | None, *, force: bool) -> ModelFile:
        """Return the model's file, tried and read ahead."""
        file = examine(self._path(ref))
        if not force and not devices_for(preset):
            _refuse_what_can_not_fit(file, preset, self._answers(file, preset), _freed_by(old))
        with self._tried(file, preset, lambda: report(_READING)):
            if file.size < read_room().available and not read_ahead(file, lambda fraction: report(fraction * _READING)):
                raise LoadCancelled
        return file

    def _placements(
        self, file: ModelFile, preset: Preset, old: Loaded | None, free_old: Callable[[], None], *, force: bool
    ) -> Iterator[tuple[Placement, str]]:
        """Where to put the layers, see `placements`; frees the old model before what does not fit beside it."""
        n_seq = self._answers(file, preset)
        if old is not None and old.model.place.layers:
            free_old()
        for place, said in placements(file, preset, n_seq):
            if place.of and not place.layers and not force:
                _refuse_what_can_not_fit(file, preset, n_seq, 0)
            needed = predict(file.facts, preset, features=cpu_features(), n_seq=n_seq).needed
            if (needed if place.memory is None else place.memory["host"]) > read_room().available:
                free_old()
            yield place, said

    def _projector(self, file: ModelFile, preset: Preset, go_on: Callable[[], bool]) -> tuple[Path | None, tuple[str, ...]]:
        """Return the projector for a model, tried, and a notice where the one beside it can't be used.

        Raises ModelError for one that the preset names.
        """
        path = projector_of(file.path, file.facts, preset.mmproj)
        if path is None:
            return None, ()
        try:
            with self._tried(file, preset, go_on, path):
                return path, ()
        except ModelError as error:
            if preset.mmproj != "auto":
                raise
            return None, (f"The model takes no pictures. {error}",)

    def _read(
        self, ref: ModelRef, file: ModelFile, preset: Preset, report: Report, place: Placement, projector: Path | None = None
    ) -> Model:
        """Return the native load."""
        return Model(
            ref,
            file,
            preset=preset,
            place=place,
            projector=projector,
            log=self._log,
            progressed=lambda fraction: report(_READING + fraction * (1 - _READING)),
            confined=not self._files.trusted(file.path),
        )

    def refuse_context(self, model: Model, preset: Preset) -> None:
        """Raise TooLargeError when a context of one sequence, beside what is loaded, does not fit into memory."""
        room, features = read_room(), cpu_features()
        estimate = predict(model.file.facts, preset, features=features)
        if estimate.total - estimate.weights - estimate.weights_repacked > room.available:
            raise TooLargeError(file_name(model.file.path), fit(model.file.facts, preset, room, features=features))

    def rebuild(
        self, loaded: Loaded, preset: Preset, go_on: Callable[[], bool], *, force: bool = False
    ) -> tuple[Loaded, EngineError | None]:
        """Make another context on a loaded model and carry over its KV state, where that is compatible.

        When the new context can't be made, the old one is made again and returned with the error. Thread counts that stay `auto` keep
        their findings.

        Raises:
            TooLargeError: The new context does not fit into memory (and no `force`); nothing has changed.
            ModelError: The file does harm with the new settings; nothing has changed.
            LoadCancelled: `go_on` says no; nothing has changed.
            EngineError: The old context can't be made again either; the model is closed.
        """
        began = now_ns()
        if not force:
            _refuse_what_can_not_fit(loaded.model.file, preset, self._answers(loaded.model.file, preset), _freed_by(loaded))
        if not _is_another_file(loaded.model.file.path, loaded.model.file):
            with suppress(EngineError), self._tried(loaded.model.file, preset, go_on):  # the error is raised again when that is safe
                pass
        auto = loaded.threads.auto
        carried = [saved for cache in loaded.scheduler.caches if (saved := cache.saved()) is not None]
        loaded.context.close()
        failure = None
        try:
            fresh = self._with_context(loaded.model, preset, began, auto)
        except EngineError as error:
            failure = error
            try:
                fresh = self._with_context(loaded.model, loaded.info.preset, began, auto)
            except EngineError:
                loaded.model.close()
                raise
        fresh.scheduler.seats.carry_over(carried, fresh.context.n_ctx)
        trim_heap()
        return fresh, failure

    def _with_context(self, model: Model, preset: Preset, began: int, auto: AutoThreads, notices: tuple[str, ...] = ()) -> Loaded:
        auto.use(preset)
        threads, threads_batch = auto.threads
        context = Context(
            model, preset, n_seq=self._answers(model.file, preset), threads=threads, threads_batch=threads_batch, log=self._log
        )
        try:
            require_threads(max(threads, threads_batch) + len(usable_cpus()))
            with auto.computing(threads):
                context.warm_up()
        except BaseException:
            context.close()
            raise
        info = EngineInfo(
            model=model.info,
            preset=preset,
            n_ctx=context.n_ctx,
            n_batch=context.n_batch,
            n_ubatch=context.n_ubatch,
            parallel=context.n_seq,
            threads=threads,
            threads_batch=threads_batch,
            load_ms=(now_ns() - began) / NS_PER_MS,
            memory=context.memory_use(),
            placement=model.place.sentence if model.place.of else "",
            projector=file_name(model.vision.path) if model.vision is not None else "",
            notices=notices,
            system_info=system_info(),
            library=library_name(),
        )
        counts = ContextThreads(context, auto)
        scheduler = Scheduler(context, counts, checkpoint_bytes=state_budget(), saved_bytes=state_budget())
        return Loaded(model, context, scheduler, counts, info)

    def _answers(self, file: ModelFile, preset: Preset) -> int:
        """Return the number of parallel answers with this preset."""
        return answers_of(preset, file.facts, wanted=self._parallel, available=read_room().available, features=cpu_features())

    def _path(self, ref: ModelRef) -> Path:
        path = self._files.find(ref)
        if path is None:
            raise ModelError(f"{printable(str(ref))} is not a model that runs here", "llama.cpp loads files", "Choose another model.")
        return path

    @contextmanager
    def _tried(self, file: ModelFile, preset: Preset, go_on: Callable[[], bool], projector: Path | None = None) -> Iterator[None]:
        """Try a file that is not known to be harmless, beside what is done in the meantime; raises what `Probe.wait` does."""
        preset = msgspec.structs.replace(preset, mmproj=str(projector or "none"))
        if self._verdicts.passed(file, preset) or self._files.trusted(file.path):
            yield
            return
        probe = Probe(file, preset, self._answers(file, preset))
        try:
            yield
            if not probe.wait(go_on):
                raise LoadCancelled
            self._verdicts.remember(file, preset)
        finally:
            probe.close()


def _is_another_file(path: Path, loaded: ModelFile) -> bool:
    """Return whether `path` is another file than the loaded one."""
    if path == loaded.path and not path.exists():
        return False
    return identity_of(path) != loaded.identity


def state_budget() -> int:
    """Return the bytes for checkpoints, and for states without a sequence: a sixteenth of the free memory each, from 64 MB to 1 GB."""
    return max(64 * _MIB, min(1024 * _MIB, read_room().available // 16))


def _freed_by(loaded: Loaded | None) -> int:
    """Return the bytes that freeing this releases; mapped weights are page cache, which already counts as available."""
    if loaded is None:
        return 0
    return sum(size for purpose, size in loaded.info.memory.items() if purpose != "weights" or not loaded.model.preset.mmap)


def _refuse_what_can_not_fit(file: ModelFile, preset: Preset, n_seq: int, freed: int) -> None:
    """Raise TooLargeError for a load that would swap or be killed.

    Mapped weights beyond the free memory are slow but possible, so only memory that must stay resident is compared with it.
    """
    room = read_room()
    room = Room(min(room.available + freed, room.total), room.total, room.limited)
    features = cpu_features()
    estimate = predict(file.facts, preset, features=features, n_seq=n_seq)
    pinned = estimate.total - (estimate.weights if preset.mmap else 0)
    if pinned <= room.available and estimate.needed <= room.total:
        return
    raise TooLargeError(file_name(file.path), fit(file.facts, preset, room, features=features, n_seq=n_seq))
