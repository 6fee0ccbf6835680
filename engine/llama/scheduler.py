"""Runs turns on one context: plans and applies decode calls.

A slot is one sequence of the KV cache. A turn gets the free slot with the longest usable prefix of its prompt. Tokens that the slot's
cache does not hold are still to be evaluated (a new prompt, a sampled token, an aborted call, a slot that another turn used).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from engine.backend import MemoryKind, StopReason
from engine.chat.rendered import PreparationCancelled
from engine.clock import NS_PER_MS, now_ns
from engine.disturbance import Wait
from engine.errors import EngineError, XchatError
from engine.host.contention import RunQueueWait
from engine.llama.context import ABORTED, DECODED, NO_ROOM, Context
from engine.llama.generation import Turn
from engine.llama.kv import SequenceCache, common_prefix
from engine.llama.planning import Part, Speeds, Work, plan
from engine.llama.thread_counts import ContextThreads

SLOW_TOKEN_NS: Final = 25 * NS_PER_MS
"""Decode steps slower than this are aborted on stop, even if that loses the sequence state and costs a checkpoint restore."""
CHECKPOINT_EVERY: Final = 1024
"""Tokens of a long prompt between two checkpoints."""
CHECKPOINT_APART: Final = 64
"""Least distance of two checkpoints at boundaries; each costs a call."""
CHECKPOINT_TAIL: Final = 8
"""Tokens after the last checkpoint of a prompt: the generation prompt, which often differs in the next one."""


@dataclass(slots=True)
class _Slot:
    seq: int
    cache: SequenceCache
    owner: Turn | None = None
    used: int = 0
    """When it was last assigned, as a count of assignments."""


class Scheduler:
    """Runs turns on one context. For the compute thread only, except `abort_if_it_helps`."""

    def __init__(self, context: Context, threads: ContextThreads, checkpoint_bytes: int) -> None:
        model = context.model
        self._context = context
        self._threads = threads
        self._slots = [
            _Slot(
                seq,
                SequenceCache(
                    context.memory, seq, model.memory_kind, n_swa=model.n_swa, checkpoint_bytes=checkpoint_bytes // context.n_seq
                ),
            )
            for seq in range(context.n_seq)
        ]
        self._turns: list[Turn] = []
        self._running: list[_Slot] | None = None
        """The slots of the last call, while no turn was added, ended or cancelled: most calls are for one token."""
        self._given = 0
        self._abortable = False
        self._abort_is_free = model.memory_kind in (MemoryKind.ATTENTION, MemoryKind.SLIDING_WINDOW)
        self._speeds = Speeds(model.file.facts.n_layer)
        self._waits = RunQueueWait(process_ns=time.process_time_ns)

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._turns)

    @property
    def caches(self) -> tuple[SequenceCache, ...]:
        """The sequence caches by slot number."""
        return tuple(slot.cache for slot in self._slots)

    @property
    def latest(self) -> SequenceCache:
        """The cache of the slot that was assigned last."""
        return max(self._slots, key=lambda slot: slot.used).cache

    def cache_for(self, tokens: Sequence[int]) -> SequenceCache:
        """Assign the best slot for `tokens` and return its cache; while nothing is running."""
        return self._take(self._best(self._slots, tokens)).cache

    def add(self, turn: Turn) -> None:
        """Queue a turn."""
        self._threads.auto.turn_begins()
        self._turns.append(turn)
        self._running = None

    def abort_if_it_helps(self) -> None:
        """Cut the call under way short, from any thread, unless it ends soon by itself and a cut would cost the state of the sequence."""
        if self._abortable:
            self._context.request_abort()

    def close(self) -> None:
        """Close what is read between calls."""
        self._waits.close()

    def end_all(self, reason: StopReason, error: XchatError | None = None) -> None:
        """End every turn, without touching anything native."""
        self._running = None
        for turn in self._turns:
            turn.conclude(reason, error)

    def step(self) -> None:
        """Plan and apply one decode call."""
        parts = self.plan()
        if parts:
            self.apply(parts)

    def plan(self) -> list[Part]:
        """The parts of the next decode call; empty when there is no turn to run."""
        works = []
        for slot in self._next_slots():
            turn = slot.owner
            assert turn is not None
            works.append(Work(slot.seq, len(slot.cache.tokens), turn.tokens, turn.marks))
        return plan(works, self._speeds, self._context.n_batch)

    def apply(self, parts: Sequence[Part]) -> None:
        """Make the decode call, and sample where a turn's tokens are all evaluated."""
        turns = [self._owner(part) for part in parts]
        tokens = sum(len(part.tokens) for part in parts)
        self._context.clear_abort()
        self._abortable = self._abort_is_free or (len(parts) == 1 and (tokens > 1 or self._speeds.step_ns > SLOW_TOKEN_NS))
        if any(turn.cancelled for turn in turns):
            return
        threads = self._threads.before(tokens)
        begin = now_ns()
        with self._threads.auto.computing(threads):
            result = self._context.decode(parts)
        self._abortable = False
        if result == DECODED:
            end = now_ns()
            self._speeds.measured(tokens, len(parts), end - begin)
            self._threads.computed(tokens, len(parts), end - begin, end)
            waited_ns = self._waits.after_call(end, threads)
            wait = None if waited_ns is None else Wait(end, waited_ns)
            for part, turn in zip(parts, turns, strict=True):
                turn.computed(len(part.tokens), threads, wait)
            self._advance(parts, turns)
        elif result == ABORTED:
            self._context.settle()
            for part, turn in zip(parts, turns, strict=True):
                cache = self._slots[part.seq].cache
                cache.aborted(part.tokens)
                turn.prefilled(len(cache.tokens))
                if not turn.cancelled:
                    cache.reuse(turn.tokens)
        else:
            self._give_up(parts, turns, result)

    def _owner(self, part: Part) -> Turn:
        turn = self._slots[part.seq].owner
        assert turn is not None
        return turn

    def _next_slots(self) -> list[_Slot]:
        """The slots of the next call: those of the turns of the highest priority, as many as there are slots, the oldest turns first."""
        if self._running is not None and not any(turn.cancelled for turn in self._turns):
            return self._running
        for turn in self._turns:
            if turn.cancelled:
                turn.conclude(StopReason.CANCELLED)
        self._drop_finished()
        first = min((turn.request.priority for turn in self._turns), default=None)
        chosen = [turn for turn in self._turns if turn.request.priority == first][: len(self._slots)]
        seated = [slot for turn in chosen if (slot := self._seat(turn, chosen)) is not None]
        self._drop_finished()
        self._running = seated if len(seated) == len(chosen) else None
        return seated

    def _seat(self, turn: Turn, chosen: Sequence[Turn]) -> _Slot | None:
        """The slot of a turn, assigned when it has none; None when the turn has ended instead."""
        for slot in self._slots:
            if slot.owner is turn:
                return slot
        first_time = not turn.prepared
        if first_time:
            try:
                turn.prepare(self._context)
            except XchatError as error:
                turn.conclude(StopReason.ERROR, error)
                return None
            except PreparationCancelled:
                turn.conclude(StopReason.CANCELLED)
                return None
        slot = self._take(self._best([slot for slot in self._slots if slot.owner not in chosen], turn.tokens))
        slot.owner = turn
        reuse = slot.cache.reuse(turn.tokens)
        if first_time:
            if slot.cache.uses_checkpoints:
                turn.marks = checkpoint_marks(turn.n_prompt, turn.boundaries)
            turn.begin(reuse)
        return slot

    def _take(self, slot: _Slot) -> _Slot:
        self._given += 1
        slot.used = self._given
        return slot

    @staticmethod
    def _best(free: Sequence[_Slot], tokens: Sequence[int]) -> _Slot:
        """The slot with the longest common prefix with `tokens` that loses at most half of its content, else an unused one.

        An empty slot comes before a filled one, the least recently used before others.
        """
        if len(free) == 1:
            return free[0]

        def worth(slot: _Slot) -> tuple[int, bool, bool, int]:
            held = slot.cache.tokens
            common = common_prefix(held, tokens)
            return (common if 2 * common >= len(held) else 0, slot.owner is None, not held, -slot.used)

        return max(free, key=worth)

    def _advance(self, parts: Sequence[Part], turns: Sequence[Turn]) -> None:
        """Record a successful call, and sample where a turn's tokens are complete."""
        row = -1
        for part, turn in zip(parts, turns, strict=True):
            row += len(part.tokens)
            cache = self._slots[part.seq].cache
            cache.extend(part.tokens)
            if not turn.decoding:
                turn.prefilled(len(cache.tokens))
            if turn.marks and len(cache.tokens) in turn.marks:
                cache.checkpoint()
            if part.wants_logits:
                turn.next_token(row)
        if any(turn.done for turn in turns):
            self._drop_finished()

    def _give_up(self, parts: Sequence[Part], turns: Iterable[Turn], result: int) -> None:
        reason = "the KV cache has no room" if result == NO_ROOM else f"the native library returned {result}"
        for part, turn in zip(parts, turns, strict=True):
            self._slots[part.seq].cache.clear()
            turn.conclude(StopReason.ERROR, EngineError("The engine could not evaluate the prompt", reason, "Send it again."))
        self._drop_finished()

    def _drop_finished(self) -> None:
        finished = [turn for turn in self._turns if turn.done]
        if not finished:
            return
        self._turns = [turn for turn in self._turns if not turn.done]
        self._running = None
        for turn in finished:
            turn.close()
        for slot in self._slots:
            if slot.owner is not None and slot.owner.done:
                slot.owner = None


def checkpoint_marks(n_prompt: int, boundaries: Sequence[int]) -> tuple[int, ...]:
    """Positions in a prompt before which the state is worth keeping, ascending."""
    last = n_prompt - CHECKPOINT_TAIL
    wanted = sorted({*boundaries, *range(CHECKPOINT_EVERY, n_prompt, CHECKPOINT_EVERY)})
    final_boundary = max((mark for mark in boundaries if mark < last), default=0)
    marks: list[int] = []
    for mark in wanted:
        if 0 < mark < last and (mark == final_boundary or mark - (marks[-1] if marks else 0) >= CHECKPOINT_APART):
            marks.append(mark)
    return (*marks, last) if last > 0 else tuple(marks)
