"""What a capture is once it is over: one immutable record, and the sentences that explain its mode."""

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
    """py-spy, only the thread that holds the global interpreter lock."""
    IDLE = "idle"
    """py-spy, Python frames of all threads, waiting ones too."""
    IN_PROCESS = "in-process"
    """A thread of the program samples the others; used where py-spy is not permitted."""
    FILE = "file"
    """Folded text from elsewhere."""


@dataclass(frozen=True, slots=True)
class ModeText:
    """What a person reads about a mode before choosing it."""

    label: str
    sees: str
    blind: str


MODE_TEXTS: Mapping[CaptureMode, ModeText] = {
    CaptureMode.PYTHON: ModeText(
        "Python frames, without pausing",
        "What Python code runs: painting, the session, and how long the engine is inside llama.cpp.",
        "llama.cpp is one block; its compute threads and single lines don't appear; a sample read in the middle of a change fails.",
    ),
    CaptureMode.NATIVE: ModeText(
        "With native frames",
        "Also the functions inside llama.cpp and other libraries, on threads that run Python.",
        "The program is stopped for each sample and once for about 60 ms at the start; compute threads still don't appear.",
    ),
    CaptureMode.GIL: ModeText(
        "Only who holds the GIL",
        "Which Python code keeps other Python code waiting.",
        "llama.cpp computes without the GIL, so the engine nearly vanishes.",
    ),
    CaptureMode.IDLE: ModeText(
        "Waiting threads too",
        "Every Python thread at every moment, so time order shows real time and who waits for what.",
        "Waiting fills most of the picture; hide it with one key. Compute threads don't appear.",
    ),
    CaptureMode.IN_PROCESS: ModeText(
        "From inside the program",
        "Python frames of all threads that don't wait; needs no permission.",
        "No native frames, and moments in which the sampling thread itself has to wait for the GIL are missed.",
    ),
    CaptureMode.FILE: ModeText(
        "From a file",
        "What another tool recorded.",
        "The rate isn't in the file, so samples are shown instead of seconds, and there is no order in time.",
    ),
}
"""One entry per mode. Compute threads of llama.cpp never run Python: the CPU lanes of a capture show them instead."""


@dataclass(frozen=True, slots=True)
class ThreadLane:
    """How busy one thread of the process was during a capture."""

    tid: int
    name: str
    python: bool
    """It runs Python, so the stacks show it; native compute threads appear only as lanes."""
    cpu_pct: tuple[float, ...]
    """Per cent of one core, one figure per interval of `LANE_INTERVAL_S`."""

    @property
    def mean_pct(self) -> float:
        """Average over the capture."""
        return sum(self.cpu_pct) / len(self.cpu_pct) if self.cpu_pct else 0.0


@dataclass(frozen=True, slots=True)
class Overhead:
    """What the capture itself cost. None means it can't be known."""

    sampler_cpu_pct: float | None = None
    """CPU time of the sampler, per cent of one core."""
    speed_outside: float | None = None
    """Tokens per second that the same answer would have made without the capture, to go by its tokens beside it."""
    speed_during: float | None = None
    """Tokens per second of the same answer during the capture."""

    @property
    def slowdown(self) -> float | None:
        """Share of tokens per second lost to the capture; negative when it was faster by chance."""
        if self.speed_outside is None or self.speed_during is None:
            return None
        return 1.0 - self.speed_during / self.speed_outside

    def words(self) -> str:
        """The cost in a phrase: what the sampler used, and what became of the speed meanwhile, which others may have slowed down, too."""
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
    """How long it really sampled."""
    rate: int
    """Samples per second asked for; 0 when it isn't known."""
    samples: int
    """Samples over all threads."""
    stacks: FoldedStacks
    """Empty in lists of captures."""
    failures: int = 0
    """Samples that could not be read."""
    looks: int | None = None
    """How often the stacks of all threads were read; None when nobody counted."""
    behind_s: float = 0.0
    """How far py-spy fell behind its rate, the worst it reported."""
    notes: tuple[str, ...] = ()
    """What the person should know: why py-spy could not be used, what it complained about."""
    turn_id: int | None = None
    """The turn that ran meanwhile, the last one if there were several."""
    model: str = ""
    quant: str = ""
    preset: str = ""
    """Name of the preset in use."""
    tokens: int | None = None
    """Tokens generated meanwhile; None when nobody counted."""
    overhead: Overhead = Overhead()
    lanes: tuple[ThreadLane, ...] = ()
    name: str = ""
    """The file it came from, empty for a capture made here."""
    id: int | None = None
    """The database's number, None before it is saved or when it came from a file."""

    @property
    def has_lines(self) -> bool:
        """Whether frames say which line ran, not only where their function begins."""
        return self.mode is not CaptureMode.PYTHON

    @property
    def hides_waiting(self) -> bool:
        """Whether waiting is left out until somebody asks for it.

        A program that is stopped to be looked at has no idle threads any more, so py-spy then reports those that wait, too.
        """
        return self.mode is CaptureMode.NATIVE

    @property
    def title(self) -> str:
        """How lists and headings call it."""
        return self.name or (f"Capture {self.id}" if self.id is not None else "Capture")

    @property
    def looks_per_second(self) -> float:
        """What the samples of a thread are divided by to get seconds; 0 when it isn't known.

        Not the rate that was asked for: failures leave samples out, and py-spy (0.4.3) ends after `rate × seconds` pauses of random length,
        which take 4 to 5 % more or less than the seconds for 500 of them.
        """
        return self.looks / self.seconds if self.looks and self.seconds else float(self.rate)

    def time(self, samples: int) -> str:
        """A number of samples in seconds, or in samples where the rate isn't known."""
        return f"{samples / self.looks_per_second:.2f} s" if self.rate else f"{samples:,} samples"


def record_of_file(name: str, stacks: FoldedStacks, started_ms: int = 0) -> CaptureRecord:
    """Folded stacks from a file, as a record that was never made here; `started_ms` is the file's age."""
    return CaptureRecord(started_ms, CaptureMode.FILE, 0.0, 0, stacks.total, stacks, name=name)
