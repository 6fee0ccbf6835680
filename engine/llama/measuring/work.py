"""The requests to the workbench, and its results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import EngineError
from engine.model_ref import ModelRef
from engine.presets.preset import Preset

SMALLEST_WINDOW: Final = 256
"""The smallest context window in tokens that a preset may ask for."""


@dataclass(frozen=True, slots=True)
class Setup:
    """A model and the settings that it is measured with. `auto` thread counts are those that the governor starts with."""

    ref: ModelRef
    preset: Preset
    """The settings; `n_ctx` must fit the work."""
    library: Path | None = None
    """Folder of another build of the native library; None for the one of this process."""


@dataclass(frozen=True, slots=True)
class Work:
    """Prompt tokens evaluated, then tokens decoded one at a time, after `n_depth` tokens that are in the KV cache already.

    With `n_parallel` above 1 each of so many sequences does that, together and at depth 0; the preset's `parallel` must allow them.
    """

    n_prompt: int
    n_gen: int
    n_depth: int = 0
    n_parallel: int = 1

    @property
    def tokens(self) -> int:
        """Tokens evaluated and decoded, of all sequences."""
        return (self.n_prompt + self.n_gen) * self.n_parallel


@dataclass(frozen=True, slots=True)
class Took:
    """The cost of one piece of work."""

    prompt_ns: int
    gen_ns: int
    disturbed: float | None
    """Share of the time that the compute threads waited for a CPU, 0 to 1; None where the kernel does not report it."""


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """The figures of the model and the library in a row of llama-bench."""

    filename: str
    type: str
    size: int
    """Bytes of the weights."""
    n_params: int
    threads: int
    threads_batch: int
    library: str
    system_info: str


class Interrupted(EngineError):  # noqa: N818
    """A measurement was cancelled, without a result."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("The measurement was interrupted")
