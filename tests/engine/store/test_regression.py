from __future__ import annotations

from dataclasses import replace

import pytest

from engine.backend import StopReason
from engine.records import TurnRecord
from engine.store.queries.regression import FEWEST, compare, find_regressions
from engine.store.reader import Reader
from engine.store.writer import Store
from tests.engine.store.records import answer, noisy, turn


def at_speed(factor: float, tokens: int = 40) -> TurnRecord:
    """A turn whose gaps are `factor` times as long as usual."""
    return turn(1, answer(), tokens=tokens, gap_factor=factor)


USUAL = [at_speed(1.0 + 0.002 * (number % 5)) for number in range(20)]


def test_a_turn_clearly_below_the_history_is_noted_with_the_figures() -> None:
    (note,) = compare(at_speed(1.25), USUAL)
    assert note.figure == "predicted_per_second"
    assert note.turns == 20
    assert note.share == pytest.approx(0.19, abs=0.02)
    assert "slower than usual here" in note.sentence


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.04])
def test_a_turn_within_the_usual_or_faster_is_not(factor: float) -> None:
    assert compare(at_speed(factor), USUAL) == ()


def test_on_a_host_that_varies_a_lot_the_same_turn_says_nothing() -> None:
    varied = [at_speed(0.7 + 0.05 * (number % 12)) for number in range(24)]
    assert compare(at_speed(1.25), varied) == ()


def test_a_turn_that_is_noisy_failed_or_not_judged_is_compared_with_nothing() -> None:
    slow = at_speed(2.0)
    assert compare(noisy(slow), USUAL) == ()
    assert compare(replace(slow, stop_reason=StopReason.ERROR), USUAL) == ()
    assert compare(replace(slow, judged=False), USUAL) == ()


def test_too_few_turns_say_nothing() -> None:
    assert compare(at_speed(2.0), USUAL[: FEWEST - 1]) == ()


def test_turns_of_another_depth_or_with_other_threads_do_not_count() -> None:
    slow = at_speed(2.0)
    deep = [replace(past, timings=replace(past.timings, cache_n=4_000)) for past in USUAL]
    assert compare(slow, deep) == ()
    assert compare(slow, [replace(past, threads=1) for past in USUAL]) == ()


async def test_the_history_is_that_of_the_same_host_model_quant_and_preset(store: Store, reader: Reader) -> None:
    session_id = await store.create_session("", 1)

    async def save(record: TurnRecord) -> TurnRecord:
        said = answer()
        stored = replace(record, id=said.id, session_id=session_id)
        await store.save_turn(stored, said)
        return stored

    for past in USUAL:
        await save(past)
    slow = await save(at_speed(1.5))
    assert len(await reader.read(find_regressions, slow)) == 1
    for change in ({"quant": "Q8_0"}, {"preset": "other"}, {"model": "Other"}, {"model_fingerprint": "beef"}):
        assert await reader.read(find_regressions, await save(replace(at_speed(1.5), **change))) == ()  # type: ignore[arg-type]
