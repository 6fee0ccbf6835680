"""Answers given again from the result cache, on a real engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from engine.backend import PromptReady, StopReason
from engine.llama.backend import LlamaBackend
from engine.presets.preset import Preset, Sampling
from engine.store.results import results_path
from tests.engine.llama.driver import GREEDY, PATIENCE_S, SMALL, WORDS, Driver, token_prompt

pytestmark = pytest.mark.slow

CACHED = msgspec.structs.replace(SMALL, result_cache=True)
Opener = Callable[[Preset], Driver]


@pytest.fixture
def open_engine(models: Callable[[str], Path]) -> Iterator[Opener]:
    backends: list[LlamaBackend] = []

    def opened(preset: Preset) -> Driver:
        backend = LlamaBackend(trusted=lambda _path: True)
        backends.append(backend)
        backend.load(models("dense"), preset, lambda _event: None).result(PATIENCE_S)
        return Driver(backend)

    yield opened
    for backend in backends:
        backend.close()


def test_the_same_request_gets_the_same_answer_without_computing(open_engine: Opener) -> None:
    driver, prompt = open_engine(CACHED), token_prompt(WORDS[:40])
    made = driver.ask(prompt, max_tokens=20)
    again = driver.ask(prompt, max_tokens=20)

    assert (made.finished.from_cache, again.finished.from_cache) == (False, True)
    assert (again.tokens, again.text, again.finished.reason) == (made.tokens, made.text, made.finished.reason)
    assert (again.finished.timings.prompt_n, again.finished.timings.predicted_n) == (0, 20)
    assert again.finished.timings.predicted_per_second is None
    assert again.finished.threads is None


def test_another_engine_on_the_same_model_shares_it(open_engine: Opener) -> None:
    prompt = token_prompt(WORDS[:40])
    made = open_engine(CACHED).ask(prompt, max_tokens=20)
    again = open_engine(CACHED).ask(prompt, max_tokens=20)
    assert again.finished.from_cache
    assert again.text == made.text


@pytest.mark.parametrize(
    "other",
    [
        {"max_tokens": 21},
        {"stop": ("x",)},
        {"sampling": Sampling(temperature=0, repeat_penalty=1.5)},
        {"sampling": Sampling(temperature=0.5, seed=3)},
        {"sampling": Sampling(temperature=0.5)},
        {"prompt": token_prompt(WORDS[:41])},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_request_is_computed(open_engine: Opener, other: dict[str, object]) -> None:
    driver = open_engine(CACHED)
    usual: dict[str, object] = {"prompt": token_prompt(WORDS[:40]), "max_tokens": 20, "sampling": GREEDY}
    driver.ask(**usual)  # type: ignore[arg-type]
    assert not driver.ask(**(usual | other)).finished.from_cache  # type: ignore[arg-type]


def test_a_seed_makes_a_sampled_answer_findable_and_greed_needs_none(open_engine: Opener) -> None:
    driver, prompt = open_engine(CACHED), token_prompt(WORDS[:40])
    for sampling, found in ((Sampling(seed=7), True), (Sampling(), False)):
        driver.ask(prompt, max_tokens=8, sampling=sampling)
        assert driver.ask(prompt, max_tokens=8, sampling=sampling).finished.from_cache is found
    driver.ask(prompt, max_tokens=8, sampling=Sampling(temperature=0, seed=1))
    assert driver.ask(prompt, max_tokens=8, sampling=Sampling(temperature=0, seed=2)).finished.from_cache


def test_it_is_off_unless_asked_for_and_makes_no_file(open_engine: Opener) -> None:
    driver, prompt = open_engine(SMALL), token_prompt(WORDS[:40])
    driver.ask(prompt, max_tokens=8)
    assert not driver.ask(prompt, max_tokens=8).finished.from_cache
    assert not results_path().exists()


def test_a_stopped_answer_is_not_stored(open_engine: Opener) -> None:
    driver, prompt = open_engine(CACHED), token_prompt(WORDS[:40])
    stopped = driver.start(prompt)
    stopped.wait_for(PromptReady)
    driver.backend.stop(stopped.turn)
    assert stopped.finish().finished.reason is StopReason.CANCELLED
    assert not driver.ask(prompt, max_tokens=3).finished.from_cache


def test_a_damaged_file_is_reported_and_the_answer_is_made(open_engine: Opener) -> None:
    results_path().parent.mkdir(parents=True, exist_ok=True)
    results_path().write_bytes(b"damaged" * 1_000)
    answer = open_engine(CACHED).ask(token_prompt(WORDS[:40]), max_tokens=3)
    assert answer.finished.reason is StopReason.LENGTH
    (notice,) = answer.ready.prompt.notices
    assert "The result cache is not used" in notice
    assert "xchat cache clear" in notice
