"""Chooses the tokens of the next decode call. Pure arithmetic: no clock, no native call.

A step has a budget of time. Every running answer gets its token; the rest of the budget goes to prompts, the most urgent first.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Final, NamedTuple

from engine.clock import NS_PER_MS, NS_PER_S
from engine.llama.drafting.lookup import NO_GUESS, Guess, expected
from engine.models.memory import SPARE_OUTPUTS

CALL_NS: Final = 250 * NS_PER_MS
"""Target duration of a decode call that has only prompts in it."""
READING_NS: Final = 100 * NS_PER_MS
"""Longest call with running answers, or twice the time without the prompt, if longer."""
TILE: Final = 16
"""Rows that the matrix kernels compute together; a call with 12 tokens takes as long as one with 16."""
ROWS: Final = 4
"""Rows of the kernels for narrow calls: what a prompt gets of a tile where a whole one takes too long."""
FIRST_CHUNK: Final = 32
"""Prompt tokens in a call while the speed is unknown."""
LEAST_CHUNK: Final = 64
"""Prompt tokens in a call of a slow model: each call reads all weights, and with fewer tokens that costs over a tenth."""
CHUNK_STEP: Final = 8
"""The number of prompt tokens in a call is a multiple of this, at least one."""
CURVE_CALLS: Final = 32
"""Calls after which a measured duration is outdated, since the context has grown or other programs run."""
CHECKS_CALLS: Final = 1024
"""The same for calls with guessed tokens: one that is slow for its width is tried again that seldom."""
CHECK_GAIN: Final = 1.1
"""Least gain in tokens per second for which guessed tokens are checked."""
MOST_GUESSED: Final = SPARE_OUTPUTS
"""Guessed tokens in a call, of all answers: with the first answer's own they fill two tiles."""
LEARNING: Final = 0.3
"""Weight of a new duration in its average."""
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
    guessed: int = 0
    """The number of last tokens that are guesses: the logits after each, and after the token before them, are needed."""
    scored: bool = False
    """Whether the logits after every token are needed."""

    @property
    def outputs(self) -> int:
        """The number of last tokens after which the logits are needed."""
        return len(self.tokens) if self.scored else self.wants_logits + self.guessed


class Work(NamedTuple):
    """The tokens that a turn still has to evaluate."""

    seq: int
    held: int
    """Number of its tokens in the KV cache."""
    tokens: Sequence[int]
    """Prompt and answer so far."""
    marks: Sequence[int] = ()
    """Positions of checkpoints, ascending: a part of the prompt ends at the next one."""
    guess: Guess = NO_GUESS
    """The tokens that may come next."""
    scored: bool = False
    """Whether the logits after every token of the prompt are needed."""


class _Mean(NamedTuple):
    """A moving average, and the number of the call that changed it last."""

    ns: float
    call: int


class Speeds:
    """The duration of calls by number of tokens for this model on this machine, learned from every call."""

    def __init__(self, n_layer: int) -> None:
        self._n_layer = max(1, n_layer)
        self._prompt_rate = 0.0
        """Tokens per second of the last call with nothing but a piece of prompt in it, or of the first one beside answers."""
        self._best_prompt_rate = 0.0
        self._steps: dict[int, _Mean] = {}
        """Calls with one token per answer, by the number of answers."""
        self._tiles: dict[int, _Mean] = {}
        """Calls with answers and a piece of prompt in them, by the number of tokens rounded up to what the kernels compute together."""
        self._checks: dict[int, _Mean] = {}
        """Calls with guessed tokens in them, by the number of tokens rounded up in the same way."""
        self._calls = 0

    def knows(self, answers: int) -> bool:
        """Return whether a step of that number of answers was measured."""
        return answers in self._steps

    @property
    def curve(self) -> dict[int, float]:
        """Nanoseconds of a step by its number of answers, ascending."""
        return {answers: mean.ns for answers, mean in sorted(self._steps.items())}

    def measured(self, tokens: int, sequences: int, took_ns: int, *, outputs: int = 0, picture: bool = False) -> None:
        """Add the duration of a call with this number of tokens, sequences, and tokens whose logits were needed.

        One with a picture says nothing about others.
        """
        if picture:
            return
        self._calls += 1
        if outputs > sequences:
            _learn(self._checks, _rounded(tokens), took_ns, self._calls)
            return
        if tokens == sequences:
            _learn(self._steps, tokens, took_ns, self._calls)
            return
        alone = sequences == 1
        if not alone:
            _learn(self._tiles, _rounded(tokens), took_ns, self._calls)
        if tokens >= CHUNK_STEP and (alone or not self._prompt_rate):
            own_ns = took_ns if alone else max(took_ns - self.step_ns(sequences - 1), took_ns / 4)
            self._prompt_rate = (tokens - sequences + 1) * NS_PER_S / max(own_ns, 1)
            self._best_prompt_rate = max(self._best_prompt_rate, self._prompt_rate)

    def step_ns(self, answers: int) -> float:
        """Duration of a step of that number of answers, at least; 0 when none was measured."""
        mean = self._steps.get(answers)
        if mean is not None:
            return mean.ns
        nearest = min(self._steps, key=lambda known: abs(known - answers), default=0)
        return self._steps[nearest].ns * min(1.0, answers / nearest) if nearest else 0.0

    def worth_checking(self, answers: int, width: int, made: float, guess: Guess) -> tuple[int, float]:
        """How many guessed tokens to add to a call, and how many tokens it then makes on average.

        Args:
            answers: The answers in the call.
            width: Its tokens, with the guessed ones that are in it already.
            made: The tokens that it makes on average.
            guess: The tokens to add; none are added where they cost more time than they save.
        """
        best, length, total = CHECK_GAIN * made / max(self._check_ns(answers, width), 1), 0, made
        most = len(guess.tokens)
        for more in {most, *(end - width for end in (ROWS, 2 * ROWS, 3 * ROWS, TILE, 2 * TILE))}:
            if 0 < more <= most:
                makes = made + expected(guess, more)
                if (rate := makes / self._check_ns(answers, width + more)) > best:
                    best, length, total = rate, more, makes
        return length, total

    def _check_ns(self, answers: int, width: int) -> float:
        """Duration of a call whose every token has logits: as measured, else from the next narrower one and the best speed."""
        known = {
            checked: mean.ns for checked, mean in self._checks.items() if self._calls - mean.call <= CHECKS_CALLS and checked > answers
        }
        if width > answers and _rounded(width) in known:
            return known[_rounded(width)]
        nearest = max((checked for checked in known if checked < width), default=answers)
        return known.get(nearest, self.step_ns(answers)) + (width - nearest) * NS_PER_S / (self._best_prompt_rate or NS_PER_S / CALL_NS)

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
        """Prompt tokens of a call with `answers` next tokens in it: whole tiles, or a part of one where that takes too long."""
        fill = TILE - answers % TILE
        if not self._prompt_rate:
            return min(fill, room)
        plain_ns = self.step_ns(answers)
        limit_ns = max(2 * plain_ns, READING_NS)

        def fits(size: int) -> bool:
            return self._predicted(answers, plain_ns, answers + size) <= limit_ns

        whole = range(fill, max(fill, min(room, int(self._per_node()))) + 1, TILE)
        sizes = whole if fits(fill) else range(min(fill, ROWS + -answers % ROWS), fill + 1, ROWS)
        return min(max(takewhile(fits, sizes), default=sizes[0]), room)

    def _predicted(self, answers: int, plain_ns: float, width: int) -> float:
        """Duration of a call that a prompt widens to `width` tokens: as measured, else from the next narrower one and the best speed."""
        known = {
            tiles: mean.ns for tiles, mean in self._tiles.items() if self._calls - mean.call <= CURVE_CALLS and answers < tiles <= width
        }
        nearest = max(known, default=answers)
        base_ns = known.get(nearest, plain_ns)
        return base_ns + (width - nearest) * NS_PER_S / self._best_prompt_rate

    def _per_node(self) -> float:
        """Prompt tokens that keep each node of the graph below NODE_NS."""
        attention = 1.0 - (1.0 - WIDEST_SHARE) * self._prompt_rate / self._best_prompt_rate
        return self._prompt_rate * NODE_NS / NS_PER_S * self._n_layer / attention


def _rounded(tokens: int) -> int:
    """Return the number of tokens that takes as long, by the rows of the kernels."""
    rows = ROWS if tokens <= TILE else TILE
    return -(-tokens // rows) * rows


def _learn(means: dict[int, _Mean], width: int, took_ns: int, call: int) -> None:
    """Move the average of a width; one that is out of date begins anew."""
    mean = means.get(width)
    fresh = mean is None or call - mean.call > CURVE_CALLS
    means[width] = _Mean(took_ns if mean is None or fresh else mean.ns + (took_ns - mean.ns) * LEARNING, call)


def plan(works: Sequence[Work], speeds: Speeds, n_batch: int) -> list[Part]:
    """Plan the next call: one token for each answer, and as many prompt tokens as the budget allows, ordered by sequence.

    Without prompts it checks the guesses that are likely to save time.

    Args:
        works: One per sequence, the most urgent first.
        speeds: Measured durations of calls.
        n_batch: Most tokens in a call.
    """
    parts = [Part(work.seq, work.held, work.tokens[-1:], wants_logits=True) for work in works if work.held == len(work.tokens) - 1]
    if len(parts) == len(works):
        parts = _with_guesses(parts, works, speeds, n_batch)
    else:
        answers = len(parts)
        room = n_batch - answers
        budget = speeds.chunk_beside(answers, room) if answers else speeds.chunk(room)
        rows = MOST_GUESSED
        for seq, held, tokens, marks, _, scored in works:
            if held == len(tokens) - 1:
                continue
            end = min([held + budget, len(tokens), *(mark for mark in marks if mark > held), *([held + rows] if scored else [])])
            if end <= held:
                break
            parts.append(Part(seq, held, tokens[held:end], wants_logits=end == len(tokens), scored=scored))
            budget -= end - held
            rows -= end - held if scored else 0
    if len(parts) > 1:
        parts.sort(key=lambda part: part.seq)  # the library splits a batch where sequences are out of order
    return parts


def piece(work: Work) -> Part:
    """The next call for one answer alone: its next token, or a piece of its prompt of one size."""
    seq, held, tokens, marks, _, scored = work
    end = min([held + FIRST_CHUNK, len(tokens), *(mark for mark in marks if mark > held)])
    return Part(seq, held, tokens[held:end], wants_logits=end == len(tokens), scored=scored)


def _with_guesses(parts: Sequence[Part], works: Sequence[Work], speeds: Speeds, n_batch: int) -> list[Part]:
    """The next tokens of answers with the guessed ones that are worth it, the likeliest first."""
    answers = len(parts)
    width, made = answers, float(answers)
    most = min(n_batch, answers + MOST_GUESSED)
    longer = list(parts)
    for index in sorted(range(answers), key=lambda index: -works[index].guess.chance):
        guess = works[index].guess
        if not guess.tokens:
            break
        length, made = speeds.worth_checking(answers, width, made, Guess(guess.tokens[: most - width], guess.chance))
        if length:
            part = parts[index]
            longer[index] = part._replace(tokens=[*part.tokens, *guess.tokens[:length]], guessed=length)
            width += length
    return longer
