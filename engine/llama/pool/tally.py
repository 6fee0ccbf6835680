"""Computes the figures of the pool on the compute thread, for any thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from engine.backend import PoolNow
from engine.clock import NS_PER_MS, NS_PER_S
from engine.llama.generation import Turn
from engine.llama.planning import Part, Speeds
from engine.llama.pool.seats import Seats

_EVERY_NS: Final = NS_PER_S // 4
"""Least time between two sets of figures while answers run."""
_WINDOW_NS: Final = NS_PER_S
"""Time window of the steps in the current figures."""


class Tally:
    """Counts the steps of one context. For the compute thread, except `now`."""

    def __init__(self, parallel: int, seats: Seats, speeds: Speeds) -> None:
        self._parallel = parallel
        self._seats = seats
        self._speeds = speeds
        self._steps: deque[tuple[int, int, int]] = deque()
        """End, tokens and outputs of the steps in the window."""
        self.swaps = 0
        self._n_steps = 0
        self._n_parts = 0
        self._made_ns = 0
        self.now = PoolNow(parallel)
        """The latest figures; immutable."""

    def stepped(self, now: int, parts: Sequence[Part], came: int, waiting: Sequence[Turn]) -> None:
        """Count a step, in which `came` guessed tokens came; make the figures when they are due."""
        self._n_steps += 1
        self._n_parts += len(parts)
        self._steps.append((now, sum(len(part.tokens) for part in parts), came + sum(part.wants_logits for part in parts)))
        if now - self._made_ns >= _EVERY_NS:
            self.update(now, waiting)

    def update(self, now: int, waiting: Sequence[Turn]) -> None:
        """Update the figures."""
        self._made_ns = now
        while self._steps and now - self._steps[0][0] > _WINDOW_NS:
            self._steps.popleft()
        turns = [seat.owner for seat in self._seats.all if seat.owner is not None]
        running = sum(turn.decoding for turn in turns)
        span = now - self._steps[0][0] if len(self._steps) > 1 else 0
        step_ns = self._speeds.step_ns(running) if running else 0.0
        self.now = PoolNow(
            parallel=self._parallel,
            running=running,
            prefilling=len(turns) - running,
            waiting=len(waiting),
            longest_wait_ms=max((now - turn.queued_ns for turn in waiting), default=0) / NS_PER_MS,
            cells=self._seats.limit or 0,
            cells_used=self._seats.cells.used,
            cells_lent=self._seats.cells.lent,
            saved_bytes=self._seats.saved.used_bytes,
            swaps=self.swaps,
            steps=self._n_steps,
            step_answers=self._n_parts,
            step_tokens=sum(tokens for _, tokens, _ in self._steps) / len(self._steps) if turns and self._steps else None,
            per_second=sum(made for _, _, made in list(self._steps)[1:]) * NS_PER_S / span if turns and span else None,
            curve=tuple((answers, ns / NS_PER_MS) for answers, ns in self._speeds.curve.items()),
            gain=running * self._speeds.step_ns(1) / step_ns if step_ns and self._speeds.knows(running) and self._speeds.knows(1) else None,
        )
