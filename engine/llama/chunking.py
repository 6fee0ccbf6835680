"""Which tokens travel together from the engine to whoever listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from engine.backend import BackendEvent, TokensDecoded
from engine.clock import NS_PER_MS
from engine.presets.preset import AUTO_STREAM_BATCH

MAX_WAIT_NS: Final = 100 * NS_PER_MS
"""No token waits longer than this for others to travel with."""


class Pace:
    """How many tokens travel together now; shared by all turns and changed from any thread while they run."""

    def __init__(self, stream_batch: int = AUTO_STREAM_BATCH) -> None:
        self.stream_batch = stream_batch


class Delivery:
    """Collects the tokens of one turn into chunks and hands those on.

    The first token goes at once. After it a chunk goes when it has `stream_batch` tokens, or when the next token, should it take as
    long as the last one, would arrive after the oldest in the chunk has waited 100 ms.
    """

    def __init__(self, turn: int, pace: Pace, emit: Callable[[BackendEvent], None]) -> None:
        self._turn = turn
        self._pace = pace
        self._emit = emit
        self._pieces: list[str] = []
        self._tokens: list[int] = []
        self._token_ns: list[int] = []
        self._last_ns: int | None = None

    def add(self, piece: str, token: int, now_ns: int) -> None:
        """Take a token, and deliver what is due."""
        self._pieces.append(piece)
        self._tokens.append(token)
        self._token_ns.append(now_ns)
        last_ns, self._last_ns = self._last_ns, now_ns
        if last_ns is None or len(self._tokens) >= self._pace.stream_batch or 2 * now_ns - last_ns - self._token_ns[0] > MAX_WAIT_NS:
            self.flush()

    def flush(self) -> None:
        """Deliver what has been collected."""
        if not self._tokens:
            return
        chunk = TokensDecoded(self._turn, tuple(self._pieces), tuple(self._token_ns), tuple(self._tokens))
        self._pieces, self._tokens, self._token_ns = [], [], []
        self._emit(chunk)
