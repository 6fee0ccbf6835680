"""Runs work on the compute thread from another thread, so that an interrupt ends it at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from engine.errors import XchatError
from engine.lab.compute_thread import result_of
from engine.llama.backend import LlamaBackend
from engine.llama.measuring.work import ModelFigures, Setup, Took, Work

if TYPE_CHECKING:
    from engine.llama.measuring.workbench import Workbench

_GIVE_UP_S: Final = 10.0

Result = TypeVar("Result")


class LabEngine:
    """The engine as the laboratory uses it. For one thread."""

    def __init__(self, backend: LlamaBackend) -> None:
        self._backend = backend

    def run(self, setup: Setup, work: Work) -> Took:
        """Do a piece of work once; errors are those of `Workbench.run`."""
        return self._wait(lambda bench: bench.run(setup, work))

    def figures(self, setup: Setup) -> ModelFigures:
        """What rows say of the model and the library."""
        return self._wait(lambda bench: bench.figures(setup))

    def keep_only(self, setups: tuple[Setup, ...]) -> None:
        """Free the contexts and models of all other setups."""
        self._wait(lambda bench: bench.keep_only(setups))

    def _wait(self, job: Callable[[Workbench], Result]) -> Result:
        future = self._backend.measure(job)
        try:
            return result_of(future)
        except KeyboardInterrupt:
            self._backend.stop_measuring()
            with contextlib.suppress(XchatError, TimeoutError):
                future.result(_GIVE_UP_S)
            raise
