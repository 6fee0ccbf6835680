"""Thread counts while a model computes: those of the preset, and those that the governor puts in force between two tokens."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.backend import BackendEvent, EngineInfo, TokensDecoded
from engine.host.topology import Topology
from engine.llama.thread_counts import ContextThreads
from engine.presets.preset import Preset
from engine.threads.auto import AutoThreads
from tests.engine.llama.driver import SMALL, Driver, text_prompt, token_prompt

Load = Callable[..., EngineInfo]
MS = 1_000_000
TWO_CPUS = Topology(usable=2, cores=2, fast_cores=2, quota=None)
AUTO = Preset(n_ctx=1024)


class Counts:
    """Stands for a context: remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def set_threads(self, decode: int, batch: int) -> None:
        self.told.append((decode, batch))


def governed(preset: Preset) -> tuple[ContextThreads, Counts]:
    context = Counts()
    auto = AutoThreads(preset, topology=lambda: TWO_CPUS, others=lambda: None)
    return ContextThreads(context, auto), context  # type: ignore[arg-type]


def decode(threads: ContextThreads, tokens: int, cost_ms: Callable[[int], float], *, sequences: int = 1) -> list[int]:
    """How many threads made each step of that many answers."""
    used, now = [], 0
    for _ in range(tokens):
        cost = int(cost_ms(threads.now.threads) * MS)
        now += cost
        used.append(threads.before(sequences))
        threads.computed(sequences, sequences, cost, now)
    threads.before(1)
    return used


def test_auto_leaves_a_count_that_a_busy_neighbour_has_made_slow() -> None:
    threads, context = governed(AUTO)
    used = decode(threads, 60, lambda count: 50.0 if count == 2 else 18.0)
    assert used[0] == 2
    assert used[-1] == 1
    assert context.told[-1] == (1, 2)
    assert threads.now.threads == 1
    assert "18.0 ms per token against 50.0 with 2" in threads.now.reason


def test_a_count_of_the_preset_stays_whatever_it_costs() -> None:
    threads, context = governed(Preset(threads=2, threads_batch=1))
    assert set(decode(threads, 60, lambda count: 50.0)) == {2}
    assert context.told == []
    assert threads.now.reason == "Set by the preset"


def test_short_pieces_of_a_prompt_use_as_many_threads_as_decoding_and_do_not_count_for_the_choice() -> None:
    threads, context = governed(AUTO)
    for call in range(50):
        assert threads.before(8) == 2
        threads.computed(8, 1, 400 * MS, call * 400 * MS)
    assert context.told == []
    decode(threads, 60, lambda count: 50.0 if count == 2 else 18.0)
    assert threads.before(31) == 1
    assert threads.before(32) == 2


def test_a_turn_begins_within_the_cpus_of_that_moment_whoever_set_the_count() -> None:
    limits = [TWO_CPUS]
    for preset in (AUTO, Preset(threads=2, threads_batch=2)):
        auto = AutoThreads(preset, topology=lambda: limits[-1], others=lambda: None)
        threads = ContextThreads(Counts(), auto)  # type: ignore[arg-type]
        limits.append(Topology(usable=1, cores=1, fast_cores=1, quota=None))
        auto.turn_begins()
        assert threads.before(100) == threads.before(1) == 1
        limits.append(TWO_CPUS)
        auto.turn_begins()
        assert 2 in decode(threads, 60, lambda count: 20.0 if count == 2 else 40.0)


@pytest.mark.parametrize(("crowded", "begins"), [(True, 1), (False, 2), (None, 2)])
def test_where_spinning_can_not_be_switched_off_a_crowded_machine_begins_with_one_thread(crowded: bool | None, begins: int) -> None:
    auto = AutoThreads(AUTO, topology=lambda: TWO_CPUS, others=lambda: None, crowded=lambda: crowded)
    auto.turn_begins()
    threads = ContextThreads(Counts(), auto)  # type: ignore[arg-type]
    assert (threads.before(100), threads.before(1)) == (begins, begins)
    decode(threads, 60, lambda count: 20.0 if count == 2 else 40.0)
    auto.turn_begins()
    assert threads.before(1) == 2, "what was measured counts from then on"


def test_steps_of_several_answers_are_judged_and_computed_like_those_of_one() -> None:
    threads, context = governed(AUTO)
    used = decode(threads, 60, lambda count: 200.0 if count == 2 else 90.0, sequences=8)
    assert (used[0], used[-1]) == (2, 1)
    assert threads.before(8) == 1
    assert context.told[-1] == (1, 1)
    assert threads.before(300) == 2, "a long piece of a prompt among them is prefilled as ever"


def test_another_number_of_answers_is_not_taken_for_a_change_of_the_machine() -> None:
    threads, context = governed(AUTO)
    decode(threads, 30, lambda count: 20.0 if count == 2 else 40.0)
    settled = threads.now.moves
    decode(threads, 30, lambda count: 160.0 if count == 2 else 320.0, sequences=8)
    assert threads.now.threads == 2
    assert threads.now.moves == settled
    assert context.told[-1][0] == 2


def test_steps_of_any_width_decide_together_which_count_is_cheaper() -> None:
    """Answers begin and end, and a prompt fills a tile beside them: no width stays long enough to be judged alone."""
    threads, context = governed(AUTO)
    used, now = [], 0
    for step in range(300):
        tokens, sequences = [(8, 8), (7, 7), (16, 8), (6, 6), (31, 5), (1, 1)][step // 3 % 6]
        cost = int(tokens * (35 if threads.now.threads == 1 else 20 if step < 150 else 90) * MS)
        now += cost
        used.append(threads.before(tokens))
        threads.computed(tokens, sequences, cost, now)
    assert used[50:150].count(2) > 80
    assert used[200:].count(1) > 90, "beside a neighbour that came later"
    assert context.told[-1][0] == 1


def test_another_preset_keeps_what_the_governor_has_found() -> None:
    threads, context = governed(AUTO)
    decode(threads, 60, lambda count: 50.0 if count == 2 else 18.0)
    threads.use(Preset(n_ctx=1024, threads_batch=1))
    threads.before(1)
    assert context.told[-1] == (1, 1)
    threads.use(Preset(threads=2, threads_batch=1))
    threads.before(1)
    assert context.told[-1] == (2, 1)
    assert threads.now.reason == "Set by the preset"
    threads.use(Preset(threads_batch=1))
    threads.before(1)
    assert context.told[-1] == (1, 1), "back to auto: no new guess"


@pytest.mark.slow
class TestOnAModel:
    def test_a_turn_tells_how_many_threads_worked_on_it(self, load: Load, driver: Driver) -> None:
        load("scripted")
        finished = driver.ask(text_prompt("hello\n")).finished
        assert (finished.threads, finished.threads_batch) == (1, 1)

    def test_a_prompt_that_is_all_reused_but_its_last_token_was_not_prefilled_by_many(self, load: Load, driver: Driver) -> None:
        load("dense")
        driver.ask(token_prompt([40, 41, 42]), max_tokens=1)
        assert driver.ask(token_prompt([40, 41, 42]), max_tokens=1).finished.threads is None, "the only token came with the prompt"

    def test_counts_and_reasons_can_be_read_while_tokens_flow(self, load: Load, driver: Driver) -> None:
        load("dense", AUTO)
        talk = driver.start(token_prompt([40, 41]), max_tokens=200)
        talk.wait_for(TokensDecoded)
        now = driver.backend.threads_now
        assert now is not None
        assert now.threads >= 1
        assert now.reason
        talk.finish()

    def test_a_hot_change_counts_from_the_next_token_on(self, load: Load, driver: Driver) -> None:
        two = Preset(n_ctx=1024, threads=2, threads_batch=1)
        can_do = load("dense", two).threads
        load("dense", SMALL)

        def on_first_token(event: BackendEvent) -> None:
            if isinstance(event, TokensDecoded) and len(event.tokens) == 1:
                driver.backend.apply_hot(two)

        finished = driver.ask(token_prompt([40, 41]), max_tokens=50, on_event=on_first_token).finished
        assert finished.threads == can_do
        load("dense", SMALL)
