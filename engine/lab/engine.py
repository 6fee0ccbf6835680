"""Runs the laboratory's work on the compute thread from another thread; an interrupt or `stop` ends it at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from engine.clock import now_ns
from engine.errors import EngineError, XchatError
from engine.lab.compute_thread import result_of
from engine.llama.backend import LlamaBackend
from engine.llama.measuring.work import Interrupted, ModelFigures, Setup, Took, Work
from engine.model_ref import ModelRef

if TYPE_CHECKING:
    from engine.llama.measuring.workbench import Workbench

_GIVE_UP_S: Final = 10.0

Result = TypeVar("Result")


class LabEngine:
    """The engine of the laboratory. For one thread, except `stop`.

    Beside a conversation, work waits for the running answer, and an answer waits for the running piece of work.
    """

    def __init__(self, backend: LlamaBackend, beside: ModelRef | None = None) -> None:
        """`beside`: the model of the conversation; when it is no longer loaded, the work ends as by `stop`."""
        self._backend = backend
        self._beside = beside
        self._waited_ns = 0
        self._stopped = False

    @property
    def time_ns(self) -> int:
        """Return the time in nanoseconds, without the time in which the engine was busy with answers."""
        return now_ns() - self._waited_ns

    @property
    def library(self) -> str:
        """Load the native library and return its version and build."""
        from engine.llama.native import library_name

        return library_name()

    def stop(self) -> None:
        """End the running work, and all later work, with KeyboardInterrupt. Thread-safe."""
        self._stopped = True
        self._backend.stop_measuring()

    def run(self, setup: Setup, work: Work) -> Took:
        """Do a piece of work once; raises the errors of `Workbench.run`, and EngineError for a setup with another library."""
        if setup.library is not None:
            raise EngineError(
                "Another build of llama.cpp can't be measured here",
                "It needs a process of its own",
                "Run in a terminal: xchat race current lib=FOLDER",
            )
        return self._wait(lambda bench: bench.run(setup, work))

    def figures(self, setup: Setup) -> ModelFigures:
        """Return the figures of the model and the library for rows."""
        return self._wait(lambda bench: bench.figures(setup))

    def keep_only(self, setups: tuple[Setup, ...]) -> None:
        """Free the contexts and models of all other setups."""
        self._wait(lambda bench: bench.keep_only(setups))

    def free(self) -> None:
        """Free all contexts and models of measurements; also after `stop`."""
        result_of(self._backend.measure(lambda bench: bench.close()))

    def _wait(self, job: Callable[[Workbench], Result]) -> Result:
        asked_ns = now_ns()

        def run(bench: Workbench) -> Result:
            self._waited_ns += now_ns() - asked_ns
            loaded = self._backend.loaded
            if self._beside is not None and (loaded is None or loaded.model.ref != self._beside):
                self._stopped = True
            if self._stopped:
                raise Interrupted
            return job(bench)

        future = self._backend.measure(run)
        try:
            return result_of(future, lambda: self._stopped)
        except Interrupted:
            if self._stopped:
                raise KeyboardInterrupt from None
            raise
        except KeyboardInterrupt:
            self._backend.stop_measuring()
            with contextlib.suppress(XchatError, TimeoutError):
                future.result(0 if self._stopped else _GIVE_UP_S)
            raise
