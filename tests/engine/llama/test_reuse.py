"""What a turn need not evaluate again: the KV cache across turns, after a stop, and in another context."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.backend import (
    BackendEvent,
    EngineInfo,
    PromptReady,
    StopReason,
    TokensDecoded,
)
from engine.presets.preset import Preset, Sampling
from tests import ggufs
from tests.engine.llama.driver import WORDS, Driver, text_prompt, token_prompt

pytestmark = pytest.mark.slow

Load = Callable[..., EngineInfo]


class TestReuse:
    def test_a_second_turn_evaluates_only_what_is_new(self, load: Load, driver: Driver) -> None:
        load("dense")
        first = driver.ask(token_prompt(WORDS[:300]), max_tokens=10)
        second = driver.ask(token_prompt([*WORDS[:300], *first.tokens, *WORDS[300:320]]), max_tokens=1)
        assert second.ready.cache_n == 309
        assert second.ready.diverged_at is None
        assert second.finished.timings.prompt_n == 21

    def test_regenerate_evaluates_one_token(self, load: Load, driver: Driver) -> None:
        load("dense")
        first = driver.ask(token_prompt(WORDS[:300]), max_tokens=10)
        again = driver.ask(token_prompt(WORDS[:300]), max_tokens=10)
        assert again.finished.timings.prompt_n == 1
        assert again.ready.diverged_at == 300
        assert again.tokens == first.tokens

    @pytest.mark.parametrize("kind", ["hybrid", "recurrent", "sliding-window"])
    def test_models_that_can_not_go_back_use_the_checkpoint_before_the_answer(self, kind: str, load: Load, driver: Driver) -> None:
        load(kind)
        first = driver.ask(token_prompt(WORDS[:600], boundaries=[100]), max_tokens=10)
        again = driver.ask(token_prompt(WORDS[:600], boundaries=[100]), max_tokens=10)
        assert again.ready.cache_n == (599 if kind == "sliding-window" else 592)
        assert again.tokens == first.tokens
        edited = driver.ask(token_prompt([*WORDS[:120], *WORDS[400:500]], boundaries=[100]), max_tokens=1)
        assert edited.ready.cache_n == 100
        assert edited.ready.restored_checkpoint

    def test_a_new_context_window_keeps_the_conversation(self, load: Load, driver: Driver) -> None:
        load("dense")
        driver.ask(token_prompt(WORDS[:300]), max_tokens=1)
        assert load("dense", Preset(n_ctx=2048, threads=1, threads_batch=1)).n_ctx == 2048
        again = driver.ask(token_prompt(WORDS[:310]), max_tokens=1)
        assert again.ready.cache_n == 300

    def test_another_kv_type_evaluates_the_conversation_again(self, load: Load, driver: Driver) -> None:
        load("dense")
        driver.ask(token_prompt(WORDS[:300]), max_tokens=1)
        load("dense", Preset(n_ctx=1024, threads=1, threads_batch=1, type_k="q8_0"))
        again = driver.ask(token_prompt(WORDS[:310]), max_tokens=1)
        assert again.ready.cache_n == 0
        assert again.finished.error is None

    def test_a_smaller_window_than_the_conversation_begins_anew(self, load: Load, driver: Driver) -> None:
        load("dense")
        driver.ask(token_prompt(WORDS[:600]), max_tokens=1)
        load("dense", Preset(n_ctx=256, threads=1, threads_batch=1))
        assert driver.ask(token_prompt(WORDS[:100]), max_tokens=1).ready.cache_n == 0


class TestStop:
    @pytest.mark.parametrize("kind", list(ggufs.MAKERS))
    def test_in_the_answer_and_the_next_turn_goes_on_from_there(self, kind: str, load: Load, driver: Driver) -> None:
        load(kind)
        conversation = driver.start(token_prompt(WORDS[:200]))
        conversation.wait_for(TokensDecoded)
        driver.backend.stop(conversation.turn)
        stopped = conversation.finish()
        assert stopped.finished.reason is StopReason.CANCELLED
        assert len(stopped.finished.token_ns) == len(stopped.tokens)
        longer = [*WORDS[:200], *stopped.tokens, *WORDS[200:220]]
        assert driver.ask(token_prompt(longer), max_tokens=5).ready.cache_n >= 200
        self.same_as_fresh(longer, driver)

    @pytest.mark.parametrize("kind", list(ggufs.MAKERS))
    def test_in_the_prefill(self, kind: str, load: Load, driver: Driver) -> None:
        load(kind)

        def stop_at_once(event: BackendEvent) -> None:
            if isinstance(event, PromptReady):
                driver.backend.stop(event.turn)

        stopped = driver.ask(token_prompt(WORDS[:600]), on_event=stop_at_once)
        assert stopped.finished.reason is StopReason.CANCELLED
        assert not stopped.tokens
        self.same_as_fresh(WORDS[:600], driver)

    def test_while_it_waits_for_another_turn(self, load: Load, driver: Driver) -> None:
        load("dense")
        running = driver.start(token_prompt(WORDS[:100]))
        running.wait_for(TokensDecoded)
        waiting = driver.start(token_prompt(WORDS[:50]))
        driver.backend.stop(waiting.turn)
        assert waiting.finish().finished.reason is StopReason.CANCELLED
        driver.backend.stop(running.turn)
        assert running.finish().finished.reason is StopReason.CANCELLED

    def test_without_a_number_ends_all(self, load: Load, driver: Driver) -> None:
        load("dense")
        turns = [driver.start(token_prompt(WORDS[:100])) for _ in range(3)]
        driver.backend.stop()
        assert {turn.finish().finished.reason for turn in turns} == {StopReason.CANCELLED}

    def test_of_a_turn_that_is_over_does_nothing(self, load: Load, driver: Driver) -> None:
        load("scripted")
        driver.ask(text_prompt("x\n"))
        driver.backend.stop(1)
        assert driver.ask(text_prompt("x\n")).finished.reason is StopReason.EOG

    @staticmethod
    def same_as_fresh(tokens: list[int], driver: Driver) -> None:
        sampling = Sampling(temperature=1.5, seed=11)
        reused = driver.ask(token_prompt(tokens), sampling=sampling, max_tokens=12).tokens
        driver.ask(token_prompt([255, 254]), max_tokens=1)
        fresh = driver.ask(token_prompt(tokens), sampling=sampling, max_tokens=12)
        assert fresh.ready.cache_n == 0
        assert reused == fresh.tokens
