"""Many answers in one KV cache: a common beginning is evaluated once, and cells that run out fail nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from engine.backend import GenerateRequest, PrefillProgressed, Priority, PromptReady, StopReason, TokensDecoded
from engine.llama import scheduler
from engine.llama.backend import LlamaBackend
from engine.llama.chunking import Pace
from engine.llama.commands import Ticket
from engine.llama.context import ABORTED, Context
from engine.llama.generation import AGEING_NS, Turn
from engine.llama.planning import Part
from engine.llama.pool.cells import Cells
from engine.presets.preset import Preset, Sampling
from tests.engine.llama.driver import GREEDY, PATIENCE_S, SMALL, WORDS, Answer, Conversation, Driver, token_prompt

pytestmark = pytest.mark.slow

KINDS = ("dense", "sliding-window", "hybrid", "recurrent")
TOKENS = 12
"""Compared tokens: the logits depend on the number of answers in a step, by little."""
Opener = Callable[..., Driver]


@pytest.fixture(scope="module")
def open_pool(models: Callable[[str], Path]) -> Iterator[Opener]:
    """A driver of a backend with that model and settings; one backend at a time."""
    backend = LlamaBackend(trusted=lambda _path: True)
    driver = Driver(backend)

    def open_pool(name: str, **settings: object) -> Driver:
        preset = msgspec.structs.replace(SMALL, **{"parallel": 4, "n_batch": 64, **settings})
        backend.load(models("dense" if name != "dense" else "hybrid"), preset, lambda _event: None).result(PATIENCE_S)
        backend.load(models(name), preset, lambda _event: None).result(PATIENCE_S)
        return driver

    yield open_pool
    backend.close()


def alone(open_pool: Opener, name: str, prompts: list[list[int]], count: int = TOKENS) -> list[list[int]]:
    """What each prompt is answered when nothing else runs."""
    driver = open_pool(name, parallel=1)
    return [driver.ask(token_prompt(prompt), max_tokens=count).tokens for prompt in prompts]


def together(driver: Driver, prompts: list[list[int]], count: int = TOKENS) -> list[Answer]:
    started = [driver.start(token_prompt(prompt), max_tokens=count) for prompt in prompts]
    return [conversation.finish() for conversation in started]


@pytest.mark.parametrize("name", KINDS)
def test_a_common_beginning_is_evaluated_once_though_all_ask_at_the_same_time(open_pool: Opener, name: str) -> None:
    prompts = [[*WORDS[:300], 100 + number, *WORDS[number : number + 20]] for number in range(4)]
    expected = alone(open_pool, name, prompts)
    answers = together(open_pool(name), prompts)
    assert [answer.tokens for answer in answers] == expected
    assert [answer.ready.cache_n for answer in answers] == [0, 300, 300, 300]


@pytest.mark.parametrize("name", KINDS)
def test_the_same_prompt_is_evaluated_once(open_pool: Opener, name: str) -> None:
    prompts = [WORDS[:200]] * 4
    expected = alone(open_pool, name, prompts[:1])[0]
    answers = together(open_pool(name), prompts)
    assert [answer.tokens for answer in answers] == [expected] * 4
    assert sum(answer.finished.timings.prompt_n for answer in answers) <= 200 + 3 * 8


def test_more_answers_at_once_than_tokens_in_a_call_are_asked_for(open_pool: Opener) -> None:
    prompts = [WORDS[:30]] * 40
    expected = alone(open_pool, "dense", prompts[:1])[0]
    answers = together(open_pool("dense", parallel=40, n_batch=32), prompts, 60)
    assert {answer.finished.reason for answer in answers} == {StopReason.LENGTH}
    assert [answer.tokens[:TOKENS] for answer in answers] == [expected] * 40


@pytest.mark.parametrize("name", KINDS)
def test_an_answer_under_way_lends_its_beginning_and_goes_on_unharmed(open_pool: Opener, name: str) -> None:
    prompts = [WORDS[:200], [*WORDS[:200], 7, 8, 9]]
    expected = alone(open_pool, name, prompts, 60)
    driver = open_pool(name)
    first = driver.start(token_prompt(prompts[0]), max_tokens=60)
    first.wait_for(TokensDecoded)
    second = driver.ask(token_prompt(prompts[1]), max_tokens=60)
    assert second.ready.cache_n >= 190
    assert second.tokens[:TOKENS] == expected[1][:TOKENS]
    assert first.finish().tokens[:TOKENS] == expected[0][:TOKENS]


@pytest.mark.parametrize("name", KINDS)
def test_cells_that_run_out_fail_nobody(open_pool: Opener, name: str) -> None:
    prompts = [[100 + number, *WORDS[:40]] for number in range(8)]
    expected = alone(open_pool, name, prompts)
    answers = together(open_pool(name, n_ctx=1024, parallel=8), prompts, 260)
    assert {answer.finished.reason for answer in answers} == {StopReason.LENGTH}
    assert [len(answer.tokens) for answer in answers] == [260] * 8
    assert [answer.tokens[:TOKENS] for answer in answers] == expected
    assert sum(answer.finished.timings.prompt_n for answer in answers) == 8 * 41, "no prompt is evaluated twice"
    swaps = sum(answer.finished.n_swaps for answer in answers)
    assert swaps > 0 if name != "recurrent" else swaps == 0


def test_a_swap_changes_no_token(open_pool: Opener) -> None:
    """A lower class loses its place in the middle of its answer; beside nobody, before and after, so that the width is the same."""
    prompt = [101, *WORDS[:60]]
    expected = alone(open_pool, "dense", [prompt], 300)[0]
    driver = open_pool("dense", n_ctx=512, parallel=2)
    swapped = driver.start(token_prompt(prompt), max_tokens=300, priority=Priority.BATCH)
    swapped.wait_for(TokensDecoded)
    urgent = driver.ask(token_prompt([102, *WORDS[:480]]), max_tokens=3)
    assert urgent.finished.reason is StopReason.LENGTH
    answer = swapped.finish()
    assert answer.finished.n_swaps >= 1
    assert answer.tokens == expected
    assert answer.finished.timings.prompt_n == len(prompt)


@pytest.mark.parametrize("name", KINDS)
def test_an_answer_that_was_left_makes_room_for_another_and_goes_on_where_it_was(open_pool: Opener, name: str) -> None:
    """With one sequence too: its state is set aside in RAM, and nothing is evaluated twice."""
    prompt = [101, *WORDS[:60]]
    expected = alone(open_pool, name, [prompt], 200)[0]
    driver = open_pool(name, parallel=1)
    left = driver.start(token_prompt(prompt), max_tokens=200)
    left.wait_for(TokensDecoded)
    driver.backend.reclass(left.turn, Priority.BATCH)
    assert driver.ask(token_prompt([102, *WORDS[:90]]), max_tokens=3).finished.reason is StopReason.LENGTH
    answer = left.finish()
    assert answer.finished.n_swaps == 1
    assert answer.tokens == expected
    assert answer.finished.timings.prompt_n == len(prompt)


@pytest.mark.parametrize("name", ["dense", "hybrid"])
def test_a_conversation_that_lost_its_cells_comes_back_from_memory(open_pool: Opener, name: str) -> None:
    driver = open_pool(name, n_ctx=512, parallel=2)
    first = [101, *WORDS[:300]]
    driver.ask(token_prompt(first), max_tokens=4)
    driver.ask(token_prompt([102, *WORDS[:400]]), max_tokens=4)
    back = driver.ask(token_prompt([*first, *WORDS[:9]]), max_tokens=4)
    assert back.ready.cache_n >= 290
    assert back.tokens == alone(open_pool, name, [[*first, *WORDS[:9]]], 4)[0]


@pytest.mark.parametrize("name", KINDS)
def test_stopping_one_of_many_leaves_the_others_as_they_were(open_pool: Opener, name: str) -> None:
    prompts = [[100 + number, *WORDS[:30]] for number in range(3)]
    expected = alone(open_pool, name, prompts, 40)
    driver = open_pool(name)
    kept = [driver.start(token_prompt(prompt), max_tokens=40) for prompt in prompts]
    for number in range(3):
        stopped = driver.start(token_prompt([110 + number, *WORDS[:600]]), max_tokens=5)
        stopped.wait_for(PrefillProgressed if number % 2 else PromptReady)
        driver.backend.stop(stopped.turn)
        assert stopped.finish().finished.reason is StopReason.CANCELLED
    finished = [conversation.finish() for conversation in kept]
    assert [answer.tokens[:TOKENS] for answer in finished] == [tokens[:TOKENS] for tokens in expected]
    assert sum(answer.finished.timings.prompt_n for answer in finished) == 3 * 31, "nobody was evaluated again"


@pytest.mark.parametrize("name", ["dense", "sliding-window"])
def test_a_call_that_is_cut_short_costs_the_other_answers_in_it_nothing(
    open_pool: Opener, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the window of each has moved on so far that no older token than it needs is left."""
    driver = open_pool(name, n_ctx=2048, stream_batch=1, lookup="off")
    kept = [
        driver.start(token_prompt([100 + number, *WORDS[:30]]), max_tokens=600, sampling=Sampling(temperature=0.0, ignore_eos=True))
        for number in range(3)
    ]
    for conversation in kept:
        for _ in range(150):
            conversation.wait_for(TokensDecoded)
    results, again = list[int](), list[Part]()
    decode = Context.decode

    def cut_short(context: Context, parts: Sequence[Part]) -> int:
        again.extend(part for part in parts if part.seq < 3 and len(part.tokens) > 1)
        if any(part.seq == 3 and part.start >= 64 * (1 + number) for part in parts):
            driver.backend.stop(stopped.turn)
        results.append(decode(context, parts))
        return results[-1]

    monkeypatch.setattr(Context, "decode", cut_short)
    for number in range(8):
        stopped = driver.start(token_prompt([110 + number, *WORDS[:600]]), max_tokens=5)
        stopped.finish()
    driver.backend.stop()
    assert {conversation.finish().finished.reason for conversation in kept} == {StopReason.CANCELLED}
    assert results.count(ABORTED) >= 8
    assert not again


@pytest.mark.parametrize("parallel", [1, 4])
def test_a_prompt_that_can_never_fit_is_refused_before_it_costs_anything(open_pool: Opener, parallel: int) -> None:
    driver = open_pool("dense", n_ctx=512, parallel=parallel)
    long = driver.ask(token_prompt(WORDS[:511]), max_tokens=3)
    assert long.finished.reason is StopReason.ERROR
    assert "512" in str(long.finished.error)
    assert long.finished.prefill_end_ns == long.finished.prefill_start_ns
    assert driver.ask(token_prompt(WORDS[:510]), max_tokens=1).finished.reason is StopReason.LENGTH


def test_without_flash_attention_each_answer_has_a_cache_of_its_own(open_pool: Opener) -> None:
    prompts = [[*WORDS[:100], 100 + number] for number in range(4)]
    expected = alone(open_pool, "dense", prompts)
    answers = together(open_pool("dense", n_ctx=256, flash_attn="off"), prompts)
    assert [answer.tokens for answer in answers] == expected
    assert sum(answer.ready.cache_n for answer in answers) == 0, "nothing can be lent"
    fill = together(open_pool("dense", n_ctx=256, flash_attn="off"), [[100 + n, *WORDS[:200]] for n in range(4)], 50)
    assert [answer.finished.n_swaps for answer in fill] == [0] * 4


def test_of_two_askers_the_one_with_fewer_answers_is_next(open_pool: Opener) -> None:
    driver = open_pool("dense", parallel=2)
    order: list[str] = []

    def start(asker: str, number: int) -> Conversation:
        return driver.start(
            token_prompt([100 + number, *WORDS[:20]]),
            max_tokens=30,
            priority=Priority.API,
            asker=asker,
            on_event=lambda event: order.append(asker) if isinstance(event, PromptReady) else None,
        )

    many = [start("many", number) for number in range(6)]
    many[0].wait_for(TokensDecoded)
    few = [start("few", 10 + number) for number in range(2)]
    for conversation in (*many, *few):
        conversation.finish()
    assert order[:2] == ["many", "many"]
    assert order[2] == "few"
    assert order.index("few", 3) < 6, "its second one does not wait for all of the other's"


def test_another_number_of_answers_keeps_what_the_cache_holds(open_pool: Opener, models: Callable[[str], Path]) -> None:
    driver = open_pool("dense", parallel=3)
    prompts = [[100 + number, *WORDS[:90]] for number in range(3)]
    for prompt in prompts:
        driver.ask(token_prompt(prompt), max_tokens=1)
    for parallel, kept in ((5, 3), (2, 3), (1, 1)):
        preset = msgspec.structs.replace(SMALL, parallel=parallel, n_batch=64)
        info = driver.backend.load(models("dense"), preset, lambda _event: None).result(PATIENCE_S)
        assert info.parallel == parallel
        reused = [driver.ask(token_prompt([*prompt, 9]), max_tokens=1).ready.cache_n for prompt in prompts]
        assert reused.count(91) >= kept if parallel > 1 else reused[0] in {0, 91}


def test_auto_takes_as_many_answers_as_the_engine_was_made_for(models: Callable[[str], Path]) -> None:
    for wanted, preset, expected in ((3, SMALL, 3), (1, SMALL, 1), (3, Preset(n_ctx=512, parallel=2), 2)):
        backend = LlamaBackend(parallel=wanted, trusted=lambda _path: True)
        assert backend.load(models("dense"), preset, lambda _event: None).result(PATIENCE_S).parallel == expected
        backend.close()


def test_batch_work_pauses_for_others_and_is_not_starved(open_pool: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step in so many goes to it; here one in three, and not after a second only."""
    monkeypatch.setattr(scheduler, "PAUSE_NS", 0)
    monkeypatch.setattr(scheduler, "PAUSE_STEPS", 3)
    driver = open_pool("dense")
    order: list[str] = []

    def note(name: str) -> Callable[[object], None]:
        return lambda event: order.extend([name] * len(event.tokens)) if isinstance(event, TokensDecoded) else None

    batch = driver.start(token_prompt(WORDS[:30]), max_tokens=400, priority=Priority.BATCH, on_event=note("batch"))
    batch.wait_for(TokensDecoded)
    order.clear()
    driver.ask(token_prompt([101, *WORDS[:30]]), max_tokens=200, on_event=note("person"))
    beside = order[order.index("person") : len(order) - order[::-1].index("person")]
    assert 1 <= beside.count("batch") < beside.count("person")
    driver.backend.stop()
    batch.finish()


def test_waiting_raises_the_class_of_a_turn() -> None:
    request = GenerateRequest(1, token_prompt([1]), GREEDY, lambda _event: None, 0, priority=Priority.BATCH)
    turn = Turn(Ticket(request), Pace(), lambda _ticket: None)
    classes = [turn.aged(turn.queued_ns + minutes * AGEING_NS) for minutes in range(4)]
    assert classes == [Priority.BATCH, Priority.API, Priority.INTERACTIVE, Priority.INTERACTIVE]


def test_the_figures_say_who_runs_who_waits_and_what_is_lent(open_pool: Opener) -> None:
    driver = open_pool("dense", parallel=2, n_ctx=1024)
    running = [driver.start(token_prompt([*WORDS[:100], 100 + number]), max_tokens=200) for number in range(3)]
    running[1].wait_for(TokensDecoded)
    for conversation in running:
        conversation.finish()
    driver.backend.consult(lambda _model, _n_ctx: None).result(PATIENCE_S)  # the figures of the last step are made after its events
    rest = driver.backend.pool_now
    assert rest is not None
    assert (rest.parallel, rest.running, rest.waiting, rest.per_second, rest.cells) == (2, 0, 0, None, 1024)
    assert rest.cells_used >= 300
    assert rest.cells_lent == 100
    assert open_pool("dense", parallel=1).backend.pool_now is None


def test_shared_cells_are_counted_once() -> None:
    cells = Cells(3)
    cells.hold(0, 100)
    cells.lend(0, 1, 60)
    cells.lend(1, 2, 40)
    assert (cells.used, cells.lent) == (100, 60)
    cells.hold(1, 70)
    cells.hold(0, 0)
    assert (cells.used, cells.lent) == (70, 40)
    cells.hold(2, 41)
    cells.hold(1, 30)
    assert (cells.used, cells.lent) == (41, 30)
    cells.hold(1, 0)
    cells.hold(2, 0)
    assert (cells.used, cells.lent) == (0, 0)


@pytest.mark.parametrize("name", ["dense", "hybrid"])
def test_a_repeatable_answer_is_the_same_beside_others_and_alone(open_pool: Opener, name: str) -> None:
    """Without it an answer of this length often takes another turn beside others."""
    sampling = Sampling(temperature=1.0, seed=7)
    prompt = WORDS[:150]

    def ask(driver: Driver) -> Conversation:
        return driver.start(token_prompt(prompt), sampling=sampling, max_tokens=150, repeatable=True)

    expected = ask(open_pool(name, parallel=1)).finish().tokens
    driver = open_pool(name)
    driver.ask(token_prompt(WORDS[:149]), max_tokens=3)
    others = [driver.start(token_prompt([100 + number, *WORDS[:40]]), max_tokens=120) for number in range(2)]
    asked = ask(driver)
    others.append(driver.start(token_prompt([110, *WORDS[:200]]), max_tokens=80))
    answer = asked.finish()
    assert answer.ready.cache_n == 0
    assert answer.tokens == expected
    assert {other.finish().finished.reason for other in others} == {StopReason.LENGTH}
