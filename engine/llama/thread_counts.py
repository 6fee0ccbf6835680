"""How many threads a context computes with: what the preset says, or what the governor finds out between two tokens."""

from __future__ import annotations

from typing import Final

from engine.backend import ThreadsNow
from engine.llama.context import Context
from engine.presets.preset import Preset
from engine.threads.auto import AutoThreads

LEAST_COMPARABLE: Final = 32
"""Prompt tokens in a call below which its cost per token says more of the call than of the threads."""


class ContextThreads:
    """The thread counts of one context. For the compute thread, except `now`."""

    def __init__(self, context: Context, auto: AutoThreads) -> None:
        """`auto` holds the counts that the context was made with."""
        self.auto = auto
        self._context = context

    @property
    def now(self) -> ThreadsNow:
        """What is in force, and why; from any thread."""
        return ThreadsNow(*self.auto.threads, *self.auto.reasons, self.auto.moves)

    def use(self, preset: Preset) -> None:
        """Put the counts of another preset in force from the next call on."""
        self.auto.use(preset)
        self._context.set_threads(*self.auto.threads)

    def computed(self, tokens: int, took_ns: int, now_ns: int) -> int:
        """Take in what a decode call cost, and change the counts when that pays; returns how many threads made the call.

        The native library counts a call with one token as decoding and every other as prefilling, whatever the turns call it.
        """
        decode, batch = self.auto.threads
        if tokens == 1:
            changed = self.auto.decoded(took_ns, now_ns)
        else:
            changed = self.auto.prefilled(took_ns, tokens, now_ns) if tokens >= LEAST_COMPARABLE else None
        if changed is not None:
            self._context.set_threads(*changed)
        return decode if tokens == 1 else batch
