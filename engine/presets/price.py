"""Predicts the cost of a switch: class, duration of the last one on this host, tokens to prefill again."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine.atomic_write import write_atomically
from engine.paths import state_dir
from engine.presets.preset import Cost, Preset, cost_of_change
from engine.presets.settings import Change, difference
from engine.regular_file import read_kept

MOST_ENTRIES = 500
_WHAT = {Cost.HOT: "Applies to the next token", Cost.REBUILD: "Makes a new context", Cost.RELOAD: "Loads another file"}


@dataclass(frozen=True, slots=True)
class Price:
    """Cost of changing from one preset to another."""

    cost: Cost | None
    """The class; None when no change has a cost."""
    changes: tuple[Change, ...]
    seconds: float | None
    """Duration of the last such switch on this host; None when there was none."""
    tokens: int
    """Tokens of the conversation to prefill again; 0 where the KV state is kept or carried over."""
    prefill_seconds: float | None
    """Predicted duration of the prefill; None when the speed is unknown."""

    @property
    def sentence(self) -> str:
        """The price as a sentence."""
        if self.cost is None:
            return "Nothing changes"
        same_file = not any(change.key in {"model", "quant"} for change in self.changes)
        text = "Loads the file again" if self.cost is Cost.RELOAD and same_file else _WHAT[self.cost]
        if self.cost is not Cost.HOT:
            text += f": {_shown(self.seconds)} last time" if self.seconds is not None else ": not timed here yet"
        if self.tokens:
            text += f", then {self.tokens:,} tokens to prefill again"
            text += f" (about {_shown(self.prefill_seconds)})" if self.prefill_seconds is not None else ""
        return text


def _shown(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2f} s"


class _Stored(msgspec.Struct):
    seconds: dict[str, float] = {}
    """Durations by class and model, the newest last."""
    prefill: dict[str, float] = {}
    """Tokens per second by model."""


class PriceHistory:
    """The durations of switches on this host, in a small JSON file that may be lost.

    Belongs to the event loop; the file is read and written on threads.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path if path is not None else state_dir() / "prices.json"
        self._stored = _Stored()
        self._changed = False

    async def read(self) -> None:
        """Read the file, and keep newer records."""
        before = await asyncio.to_thread(read_kept, self._path, _Stored())
        self._stored = _Stored(before.seconds | self._stored.seconds, before.prefill | self._stored.prefill)

    def record(self, cost: Cost, model: str, seconds: float) -> None:
        """Record the duration of a switch of this class to this model."""
        self._put(self._stored.seconds, f"{cost} {model}", seconds)

    def record_prefill(self, model: str, tokens_per_second: float) -> None:
        """Record a model's prefill speed."""
        self._put(self._stored.prefill, model, tokens_per_second)

    def seconds(self, cost: Cost, model: str) -> float | None:
        """Return the duration of the last switch of this class with this model; None when there was none."""
        return self._stored.seconds.get(f"{cost} {model}")

    def prefill_speed(self, model: str) -> float | None:
        """Return the prefill speed in tokens/s; None when it was never measured."""
        return self._stored.prefill.get(model)

    async def save(self) -> None:
        """Write the file if it has new records; ignores a folder that can't be written."""
        if not self._changed:
            return
        self._changed = False
        with suppress(OSError):
            await asyncio.to_thread(write_atomically, self._path, msgspec.json.encode(self._stored))

    def _put(self, table: dict[str, float], key: str, value: float) -> None:
        self._changed = True
        table.pop(key, None)
        table[key] = value
        while len(table) > MOST_ENTRIES:
            del table[next(iter(table))]


def price_of(before: Preset, after: Preset, history: PriceHistory, *, model: str, context_used: int, carried_over: bool) -> Price:
    """Return the price of a switch from `before` to `after` with `context_used` tokens in the conversation.

    `model` is the history's key of the model to load; with `carried_over` a rebuild keeps the KV state (equal `kv_layout`, enough room).
    """
    cost = cost_of_change(before, after)
    again = cost is Cost.RELOAD or (cost is Cost.REBUILD and not carried_over)
    tokens = context_used if again else 0
    speed = history.prefill_speed(model)
    return Price(
        cost=cost,
        changes=difference(before, after),
        seconds=history.seconds(cost, model) if cost is not None else None,
        tokens=tokens,
        prefill_seconds=tokens / speed if tokens and speed else None,
    )
