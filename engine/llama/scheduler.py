"""Which tokens of which turns go into the next decode call.

A slot is one sequence of the KV cache. A turn asks for a slot by number; what of its tokens the slot's cache does not hold is still to
be evaluated, whatever the reason (a new prompt, a sampled token, an aborted call, a slot that another turn had in between).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from engine.backend import MemoryKind, StopReason
from engine.clock import NS_PER_MS, NS_PER_S, now_ns
from engine.errors import EngineError, XchatError
from engine.llama.context import ABORTED, DECODED, NO_ROOM, Context, Part
from engine.llama.generation import Turn
from engine.llama.kv import SequenceCache
from engine.llama.thread_counts import ContextThreads

CALL_NS: Final = 250 * NS_PER_MS
"""How long one decode call of a prefill should take: the pace of its progress."""
FIRST_CHUNK: Final = 32
"""Prompt tokens in a call as long as the speed is unknown."""
LEAST_CHUNK: Final = 64
"""Prompt tokens in a call of a slow model: each call reads all weights, and with fewer tokens that costs over a tenth."""
CHUNK_STEP: Final = 8
"""Calls have a multiple of so many prompt tokens, and at least so many."""
NODE_NS: Final = 25 * NS_PER_MS
"""Longest that one node of the compute graph may take: a stop takes hold between nodes, and half of its 50 ms is kept for bad moments."""
WIDEST_SHARE: Final = 0.3
"""Share of a layer's time in its slowest node, a matrix of the feed-forward, when the context is short."""
SLOW_TOKEN_NS: Final = 25 * NS_PER_MS
"""A token that takes longer is aborted on stop instead of finished, even where the state is lost with it and a checkpoint has to serve."""
CHECKPOINT_EVERY: Final = 1024
"""Tokens of a long prompt between two checkpoints."""
CHECKPOINT_APART: Final = 64
"""Boundaries closer than this to the one before are not worth a call of their own."""
CHECKPOINT_TAIL: Final = 8
"""The last checkpoint of a prompt stands before its last tokens: the generation prompt, which the next prompt often has differently."""


@dataclass(slots=True)
class _Slot:
    seq: int
    cache: SequenceCache
    owner: Turn | None = None


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
        self._chosen: list[Turn] | None = None
        """The turns of the last call, as long as no turn came, ended or is to end: most calls are for one token."""
        self._abortable = False
        self._abort_is_free = model.memory_kind in (MemoryKind.ATTENTION, MemoryKind.SLIDING_WINDOW)
        self._n_layer = max(1, model.file.facts.n_layer)
        self._prompt_rate = 0.0
        """Tokens per second of the last call with a piece of prompt in it."""
        self._best_prompt_rate = 0.0
        self._token_ns = 0.0

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._turns)

    @property
    def caches(self) -> tuple[SequenceCache, ...]:
        """The sequence caches by slot number."""
        return tuple(slot.cache for slot in self._slots)

    def add(self, turn: Turn) -> None:
        """Queue a turn."""
        if 0 <= turn.request.slot < len(self._slots):
            self._turns.append(turn)
            self._chosen = None
        else:
            turn.conclude(StopReason.ERROR, EngineError(f"There is no slot {turn.request.slot}", f"the engine has {len(self._slots)}"))

    def abort_if_it_helps(self) -> None:
        """Cut the call under way short, from any thread, unless it ends soon by itself and a cut would cost the state of the sequence."""
        if self._abortable:
            self._context.request_abort()

    def end_all(self, reason: StopReason, error: XchatError | None = None) -> None:
        """End every turn, without touching anything native."""
        self._chosen = None
        for turn in self._turns:
            turn.conclude(reason, error)

    def step(self) -> None:
        """One decode call, and what follows from it."""
        turns = self._next_turns()
        parts, in_batch = self._compose(turns)
        if not parts:
            return
        self._context.clear_abort()
        single = all(len(part.tokens) == 1 for part in parts)
        self._abortable = not single or self._abort_is_free or self._token_ns > SLOW_TOKEN_NS
        if any(turn.cancelled for turn in in_batch):
            return
        begin = now_ns()
        result = self._context.decode(parts)
        self._abortable = False
        if result == DECODED:
            end = now_ns()
            self._learn_speed(parts, end - begin, single=single)
            threads = self._threads.computed(sum(len(part.tokens) for part in parts), end - begin, end)
            for part, turn in zip(parts, in_batch, strict=True):
                turn.computed(len(part.tokens), threads)
            self._advance(parts, in_batch)
        elif result == ABORTED:
            self._context.settle()
            for part, turn in zip(parts, in_batch, strict=True):
                cache = self._slots[part.seq].cache
                cache.aborted(part.tokens)
                turn.prefilled(len(cache.tokens))
                if not turn.cancelled:
                    cache.reuse(turn.tokens)
        else:
            self._give_up(parts, in_batch, result)

    def _next_turns(self) -> list[Turn]:
        """The turns of the next call, at most one per slot: those a person waits for, or the background ones when there are none."""
        if self._chosen is not None and not any(turn.cancelled for turn in self._turns):
            return self._chosen
        for turn in self._turns:
            if turn.cancelled:
                turn.conclude(StopReason.CANCELLED)
        self._drop_finished()
        foreground = [turn for turn in self._turns if not turn.request.background]
        chosen: dict[int, Turn] = {}
        for turn in foreground or self._turns:
            chosen.setdefault(turn.request.slot, turn)
        ready = [turn for turn in chosen.values() if self._ready(turn)]
        self._drop_finished()
        self._chosen = ready if len(ready) == len(chosen) else None
        return ready

    def _ready(self, turn: Turn) -> bool:
        """Give a turn its slot; False when it has ended instead."""
        slot = self._slots[turn.request.slot]
        if slot.owner is turn:
            return True
        first_time = not turn.prepared
        if first_time:
            try:
                turn.prepare(self._context)
            except XchatError as error:
                turn.conclude(StopReason.ERROR, error)
                return False
        slot.owner = turn
        reuse = slot.cache.reuse(turn.tokens)
        if first_time:
            turn.begin(reuse)
        return True

    def _compose(self, turns: Sequence[Turn]) -> tuple[list[Part], list[Turn]]:
        """One token for each turn that decodes, and a chunk of the first prompt that is not evaluated yet."""
        parts: list[Part] = []
        in_batch: list[Turn] = []
        waiting: Turn | None = None
        for turn in turns:
            slot = self._slots[turn.request.slot]
            held = len(slot.cache.tokens)
            if held == len(turn.tokens) - 1:
                parts.append(Part(slot.seq, held, turn.tokens[-1:], wants_logits=True))
                in_batch.append(turn)
            elif waiting is None:
                waiting = turn
        if waiting is not None:
            slot = self._slots[waiting.request.slot]
            held = len(slot.cache.tokens)
            end = min(held + self._chunk(self._context.n_batch - len(parts)), len(waiting.tokens))
            if slot.cache.uses_checkpoints:
                end = min([end, *(mark for mark in checkpoint_marks(waiting) if mark > held)])
            parts.append(Part(slot.seq, held, waiting.tokens[held:end], wants_logits=end == len(waiting.tokens)))
            in_batch.append(waiting)
        return parts, in_batch

    def _chunk(self, room: int) -> int:
        """Prompt tokens of the next call: so many that it takes about CALL_NS, and so few that each of its nodes stays below NODE_NS.

        What a call takes longer than at the best of times is attention, one node per layer, that has a long text to look back at.
        """
        if not self._prompt_rate:
            return min(FIRST_CHUNK, room)
        per_second = max(self._prompt_rate * CALL_NS / NS_PER_S, LEAST_CHUNK)
        attention = 1.0 - (1.0 - WIDEST_SHARE) * self._prompt_rate / self._best_prompt_rate
        per_node = self._prompt_rate * NODE_NS / NS_PER_S * self._n_layer / attention
        chunk = int(min(per_second, per_node)) // CHUNK_STEP * CHUNK_STEP
        return max(1, min(max(chunk, CHUNK_STEP), room))

    def _learn_speed(self, parts: Sequence[Part], took_ns: int, *, single: bool) -> None:
        tokens = sum(len(part.tokens) for part in parts)
        if single:
            self._token_ns = took_ns
        elif tokens >= CHUNK_STEP:
            self._prompt_rate = tokens * NS_PER_S / max(took_ns, 1)
            self._best_prompt_rate = max(self._best_prompt_rate, self._prompt_rate)

    def _advance(self, parts: Sequence[Part], in_batch: Sequence[Turn]) -> None:
        """Take over what a successful call has evaluated, and sample where it is complete."""
        row = -1
        for part, turn in zip(parts, in_batch, strict=True):
            row += len(part.tokens)
            cache = self._slots[part.seq].cache
            cache.extend(part.tokens)
            if not turn.decoding:
                turn.prefilled(len(cache.tokens))
            if cache.uses_checkpoints and len(cache.tokens) in checkpoint_marks(turn):
                cache.checkpoint()
            if part.wants_logits:
                turn.next_token(row)
        if any(turn.done for turn in in_batch):
            self._drop_finished()

    def _give_up(self, parts: Sequence[Part], in_batch: Iterable[Turn], result: int) -> None:
        reason = "the KV cache has no room" if result == NO_ROOM else f"the native library returned {result}"
        for part, turn in zip(parts, in_batch, strict=True):
            self._slots[part.seq].cache.clear()
            turn.conclude(StopReason.ERROR, EngineError("The engine could not evaluate the prompt", reason, "Send it again."))
        self._drop_finished()

    def _drop_finished(self) -> None:
        finished = [turn for turn in self._turns if turn.done]
        if not finished:
            return
        self._turns = [turn for turn in self._turns if not turn.done]
        self._chosen = None
        for turn in finished:
            turn.close()
        for slot in self._slots:
            if slot.owner is not None and slot.owner.done:
                slot.owner = None


def checkpoint_marks(turn: Turn) -> tuple[int, ...]:
    """Positions in a turn's prompt before which the state is worth keeping, ascending."""
    if turn.prompt is None:
        return ()
    last = turn.n_prompt - CHECKPOINT_TAIL
    wanted = sorted({*turn.prompt.boundaries, *range(CHECKPOINT_EVERY, turn.n_prompt, CHECKPOINT_EVERY)})
    final_boundary = max((mark for mark in turn.prompt.boundaries if mark < last), default=0)
    marks: list[int] = []
    for mark in wanted:
        if 0 < mark < last and (mark == final_boundary or mark - (marks[-1] if marks else 0) >= CHECKPOINT_APART):
            marks.append(mark)
    return (*marks, last) if last > 0 else tuple(marks)
