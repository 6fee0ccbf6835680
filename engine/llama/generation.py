"""One turn in the engine: its tokens, text, timestamps and events."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Final

from engine.backend import (
    GenerationFinished,
    PrefillProgressed,
    Priority,
    PromptFacts,
    PromptReady,
    StopReason,
)
from engine.chat.prompt import PreparedPrompt
from engine.chat.rendered import PreparationCancelled
from engine.clock import NS_PER_MS, NS_PER_S, now_ns
from engine.disturbance import Wait, quiet_speed, taken_share
from engine.errors import EngineError, PromptTooLongError, XchatError
from engine.llama.chunking import Delivery, Pace
from engine.llama.commands import Ticket, notify
from engine.llama.constraints.form import COMPILE_S, Form
from engine.llama.constraints.grammar import answer_so_far, frame_of, grammar_of, refused
from engine.llama.context import Context
from engine.llama.drafting.lookup import NO_GUESS, Guess, Lookup
from engine.llama.kv import Reuse
from engine.llama.planning import MOST_GUESSED, Work
from engine.llama.pool.replay import Again
from engine.llama.sampling import Sampler
from engine.llama.text import TextStream
from engine.logprobs import PromptScored, TokenLogprobs
from engine.messages import ChatPrompt
from engine.store.results import Stored
from engine.timings import compute_timings

AGEING_NS: Final = 60 * NS_PER_S
"""A turn that waited this long for a sequence counts as one class higher."""
PROGRESS_EVERY_NS: Final = 50 * NS_PER_MS
"""Least time between two reports of prefill progress."""


class Turn:
    """A request and its progress. For the compute thread only."""

    def __init__(self, ticket: Ticket, pace: Pace, concluded: Callable[[Ticket], None], again: Again | None = None) -> None:
        request = ticket.request
        self._again = again
        self.request = request
        self._ticket = ticket
        self._facts: PromptFacts | None = None
        self.boundaries: tuple[int, ...] = ()
        """Positions in the prompt where later prompts may diverge, ascending."""
        self.tokens: list[int] = []
        """Tokens of prompt and answer; those not in the KV cache are still to be evaluated."""
        self.n_prompt = 0
        self.pictures: tuple[int, ...] = ()
        """Positions in the prompt where pictures begin, ascending."""
        self.marks: tuple[int, ...] = ()
        """Positions in the prompt before which the state is worth a checkpoint, ascending."""
        self.done = False
        self.priority = ticket.priority
        """The class it runs in; waiting raises it."""
        self.queued_ns = now_ns()
        """Start of its wait for a sequence."""
        self.n_swaps = 0
        self._concluded = concluded
        self._delivery = Delivery(request.turn, pace, partial(notify, request))
        self._sampler: Sampler | None = None
        self._text: TextStream | None = None
        self._compiling: Future[Form] | None = None
        """The constraint, until it is compiled."""
        self._compile_until = 0
        self._form: Form | None = None
        self._lookup = Lookup()
        self._drafted = 0
        self._came = 0
        self._saved_ns = 0.0
        self._scores: list[TokenLogprobs] = []
        self._eog: frozenset[int] = frozenset()
        self._max_tokens = request.max_tokens
        self._n_ctx = 0
        self._token_ns: list[int] = []
        self._started_ns: int | None = None
        self._prefill_start_ns: int | None = None
        self._prefill_end_ns: int | None = None
        self._progress_ns = 0
        self._cached = 0
        self._evaluated = 0
        self._decoded_by: dict[int, int] = {}
        """Tokens of the answer by thread count."""
        self._prefilled_by: dict[int, int] = {}
        self._waits: list[Wait] = []

    @property
    def decoding(self) -> bool:
        """Whether the prompt is evaluated."""
        return self._prefill_end_ns is not None

    @property
    def prepared(self) -> bool:
        """Whether `prepare` has succeeded."""
        return self._sampler is not None

    @property
    def cuts(self) -> Sequence[int]:
        """Positions where a part of the prompt must end: marks, and where pictures begin."""
        return sorted((*self.marks, *self.pictures)) if self.pictures else self.marks

    @property
    def cancelled(self) -> bool:
        """Whether this turn is cancelled."""
        return self._ticket.cancelled

    def reclass(self, ticket: Ticket) -> bool:
        """Run in the class of its ticket from now on; return False when the ticket is another turn's."""
        if ticket is self._ticket:
            self.priority = ticket.priority
        return ticket is self._ticket

    def aged(self, now: int) -> Priority:
        """Return its class, raised by the time it has waited for a sequence."""
        return Priority(max(Priority.INTERACTIVE, self.priority - (now - self.queued_ns) // AGEING_NS))

    def prepare(self, context: Context) -> None:
        """Render and tokenize the prompt and set up the sampler. Raises XchatError when the prompt can't be made or does not fit."""
        self._started_ns = now_ns()
        context.model.refuse_if_lost()
        vocabulary = context.model.vocabulary
        try:
            prompt = context.model.prompts.build(self.request.prompt, context.n_ctx, lambda: self.cancelled)
        except (XchatError, PreparationCancelled):
            raise
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            raise EngineError("The prompt can't be made", repr(error), "Send it again, or choose another model.") from error
        tokens = prompt.tokens
        if not tokens and vocabulary.bos is not None:
            tokens = (vocabulary.bos,)
        if not tokens:
            raise EngineError("The prompt is empty", hint="Write something.")
        words = tuple(token for token in tokens if token >= 0) if isinstance(self.request.prompt, ChatPrompt) else tokens
        if not vocabulary.knows(words):
            raise EngineError("The prompt was made for another model", "it has tokens that this model does not know", "Send it again.")
        if len(tokens) > context.n_ctx - 2:
            raise PromptTooLongError(
                "The prompt does not fit the context window",
                f"it has {len(tokens):,} tokens, and the window {context.n_ctx:,}",
                "Shorten it, or use a larger n_ctx.",
            ).with_sizes(len(tokens), context.n_ctx)
        self._facts = replace(prompt.facts, n_tokens=len(tokens))
        self.boundaries = prompt.boundaries
        self.tokens = list(tokens)
        self.n_prompt = len(tokens)
        self.pictures = tuple(at for at, token in enumerate(tokens) if token < 0 and (not at or tokens[at - 1] >= 0))
        self._n_ctx = context.n_ctx
        self._eog = vocabulary.eog
        self._set_up(context, prompt, words)
        if again := self._again:
            self._facts = replace(self._facts, notices=(*self._facts.notices, *again.problems))
            if stored := again.find(self.request, self.tokens, (*self.request.stop, *prompt.stop), self._n_ctx):
                self._give_again(stored)

    def _give_again(self, stored: Stored) -> None:
        """End with a stored answer."""
        assert self._text is not None
        self.begin(Reuse(self.n_prompt, None, restored_checkpoint=False))
        now = self._prefill_end_ns = now_ns()
        for token in stored.tokens:
            self.tokens.append(token)
            self._token_ns.append(now)
            self._delivery.add(self._text.feed(token).text, token, now)
        self.conclude(stored.reason)

    def _set_up(self, context: Context, prompt: PreparedPrompt, words: Sequence[int]) -> None:
        """Set up sampling and begin to compile the constraint; `words` are the tokens without pictures."""
        vocabulary, constraint = context.model.vocabulary, self.request.constraint
        shown = prompt.facts.marker_tokens | (frozenset(constraint.triggers) if constraint is not None else frozenset())
        self._text = TextStream(vocabulary.pieces, (*self.request.stop, *prompt.stop), words, vocabulary.token_texts(shown))
        self._sampler = Sampler(context, self.request.sampling, words)
        if constraint is not None:
            frame = frame_of(constraint, self.request.prompt, prompt.facts, vocabulary)
            before = answer_so_far(self.request.prompt)
            self._compiling = context.model.forms.compiled(constraint, lambda: grammar_of(constraint, frame), before)
            self._compile_until = now_ns() + int(COMPILE_S * NS_PER_S)

    def formed(self, wait_s: float) -> bool:
        """Return whether the constraint, if any, is compiled; wait that long. Raises XchatError when it can't be used."""
        if self._compiling is None:
            return True
        futures.wait([self._compiling], wait_s)
        if self._compiling.done():
            self._form, self._compiling = self._compiling.result(), None
        elif now_ns() >= self._compile_until:
            assert self.request.constraint is not None
            raise refused(self.request.constraint, f"compiling it takes more than {COMPILE_S:.0f} s")
        return self._compiling is None

    def picture_at(self, held: int, context: Context) -> Sequence[int]:
        """Return the tokens of the picture at a position of the prompt that fit into one call; empty without a picture."""
        if not self.pictures or held >= self.n_prompt or self.tokens[held] >= 0:
            return ()
        assert context.model.vision is not None
        count = min(context.model.vision.place_of(self.tokens[held]).rows_left, context.n_batch)
        return self.tokens[held : held + count]

    def swapped_out(self, now: int) -> None:
        """Record that it lost its sequence; it waits again, in its own class."""
        self.n_swaps += 1
        self.queued_ns = now
        self.priority = self._ticket.priority

    def begin(self, reuse: Reuse) -> None:
        """Report that prefill begins after the tokens in the KV cache."""
        assert self._facts is not None
        assert self._started_ns is not None
        self._cached = reuse.cached
        now = now_ns()
        self._prefill_start_ns = self._progress_ns = now
        notify(
            self.request,
            PromptReady(
                turn=self.request.turn,
                at_ns=now,
                started_ns=self._started_ns,
                prompt=self._facts,
                cache_n=reuse.cached,
                diverged_at=reuse.diverged_at,
                restored_checkpoint=reuse.restored_checkpoint,
            ),
        )
        self._prefill_start_ns = now_ns()

    def computed(self, tokens: int, threads: int, wait: Wait | None = None) -> None:
        """Count evaluated tokens by thread count, and the wait of the threads; call before `prefilled` and `next_tokens`."""
        if wait is not None:
            self._waits.append(wait)
        by = self._decoded_by if self.decoding else self._prefilled_by
        by[threads] = by.get(threads, 0) + tokens

    def prefilled(self, held: int) -> None:
        """Record that the first `held` tokens are in the KV cache; report it every PROGRESS_EVERY_NS."""
        if self.decoding or self._prefill_start_ns is None:
            return
        now = now_ns()
        total = self.n_prompt - self._cached
        self._evaluated = max(self._evaluated, held - self._cached)
        complete = held >= self.n_prompt
        if complete:
            self._prefill_end_ns = now
        if complete or now - self._progress_ns >= PROGRESS_EVERY_NS:
            self._progress_ns = now
            elapsed_ms = (now - self._prefill_start_ns) / NS_PER_MS
            eta_ms = elapsed_ms / self._evaluated * (total - self._evaluated) if self._evaluated else 0.0
            notify(self.request, PrefillProgressed(self.request.turn, now, self._evaluated, total, elapsed_ms, eta_ms))

    def next_tokens(self, row: int, guessed: Sequence[int] = (), begin_ns: int = 0) -> int:
        """Sample after batch index `row`, and after each accepted guess; deliver, and end the turn after the last token.

        The tokens of one call, which began at `begin_ns`, share its time equally. Returns the number of accepted guesses.
        """
        assert self._sampler is not None
        most = self.request.logprobs
        tokens: list[int] = []
        logprobs: list[TokenLogprobs | None] = []
        try:
            for guess in (*guessed, None):
                token = self._sampler.sample(row + len(tokens), self._form)
                logprobs.append(None if most is None else self._sampler.logprobs(row + len(tokens), token, most))
                tokens.append(token)
                if token != guess or token in self._eog or (self._form is not None and self._form.complete):
                    break
        except EngineError as error:
            self.conclude(StopReason.ERROR, error)
            return 0
        now = now_ns()
        before = max(begin_ns, self._token_ns[-1] if self._token_ns else now)
        for number, token in enumerate(tokens, 1):
            self._deliver(token, now - (now - before) * (len(tokens) - number) // len(tokens), logprobs[number - 1])
            if self.done:
                break
        else:
            if self._form is not None and self._form.complete:
                self.conclude(StopReason.EOG)
        return len(tokens) - 1

    def _deliver(self, token: int, now: int, logprobs: TokenLogprobs | None) -> None:
        assert self._text is not None
        if token in self._eog:
            self.conclude(StopReason.EOG)
            return
        self.tokens.append(token)
        self._token_ns.append(now)
        decoded = self._text.feed(token)
        self._delivery.add(decoded.text, token, now, logprobs)
        if decoded.stopped:
            self.conclude(StopReason.STOP_STRING)
        elif len(self._token_ns) == self._max_tokens or len(self.tokens) >= self._n_ctx - 1:
            self.conclude(StopReason.LENGTH)

    def work(self, seq: int, held: int, *, guess: bool) -> Work:
        """Return the tokens still to be evaluated in sequence `seq`, which holds `held` tokens; with a guess of the next ones."""
        scored = self.request.prompt_logprobs and not self.pictures  # a picture has no log-probability
        return Work(seq, held, self.tokens, self.cuts, self._guess() if guess else NO_GUESS, scored)

    def _guess(self) -> Guess:
        """Return the tokens that may come next."""
        left = self._n_ctx - 2 - len(self.tokens)
        if self._max_tokens is not None:
            left = min(left, self._max_tokens - len(self._token_ns) - 1)
        return NO_GUESS if self.request.repeatable else self._lookup.guess(self.tokens, min(left, MOST_GUESSED))

    def checked(self, guessed: int, came: int, saved_ns: float) -> None:
        """Count the accepted tokens of a call's guess, and the time saved compared with calls for one token each."""
        self._lookup.checked(guessed, came)
        self._drafted += guessed
        self._came += came
        self._saved_ns += saved_ns

    def score(self, row: int, start: int, count: int) -> None:
        """Compute the log-probabilities of the prompt's tokens after `start`, from `row` on; report them with the last one."""
        assert self._sampler is not None
        for index in range(min(count, self.n_prompt - 1 - start)):
            self._scores.append(self._sampler.logprobs(row + index, self.tokens[start + index + 1], self.request.logprobs or 0))
        if start + count == self.n_prompt:
            notify(self.request, PromptScored(self.request.turn, self.tokens[0], tuple(self._scores)))
            self._scores = []

    def conclude(self, reason: StopReason, error: XchatError | None = None) -> None:
        """Report that the turn has ended; later calls do nothing."""
        if self.done:
            return
        self.done = True
        self._delivery.flush()
        now = now_ns()
        started = self._started_ns if self._started_ns is not None else now
        prefill_start = self._prefill_start_ns if self._prefill_start_ns is not None else now
        prefill_end = self._prefill_end_ns if self._prefill_end_ns is not None else now
        timings = compute_timings(
            cache_n=self._cached,
            prompt_n=self._evaluated,
            submitted_ns=self.request.submitted_ns,
            prefill_start_ns=prefill_start,
            prefill_end_ns=prefill_end,
            token_ns=self._token_ns,
            draft=(self._drafted, self._came, self._saved_ns),
        )
        cut = reason in {StopReason.LENGTH, StopReason.CANCELLED}
        tail = self._text.finish(stopped=reason is StopReason.STOP_STRING, cut=cut) if self._text is not None else ""
        self._concluded(self._ticket)
        if self._again is not None:
            self._again.keep(self.tokens[self.n_prompt :], reason)
        notify(
            self.request,
            GenerationFinished(
                turn=self.request.turn,
                at_ns=now,
                reason=reason,
                timings=timings,
                started_ns=started,
                prefill_start_ns=prefill_start,
                prefill_end_ns=prefill_end,
                prompt_tokens=self.n_prompt,
                token_ns=tuple(self._token_ns),
                tail=tail,
                error=error,
                threads=_most(self._decoded_by),
                threads_batch=_most(self._prefilled_by),
                from_cache=self._again is not None and self._again.given,
                n_swaps=self.n_swaps,
                taken_share=taken_share(self._waits, prefill_start),
                quiet_per_second=quiet_speed(self._waits, self._token_ns),
            ),
        )

    def close(self) -> None:
        """Free native memory. Compute thread only; never after native code has failed."""
        if self._sampler is not None:
            self._sampler.close()


def _most(by: Mapping[int, int]) -> int | None:
    """Return the thread count that evaluated most tokens."""
    return max(by, key=by.__getitem__, default=None)
