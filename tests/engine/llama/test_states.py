"""Taking the state of a conversation out of the engine, and putting it back."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable

import pytest

from engine.backend import EngineInfo, TokensDecoded
from engine.errors import EngineError
from engine.kv_state import HeldState
from engine.llama.backend import LlamaBackend
from engine.presets.preset import SETTINGS, Cost, Preset, Sampling, kv_layout
from engine.presets.settings import with_values
from tests.engine.llama.driver import PATIENCE_S, SMALL, Driver, token_prompt
from tests.engine.presets.values import OTHER

pytestmark = pytest.mark.slow

Load = Callable[..., EngineInfo]
WORDS = [32 + number % 90 for number in range(400)]
ODD = Sampling(temperature=1.5, seed=11)
LIMIT = 1 << 30


def take(backend: LlamaBackend, least: int = 1, most: int = LIMIT) -> HeldState | None:
    return backend.take_state(least_tokens=least, most_bytes=most).result(PATIENCE_S)


def put(backend: LlamaBackend, held: HeldState) -> int:
    return backend.put_state(held).result(PATIENCE_S)


@pytest.mark.parametrize("kind", ["dense", "sliding-window", "hybrid", "recurrent"])
def test_a_state_outlives_its_model_and_the_answer_is_that_of_a_fresh_prefill(kind: str, load: Load, driver: Driver) -> None:
    load(kind)
    first = driver.ask(token_prompt(WORDS), max_tokens=10, sampling=ODD)
    held = take(driver.backend)
    assert held is not None
    longer = [*WORDS, *first.tokens, *WORDS[:20]]
    load("spm")
    load(kind)
    fresh = driver.ask(token_prompt(longer), max_tokens=12, sampling=ODD)
    assert fresh.ready.cache_n == 0

    load("spm")
    load(kind)
    assert put(driver.backend, held) == len(held.tokens)
    again = driver.ask(token_prompt(longer), max_tokens=12, sampling=ODD)
    assert again.ready.cache_n == len(held.tokens)
    assert again.tokens == fresh.tokens


def test_no_state_is_kept_by_the_engine(load: Load, driver: Driver) -> None:
    load("dense")
    driver.ask(token_prompt(WORDS), max_tokens=1)
    held = take(driver.backend)
    assert held is not None
    put(driver.backend, held)
    content = weakref.ref(held.state.obj)
    take(driver.backend, most=10)  # the engine has forgotten what was asked before when it answers the next
    del held
    assert content() is None


def test_a_short_or_large_state_is_not_taken(load: Load, driver: Driver) -> None:
    load("dense")
    driver.ask(token_prompt(WORDS[:50]), max_tokens=1)
    assert take(driver.backend, least=51) is None
    assert take(driver.backend, most=10) is None
    assert take(driver.backend, least=50) is not None


@pytest.mark.parametrize(
    "other", [Preset(n_ctx=1024, threads=1, threads_batch=1, type_k="q8_0"), Preset(n_ctx=256, threads=1, threads_batch=1)]
)
def test_a_state_of_other_settings_or_of_a_wider_window_is_not_put_back(other: Preset, load: Load, driver: Driver) -> None:
    load("dense")
    driver.ask(token_prompt(WORDS), max_tokens=1)
    held = take(driver.backend)
    assert held is not None
    load("spm")
    load("dense", other)
    assert put(driver.backend, held) == 0
    assert driver.ask(token_prompt(WORDS[:100]), max_tokens=1).ready.cache_n == 0


def test_a_state_that_is_not_whole_leaves_an_empty_cache_and_a_right_answer(load: Load, driver: Driver) -> None:
    load("dense")
    fresh = driver.ask(token_prompt(WORDS[:100]), max_tokens=8)
    held = take(driver.backend)
    assert held is not None
    cut = dataclasses.replace(held, state=held.state[: len(held.state) // 2])
    driver.ask(token_prompt(WORDS[200:210]), max_tokens=1)
    assert put(driver.backend, cut) == 0
    again = driver.ask(token_prompt(WORDS[:100]), max_tokens=8)
    assert again.ready.cache_n == 0
    assert again.tokens == fresh.tokens


def test_a_state_that_the_conversation_has_outgrown_is_left_alone(load: Load, driver: Driver) -> None:
    load("dense")
    driver.ask(token_prompt(WORDS[:100]), max_tokens=1)
    held = take(driver.backend)
    assert held is not None
    driver.ask(token_prompt(WORDS[:300]), max_tokens=1)
    assert put(driver.backend, held) == 100
    assert driver.ask(token_prompt(WORDS[:310]), max_tokens=1).ready.cache_n == 300


def test_a_state_asked_for_in_mid_answer_is_the_one_after_it(load: Load, driver: Driver) -> None:
    load("dense")
    turn = driver.start(token_prompt(WORDS[:50]), max_tokens=100)
    turn.wait_for(TokensDecoded)
    held = take(driver.backend)
    answer = turn.finish()
    assert held is not None
    assert list(held.tokens) == [*WORDS[:50], *answer.tokens][: len(held.tokens)]
    assert len(held.tokens) >= 149


def test_an_engine_that_is_closed_or_empty_has_no_state() -> None:
    backend = LlamaBackend()
    assert backend.state_key is None
    assert take(backend, least=0) is None
    backend.close()
    assert take(backend) is None
    assert isinstance(backend._refusal(), EngineError)


def test_the_key_changes_with_the_model_and_with_what_the_cache_is_made_of(load: Load, driver: Driver) -> None:
    load("dense")
    one = driver.backend.state_key
    load("dense", Preset(n_ctx=512, threads=1, threads_batch=1))
    assert driver.backend.state_key == one, "a window of another size takes the same states"
    load("dense", Preset(n_ctx=512, threads=1, threads_batch=1, type_k="q8_0"))
    assert driver.backend.state_key != one
    load("spm", SMALL)
    assert driver.backend.state_key != one


@pytest.mark.parametrize("key", [key for key, setting in SETTINGS.items() if setting.cost is Cost.REBUILD])
def test_a_rebuild_keeps_the_conversation_exactly_when_the_registry_says_so(key: str, load: Load, driver: Driver) -> None:
    load("spm")
    load("dense", SMALL)
    driver.ask(token_prompt(WORDS[:200]), max_tokens=1)
    before, held = driver.backend.state_key, take(driver.backend)
    other = with_values(SMALL, {key: OTHER[key]})
    load("dense", other)
    same = kv_layout(SMALL) == kv_layout(other)
    assert (driver.backend.state_key == before) is same
    assert (driver.ask(token_prompt(WORDS[:210]), max_tokens=1).ready.cache_n >= 200) is SETTINGS[key].keeps_kv
    load("spm")
    load("dense", other)
    assert held is not None
    assert (put(driver.backend, held) > 0) is same
