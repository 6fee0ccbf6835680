"""Collects tokens into chunks for delivery."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from engine.backend import BackendEvent, TokensDecoded
from engine.clock import NS_PER_MS
from engine.logprobs import TokenLogprobs
from engine.presets.preset import AUTO_STREAM_BATCH

MAX_WAIT_NS: Final = 100 * NS_PER_MS
"""Longest wait of a token for its chunk."""


class Pace:
    """The chunk size in use; shared by all turns, set from any thread."""

    def __init__(self, stream_batch: int = AUTO_STREAM_BATCH) -> None:
        self.stream_batch = stream_batch


class Delivery:
    """Collects the tokens of one turn into chunks and emits them.

    The first token is emitted at once. A later chunk is emitted when it has `stream_batch` tokens, or when its oldest token would wait
    over 100 ms for the next one, estimated from the last gap.
    """

    def __init__(self, turn: int, pace: Pace, emit: Callable[[BackendEvent], None]) -> None:
        self._turn = turn
        self._pace = pace
        self._emit = emit
        self._pieces: list[str] = []
        self._tokens: list[int] = []
        self._token_ns: list[int] = []
        self._logprobs: list[TokenLogprobs] = []
        self._last_ns: int | None = None

    def add(self, piece: str, token: int, now_ns: int, logprobs: TokenLogprobs | None = None) -> None:
        """Add a token; emit the chunk when it is due."""
        if logprobs is not None:
            self._logprobs.append(logprobs)
        self._pieces.append(piece)
        self._tokens.append(token)
        self._token_ns.append(now_ns)
        last_ns, self._last_ns = self._last_ns, now_ns
        if last_ns is None or len(self._tokens) >= self._pace.stream_batch or 2 * now_ns - last_ns - self._token_ns[0] > MAX_WAIT_NS:
            self.flush()

    def flush(self) -> None:
        """Emit the collected tokens."""
        if not self._tokens:
            return
        chunk = TokensDecoded(self._turn, tuple(self._pieces), tuple(self._token_ns), tuple(self._tokens), tuple(self._logprobs))
        self._pieces, self._tokens, self._token_ns, self._logprobs = [], [], [], []
        self._emit(chunk)
