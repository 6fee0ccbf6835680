"""The grid of a benchmark: parses llama-bench's lists and ranges into points."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Final

import msgspec

from engine.errors import UsageError
from engine.llama.measuring.work import SMALLEST_WINDOW, Setup, Work
from engine.model_ref import ModelRef
from engine.presets.preset import Preset
from engine.presets.settings import check_value

_RANGE: Final = re.compile(r"(\d{1,9})(?:-(\d{1,9})(?:([+*])(\d{1,9}))?)?")
MOST_POINTS: Final = 4096


@dataclass(frozen=True, slots=True)
class Grid:
    """The values of each parameter, under llama-bench's names and with its defaults."""

    n_prompt: Sequence[int] = (512,)
    n_gen: Sequence[int] = (128,)
    pairs: Sequence[tuple[int, int]] = ()
    """Prompt and decode tokens measured together (`-pg`)."""
    n_depth: Sequence[int] = (0,)
    n_parallel: Sequence[int] = ()
    """Parallel sequences; with any, each work is a prompt and an answer in each of them, as in llama-batched-bench."""
    settings: dict[str, Sequence[object]] = field(default_factory=dict)
    """Values by the name of a setting of presets."""
    same_threads: bool = False
    """Prefill with the decode threads."""
    base: Preset = field(default_factory=lambda: Preset(n_batch=2048, n_ubatch=512))
    """The settings that are not varied."""

    def points(self, models: Sequence[ModelRef]) -> tuple[tuple[Setup, Work], ...]:
        """Return all points in llama-bench's order; each window is as large as its work needs.

        Raises:
            UsageError: A value is out of bounds, two contradict each other, or there are too many points.
        """
        points = [
            (Setup(ref, msgspec.structs.replace(preset, n_ctx=window_of(work), parallel=work.n_parallel)), work)
            for ref in models
            for preset in self._presets()
            for work in self._works()
        ]
        if not points or len(points) > MOST_POINTS:
            raise UsageError(
                f"A grid of {len(points):,} points can't be measured", f"A grid has 1 to {MOST_POINTS:,} points", "Shorten the lists."
            )
        return tuple(points)

    def _works(self) -> Iterator[Work]:
        if self.n_parallel:
            sizes = product(self.n_prompt, self.n_gen, self.n_parallel)
            yield from (Work(prompt, gen, 0, parallel) for prompt, gen, parallel in sizes if (prompt or gen) and parallel)
            return
        for depth in self.n_depth:
            yield from (Work(count, 0, depth) for count in self.n_prompt if count)
            yield from (Work(0, count, depth) for count in self.n_gen if count)
            yield from (Work(prompt, gen, depth) for prompt, gen in self.pairs if prompt or gen)

    def _presets(self) -> Iterator[Preset]:
        for name, values in {**self.settings, "parallel": self.n_parallel}.items():
            for value in values:
                check_value(name, value)
        for values in product(*self.settings.values()):
            changes = dict(zip(self.settings, values, strict=True))
            ubatch, batch = changes.get("n_ubatch", self.base.n_ubatch), changes.get("n_batch", self.base.n_batch)
            if isinstance(ubatch, int) and isinstance(batch, int):
                changes["n_ubatch"] = min(ubatch, batch)  # as the library does
            if self.same_threads:
                changes["threads_batch"] = changes.get("threads", self.base.threads)
            yield msgspec.structs.replace(self.base, **changes)


def window_of(work: Work) -> int:
    """Return the smallest window, in tokens, that fits a piece of work."""
    return max(SMALLEST_WINDOW, work.tokens + work.n_depth)


def numbers(text: str) -> list[int]:
    """Parse `1,2`, `1-4`, `1-9+2` and `64-512*2` into numbers.

    Raises:
        UsageError: The text is none of them.
    """
    found: list[int] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise UsageError(f"{text[:80]!r} is not a list of numbers", "", "Examples: 4 · 1,2,8 · 1-4 · 2-16+2 · 64-512*2")
        first, last, times, step = int(match[1]), int(match[2] or match[1]), match[3] == "*", int(match[4] or 1)
        if step < 1 + times or (times and not first):
            raise UsageError(f"The range {part.strip()!r} does not end", "", "Use a step of at least 1, or a factor of at least 2.")
        if last < first:
            raise UsageError(f"The range {part.strip()!r} is empty", "", f"Use {last}-{first}.")
        while first <= last and len(found) <= MOST_POINTS:
            found.append(first)
            first = first * step if times else first + step
    return found
