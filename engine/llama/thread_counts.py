"""The thread counts of a context: the preset's, or the governor's."""

from __future__ import annotations

from typing import Final

from engine.backend import ThreadsNow
from engine.llama.context import Context
from engine.presets.preset import Preset
from engine.threads.auto import AutoThreads

LEAST_COMPARABLE: Final = 32
"""Fewest prompt tokens of a call whose cost per token is comparable.

A call with fewer tokens, of one sequence or of several, costs about as much as decoding, and uses as many threads.
"""


class ContextThreads:
    """The thread counts of one context. For the compute thread, except `now`."""

    def __init__(self, context: Context, auto: AutoThreads) -> None:
        """`auto` has the counts that the context was made with."""
        self.auto = auto
        self._context = context
        self._set = auto.threads
        """The counts set in the native library: for calls with one token, and for all others."""

    @property
    def now(self) -> ThreadsNow:
        """The counts in use, and why; from any thread."""
        return ThreadsNow(*self.auto.threads, *self.auto.reasons, self.auto.moves, self.auto.waiting.reason)

    def use(self, preset: Preset) -> None:
        """Use the counts of another preset from the next call on."""
        self.auto.use(preset)

    def before(self, tokens: int) -> int:
        """Set the counts for a call; returns the number of threads that it uses.

        The native library treats a call with one token as decoding and every other as prefilling.
        """
        decode, batch = self.auto.threads
        if 1 < tokens < LEAST_COMPARABLE:
            batch = decode
        if self._set != (decode, batch):
            self._set = decode, batch
            self._context.set_threads(decode, batch)
        return decode if tokens == 1 else batch

    def computed(self, tokens: int, sequences: int, took_ns: int, now_ns: int) -> None:
        """Pass the cost of a call to the governors."""
        if tokens == sequences or (sequences > 1 and tokens < LEAST_COMPARABLE):
            self.auto.decoded(took_ns, now_ns, tokens)
        elif tokens >= LEAST_COMPARABLE:
            self.auto.prefilled(took_ns, tokens, now_ns)
