"""The llama.cpp backend: accepts requests from any thread and passes them to the one compute thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from weakref import WeakSet

from engine import paths
from engine.backend import BackendEvent, Capabilities, EngineInfo, GenerateRequest, PoolNow, Priority, StopReason, ThreadsNow
from engine.errors import EngineError, XchatError
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
from engine.model_ref import ModelRef, RemoteModel, file_of
from engine.presets.preset import Preset

if TYPE_CHECKING:
    from engine.llama.compute import Compute
    from engine.llama.log import LogLine
    from engine.llama.measuring.workbench import Workbench
    from engine.llama.model import Model

Result = TypeVar("Result")

CAPABILITIES: Final = Capabilities(
    token_ids=True, kv_state=True, threads=True, stream_batch=True, memory=True, in_process=True, constraints=True, logprobs=True
)
CLOSE_LIMIT_S: Final = 10.0
"""Longest wait of `close` for the compute thread."""

STACK_BYTES = 128 << 20
"""Stack of the compute thread, enough to tokenize two adjacent runs of `engine.llama.vocab.LONGEST_RUN` characters."""


class LlamaBackend:
    """An `engine.backend.Backend` that runs llama.cpp in this process.

    Create one per process: a second compute thread would halve the speed of the first. When native code fails, its thread is parked for
    good, `dead` has the reason, and the rest of the program continues.
    """

    def __init__(
        self,
        *,
        parallel: int = 1,
        file_of: Callable[[ModelRef], Path | None] = file_of,
        trusted: Callable[[Path], bool] | None = None,
        log_path: Path | None = None,
    ) -> None:
        """Start the compute thread.

        Args:
            parallel: Most parallel answers where a preset has `auto`, as far as they fit into memory.
            file_of: Returns the file of a model; called on the compute thread; may raise ModelError. By default only files are accepted.
            trusted: Returns whether a file needs no check in a child process.
            log_path: File for the native log; by default the program's log.
        """
        self._parallel = parallel
        self._files = ModelFiles(file_of, trusted or (lambda _path: False))
        self._log_path = log_path if log_path is not None else paths.log_path()
        self._verdicts_path = paths.cache_dir() / "probed.json"
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._tickets: dict[int, Ticket] = {}
        self._loads: list[Future[EngineInfo]] = []
        self.before_decode: Callable[[], None] = _nothing
        """Called when a decode call or a wait is about to release the GIL, and after the last events; must return at once and not raise.

        On the compute thread; for a refused turn, on that of `submit`.
        """
        self._states: WeakSet[TakeState | PutState | Measure | Consult] = WeakSet()
        """Those in progress: a state can take gigabytes, so nothing keeps one that is done."""
        self._dead: XchatError | None = None
        self._closed = False
        self._pace = Pace()
        self._compute: Compute | None = None
        self._thread = threading.Thread(target=self._run, name="xchat-compute", daemon=True)
        usual = threading.stack_size(STACK_BYTES)
        self._thread.start()
        threading.stack_size(usual)

    @property
    def capabilities(self) -> Capabilities:
        """All capabilities."""
        return CAPABILITIES

    def runs(self, ref: ModelRef) -> bool:
        """Return whether the model is a file on this machine or the built-in model."""
        return not isinstance(ref, RemoteModel)

    @property
    def dead(self) -> XchatError | None:
        """Set for good when the native library aborted; only a new process brings the engine back."""
        return self._dead

    @property
    def loaded(self) -> EngineInfo | None:
        """The loaded model; None before the first load and after a failed one that could not restore the old model."""
        compute = self._compute
        return compute.info if compute is not None else None

    def native_log(self) -> tuple[LogLine, ...]:
        """Return the latest lines of the native log, oldest first."""
        compute = self._compute
        return compute.log.lines() if compute is not None else ()

    @property
    def threads_now(self) -> ThreadsNow | None:
        """The thread counts in use, which `auto` changes between two tokens; None when nothing is loaded."""
        compute = self._compute
        return compute.threads_now if compute is not None else None

    @property
    def pool_now(self) -> PoolNow | None:
        """The state of parallel answers, without waiting; None when nothing is loaded, or the context is for one."""
        compute = self._compute
        return compute.pool_now if compute is not None else None

    def load(self, ref: ModelRef, preset: Preset, on_event: Callable[[BackendEvent], None], *, force: bool = False) -> Future[EngineInfo]:
        """Load a model; rebuild only the context when nothing else differs from the loaded one.

        Turns submitted before it end first; turns submitted after it run on the new model. `force` loads even if memory is predicted not to
        suffice.
        """
        future: Future[EngineInfo] = Future()
        with self._lock:
            refusal = self._refusal()
            if refusal is None:
                self._loads = [pending for pending in self._loads if not pending.done()]
                self._loads.append(future)
                self._commands.put(Load(ref, preset, on_event, future, force))
        if refusal is not None:
            future.set_exception(refusal)
        return future

    def cancel_load(self) -> None:
        """Cancel the running load and the queued ones."""
        with self._lock:
            for future in self._loads:
                future.cancel()

    def submit(self, request: GenerateRequest) -> None:
        """Queue a turn; its last event is always GenerationFinished."""
        ticket = Ticket(request)
        with self._lock:
            refusal = self._refusal()
            if refusal is None:
                self._tickets[request.turn] = ticket
                self._commands.put(ticket)
        if refusal is not None:
            conclude_unstarted(request, StopReason.ERROR, refusal)
            self.before_decode()

    def stop(self, turn: int | None = None) -> None:
        """End a turn (all, without a number) within 50 ms, even in a prefill. The next turn starts at once."""
        with self._lock:
            tickets = list(self._tickets.values()) if turn is None else [self._tickets[turn]] if turn in self._tickets else []
        for ticket in tickets:
            ticket.cancelled = True
        if tickets and self._compute is not None:
            self._compute.cut_short()

    def reclass(self, turn: int, priority: Priority) -> None:
        """Change the class of a turn in progress."""
        with self._lock:
            ticket = self._tickets.get(turn)
        if ticket is not None:
            ticket.priority = priority
            self._commands.put(Reclass(ticket))

    @property
    def state_key(self) -> StateKey | None:
        """The key that a saved state must have to be restored now; None when nothing is loaded."""
        compute = self._compute
        return compute.state_key if compute is not None else None

    def take_state(self, *, least_tokens: int, most_bytes: int) -> Future[HeldState | None]:
        """Return a copy of the KV state of the latest turn, taken after the turns submitted before and ahead of later requests."""
        command = TakeState(least_tokens, most_bytes, Future())
        self._ask(command)
        return command.future

    def put_state(self, held: HeldState) -> Future[int]:
        """Restore a saved KV state, in order like `take_state`; return the number of tokens restored."""
        command = PutState(held, Future())
        self._ask(command)
        return command.future

    def measure(self, job: Callable[[Workbench], Result]) -> Future[Result]:
        """Run a job on the workbench, after the turns submitted before it and ahead of later ones; errors are those of the job."""
        future: Future[Result] = Future()

        def run(workbench: Workbench) -> None:
            _answer(future, lambda: job(workbench))

        self._ask(Measure(run, future))
        return future

    def count_tokens(self, texts: Sequence[str]) -> Future[tuple[int, ...] | None]:
        """Return the number of tokens of each text under the loaded model; None without one."""
        return self.measure(lambda workbench: workbench.count_tokens(texts))

    def consult(self, job: Callable[[Model, int], Result]) -> Future[Result]:
        """Run a short job on the loaded model and its n_ctx, between two decode steps; errors are those of the job."""
        future: Future[Result] = Future()

        def run(model: Model, n_ctx: int) -> None:
            _answer(future, lambda: job(model, n_ctx))

        self._ask(Consult(run, future))
        return future

    def stop_measuring(self) -> None:
        """End the running job of `measure` soon, with Interrupted."""
        compute = self._compute
        if compute is not None:
            compute.stop_measuring()

    def _ask(self, command: TakeState | PutState | Measure | Consult) -> None:
        with self._lock:
            refusal = self._refusal()
            if refusal is None:
                self._states.add(command)
                self._commands.put(command)
                return
        if isinstance(command, Measure):
            command.future.set_exception(refusal)
        else:
            command.give_up()

    def apply_hot(self, preset: Preset) -> None:
        """Apply the hot settings of a preset from the next token on: threads, threads_batch, stream_batch."""
        self._commands.put(ApplyHot(preset))

    def set_stream_batch(self, tokens: int) -> None:
        """Set the number of tokens per delivered chunk. Used by `auto`."""
        self._pace.stream_batch = max(1, tokens)

    def close(self) -> None:
        """Stop everything, free the model on the compute thread and end that thread; safe to call twice."""
        with self._lock:
            first, self._closed = not self._closed, True
        if first:
            self.cancel_load()
            self.stop()
            self._commands.put(Close())
        if self._dead is None and threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_LIMIT_S)

    def _refusal(self) -> XchatError | None:
        """Return the reason for refusing requests, if any; call it with the lock held."""
        if self._dead is not None:
            return self._dead
        return EngineError("The engine is closed") if self._closed else None

    def _run(self) -> None:
        """Run the compute thread."""
        try:
            from engine.llama.compute import Compute
        except Exception as error:  # noqa: BLE001 - the edge of the thread; a library that can't be loaded raises whatever it likes
            failure = EngineError("The native library can't be loaded", str(error), "Install xchat again with its dependencies.")
            self._died(error if isinstance(error, XchatError) else failure, lambda: None)
            return
        self._compute = compute = Compute(
            parallel=self._parallel,
            files=self._files,
            verdicts_path=self._verdicts_path,
            log_path=self._log_path,
            pace=self._pace,
            commands=self._commands,
            concluded=self._concluded,
            died=self._died,
        )
        compute.before_decode = self._releasing
        compute.run()
        self.before_decode()

    def _releasing(self) -> None:
        self.before_decode()

    def _concluded(self, ticket: Ticket) -> None:
        with self._lock:
            if self._tickets.get(ticket.request.turn) is ticket:
                del self._tickets[ticket.request.turn]

    def _died(self, error: XchatError, end_running: Callable[[], None]) -> None:
        """Refuse requests from now on, end those that run, and fail the pending ones."""
        with self._lock:
            self._dead = error
        end_running()
        with self._lock:
            tickets, self._tickets = list(self._tickets.values()), {}
            loads, self._loads = self._loads, []
            states = list(self._states)
        for command in states:
            command.give_up()
        for ticket in tickets:
            conclude_unstarted(ticket.request, StopReason.ERROR, error)
        self.before_decode()
        for future in loads:
            if not future.done() and future.set_running_or_notify_cancel():
                future.set_exception(error)


def _answer(future: Future[Result], job: Callable[[], Result]) -> None:
    """Run a job and set the future, unless it was cancelled; errors go to the future."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = job()
    except Exception as error:  # noqa: BLE001 - belongs to the one who asked
        future.set_exception(error)
    else:
        future.set_result(result)


def _nothing() -> None:
    """Do nothing before a decode call."""
