"""Requests of other threads to the compute thread."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.backend import BackendEvent, EngineInfo, GenerateRequest, GenerationFinished, StopReason
from engine.clock import now_ns
from engine.errors import EngineError, XchatError
from engine.kv_state import HeldState
from engine.model_ref import ModelRef
from engine.presets.preset import Preset
from engine.timings import compute_timings

if TYPE_CHECKING:
    from engine.llama.measuring.workbench import Workbench
    from engine.llama.model import Model


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Finds the files of models, and knows harmless ones. Called on the compute thread."""

    find: Callable[[ModelRef], Path | None]
    """Finds the file of a model; may raise ModelError."""
    trusted: Callable[[Path], bool]
    """Returns whether a file can be loaded without a check in a child process."""


@dataclass(frozen=True, slots=True)
class Load:
    """Load a model; cancel the future to stop it."""

    ref: ModelRef
    preset: Preset
    on_event: Callable[[BackendEvent], None]
    future: Future[EngineInfo]
    force: bool
    """Load also a model that is predicted not to fit."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class TakeState:
    """Copy the KV state of the latest turn."""

    least_tokens: int
    most_bytes: int
    future: Future[HeldState | None]

    def give_up(self) -> None:
        """Answer without a state."""
        with suppress(InvalidStateError):
            self.future.set_result(None)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class PutState:
    """Restore this state."""

    held: HeldState
    future: Future[int]

    def give_up(self) -> None:
        """Answer that nothing was restored."""
        with suppress(InvalidStateError):
            self.future.set_result(0)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Measure:
    """Run a job on the workbench, between turns."""

    job: Callable[[Workbench], None]
    future: Future[Any]

    def give_up(self) -> None:
        """Answer that the engine is closed."""
        with suppress(InvalidStateError):
            self.future.set_exception(EngineError("The engine is closed"))


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Consult:
    """Run a short job on the loaded model, between two steps."""

    job: Callable[[Model, int], None]
    """Takes the model and the tokens of the context window."""
    future: Future[Any]

    def give_up(self) -> None:
        """Answer that no model is loaded; also for the job that runs, when native code fails in it."""
        with suppress(InvalidStateError):
            self.future.set_exception(EngineError("No model is loaded"))


@dataclass(frozen=True, slots=True)
class ApplyHot:
    """Apply the hot settings of a preset."""

    preset: Preset


@dataclass(frozen=True, slots=True)
class Reclass:
    """The class of this turn has changed."""

    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Close:
    """Free everything and end."""


class Ticket:
    """A turn to generate. `cancelled` and `priority` may be set from any thread."""

    def __init__(self, request: GenerateRequest) -> None:
        self.request = request
        self.priority = request.priority
        self.cancelled = False


Command = Load | TakeState | PutState | Measure | Consult | ApplyHot | Reclass | Close | Ticket


def notify(request: GenerateRequest, event: BackendEvent) -> None:
    """Send an event to the request's listener; an exception of the listener must not end the compute thread."""
    try:
        request.on_event(event)
    except Exception:  # noqa: BLE001
        traceback.print_exc(file=sys.stderr)


def conclude_unstarted(request: GenerateRequest, reason: StopReason, error: XchatError | None = None) -> None:
    """Send the only event of a request that never ran."""
    now = now_ns()
    notify(
        request,
        GenerationFinished(
            turn=request.turn,
            at_ns=now,
            reason=reason,
            timings=compute_timings(
                cache_n=0, prompt_n=0, submitted_ns=request.submitted_ns, prefill_start_ns=now, prefill_end_ns=now, token_ns=()
            ),
            started_ns=now,
            prefill_start_ns=now,
            prefill_end_ns=now,
            prompt_tokens=0,
            token_ns=(),
            error=error,
        ),
    )
