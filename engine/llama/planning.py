"""Chooses the tokens of the next decode call. Pure arithmetic: no clock, no native call.

A step has a budget of time. Every running answer gets its token; the rest of the budget goes to prompts, the most urgent first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from engine.clock import NS_PER_MS, NS_PER_S

CALL_NS: Final = 250 * NS_PER_MS
"""Target duration of a decode call that has only prompts in it."""
READING_NS: Final = 100 * NS_PER_MS
"""Longest call with running answers; twice as long as without the prompt, where that is more."""
TILE: Final = 16
"""Rows that the matrix kernels compute together: a call with 12 tokens takes as long as one with 16."""
FIRST_CHUNK: Final = 32
"""Prompt tokens in a call while the speed is unknown."""
LEAST_CHUNK: Final = 64
"""Prompt tokens in a call of a slow model: each call reads all weights, and with fewer tokens that costs over a tenth."""
CHUNK_STEP: Final = 8
"""The number of prompt tokens in a call is a multiple of this, at least one."""
NODE_NS: Final = 25 * NS_PER_MS
"""Longest time of one node of the compute graph: a stop takes effect between nodes, within 50 ms."""
WIDEST_SHARE: Final = 0.3
"""Share of a layer's time in its slowest node, a matrix of the feed-forward, when the context is short."""


class Part(NamedTuple):
    """Tokens of one sequence in a batch, at consecutive positions."""

    seq: int
    start: int
    """Position of the first token."""
    tokens: Sequence[int]
    wants_logits: bool
    """Whether the logits after the last token are needed."""


class Work(NamedTuple):
    """The tokens that a turn still has to evaluate."""

    seq: int
    held: int
    """Number of its tokens that the KV cache holds."""
    tokens: Sequence[int]
    """Prompt and answer so far."""
    marks: Sequence[int] = ()
    """Positions of checkpoints, ascending: a part of the prompt ends at the next one."""


class Speeds:
    """Measured durations of calls."""

    def __init__(self, n_layer: int) -> None:
        self._n_layer = max(1, n_layer)
        self._prompt_rate = 0.0
        """Tokens per second of the last call with a piece of prompt in it."""
        self._best_prompt_rate = 0.0
        self.step_ns = 0
        """Duration of the last call with one token per answer."""

    def measured(self, tokens: int, sequences: int, took_ns: int) -> None:
        """Add the duration of a call with this number of tokens and sequences."""
        if tokens == sequences:
            self.step_ns = took_ns
        elif tokens >= CHUNK_STEP:
            self._prompt_rate = tokens * NS_PER_S / max(took_ns, 1)
            self._best_prompt_rate = max(self._best_prompt_rate, self._prompt_rate)

    def chunk(self, room: int) -> int:
        """Prompt tokens of a call without answers: it takes about CALL_NS, and each of its nodes less than NODE_NS.

        The time above that of the fastest call is attention to a long context, one node per layer.
        """
        if not self._prompt_rate:
            return min(FIRST_CHUNK, room)
        per_second = max(self._prompt_rate * CALL_NS / NS_PER_S, LEAST_CHUNK)
        chunk = int(min(per_second, self._per_node())) // CHUNK_STEP * CHUNK_STEP
        return max(1, min(max(chunk, CHUNK_STEP), room))

    def chunk_beside(self, answers: int, room: int) -> int:
        """Prompt tokens of a call with `answers` next tokens in it: whole tiles, at least the rest of one."""
        fill = TILE - answers % TILE
        if not self._prompt_rate:
            return min(fill, room)
        left_ns = max(self.step_ns, READING_NS - self.step_ns)
        chunk = int(min(left_ns * self._prompt_rate / NS_PER_S, self._per_node()))
        return min(max(fill, (answers + chunk) // TILE * TILE - answers), room)

    def _per_node(self) -> float:
        """Prompt tokens that keep each node of the graph below NODE_NS."""
        attention = 1.0 - (1.0 - WIDEST_SHARE) * self._prompt_rate / self._best_prompt_rate
        return self._prompt_rate * NODE_NS / NS_PER_S * self._n_layer / attention


def plan(works: Sequence[Work], speeds: Speeds, n_batch: int) -> list[Part]:
    """The next call: one token for each answer, and as much of the prompts as the budget allows; ordered by sequence.

    Args:
        works: One per sequence, the most urgent first.
        speeds: Measured durations of calls.
        n_batch: Most tokens in a call.
    """
    parts = [Part(seq, held, tokens[-1:], wants_logits=True) for seq, held, tokens, _ in works if held == len(tokens) - 1]
    if len(parts) < len(works):
        answers = len(parts)
        room = n_batch - answers
        budget = speeds.chunk_beside(answers, room) if answers else speeds.chunk(room)
        for seq, held, tokens, marks in works:
            if held == len(tokens) - 1:
                continue
            end = min([held + budget, len(tokens), *(mark for mark in marks if mark > held)])
            if end <= held:
                break
            parts.append(Part(seq, held, tokens[held:end], wants_logits=end == len(tokens)))
            budget -= end - held
    if len(parts) > 1:
        parts.sort(key=lambda part: part.seq)  # the library cuts a batch in two where sequences are out of order
    return parts
