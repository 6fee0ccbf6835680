"""The record of a finished capture, and the explanations of the modes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from engine.profiling.stacks import FoldedStacks


class CaptureMode(StrEnum):
    """How a capture samples the program."""

    PYTHON = "python"
    """py-spy, Python frames, the program is never stopped."""
    NATIVE = "native"
    """py-spy, Python and native frames; the program is stopped for each sample."""
    GIL = "gil"
    """py-spy, only the thread that holds the GIL."""
    IDLE = "idle"
    """py-spy, Python frames of all threads, waiting ones too."""
    IN_PROCESS = "in-process"
    """A thread of the program samples the others; used where py-spy is not permitted."""
    FILE = "file"
    """Folded stacks of another tool."""


@dataclass(frozen=True, slots=True)
class ModeText:
    """The explanation of a mode in the dialog that starts a capture."""

    label: str
    sees: str
    blind: str


MODE_TEXTS: Mapping[CaptureMode, ModeText] = {
    CaptureMode.PYTHON: ModeText(
        "Python frames, without pausing",
        "The running Python code: painting, the session, and the time inside llama.cpp.",
        "llama.cpp is one block; its compute threads and lines of code don't appear; a sample taken during a change of the stack fails.",
    ),
    CaptureMode.NATIVE: ModeText(
        "With native frames",
        "Also the functions inside llama.cpp and other libraries, on threads that run Python.",
        "The program is stopped for each sample and once for about 60 ms at the start; compute threads still don't appear.",
    ),
    CaptureMode.GIL: ModeText(
        "Only the holder of the GIL",
        "The Python code that blocks other Python code.",
        "llama.cpp computes without the GIL, so the engine nearly vanishes.",
    ),
    CaptureMode.IDLE: ModeText(
        "Waiting threads too",
        "Every Python thread at every moment: time order shows real time, and stacks show what a thread waits for.",
        "Waiting fills most of the picture; hide it with one key. Compute threads don't appear.",
    ),
    CaptureMode.IN_PROCESS: ModeText(
        "From inside the program",
        "Python frames of all threads that don't wait; needs no permission.",
        "No native frames; samples are missed while the sampling thread waits for the GIL.",
    ),
    CaptureMode.FILE: ModeText(
        "From a file",
        "A recording of another tool.",
        "The file has no sampling rate, so samples are shown instead of seconds, and no order in time.",
    ),
}
"""The explanation of each mode. Compute threads of llama.cpp never run Python; the CPU lanes of a capture show them."""


@dataclass(frozen=True, slots=True)
class ThreadLane:
    """CPU use of one thread during a capture."""

    tid: int
    name: str
    python: bool
    """Whether it runs Python and is in the stacks; native compute threads appear only as lanes."""
    cpu_pct: tuple[float, ...]
    """Per cent of one core, one figure per interval of `LANE_INTERVAL_S`."""

    @property
    def mean_pct(self) -> float:
        """Average over the capture."""
        return sum(self.cpu_pct) / len(self.cpu_pct) if self.cpu_pct else 0.0


@dataclass(frozen=True, slots=True)
class Overhead:
    """The cost of the capture itself; None is unknown."""

    sampler_cpu_pct: float | None = None
    """CPU time of the sampler, per cent of one core."""
    speed_outside: float | None = None
    """Estimated tokens/s of the same answer without the capture, from its tokens before and after."""
    speed_during: float | None = None
    """Tokens per second of the same answer during the capture."""

    @property
    def slowdown(self) -> float | None:
        """Share of tokens/s lost to the capture; negative when it was faster by chance."""
        if self.speed_outside is None or self.speed_during is None:
            return None
        return 1.0 - self.speed_during / self.speed_outside

    def words(self) -> str:
        """One-line summary: sampler CPU and the change in tokens/s, to which other processes may contribute."""
        used = "cost unknown" if self.sampler_cpu_pct is None else f"cost {self.sampler_cpu_pct:.1f} % of a core"
        slowdown = self.slowdown
        if slowdown is None:
            return used
        change = round(-slowdown * 100)
        return f"{used}, tokens/s {'unchanged' if not change else f'{change:+} %'.replace('-', '−')}"


@dataclass(frozen=True, slots=True)
class CaptureRecord:
    """One recording. Immutable; the database gives it its id."""

    started_ms: int
    """Wall-clock Unix time."""
    mode: CaptureMode
    seconds: float
    """Duration of the sampling."""
    rate: int
    """Samples per second asked for; 0 when it isn't known."""
    samples: int
    """Samples over all threads."""
    stacks: FoldedStacks
    """Empty in lists of captures."""
    failures: int = 0
    """Samples that could not be read."""
    looks: int | None = None
    """Number of readings of all stacks; None if unknown."""
    behind_s: float = 0.0
    """Longest delay of py-spy behind its rate, in seconds."""
    notes: tuple[str, ...] = ()
    """Notes for the user: why py-spy could not be used, and its error messages."""
    turn_id: int | None = None
    """The last turn that ran during the capture."""
    model: str = ""
    quant: str = ""
    preset: str = ""
    """Name of the preset in use."""
    tokens: int | None = None
    """Tokens generated during the capture; None if unknown."""
    overhead: Overhead = Overhead()
    lanes: tuple[ThreadLane, ...] = ()
    name: str = ""
    """The imported file; empty for a capture made here."""
    id: int | None = None
    """The database's number, None before it is saved or when it came from a file."""

    @property
    def has_lines(self) -> bool:
        """Whether frames have line numbers."""
        return self.mode is not CaptureMode.PYTHON

    @property
    def hides_waiting(self) -> bool:
        """Whether waiting is left out by default: py-spy reports waiting threads as busy when it stops the program to sample it."""
        return self.mode is CaptureMode.NATIVE

    @property
    def title(self) -> str:
        """The name in lists and headings."""
        return self.name or (f"Capture {self.id}" if self.id is not None else "Capture")

    @property
    def looks_per_second(self) -> float:
        """Return the samples of a busy thread per second; 0 if unknown.

        Differs from the requested rate: failures leave samples out, and py-spy (0.4.3) ends after `rate × seconds` pauses of random length,
        which take 4 to 5 % more or less than the seconds for 500 of them.
        """
        return self.looks / self.seconds if self.looks and self.seconds else float(self.rate)

    def time(self, samples: int) -> str:
        """Format a number of samples as seconds, or as samples if the rate is unknown."""
        return f"{samples / self.looks_per_second:.2f} s" if self.rate else f"{samples:,} samples"


def record_of_file(name: str, stacks: FoldedStacks, started_ms: int = 0) -> CaptureRecord:
    """Make a record of folded stacks from a file; `started_ms` is the date of the file."""
    return CaptureRecord(started_ms, CaptureMode.FILE, 0.0, 0, stacks.total, stacks, name=name)
