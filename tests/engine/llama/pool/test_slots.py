"""Several turns at once: which slot each gets, what they get of a call, and who waits for whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from engine.backend import PrefillProgressed, Priority, PromptReady, StopReason, TokensDecoded
from engine.llama.backend import LlamaBackend
from engine.presets.preset import Sampling
from tests.engine.llama.driver import PATIENCE_S, SMALL, Driver, token_prompt

pytestmark = pytest.mark.slow

WORDS = [32 + number % 90 for number in range(700)]


@pytest.fixture(scope="module")
def wide(models: Callable[[str], Path]) -> Iterator[Driver]:
    backend = LlamaBackend(parallel=3, trusted=lambda _path: True)
    backend.load(models("dense"), msgspec.structs.replace(SMALL, n_batch=64), lambda _event: None).result(PATIENCE_S)
    yield Driver(backend)
    backend.close()


def test_answers_side_by_side_are_those_they_would_be_alone(wide: Driver) -> None:
    prompts = [WORDS[start : start + 90] for start in (0, 13, 29)]
    sampling = Sampling(temperature=1.0, seed=5)
    alone = [wide.ask(token_prompt(prompt), sampling=sampling, max_tokens=15).tokens for prompt in prompts]
    together = [wide.start(token_prompt(prompt), sampling=sampling, max_tokens=15) for prompt in prompts]
    assert [conversation.finish().tokens for conversation in together] == alone


def test_a_turn_gets_the_slot_that_holds_most_of_its_prompt(wide: Driver) -> None:
    prompts = [[100 + number, *WORDS[:90]] for number in range(3)]
    for prompt in prompts:
        assert wide.ask(token_prompt(prompt), max_tokens=1).finished.reason is StopReason.LENGTH
    for prompt in (prompts[1], prompts[0], prompts[2]):
        assert wide.ask(token_prompt([*prompt, 7, 8]), max_tokens=1).ready.cache_n == len(prompt)


def test_what_was_used_longest_ago_makes_room_for_something_new(wide: Driver) -> None:
    prompts = [[110 + number, *WORDS[:90]] for number in range(4)]
    for prompt in prompts:
        wide.ask(token_prompt(prompt), max_tokens=1)
    assert [wide.ask(token_prompt([*prompt, 7]), max_tokens=1).ready.cache_n for prompt in prompts[1:]] == [91, 91, 91]


def test_more_turns_than_slots_wait_for_one(wide: Driver) -> None:
    alone = [wide.ask(token_prompt([120 + number, *WORDS[:20]]), max_tokens=8).tokens for number in range(7)]
    together = [wide.start(token_prompt([120 + number, *WORDS[:20]]), max_tokens=8) for number in range(7)]
    assert [conversation.finish().tokens for conversation in together] == alone


def test_an_answer_goes_on_beside_a_long_prompt(wide: Driver) -> None:
    """Its tokens come between the pieces of the prompt, and not only after all of it."""
    answer = wide.start(token_prompt(WORDS[:20]), max_tokens=400)
    answer.wait_for(TokensDecoded)
    prompt = wide.ask(token_prompt([130, *WORDS[:690]]), max_tokens=1)
    begin, end = prompt.ready.at_ns, prompt.finished.prefill_end_ns
    assert sum(begin < at < end for at in answer.finish().finished.token_ns) >= 5


def test_stopping_one_leaves_the_others_right(wide: Driver) -> None:
    alone = wide.ask(token_prompt(WORDS[:90]), max_tokens=60).tokens
    for number in range(8):
        kept = wide.start(token_prompt(WORDS[:90]), max_tokens=60)
        stopped = wide.start(token_prompt([100 + number, *WORDS[:600]]))
        stopped.wait_for(PromptReady if number % 2 else PrefillProgressed)
        wide.backend.stop(stopped.turn)
        assert stopped.finish().finished.reason is StopReason.CANCELLED
        assert kept.finish().tokens == alone


@pytest.mark.parametrize("left", [False, True], ids=["batch from the beginning", "left while it ran"])
def test_a_background_turn_waits_for_the_one_a_person_waits_for(wide: Driver, left: bool) -> None:
    order: list[str] = []
    background = wide.start(
        token_prompt(WORDS[:50]),
        max_tokens=200,
        priority=Priority.INTERACTIVE if left else Priority.BATCH,
        on_event=lambda event: order.append("background") if isinstance(event, TokensDecoded) else None,
    )
    background.wait_for(TokensDecoded)
    if left:
        wide.backend.reclass(background.turn, Priority.BATCH)
    order.clear()
    foreground = wide.start(
        token_prompt(WORDS[:50]),
        max_tokens=50,
        on_event=lambda event: order.append("foreground") if isinstance(event, TokensDecoded) else None,
    )
    foreground.finish()
    background.finish()
    first, last = order.index("foreground"), len(order) - 1 - order[::-1].index("foreground")
    assert set(order[first : last + 1]) == {"foreground"}


def test_a_background_turn_gives_its_slot_up_and_goes_on_where_it_was(wide: Driver) -> None:
    alone = wide.ask(token_prompt(WORDS[:50]), max_tokens=100).tokens
    background = wide.start(token_prompt(WORDS[:50]), max_tokens=100, priority=Priority.BATCH)
    background.wait_for(TokensDecoded)
    assert wide.ask(token_prompt(WORDS[200:260]), max_tokens=5).finished.reason is StopReason.LENGTH
    assert background.finish().tokens == alone
