"""Jobs that download or quantize a model, with progress and stop. Imports no Textual."""

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
    """The user stopped the job."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a job."""

    done: int
    total: int
    """Total work; 0 while unknown."""
    unit: Literal["bytes", "tensors"]
    waiting: bool = False
    """Whether another process downloads the same file and this one waits for it."""

    @property
    def sentence(self) -> str:
        """Format the progress as a sentence."""
        from engine.numbers import byte_size

        if self.waiting:
            return "Waiting for another process that downloads the same file"
        if not self.total:
            return "Reading the list of files"
        if self.unit == "bytes":
            return f"{byte_size(self.done)} of {byte_size(self.total)}"
        return f"{self.done:,} of {self.total:,} tensors"


class Making(ABC):
    """A job that makes one model file. `run` blocks: call it on a thread. Everything else is thread-safe."""

    title: str
    """Title of the job."""
    if_stopped: str
    """The fate of partial results when it is stopped, a sentence."""

    def __init__(self) -> None:
        self.progress: Progress | None = None
        """Replaced as a whole while `run` works."""
        self.hidden = False
        """Whether its dialog is hidden."""

    @abstractmethod
    def run(self) -> Path:
        """Run the job; returns the file.

        Raises:
            XchatError: The job failed.
            MakingStopped: After `stop`.
        """

    @abstractmethod
    def stop(self) -> None:
        """Stop the job; `run` then raises MakingStopped."""


class Fetching(Making):
    """Downloads a model from the hub or a URL."""

    if_stopped = "The partial file is kept; downloading the model again resumes it."

    def __init__(self, reference: str) -> None:
        """`reference` is parsed when it runs."""
        super().__init__()
        self.title = f"Fetching {reference}"
        self._reference = reference
        self._stopped = threading.Event()
        self._end = self._stopped.set

    def run(self) -> Path:
        """Read the list of files, then download."""
        from engine.models.pull import Pull, PullCancelled
        from engine.models.references import parse_reference

        self.progress = Progress(0, 0, "bytes")
        pull = Pull(parse_reference(self._reference))
        self._end = pull.cancel
        try:
            plan = pull.plan()
            if self._stopped.is_set():
                raise MakingStopped
            return pull.run(plan, self._on_progress)
        except PullCancelled:
            raise MakingStopped from None

    def stop(self) -> None:
        """Cancel the download."""
        self._stopped.set()
        self._end()

    def _on_progress(self, made: PullProgress) -> None:
        self.progress = Progress(made.done_bytes, made.total_bytes, "bytes", made.waiting)


class Quantizing(Making):
    """Quantizes a local model."""

    if_stopped = "Nothing is kept."

    def __init__(self, plan: QuantizePlan) -> None:
        """`plan`: its warning, if any, must have been accepted."""
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
            return self._work.run(self._on_progress)
        except QuantizeCancelled:
            raise MakingStopped from None

    def stop(self) -> None:
        """End the child process."""
        self._work.cancel()

    def _on_progress(self, done: int, total: int) -> None:
        self.progress = Progress(done, total, "tensors")
