"""Folded stacks: the number of samples of each distinct stack, from the thread to the frame that ran.

The text form is the one that all flamegraph tools read, `frame;frame;frame COUNT`. It sums over time; `FoldedStacks.runs` has the order
where the source has one (as py-spy's speedscope output).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import CaptureError
from engine.numbers import byte_size
from engine.profiling.frames import MAX_FRAME, clean_frame, thread_name, thread_text
from engine.regular_file import open_regular
from engine.text import printable

MAX_BYTES = 64 * 1024 * 1024
"""Largest folded file that is read: about 200,000 stacks, four times the output of an hour of py-spy."""
MAX_STACKS = 200_000
"""Most distinct stacks in a profile."""
MAX_DEPTH = 2_000
"""Largest depth of a stack; Python's own limit is 1,000 frames."""
MAX_COUNT_DIGITS = 12
"""Most digits of a count."""


@dataclass(frozen=True, slots=True)
class FoldedStacks:
    """A profile: distinct stacks and their counts of samples, in the same order."""

    stacks: tuple[str, ...]
    """Frames joined by `;`, the thread (if known) first, safe to print."""
    counts: tuple[int, ...]
    runs: tuple[tuple[int, int], ...] = ()
    """Index of a stack and its number of successive samples, in order of time, thread by thread; empty when unknown."""
    malformed: int = 0
    """Number of lines of the source that are not folded stacks."""

    @property
    def total(self) -> int:
        """Samples over all threads."""
        return sum(self.counts)

    @property
    def samples_of_threads(self) -> Mapping[str, int]:
        """Samples of each thread, by name, the busiest first; empty when the stacks don't begin with a thread."""
        samples: dict[str, int] = {}
        for stack, count in zip(self.stacks, self.counts, strict=True):
            name = thread_name(stack.split(";", 1)[0])
            if name is not None:
                samples[name] = samples.get(name, 0) + count
        return dict(sorted(samples.items(), key=lambda item: -item[1]))

    @property
    def threads(self) -> tuple[str, ...]:
        """Names of the threads, the busiest first."""
        return tuple(self.samples_of_threads)

    def text(self) -> str:
        """Return the folded text."""
        return "".join(f"{stack} {count}\n" for stack, count in zip(self.stacks, self.counts, strict=True))


class StackCounter:
    """Collects samples, thread by thread in order of time, into FoldedStacks. A thread is known by its id and shown by its name."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._runs: dict[int, list[list[int]]] = {}
        self._ids: dict[tuple[str, ...], int] = {}

    def add(self, thread_id: int, name: str, frames: Sequence[str], count: int = 1) -> None:
        """Add `count` successive samples of a stack, outermost frame first, without the thread's root."""
        self._names.setdefault(thread_id, name)
        stack = self._ids.setdefault(tuple(frames), len(self._ids))
        runs = self._runs.setdefault(thread_id, [])
        if runs and runs[-1][0] == stack:
            runs[-1][1] += count
        else:
            runs.append([stack, count])

    def folded(self) -> FoldedStacks:
        """Return the stacks collected so far."""
        frames = [";".join(stack) for stack in self._ids]
        counts: dict[str, int] = {}
        order: list[tuple[str, int]] = []
        for thread_id, root in self._roots().items():
            for index, count in self._runs[thread_id]:
                stack = f"{root};{frames[index]}" if frames[index] else root
                counts[stack] = counts.get(stack, 0) + count
                order.append((stack, count))
        position = {stack: index for index, stack in enumerate(counts)}
        return FoldedStacks(tuple(counts), tuple(counts.values()), tuple((position[stack], count) for stack, count in order))

    def _roots(self) -> Mapping[int, str]:
        seen: dict[str, int] = {}
        roots = {}
        for thread_id in sorted(self._names):
            name = self._names[thread_id]
            seen[name] = seen.get(name, 0) + 1
            roots[thread_id] = thread_text(name, seen[name])
        return roots


def parse_folded(lines: Iterable[bytes]) -> FoldedStacks:
    """Parse folded stacks from untrusted text: other lines are counted, frames are made harmless.

    Raises CaptureError when no line is a folded stack, or there are more than MAX_STACKS distinct ones.
    """
    counts: dict[str, int] = {}
    frames = _CleanFrames()
    malformed = 0
    for line in lines:
        stack, _, count = line.strip().rpartition(b" ")
        if not stack or not count.isdigit() or len(count) > MAX_COUNT_DIGITS or stack.count(b";") >= MAX_DEPTH:
            malformed += bool(line.strip())
            continue
        folded = ";".join(map(frames.__getitem__, stack.decode("utf-8", "replace").split(";")))
        counts[folded] = counts.get(folded, 0) + int(count)
        if len(counts) > MAX_STACKS:
            raise CaptureError("The profile is too large", f"It has more than {MAX_STACKS:,} distinct stacks.", _SMALLER)
    counts = {stack: count for stack, count in counts.items() if count}
    if not counts:
        raise CaptureError(
            "The file has no folded stacks",
            f"None of its {malformed:,} lines has the format `frame;frame COUNT`." if malformed else "It is empty.",
            "Record one with `py-spy record --format raw`.",
        )
    return FoldedStacks(tuple(counts), tuple(counts.values()), malformed=malformed)


def read_folded(path: Path) -> FoldedStacks:
    """Read the folded stacks of a file.

    Raises CaptureError when the file can't be read, is not a regular file, is larger than MAX_BYTES or has no folded stacks.
    """
    try:
        with open(open_regular(path), "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_size > MAX_BYTES:
                raise CaptureError(
                    f"{printable(str(path), MAX_FRAME)} is too large",
                    f"It has {byte_size(status.st_size)}; at most {byte_size(MAX_BYTES)} are read.",
                    _SMALLER,
                )
            return parse_folded(_bounded_lines(iter(lambda: file.readline(MAX_BYTES), b""), MAX_BYTES))
    except OSError as error:
        raise CaptureError(f"{printable(str(path), MAX_FRAME)} can't be read", error.strerror or str(error)) from error


_SMALLER = "Record for a shorter time, or aggregate it first with a tool such as stackcollapse."


def _bounded_lines(lines: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """Yield the lines of a file that may still be growing, up to `limit` bytes."""
    read = 0
    for line in lines:
        read += len(line)
        if read > limit:
            return
        yield line


class _CleanFrames(dict[str, str]):
    """Maps frames of the source to safe ones; removes thread ids, so that captures can be compared."""

    def __missing__(self, text: str) -> str:
        thread = thread_name(text)
        self[text] = frame = thread_text(thread) if thread is not None else clean_frame(text)
        return frame
