"""Models that are not here yet: fetching one or making another quant, as work that can be watched and stopped. Imports no Textual."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from engine.models.pull import PullProgress
    from engine.models.quantize import QuantizePlan


class MakingStopped(Exception):  # noqa: N818
    """The person stopped it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is."""

    done: int
    total: int
    """0 while it is not known."""
    unit: Literal["bytes", "tensors"]
    waiting: bool = False
    """Another program fetches the same file; this one waits for it."""

    @property
    def sentence(self) -> str:
        """The same in words."""
        from engine.models.fit import gib

        if self.waiting:
            return "Another program fetches the same file; waiting for it"
        if not self.total:
            return "Looking at what there is"
        if self.unit == "bytes":
            return f"{gib(self.done)} of {gib(self.total)}"
        return f"{self.done:,} of {self.total:,} tensors"


class Making(ABC):
    """One model on its way. `run` blocks and belongs on a thread; everything else may be called from any other."""

    title: str
    """What is being made, in a few words."""
    if_stopped: str
    """What becomes of what is there when it is stopped."""

    def __init__(self) -> None:
        self.progress: Progress | None = None
        """Replaced as a whole while `run` works."""
        self.hidden = False
        """Nobody watches it: it goes on behind the conversation."""

    @abstractmethod
    def run(self) -> Path:
        """Do it; returns the file.

        Raises:
            XchatError: It can't be done.
            MakingStopped: After `stop`.
        """

    @abstractmethod
    def stop(self) -> None:
        """End it; `run` raises MakingStopped soon after."""


class Fetching(Making):
    """A model from the hub, or from an address."""

    if_stopped = "What came so far is kept, and fetching it again goes on from there."

    def __init__(self, reference: str) -> None:
        """`reference` is parsed when it runs."""
        super().__init__()
        self.title = f"Fetching {reference}"
        self._reference = reference
        self._stopped = threading.Event()
        self._end = self._stopped.set

    def run(self) -> Path:
        """Ask what there is, then fetch it."""
        from engine.models.pull import Pull, PullCancelled
        from engine.models.references import parse_reference

        self.progress = Progress(0, 0, "bytes")
        pull = Pull(parse_reference(self._reference))
        self._end = pull.cancel
        try:
            plan = pull.plan()
            if self._stopped.is_set():
                raise MakingStopped
            return pull.run(plan, self._tell)
        except PullCancelled:
            raise MakingStopped from None

    def stop(self) -> None:
        """Stop asking or fetching."""
        self._stopped.set()
        self._end()

    def _tell(self, made: PullProgress) -> None:
        self.progress = Progress(made.done_bytes, made.total_bytes, "bytes", made.waiting)


class Quantizing(Making):
    """Another quant of a model that is here."""

    if_stopped = "Nothing is left behind."

    def __init__(self, plan: QuantizePlan) -> None:
        """Take a plan whose warning, if it has one, was accepted."""
        from engine.models.quantize import Quantization
        from engine.text import file_name

        super().__init__()
        self.title = f"Making {file_name(plan.target)}"
        self._work = Quantization(plan, despite_warning=True)

    def run(self) -> Path:
        """Quantize in a child process."""
        from engine.models.quantize import QuantizeCancelled

        self.progress = Progress(0, 0, "tensors")
        try:
            return self._work.run(self._tell)
        except QuantizeCancelled:
            raise MakingStopped from None

    def stop(self) -> None:
        """End the child."""
        self._work.cancel()

    def _tell(self, done: int, total: int) -> None:
        self.progress = Progress(done, total, "tensors")
