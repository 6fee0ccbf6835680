"""What other threads ask of the compute thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from engine.backend import BackendEvent, EngineInfo, HeldState
from engine.llama.ticket import Ticket
from engine.model_ref import ModelRef
from engine.presets.preset import Preset


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Where models are, and which of their files are known to be harmless. Called on the compute thread."""

    find: Callable[[ModelRef], Path | None]
    """The file of a model; may raise ModelError."""
    trusted: Callable[[Path], bool]
    """Whether a file can be loaded without trying it in a child process first."""


@dataclass(frozen=True, slots=True)
class Load:
    """Load a model; cancelling the future gives it up."""

    ref: ModelRef
    preset: Preset
    on_event: Callable[[BackendEvent], None]
    future: Future[EngineInfo]
    force: bool
    """Load also what memory is predicted not to hold."""


@dataclass(frozen=True, slots=True)
class TakeState:
    """Copy what the slot of the latest turn holds."""

    least_tokens: int
    most_bytes: int
    future: Future[HeldState | None]

    def give_up(self) -> None:
        """Answer that there is none."""
        if not self.future.done():
            self.future.set_result(None)


@dataclass(frozen=True, slots=True)
class PutState:
    """Restore this state."""

    held: HeldState
    future: Future[int]

    def give_up(self) -> None:
        """Answer that nothing was taken."""
        if not self.future.done():
            self.future.set_result(0)


@dataclass(frozen=True, slots=True)
class ApplyHot:
    """Put the hot settings of a preset in force."""

    preset: Preset


@dataclass(frozen=True, slots=True)
class Close:
    """Free everything and end."""


Command = Load | TakeState | PutState | ApplyHot | Close | Ticket
