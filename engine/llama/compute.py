"""The loop of the compute thread: receives commands, makes native calls, emits events."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import InvalidStateError
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from engine.backend import EngineInfo, LoadProgressed, PoolNow, StopReason, ThreadsNow
from engine.errors import EngineError, ModelError, XchatError, of_memory
from engine.kv_state import HeldState, StateKey
from engine.llama.chunking import Pace
from engine.llama.commands import (
    ApplyHot,
    Close,
    Command,
    Consult,
    Load,
    Measure,
    ModelFiles,
    PutState,
    Reclass,
    TakeState,
    Ticket,
    conclude_unstarted,
)
from engine.llama.generation import Turn
from engine.llama.kv import common_prefix
from engine.llama.loader import Loaded, Loader
from engine.llama.log import NativeLog
from engine.llama.measuring.workbench import Workbench
from engine.llama.model import LoadCancelled
from engine.llama.native import on_native_death
from engine.llama.pool.replay import Replay
from engine.llama.processes.probe_cache import Verdicts
from engine.presets.preset import AUTO_STREAM_BATCH, Cost, Preset

_PROGRESS_STEP: Final = 0.01


class Compute:
    """Owns all native objects. Created and run on the compute thread; `info`, `log` and `cut_short` may be used from others.

    The thread keeps its normal priority: nice 5 costs half to nine tenths of the speed as soon as any other process is busy, and a thread
    that sleeps most of the time, like the screen's, is woken within 10 ms (p99) either way.
    """

    def __init__(
        self,
        *,
        parallel: int,
        files: ModelFiles,
        verdicts_path: Path,
        log_path: Path | None,
        pace: Pace,
        commands: queue.SimpleQueue[Command],
        concluded: Callable[[Ticket], None],
        died: Callable[[XchatError, Callable[[], None]], None],
    ) -> None:
        self.log = NativeLog(log_path)
        self.log.listen()
        on_native_death(self._native_death)
        self._loader = Loader(parallel=parallel, files=files, verdicts=Verdicts(verdicts_path), log=self.log)
        self._pace = pace
        self._commands = commands
        self.before_decode: Callable[[], None] = lambda: None
        """Called when a decode call or a wait is about to release the GIL."""
        self._concluded = concluded
        self._died = died
        self._waiting: deque[Load | TakeState | PutState | Measure | Consult | Close | Ticket] = deque()
        self._loaded: Loaded | None = None
        self._preset = Preset()
        self._replay: Replay | None = None
        self.info: EngineInfo | None = None
        """The loaded model."""
        self._workbench = Workbench(self._loader, lambda: self._loaded, self.log)

    def run(self) -> None:
        """Serve commands until Close."""
        while True:
            self._receive(wait=not self._waiting and not self._busy)
            while self._waiting and not (self._busy and isinstance(self._waiting[0], Load | TakeState | PutState | Measure)):
                command = self._waiting.popleft()
                if isinstance(command, Close):
                    self._close()
                    return
                if isinstance(command, Load):
                    self._load(command)
                elif isinstance(command, TakeState):
                    self._take_state(command)
                elif isinstance(command, PutState):
                    self._put_state(command)
                elif isinstance(command, Measure):
                    self._workbench.begin()
                    command.job(self._workbench)
                elif isinstance(command, Consult):
                    self._consult(command)
                else:
                    self._start(command)
                del command  # it may refer to a KV state, and the next command may be hours away
            if self._loaded is not None and self._busy:
                self._step(self._loaded)

    @property
    def state_key(self) -> StateKey | None:
        """The key of states that can be restored now; from any thread."""
        loaded = self._loaded
        return loaded.state_key if loaded is not None else None

    def cut_short(self) -> None:
        """End cancelled turns soon; from any thread."""
        loaded = self._loaded
        if loaded is not None:
            loaded.scheduler.abort_if_it_helps()

    def stop_measuring(self) -> None:
        """End the running measurement soon; from any thread."""
        self._workbench.cancel()

    @property
    def threads_now(self) -> ThreadsNow | None:
        """The thread counts in use; from any thread."""
        loaded = self._loaded
        return loaded.threads.now if loaded is not None else None

    @property
    def pool_now(self) -> PoolNow | None:
        """The state of parallel answers; None for a context of one; from any thread."""
        loaded = self._loaded
        return loaded.scheduler.tally.now if loaded is not None and loaded.context.n_seq > 1 else None

    @property
    def _busy(self) -> bool:
        return self._loaded is not None and self._loaded.scheduler.busy

    def _receive(self, *, wait: bool) -> None:
        """Receive commands; apply hot settings and classes at once, ahead of queued commands."""
        if wait:
            self.before_decode()
        while wait or not self._commands.empty():
            wait = False
            match self._commands.get():
                case ApplyHot(preset):
                    self._apply_hot(preset)
                case Reclass(ticket):
                    if self._loaded is not None:
                        self._loaded.scheduler.reclass(ticket)
                case command:
                    self._waiting.append(command)
        if self._waiting:
            self._drop_cancelled()

    def _drop_cancelled(self) -> None:
        for command in [command for command in self._waiting if isinstance(command, Ticket) and command.cancelled]:
            self._waiting.remove(command)
            self._conclude(command, StopReason.CANCELLED)

    def _conclude(self, ticket: Ticket, reason: StopReason, error: XchatError | None = None) -> None:
        self._concluded(ticket)
        conclude_unstarted(ticket.request, reason, error)

    def _start(self, ticket: Ticket) -> None:
        if self._loaded is None:
            self._conclude(ticket, StopReason.ERROR, ModelError("No model is loaded", hint="Choose a model."))
        else:
            if self._preset.result_cache and self._replay is None:
                self._replay = Replay()
            again = self._replay.again(str(self._loaded.state_key)) if self._replay is not None and self._preset.result_cache else None
            self._loaded.scheduler.add(Turn(ticket, self._pace, self._concluded, again))

    def _consult(self, command: Consult) -> None:
        if self._loaded is None:
            command.give_up()
        else:
            command.job(self._loaded.model, self._loaded.context.n_ctx)

    def _take_state(self, command: TakeState) -> None:
        loaded, held = self._loaded, None
        if loaded is not None:
            cache = loaded.scheduler.latest
            with contextlib.suppress(MemoryError):
                if len(cache.tokens) >= command.least_tokens and (state := cache.save(command.most_bytes)) is not None:
                    held = HeldState(loaded.state_key, tuple(cache.tokens), state.data)
        with contextlib.suppress(InvalidStateError):  # the caller may have cancelled it
            command.future.set_result(held)

    def _put_state(self, command: PutState) -> None:
        loaded, held, taken = self._loaded, command.held, 0
        if loaded is not None and held.key == loaded.state_key and 0 < len(held.tokens) < loaded.context.n_ctx:
            cache = loaded.scheduler.cache_for(held.tokens)
            if common_prefix(cache.tokens, held.tokens) == len(held.tokens) or cache.replace(
                held.tokens, np.frombuffer(held.state, np.uint8)
            ):
                taken = len(held.tokens)
        with contextlib.suppress(InvalidStateError):
            command.future.set_result(taken)

    def _step(self, loaded: Loaded) -> None:
        try:
            loaded.scheduler.step()
        except Exception as error:  # noqa: BLE001 - the thread must outlive whatever a template or a listener raises
            traceback.print_exc(file=sys.stderr)
            failure = error if isinstance(error, XchatError) else EngineError("The engine failed", repr(error), "Send it again.")
            loaded.scheduler.end_all(StopReason.ERROR, failure)
            for cache in loaded.scheduler.caches:
                cache.clear()

    def _load(self, command: Load) -> None:
        if command.future.cancelled():
            return
        try:
            info = self._load_what_differs(command)
        except LoadCancelled:
            command.future.cancel()
            return
        except Exception as error:  # noqa: BLE001 - as above; the future must be answered
            if not isinstance(error, XchatError):
                if (refused := of_memory(error)) is None:
                    traceback.print_exc(file=sys.stderr)
                error = refused or EngineError("The model can't be loaded", repr(error))
            if command.future.set_running_or_notify_cancel():
                command.future.set_exception(error)
            return
        if command.future.set_running_or_notify_cancel():
            command.future.set_result(info)

    def _load_what_differs(self, command: Load) -> EngineInfo:
        ref, preset = command.ref, command.preset
        loaded = self._loaded
        cost = Cost.RELOAD if loaded is None else self._loader.fits(loaded, ref, preset)
        if loaded is None or cost is Cost.RELOAD:
            fresh = self._load_or_go_back(command, loaded)
            self._unload()
            self._keep(fresh)
        elif cost is Cost.REBUILD:
            try:
                fresh, failure = self._loader.rebuild(loaded, preset, lambda: self._goes_on(command), force=command.force)
            except EngineError:
                self._loaded = self.info = None
                raise
            self._keep(fresh)
            if failure is not None:
                raise failure
        else:
            self._apply_hot(preset)
        self._set_pace(preset)
        self._preset = preset
        assert self.info is not None
        return self.info

    def _load_or_go_back(self, command: Load, old: Loaded | None) -> Loaded:
        """Load; when that fails after the old model was freed, reload the old one and raise."""
        before = old.info if old is not None else None
        try:
            return self._loader.load(
                command.ref, command.preset, _Progress(command, self._stay_responsive), old, self._unload, force=command.force
            )
        except (XchatError, LoadCancelled):
            if before is not None and self._loaded is None:
                with contextlib.suppress(XchatError):
                    self._keep(self._loader.load(before.model.ref, before.preset, lambda _fraction: True, None, lambda: None, force=True))
            raise

    def _goes_on(self, command: Load) -> bool:
        self._stay_responsive()
        return not command.future.cancelled()

    def _stay_responsive(self) -> None:
        """Receive commands while a model is read."""
        self._receive(wait=False)

    def _keep(self, loaded: Loaded) -> None:
        self._loaded, self.info = loaded, loaded.info
        loaded.scheduler.before_decode = self.before_decode
        loaded.scheduler.guesses = loaded.info.preset.lookup == "auto"

    def _unload(self) -> None:
        self._workbench.close()  # its contexts may use the weights that are freed here
        loaded, self._loaded, self.info = self._loaded, None, None
        if loaded is not None:
            loaded.close()

    def _apply_hot(self, preset: Preset) -> None:
        if self.info is not None and self._loaded is not None:
            self._loaded.threads.use(preset)
            self._loaded.scheduler.guesses = preset.lookup == "auto"
            now = self._loaded.threads.now
            self.info = self._loaded.info = replace(self.info, preset=preset, threads=now.threads, threads_batch=now.threads_batch)
        self._set_pace(preset)
        self._preset = preset

    def _set_pace(self, preset: Preset) -> None:
        if preset.stream_batch != "auto":
            self._pace.stream_batch = preset.stream_batch
        elif self._preset.stream_batch != "auto":
            self._pace.stream_batch = AUTO_STREAM_BATCH

    def _close(self) -> None:
        if self._loaded is not None:
            self._loaded.scheduler.end_all(StopReason.CANCELLED)
        while self._waiting:
            command = self._waiting.popleft()
            if isinstance(command, Ticket):
                self._conclude(command, StopReason.CANCELLED)
            elif isinstance(command, Load):
                command.future.cancel()
            elif isinstance(command, TakeState | PutState | Measure | Consult):
                command.give_up()
        self._unload()
        self._loader.close()
        if self._replay is not None:
            self._replay.close()

    def _native_death(self, reason: str) -> None:
        """End all native work. Runs on the failed thread and never returns: returning would end the process."""
        error = EngineError("The engine has failed", reason, "The conversation is saved; restart xchat to continue.")
        loaded = self._loaded
        self._died(error, lambda: loaded.scheduler.end_all(StopReason.ERROR, error) if loaded is not None else None)
        while True:
            threading.Event().wait()


class _Progress:
    """Reports a load's progress in steps of `_PROGRESS_STEP`; returns whether the load is still wanted."""

    def __init__(self, command: Load, meanwhile: Callable[[], None]) -> None:
        self._command = command
        self._meanwhile = meanwhile
        self._reported = -1.0

    def __call__(self, fraction: float) -> bool:
        if fraction - self._reported >= _PROGRESS_STEP or (fraction >= 1.0 > self._reported):
            self._reported = fraction
            self._command.on_event(LoadProgressed(self._command.ref, min(fraction, 1.0)))
        self._meanwhile()
        return not self._command.future.cancelled()
