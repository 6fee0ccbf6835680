"""The backend as a whole, on real tiny models."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path
from typing import NoReturn

import pytest

from engine.backend import (
    BackendEvent,
    EngineInfo,
    LoadProgressed,
    MemoryKind,
    PrefillProgressed,
    PromptReady,
    StopReason,
    TokensDecoded,
)
from engine.errors import EngineError, ModelError
from engine.llama.backend import LlamaBackend
from engine.messages import ChatMessage, ChatPrompt, Role
from engine.presets.preset import Preset, Sampling
from tests import ggufs
from tests.engine.llama.conftest import SCRIPT
from tests.engine.llama.driver import PATIENCE_S, SMALL, WORDS, Driver, text_prompt, token_prompt

pytestmark = pytest.mark.slow

Load = Callable[..., EngineInfo]


class TestAnswer:
    def test_the_scripted_model_says_its_script_and_ends_its_turn(self, load: Load, driver: Driver) -> None:
        load("scripted")
        answer = driver.ask(text_prompt("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"))
        assert answer.text == "".join(SCRIPT)
        assert answer.finished.reason is StopReason.EOG
        assert answer.finished.error is None
        assert answer.finished.timings.predicted_n == len(SCRIPT) == len(answer.tokens)

    def test_events_come_in_order_with_one_clock(self, load: Load, driver: Driver) -> None:
        load("scripted")
        answer = driver.ask(text_prompt("hello\n"))
        kinds = [type(event) for event in answer.events]
        assert kinds[0] is PromptReady
        assert kinds[1] is PrefillProgressed
        assert kinds[2] is TokensDecoded
        finished = answer.finished
        assert answer.all(PrefillProgressed)[-1].processed == finished.prompt_tokens == 6
        stamps = (
            answer.ready.started_ns,
            answer.ready.at_ns,
            finished.prefill_start_ns,
            finished.prefill_end_ns,
            *finished.token_ns,
            finished.at_ns,
        )
        assert list(stamps) == sorted(stamps)

    def test_the_first_token_is_delivered_at_once(self, load: Load, driver: Driver) -> None:
        load("scripted")
        driver.backend.set_stream_batch(100)
        answer = driver.ask(text_prompt("hello\n"))
        driver.backend.set_stream_batch(4)
        assert len(answer.all(TokensDecoded)[0].tokens) == 1

    def test_a_stop_string_over_several_tokens_ends_the_answer_before_it(self, load: Load, driver: Driver) -> None:
        load("scripted")
        answer = driver.ask(text_prompt("hello\n"), stop=["ow are y"])
        assert answer.text == "Hello there, h"
        assert answer.finished.reason is StopReason.STOP_STRING

    def test_a_template_brings_stop_strings_too(self, load: Load, driver: Driver) -> None:
        load("plain")
        answer = driver.ask(ChatPrompt((ChatMessage(Role.USER, "x"),)))
        assert answer.ready.prompt.notices, "it has no template"
        assert answer.text == "Hello there"
        assert answer.finished.reason is StopReason.STOP_STRING

    def test_max_tokens(self, load: Load, driver: Driver) -> None:
        load("scripted")
        answer = driver.ask(text_prompt("hello\n"), max_tokens=3)
        assert answer.text == "Hello there, how"
        assert answer.finished.reason is StopReason.LENGTH

    def test_the_answer_ends_where_the_context_ends(self, load: Load, driver: Driver) -> None:
        info = load("dense", Preset(n_ctx=256, threads=1, threads_batch=1))
        answer = driver.ask(token_prompt(WORDS[:200]))
        assert answer.finished.reason is StopReason.LENGTH
        assert answer.finished.timings.context_used == info.n_ctx - 1
        longer = driver.ask(token_prompt([*WORDS[:200], *answer.tokens[:20], 40, 41]), max_tokens=2)
        assert longer.finished.error is None
        assert longer.ready.cache_n == 220

    def test_the_same_seed_gives_the_same_answer_and_no_seed_another_one(self, load: Load, driver: Driver) -> None:
        load("dense")

        def ask(seed: int | None) -> list[int]:
            sampling = Sampling(temperature=2.0, top_k=0, top_p=1.0, min_p=0.0, seed=seed)
            return driver.ask(token_prompt(WORDS[:50]), sampling=sampling, max_tokens=20).tokens

        assert ask(3) == ask(3)
        assert ask(3) != ask(4)
        assert ask(None) != ask(None)

    def test_a_repeat_penalty_looks_at_the_prompt(self, load: Load, driver: Driver) -> None:
        load("dense")
        prompt = WORDS[:50]
        plain = driver.ask(token_prompt(prompt), max_tokens=40).tokens
        penalty = Sampling(temperature=0.0, top_k=0, repeat_penalty=10.0, repeat_last_n=100)
        penalised = driver.ask(token_prompt(prompt), sampling=penalty, max_tokens=40).tokens
        assert len({*prompt, *plain}) < 90
        assert len({*prompt, *penalised}) == 90


class TestBadRequests:
    def test_before_any_model(self) -> None:
        backend = LlamaBackend()
        try:
            finished = Driver(backend).ask(text_prompt("x")).finished
        finally:
            backend.close()
        assert finished.reason is StopReason.ERROR
        assert isinstance(finished.error, ModelError)

    def test_a_prompt_that_does_not_fit(self, load: Load, driver: Driver) -> None:
        load("dense", Preset(n_ctx=256, threads=1, threads_batch=1))
        finished = driver.ask(token_prompt(WORDS[:255])).finished
        assert finished.reason is StopReason.ERROR
        assert "does not fit" in str(finished.error)
        assert driver.ask(token_prompt(WORDS[:254])).finished.reason is StopReason.LENGTH

    def test_a_prompt_of_two_megabytes(self, load: Load, driver: Driver) -> None:
        load("dense")
        finished = driver.ask(text_prompt("lorem \x1b[31m ipsum\n" * 110_000)).finished
        assert "does not fit" in str(finished.error)
        assert driver.ask(text_prompt("x"), max_tokens=1).finished.error is None

    def test_an_empty_prompt_begins_with_bos(self, load: Load, driver: Driver) -> None:
        load("dense")
        assert driver.ask(token_prompt([]), max_tokens=1).finished.prompt_tokens == 1

    @pytest.mark.parametrize("token", [-1, 1_000_000])
    def test_a_token_of_another_vocabulary(self, token: int, load: Load, driver: Driver) -> None:
        load("dense")
        assert isinstance(driver.ask(token_prompt([1, token])).finished.error, EngineError)

    def test_a_conversation_that_can_not_be_answered(self, load: Load, driver: Driver) -> None:
        load("scripted")
        assert str(driver.ask(ChatPrompt(())).finished.error).startswith("There is no message to answer")
        assert driver.ask(text_prompt("x\n")).finished.reason is StopReason.EOG

    def test_a_prompt_that_fails_unexpectedly(self, load: Load, driver: Driver, capsys: pytest.CaptureFixture[str]) -> None:
        load("scripted")
        broken = ChatPrompt((ChatMessage(Role.USER, None),))  # type: ignore[arg-type]
        assert "TypeError" in str(driver.ask(broken).finished.error)
        assert "TypeError" in capsys.readouterr().err
        assert driver.ask(text_prompt("x\n")).finished.reason is StopReason.EOG

    def test_a_listener_that_raises(self, load: Load, driver: Driver, capsys: pytest.CaptureFixture[str]) -> None:
        load("scripted")

        def on_event(event: BackendEvent) -> NoReturn:
            raise ZeroDivisionError("deaf")

        driver.start(text_prompt("x\n"), on_event=on_event)
        assert driver.ask(text_prompt("x\n")).finished.reason is StopReason.EOG
        assert "deaf" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "sampling",
        [
            Sampling(temperature=10.0, top_k=0, top_p=1.0, min_p=1.0, seed=4_294_967_294),
            Sampling(top_k=1_000_000, repeat_last_n=1_000_000, repeat_penalty=1.1),
            Sampling(temperature=0.0, repeat_penalty=0.001, top_k=0),
            Sampling(top_p=1e-9, min_p=0.0),
        ],
    )
    def test_extreme_sampling(self, sampling: Sampling, load: Load, driver: Driver) -> None:
        load("dense")
        assert len(driver.ask(token_prompt(WORDS[:20]), sampling=sampling, max_tokens=5).tokens) <= 5


class TestLoad:
    def test_says_what_it_loaded(self, load: Load, models: Callable[[str], Path], backend: LlamaBackend) -> None:
        info = load("sliding-window")
        assert backend.loaded == info
        assert info.model.path == models("sliding-window")
        assert info.model.architecture == "gemma3"
        assert info.model.quant == "F32"
        assert info.model.memory_kind is MemoryKind.SLIDING_WINDOW
        assert info.model.chat_template == ggufs.CHATML
        assert info.model.metadata["gemma3.attention.sliding_window"] == "64"
        assert info.memory["weights"] > 10_000_000
        assert info.memory["kv"] > 0
        assert info.load_ms > 0
        assert re.fullmatch(r"\S+, build \S+, ggml \S+, llama-cpp-python \S+", info.library)

    def test_progress_reaches_the_end(self, models: Callable[[str], Path], backend: LlamaBackend) -> None:
        seen: list[BackendEvent] = []
        backend.load(models("spm"), SMALL, seen.append).result(PATIENCE_S)
        backend.load(models("dense"), SMALL, seen.append).result(PATIENCE_S)
        fractions = [event.fraction for event in seen if isinstance(event, LoadProgressed) and event.ref == models("dense")]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0

    def test_cancelled(self, models: Callable[[str], Path], backend: LlamaBackend, load: Load, driver: Driver) -> None:
        load("scripted")
        future = backend.load(models("hybrid"), SMALL, lambda _event: backend.cancel_load())
        with pytest.raises(CancelledError):
            future.result(PATIENCE_S)
        assert driver.ask(text_prompt("x\n")).text == "".join(SCRIPT)

    def test_a_bad_file_leaves_the_old_model(self, tmp_path: Path, backend: LlamaBackend, load: Load, driver: Driver) -> None:
        load("scripted")
        with pytest.raises(ModelError, match="does not support"):
            backend.load(ggufs.unknown_architecture(tmp_path / "new.gguf"), SMALL, lambda _event: None).result(PATIENCE_S)
        assert driver.ask(text_prompt("x\n")).text == "".join(SCRIPT)

    def test_settings_that_do_not_fit_the_model_leave_the_old_context(self, load: Load, driver: Driver) -> None:
        load("narrow")
        before = driver.ask(text_prompt("x\n"), max_tokens=5).text
        with pytest.raises(EngineError, match="context can't be made"):
            load("narrow", Preset(type_k="q8_0"))
        assert driver.ask(text_prompt("x\n"), max_tokens=5).text == before

    def test_a_context_beyond_all_memory_leaves_the_old_one(self, load: Load, driver: Driver) -> None:
        load("scripted")
        with pytest.raises(ModelError, match="too large for this machine"):
            load("scripted", Preset(n_ctx=16_777_216, type_k="f32", type_v="f32", threads=1, n_batch=512))
        assert driver.ask(text_prompt("x\n")).text == "".join(SCRIPT)

    def test_turns_run_on_the_model_that_was_asked_for_before_them(self, models: Callable[[str], Path], load: Load, driver: Driver) -> None:
        load("dense")
        before = driver.start(token_prompt(WORDS[:50]), max_tokens=30)
        future = driver.backend.load(models("scripted"), SMALL, lambda _event: None)
        after = driver.start(text_prompt("x\n"))
        assert before.finish().finished.timings.predicted_n == 30
        assert future.result(PATIENCE_S).model.name == "scripted"
        assert after.finish().text == "".join(SCRIPT)

    def test_auto_takes_the_trained_context_and_the_usable_cpus(self, load: Load) -> None:
        info = load("dense", Preset())
        assert info.n_ctx == 1024
        assert info.threads >= 1
        assert info.preset.n_ctx == "auto"

    def test_absurd_thread_counts_are_clamped(self, load: Load, driver: Driver) -> None:
        info = load("dense", Preset(threads=1024, threads_batch=1024))
        assert info.threads <= 1024
        assert driver.ask(token_prompt(WORDS[:5]), max_tokens=2).finished.error is None


class TestHotSettings:
    def test_apply_while_tokens_flow(self, load: Load, driver: Driver) -> None:
        load("dense")
        applied = threading.Event()

        def on_event(event: BackendEvent) -> None:
            if isinstance(event, TokensDecoded) and not applied.is_set():
                driver.backend.apply_hot(Preset(n_ctx=1024, threads=1, threads_batch=1, stream_batch=7))
                applied.set()

        answer = driver.ask(token_prompt(WORDS[:50]), max_tokens=40, on_event=on_event)
        assert max(len(chunk.tokens) for chunk in answer.all(TokensDecoded)) == 7
        load("dense")
        driver.backend.set_stream_batch(4)

    def test_auto_begins_at_four_and_keeps_what_was_chosen_from_outside(self, load: Load, driver: Driver) -> None:
        load("dense", Preset(n_ctx=1024, stream_batch=9))
        load("dense", Preset(n_ctx=1024, stream_batch="auto"))
        assert largest_chunk(driver) == 4
        driver.backend.set_stream_batch(12)
        load("dense", Preset(n_ctx=1024, stream_batch="auto", threads=1))
        assert largest_chunk(driver) == 12
        driver.backend.set_stream_batch(4)


def largest_chunk(driver: Driver) -> int:
    answer = driver.ask(token_prompt(WORDS[:50]), max_tokens=40)
    return max(len(chunk.tokens) for chunk in answer.all(TokensDecoded))


def test_closing_ends_turns_and_refuses_new_ones(models: Callable[[str], Path]) -> None:
    backend = LlamaBackend(trusted=lambda _path: True)
    driver = Driver(backend)
    backend.load(models("dense"), SMALL, lambda _event: None).result(PATIENCE_S)
    running = driver.start(token_prompt(WORDS[:50]))
    running.wait_for(TokensDecoded)
    backend.close()
    backend.close()
    assert running.finish().finished.reason is StopReason.CANCELLED
    assert driver.ask(token_prompt(WORDS[:50])).finished.reason is StopReason.ERROR
    with pytest.raises(EngineError):
        backend.load(models("dense"), SMALL, lambda _event: None).result(PATIENCE_S)
    assert not any(thread.name == "xchat-compute" and not thread.is_alive() for thread in threading.enumerate())
