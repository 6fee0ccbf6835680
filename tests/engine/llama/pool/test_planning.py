"""What goes into a decode call: arithmetic alone, no model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.llama.planning import CALL_NS, CURVE_CALLS, FIRST_CHUNK, READING_NS, ROWS, TILE, Part, Speeds, Work, plan

MS = 1_000_000
N_BATCH = 512
TOKENS = list(range(10_000))


def answer(seq: int, length: int = 50) -> Work:
    return Work(seq, length - 1, TOKENS[:length])


def prompt(seq: int, length: int = 10_000, held: int = 0, marks: tuple[int, ...] = ()) -> Work:
    return Work(seq, held, TOKENS[:length], marks)


def speeds(*, token_ms: float, step_ms: float = 0.0, layers: int = 1000, answers: int = 1) -> Speeds:
    """A machine that prefills a token in that time, and makes a step of answers in `step_ms`."""
    known = Speeds(layers)
    known.measured(N_BATCH, 1, int(N_BATCH * token_ms * MS))
    if step_ms:
        known.measured(answers, answers, int(step_ms * MS))
    return known


def sizes(parts: list[Part]) -> dict[int, int]:
    return {part.seq: len(part.tokens) for part in parts}


def test_every_answer_gets_its_token_in_the_order_of_the_sequences() -> None:
    parts = plan([answer(2), answer(0, 7), answer(1)], Speeds(1), N_BATCH)
    assert parts == [Part(seq, start, [start], wants_logits=True) for seq, start in ((0, 6), (1, 49), (2, 49))]


def test_a_prompt_alone_takes_calls_of_a_quarter_of_a_second() -> None:
    assert sizes(plan([prompt(0)], Speeds(1), N_BATCH)) == {0: FIRST_CHUNK}
    assert sizes(plan([prompt(0)], speeds(token_ms=1.0), N_BATCH)) == {0: CALL_NS // MS // 8 * 8}
    assert sizes(plan([prompt(0)], speeds(token_ms=0.1), N_BATCH)) == {0: N_BATCH}


@pytest.mark.parametrize(
    ("token_ms", "step_ms", "answers"), [(1.0, 30.0, 1), (1.0, 30.0, 8), (7.2, 90.0, 4), (7.2, 186.0, 8), (0.01, 2.0, 3), (0.5, 400.0, 2)]
)
def test_beside_answers_a_step_takes_twice_as_long_or_a_tenth_of_a_second(token_ms: float, step_ms: float, answers: int) -> None:
    known = speeds(token_ms=token_ms, step_ms=step_ms, answers=answers)
    parts = plan([*(answer(seq) for seq in range(answers)), prompt(answers)], known, 4096)
    pieces = sizes(parts)
    assert [pieces[seq] for seq in range(answers)] == [1] * answers
    limit_ms = max(2 * step_ms, READING_NS / MS)
    assert step_ms + pieces[answers] * token_ms <= limit_ms
    assert (pieces[answers] + answers) % TILE == 0, "whole tiles"
    assert step_ms + (pieces[answers] + TILE) * token_ms > limit_ms or sum(pieces.values()) == 4096, "no more than one tile is given away"


def beside(answers: int, known: Speeds, length: int = 10_000) -> int:
    """Tokens of the call that a long prompt gets beside that number of answers."""
    return sum(sizes(plan([*(answer(seq) for seq in range(answers)), prompt(answers, length)], known, N_BATCH)).values())


def test_the_width_of_a_step_follows_what_wider_steps_were_measured_to_cost() -> None:
    """The durations of a 0.6B Q4_K_M: the rest of a tile is nearly free, a second one is not."""
    known = speeds(token_ms=7.2, step_ms=186.0, answers=8)
    known.measured(16, 9, 207 * MS)
    assert beside(8, known) == 32, "16 more tokens at the speed of the prompt alone"
    known.measured(32, 9, 316 * MS)
    assert beside(8, known) == 32
    known.measured(32, 9, 900 * MS)
    assert beside(8, known) == 16, "it took longer than twice a plain step"


def test_what_was_measured_long_ago_is_tried_again() -> None:
    known = speeds(token_ms=2.0, step_ms=40.0, answers=4)
    known.measured(16, 5, 50 * MS)
    known.measured(32, 5, 400 * MS)
    assert beside(4, known) == 16
    for _ in range(CURVE_CALLS + 1):
        known.measured(16, 5, 50 * MS)
    assert beside(4, known) > 16


def test_the_curve_has_the_duration_of_each_number_of_answers() -> None:
    known = Speeds(1)
    for took_ms in (100, 100, 200):
        known.measured(4, 4, took_ms * MS)
    known.measured(1, 1, 30 * MS)
    assert known.curve == {1: 30 * MS, 4: pytest.approx(130 * MS)}
    assert 30 * MS == known.step_ns(2) < known.step_ns(3) < known.step_ns(4)


def test_a_slow_model_goes_on_with_its_prompt_by_a_few_rows() -> None:
    known = speeds(token_ms=100.0, step_ms=120.0)
    assert sizes(plan([answer(0), answer(1), prompt(2)], known, N_BATCH)) == {0: 1, 1: 1, 2: 2 * ROWS - 2}
    known = speeds(token_ms=9.0, step_ms=47.0, answers=4)
    assert beside(4, known) == 8, "a whole tile would take 155 ms"
    known.measured(8, 5, 60 * MS)
    assert beside(4, known) == 12, "it took less than that"
    known.measured(12, 5, 75 * MS)
    known.measured(16, 5, 90 * MS)
    assert beside(4, known) == 16
    assert sizes(plan([answer(0), prompt(1)], Speeds(1), N_BATCH)) == {0: 1, 1: TILE - 1}


def test_what_the_first_prompt_leaves_goes_to_the_next_one() -> None:
    known = speeds(token_ms=1.0)
    assert sizes(plan([prompt(1, length=40), prompt(0)], known, N_BATCH)) == {1: 40, 0: 208}
    assert sizes(plan([prompt(1), prompt(0)], known, N_BATCH)) == {1: 248}


def test_a_prompt_is_cut_where_a_checkpoint_is_due() -> None:
    parts = plan([prompt(0, length=500, held=100, marks=(90, 150, 200))], speeds(token_ms=0.1), N_BATCH)
    assert parts == [Part(0, 100, TOKENS[100:150], wants_logits=False)]


def test_logits_are_wanted_at_the_end_of_a_prompt_only() -> None:
    assert [part.wants_logits for part in plan([prompt(0, length=20)], Speeds(1), N_BATCH)] == [True]
    assert [part.wants_logits for part in plan([prompt(0, length=600)], speeds(token_ms=0.1), N_BATCH)] == [False]


def test_no_node_of_the_graph_takes_longer_than_a_stop_may_wait() -> None:
    """Two layers: a call of 250 ms would have nodes of tens of milliseconds."""
    assert sizes(plan([prompt(0)], speeds(token_ms=1.0, layers=2), N_BATCH))[0] < 250
    many = sizes(plan([answer(0), prompt(1)], speeds(token_ms=1.0, step_ms=200.0, layers=2), N_BATCH))
    assert many[1] < 200


works = st.lists(
    st.tuples(st.integers(1, 3000), st.integers(0, 2999)).map(lambda pair: (max(pair[0], 1), min(pair[1], pair[0] - 1))),
    min_size=1,
    max_size=12,
)


@given(lengths=works, token_ms=st.floats(0.001, 500), step_ms=st.floats(0, 500), n_batch=st.integers(32, 600))
def test_a_call_is_never_empty_never_too_long_and_never_leaves_an_answer_out(
    lengths: list[tuple[int, int]], token_ms: float, step_ms: float, n_batch: int
) -> None:
    todo = [Work(seq, held, TOKENS[:length]) for seq, (length, held) in enumerate(lengths)]
    parts = plan(todo, speeds(token_ms=token_ms, step_ms=step_ms), n_batch)
    assert parts
    assert sum(len(part.tokens) for part in parts) <= n_batch
    assert {work.seq for work in todo if work.held == len(work.tokens) - 1} <= {part.seq for part in parts}
    for part in parts:
        work = todo[part.seq]
        assert part.tokens == work.tokens[work.held : work.held + len(part.tokens)]
        assert part.wants_logits == (work.held + len(part.tokens) == len(work.tokens))
