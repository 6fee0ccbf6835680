"""Runs turns on one context: plans and makes decode calls.

A turn waits until it gets a sequence of the KV cache. Tokens that are not in the sequence are still to be evaluated (a new prompt, a
sampled token, an aborted call). When the cache is full, the youngest turn of the lowest class is swapped out and resumed later.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from engine.backend import MemoryKind, Priority, StopReason
from engine.chat.rendered import PreparationCancelled
from engine.clock import NS_PER_MS, NS_PER_S, now_ns
from engine.disturbance import Wait
from engine.errors import EngineError, XchatError
from engine.host.contention import RunQueueWait
from engine.llama.commands import Ticket
from engine.llama.context import ABORTED, DECODED, NO_ROOM, Context
from engine.llama.generation import Turn
from engine.llama.kv import SequenceCache, checkpoint_marks, common_prefix
from engine.llama.planning import MOST_GUESSED, Part, Speeds, Work, piece, plan
from engine.llama.pool.seats import LEAST_LENT, Seat, Seats
from engine.llama.pool.tally import Tally
from engine.llama.thread_counts import ContextThreads

SLOW_TOKEN_NS: Final = 25 * NS_PER_MS
"""Decode steps slower than this are aborted on stop, even if that loses the sequence state and costs a checkpoint restore."""
AGEING_TOKENS: Final = 200
"""Prompt tokens that one second of waiting offsets: short prompts go first without starving long ones."""
COMPILING_S: Final = 0.02
"""Longest single wait for a constraint to compile while no turn runs."""
PAUSE_NS: Final = NS_PER_S
PAUSE_STEPS: Final = 20
"""Batch work pauses while others run: at least PAUSE_NS, and PAUSE_STEPS times its own last step, between two of its steps."""


class Scheduler:
    """Runs turns on one context. For the compute thread only, except `abort_if_it_helps`."""

    def __init__(self, context: Context, threads: ContextThreads, *, checkpoint_bytes: int, saved_bytes: int) -> None:
        kind = context.model.memory_kind
        self._context = context
        self._threads = threads
        self.before_decode: Callable[[], None] = lambda: None
        """Called before each decode call, which releases the GIL."""
        self.seats = Seats(context, checkpoint_bytes=checkpoint_bytes, saved_bytes=saved_bytes)
        self._waiting: list[Turn] = []
        """Turns without a sequence, in order of arrival."""
        self._running: list[Seat] | None = None
        """Sequences of the last call, reused while none was added, ended, cancelled or swapped out: most calls are for one token."""
        self._abortable = False
        self.guesses = True
        """Whether tokens may be guessed from earlier text."""
        self._can_cut = kind is MemoryKind.ATTENTION
        self._abort_is_free = kind in (MemoryKind.ATTENTION, MemoryKind.SLIDING_WINDOW)
        self._speeds = Speeds(context.model.file.facts.n_layer)
        self.tally = Tally(context.n_seq, self.seats, self._speeds)
        self._waits = RunQueueWait(process_ns=time.process_time_ns)
        self._apart = 0
        """Calls made while an answer is repeatable."""
        self._admission_due = False
        """Whether a sequence, room or a prefix to copy may have become available for a waiting turn."""
        self._admitted_ns = 0
        self._batch_ns = (0, 0)
        """End and duration of the last step with batch work."""

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._waiting) or any(seat.owner is not None for seat in self.seats.all)

    @property
    def caches(self) -> tuple[SequenceCache, ...]:
        """The sequence caches by number."""
        return tuple(seat.cache for seat in self.seats.all)

    @property
    def latest(self) -> SequenceCache:
        """The cache of the sequence that was assigned last."""
        return max(self.seats.all, key=lambda seat: seat.used).cache

    def cache_for(self, tokens: Sequence[int]) -> SequenceCache:
        """Assign the best sequence for `tokens` and return its cache; while nothing is running."""
        seat = self.seats.take(tokens)
        assert seat is not None, "all are idle"
        return seat.cache

    def add(self, turn: Turn) -> None:
        """Queue a turn."""
        self._threads.auto.turn_begins()
        self._waiting.append(turn)
        self._admission_due = True

    def reclass(self, ticket: Ticket) -> None:
        """Note that the class of a turn has changed."""
        if any(turn.reclass(ticket) for turn in [*self._waiting, *self._turns]):
            self._running = None
            self._admission_due = True

    def abort_if_it_helps(self) -> None:
        """Abort the running decode call. Thread-safe. Skipped when the call ends soon and aborting would lose the sequence state."""
        if self._abortable:
            self._context.request_abort()

    def close(self) -> None:
        """Free what is read between calls."""
        self._waits.close()

    def end_all(self, reason: StopReason, error: XchatError | None = None) -> None:
        """End every turn, without any native call."""
        self._running = None
        for turn in [*self._waiting, *self._turns]:
            turn.conclude(reason, error)

    def step(self) -> None:
        """Plan and apply one decode call."""
        parts = self.plan()
        if not parts:
            return
        try:
            self.apply(parts)
        except XchatError as error:
            if parts[0].tokens[0] >= 0:
                raise
            for part in parts:
                self._owner(part).conclude(StopReason.ERROR, error)  # its picture can't be encoded
            self._drop_finished()

    def plan(self) -> list[Part]:
        """Return the parts of the next decode call; empty when there is no turn to run."""
        seats = self._next_seats()
        for seat in seats:
            if seat.owner is not None and (picture := seat.owner.picture_at(len(seat.cache.tokens), self._context)):
                return [Part(seat.seq, len(seat.cache.tokens), picture, wants_logits=False)]  # in a call of its own
        if any(seat.owner is not None and seat.owner.request.repeatable for seat in seats):
            return self._plan_apart(seats)
        return plan(self._works(seats), self._speeds, self._context.n_batch)

    def _works(self, seats: Sequence[Seat]) -> list[Work]:
        owned = [(seat, turn) for seat in seats if (turn := seat.owner) is not None]
        guess = self.guesses and all(turn.decoding for _, turn in owned) and self.seats.has_room(MOST_GUESSED + len(owned))
        return [turn.work(seat.seq, len(seat.cache.tokens), guess=guess and self._can_cut) for seat, turn in owned]

    def _plan_apart(self, seats: Sequence[Seat]) -> list[Part]:
        """Return the next call while an answer is to be repeatable: its steps are separate and alternate with those of all others.

        The logits depend on the number of tokens in a call, so its prompt is evaluated in pieces of one size.
        """
        apart = [seat for seat in seats if seat.owner is not None and seat.owner.request.repeatable]
        others = [seat for seat in seats if seat not in apart]
        groups = [*([seat] for seat in apart), *([others] if others else [])]
        self._apart += 1
        group = groups[self._apart % len(groups)]
        if group is others:
            return plan(self._works(others), self._speeds, self._context.n_batch)
        return [piece(self._works(group)[0])]

    def apply(self, parts: Sequence[Part]) -> None:
        """Make the decode call, and sample for each turn whose tokens are all evaluated."""
        turns = [self._owner(part) for part in parts]
        tokens = sum(len(part.tokens) for part in parts)
        self._context.clear_abort()
        self._abortable = self._abort_is_free or (len(parts) == 1 and (tokens > 1 or self._speeds.step_ns(1) > SLOW_TOKEN_NS))
        if any(turn.cancelled for turn in turns):
            return
        threads = self._threads.before(tokens)
        self.before_decode()
        begin = now_ns()
        with self._threads.auto.computing(threads):
            result = self._context.decode(parts)
        self._abortable = False
        if result == DECODED:
            end = now_ns()
            outputs = sum(part.outputs for part in parts)
            self._speeds.measured(tokens, len(parts), end - begin, outputs=outputs, picture=parts[0].tokens[0] < 0)
            self._threads.computed(tokens, len(parts), end - begin, end)
            if any(turn.priority is Priority.BATCH for turn in turns):
                self._batch_ns = (end, end - begin)
            waited_ns = self._waits.after_call(end, threads)
            wait = None if waited_ns is None else Wait(end, waited_ns)
            for part, turn in zip(parts, turns, strict=True):
                turn.computed(len(part.tokens), threads, wait)
            came = self._advance(parts, turns, begin, end)
            if len(self.seats.all) > 1:
                self.tally.stepped(end, parts, came, self._waiting)
        elif result == ABORTED:
            self._context.settle()
            for part, turn in zip(parts, turns, strict=True):
                cache = self.seats.all[part.seq].cache
                cache.aborted(part.tokens)
                turn.prefilled(len(cache.tokens))
                if not turn.cancelled:
                    cache.reuse(turn.tokens)
        else:
            self._give_up(parts, turns, result)

    @property
    def _turns(self) -> list[Turn]:
        """The turns with a sequence."""
        return [seat.owner for seat in self.seats.all if seat.owner is not None]

    def _owner(self, part: Part) -> Turn:
        turn = self.seats.all[part.seq].owner
        assert turn is not None
        return turn

    def _next_seats(self) -> list[Seat]:
        """Return the sequences of the next call, most urgent first."""
        if self._running is not None and len(self._running) == 1 and not self._waiting:
            seat = self._running[0]
            turn = seat.owner
            assert turn is not None
            if not turn.cancelled and self.seats.has_room(len(turn.tokens) - len(seat.cache.tokens)):
                return self._running
        for turn in [*self._waiting, *self._turns]:
            if turn.cancelled:
                turn.conclude(StopReason.CANCELLED)
        self._drop_finished()
        now = now_ns()
        if self._waiting and (self._admission_due or now - self._admitted_ns > NS_PER_S):
            self._admission_due, self._admitted_ns = False, now
            self._admit(now)
        self._make_room(now)
        seats = self._most_urgent(now)
        self._running = seats if len(seats) == len(self._turns) else None
        return seats

    def _most_urgent(self, now: int) -> list[Seat]:
        """Return the sequences with a turn; batch work is left out while it pauses for others."""
        seats = [(seat, seat.owner) for seat in self.seats.all if seat.owner is not None]
        last, took = self._batch_ns
        if now - last < max(PAUSE_NS, PAUSE_STEPS * took) and any(turn.priority is not Priority.BATCH for _, turn in seats):
            seats = [(seat, turn) for seat, turn in seats if turn.priority is not Priority.BATCH]

        def urgency(pair: tuple[Seat, Turn]) -> tuple[int, float]:
            seat, turn = pair
            left = len(turn.tokens) - len(seat.cache.tokens)
            return turn.priority, left - AGEING_TOKENS * (now - turn.queued_ns) / NS_PER_S

        return [seat for seat, _ in sorted(seats, key=urgency)]

    # Assigning sequences

    def _admit(self, now: int) -> None:
        """Assign sequences to waiting turns: by class, then to the asker with the fewest, then by age."""
        free = len(self.seats.idle)
        passed_over = set[Turn]()
        while candidates := [turn for turn in self._waiting if turn not in passed_over]:
            askers = Counter(turn.request.asker for turn in self._turns)
            turn = min(candidates, key=lambda turn: (turn.aged(now), askers[turn.request.asker], turn.queued_ns))
            rank = turn.aged(now)
            if free <= 0 and self._youngest(below=rank) is None:
                break
            free -= 1
            passed_over.add(turn)
            if not self._prepared(turn) or self._soon_lent(turn):
                continue
            while not (seated := self._seat(turn)) and (lower := self._youngest(below=rank)) is not None:
                self._swap_out(lower, now)
            if not seated:
                break
            turn.priority = rank
        if any(turn.done for turn in passed_over):
            self._drop_finished()

    def _prepared(self, turn: Turn) -> bool:
        """Return whether the turn can begin; otherwise it has ended, or its constraint is still compiling."""
        try:
            if not turn.prepared:
                turn.prepare(self._context)
            if turn.formed(0.0 if self._turns else COMPILING_S):
                return True
            self._admission_due = True
        except XchatError as error:
            turn.conclude(StopReason.ERROR, error)
        except PreparationCancelled:
            turn.conclude(StopReason.CANCELLED)
        return False

    def _soon_lent(self, turn: Turn) -> bool:
        """Return whether another turn prefills a longer prefix of this prompt; add a checkpoint there where needed."""
        if not self.seats.lends or turn.request.repeatable or turn.request.prompt_logprobs:
            return False
        held = self.seats.reusable(turn.tokens)
        for seat in self.seats.all:
            other = seat.owner
            if other is None or other.decoding or other.priority > turn.priority:
                continue
            common = min(common_prefix(other.tokens, turn.tokens), len(turn.tokens) - 1)
            ahead = len(seat.cache.tokens)
            if ahead < common and (common >= held + LEAST_LENT or ahead >= held >= LEAST_LENT):
                if seat.cache.uses_checkpoints and common not in other.marks:
                    other.marks = tuple(sorted((*other.marks, common)))
                return True
        return False

    def _seat(self, turn: Turn) -> bool:
        """Assign a sequence to a prepared turn; return False when there is none, or no room."""
        first_time = turn.n_swaps == 0
        seat = self.seats.take(turn.tokens, keep_free=self._promised, turn=turn.request.turn)
        if seat is None:
            return False
        seat.owner = turn
        self._waiting.remove(turn)
        if (turn.request.repeatable or turn.request.prompt_logprobs) and first_time:
            seat.cache.clear()  # reused tokens were computed in calls of other widths, and their logits are gone
        reuse = seat.cache.reuse(turn.tokens)
        if first_time:
            if seat.cache.uses_checkpoints:
                turn.marks = checkpoint_marks(turn.n_prompt, turn.boundaries)
            turn.begin(reuse)
        return True

    # Taking sequences away

    @property
    def _promised(self) -> int:
        """The number of tokens that the turns with a sequence still have to evaluate."""
        return sum(len(seat.owner.tokens) - len(seat.cache.tokens) for seat in self.seats.all if seat.owner is not None)

    def _make_room(self, now: int) -> bool:
        """Make room for the next call: empty idle sequences, then swap out the youngest turns of the lowest class.

        Returns False when there is no room and only one turn.
        """
        while not self.seats.make_room(min(self._promised, self._context.n_batch)):
            youngest = self._youngest()
            if youngest is None or len(self._turns) < 2:
                return False
            self._swap_out(youngest, now)
        return True

    def _youngest(self, below: Priority | None = None) -> Turn | None:
        """Return the youngest turn of the lowest class; None when that class is not below `below`."""
        turns = (turn for turn in self._turns if below is None or turn.priority > below)
        return max(turns, key=lambda turn: (turn.priority, turn.request.submitted_ns), default=None)

    def _swap_out(self, turn: Turn, now: int) -> None:
        """Take a turn's sequence; it waits, and resumes from the state saved in RAM."""
        seat = next(seat for seat in self.seats.all if seat.owner is turn)
        seat.owner = None
        turn.swapped_out(now)
        self.tally.swaps += 1
        self.seats.empty(seat, turn.request.turn)
        self._waiting.append(turn)
        self._running = None
        self._admission_due = True

    # After a call

    def _advance(self, parts: Sequence[Part], turns: Sequence[Turn], begin: int, end: int) -> int:
        """Record a successful call, and sample for turns whose tokens are complete; return the number of accepted guesses."""
        row, all_came = -1, 0
        for part, turn in zip(parts, turns, strict=True):
            row += len(part.tokens)
            cache = self.seats.all[part.seq].cache
            cache.extend(part.tokens)
            if not turn.decoding:
                turn.prefilled(len(cache.tokens))
                self._admission_due = True
            if turn.marks and len(cache.tokens) in turn.marks:
                cache.checkpoint()
            if part.scored:
                turn.score(row + 1 - len(part.tokens), part.start, len(part.tokens))
            if part.guessed:
                came = turn.next_tokens(row - part.guessed, part.tokens[-part.guessed :], begin)
                cache.keep(len(cache.tokens) - part.guessed + came)
                alone_ns = self._speeds.step_ns(len(parts))
                all_came += came
                turn.checked(part.guessed, came, (1 + came) * alone_ns - (end - begin))
            elif part.wants_logits:
                turn.next_tokens(row)
        if any(turn.done for turn in turns):
            self._drop_finished()
        return all_came

    def _give_up(self, parts: Sequence[Part], turns: Iterable[Turn], result: int) -> None:
        reason = "the KV cache has no room" if result == NO_ROOM else f"the native library returned {result}"
        for part, turn in zip(parts, turns, strict=True):
            self.seats.all[part.seq].cache.clear()
            turn.conclude(StopReason.ERROR, EngineError("The engine could not evaluate the prompt", reason, "Send it again."))
        self._drop_finished()

    def _drop_finished(self) -> None:
        finished = [turn for turn in [*self._waiting, *self._turns] if turn.done]
        if not finished:
            return
        self._waiting = [turn for turn in self._waiting if not turn.done]
        self._running = None
        self._admission_due = True
        for seat in self.seats.all:
            if seat.owner is not None and seat.owner.done:
                seat.owner = None
        self.tally.update(now_ns(), self._waiting)
        for turn in finished:
            self.seats.saved.forget(turn.request.turn)
            turn.close()
