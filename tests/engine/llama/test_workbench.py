"""Work measured beside a conversation: the same weights, another context, and nothing of the conversation changes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from engine.backend import EngineInfo
from engine.errors import XchatError
from engine.llama import loader
from engine.llama.backend import LlamaBackend
from engine.llama.measuring.work import Interrupted, Setup, Took, Work
from engine.llama.measuring.workbench import Workbench
from engine.models.fit import TooLargeError
from tests.engine.llama.driver import PATIENCE_S, SMALL, WORDS, Driver, token_prompt

pytestmark = pytest.mark.slow

Models = Callable[[str], Path]


def run(backend: LlamaBackend, setup: Setup, work: Work) -> Took:
    return backend.measure(lambda bench: bench.run(setup, work)).result(PATIENCE_S)


@pytest.mark.parametrize("name", ["dense", "recurrent", "hybrid", "sliding-window"])
def test_every_kind_of_memory_is_measured_at_a_depth_again_and_again(backend: LlamaBackend, models: Models, name: str) -> None:
    setup = Setup(models(name), SMALL)
    for _ in range(3):
        took = run(backend, setup, Work(16, 4, 40))
        assert took.prompt_ns > 0
        assert took.gen_ns > 0


def test_the_loaded_weights_are_used(
    backend: LlamaBackend, load: Callable[..., EngineInfo], models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = load("dense")

    def refuse(*_arguments: object, **_options: object) -> None:
        raise AssertionError("a second copy of the model is loaded")

    monkeypatch.setattr(loader, "Model", refuse)
    preset = msgspec.structs.replace(SMALL, n_batch=64, flash_attn="off", threads=2)
    figures = backend.measure(lambda bench: bench.figures(Setup(models("dense"), preset))).result(PATIENCE_S)
    assert run(backend, Setup(models("dense"), preset), Work(100, 2)).prompt_ns > 0
    assert (figures.n_params, figures.filename) == (info.model.n_params, str(models("dense")))


def test_a_conversation_goes_on_after_a_measurement(
    backend: LlamaBackend, load: Callable[..., EngineInfo], models: Models, driver: Driver
) -> None:
    load("dense")
    before = driver.ask(token_prompt(WORDS[:100]), max_tokens=8)
    run(backend, Setup(models("dense"), SMALL), Work(200, 5))
    again = driver.ask(token_prompt(WORDS[:100]), max_tokens=8)
    assert again.tokens == before.tokens
    assert again.finished.timings.cache_n == 99


def test_measurements_go_on_with_another_model_in_the_conversation(
    backend: LlamaBackend, load: Callable[..., EngineInfo], models: Models
) -> None:
    load("dense")
    setup = Setup(models("dense"), SMALL)
    run(backend, setup, Work(8, 1))
    load("scripted")
    assert run(backend, setup, Work(8, 1)).gen_ns > 0


def test_a_context_that_does_not_fit_is_refused_with_the_reason(backend: LlamaBackend, models: Models) -> None:
    setup = Setup(models("dense"), msgspec.structs.replace(SMALL, n_ctx=16_000_000_000))
    with pytest.raises(TooLargeError):
        run(backend, setup, Work(8, 1))
    assert run(backend, replace(setup, preset=SMALL), Work(8, 1)).gen_ns > 0


def test_a_window_smaller_than_the_work_is_an_error(backend: LlamaBackend, models: Models) -> None:
    with pytest.raises(XchatError, match="llama_decode returns 1"):
        run(backend, Setup(models("dense"), SMALL), Work(0, 2000))


def test_a_running_measurement_can_be_stopped(backend: LlamaBackend, models: Models) -> None:
    setup = Setup(models("dense"), msgspec.structs.replace(SMALL, n_ctx=65_536))
    run(backend, setup, Work(8, 1))
    began = threading.Event()

    def job(bench: Workbench) -> Took:
        began.set()
        return bench.run(setup, Work(0, 60_000))

    future = backend.measure(job)
    assert began.wait(PATIENCE_S)
    backend.stop_measuring()
    with pytest.raises(Interrupted):
        future.result(PATIENCE_S)
    assert run(backend, setup, Work(8, 1)).gen_ns > 0


def test_a_job_that_is_cancelled_while_it_waits_is_not_run_and_the_engine_goes_on(backend: LlamaBackend) -> None:
    """A screen that is closed, or a client that left, cancels what it waits for."""
    began, go_on, ran = threading.Event(), threading.Event(), list[int]()

    def first(_: Workbench) -> bool:
        began.set()
        return go_on.wait(PATIENCE_S)

    running = backend.measure(first)
    assert began.wait(PATIENCE_S)
    waiting = backend.measure(lambda _: ran.append(1))
    assert waiting.cancel()
    go_on.set()
    assert running.result(PATIENCE_S)
    assert backend.measure(lambda _: 2).result(PATIENCE_S) == 2
    assert not ran
