"""The engine for models elsewhere on a real `xchat serve`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from engine.backend import PrefillProgressed, StopReason, TokensDecoded
from engine.clock import NS_PER_S
from engine.presets.preset import Sampling
from engine.remote.connection import Times
from engine.serving.server import Server
from tests.engine.remote.asking import Asking

GREEDY = Sampling(temperature=0.0)
CANCEL_S = 2.0
"""Far over the 100 ms that it takes: other work shares this machine."""


@pytest.fixture(scope="module")
def asking(server: Server) -> Iterator[Asking]:
    asks = Asking(server.url, times=Times())
    asks.load()
    yield asks
    asks.close()


def slots(server: Server) -> list[dict[str, Any]]:
    return [slot for slot in httpx2.get(f"{server.url}/slots").json() if slot["is_processing"]]


def test_the_model_is_described_as_the_server_describes_it(server: Server, asking: Asking) -> None:
    info = asking.load("tiny")
    assert (info.model.name, str(info.model.ref), info.model.path) == ("lab/tiny", "remote:lab/tiny", None)
    assert (info.n_ctx, info.parallel) == (1024, 4)
    assert info.model.n_params > 0
    assert info.model.metadata == {"server": "xchat", "address": f"{server.url}/v1"}
    assert (info.threads, dict(info.memory)) == (0, {})


def test_an_answer_has_the_figures_of_both_clocks(asking: Asking) -> None:
    log = asking.ask("Hello", sampling=GREEDY, max_tokens=16)
    end = log.end()
    assert end.reason is StopReason.LENGTH
    timings = end.timings
    assert (timings.predicted_n, end.prompt_tokens) == (16, timings.cache_n + timings.prompt_n)
    assert end.server["predicted_n"] == 16
    assert 0 < end.server["predicted_ms"] < timings.predicted_ms + (timings.ttft_ms or 0) + 1e3
    assert timings.ttft_ms is not None
    assert timings.ttft_ms >= end.server["prompt_ms"]
    assert [stamp for event in log.events if isinstance(event, TokensDecoded) for stamp in event.token_ns] == list(end.token_ns)
    assert timings.predicted_per_second == pytest.approx(15 * NS_PER_S / (end.token_ns[-1] - end.token_ns[0])), (
        "the first token ends no gap"
    )


def test_the_settings_of_the_preset_decide_the_answer(asking: Asking) -> None:
    def text(**settings: Any) -> str:
        return asking.ask("Hello", sampling=Sampling(**settings), max_tokens=12).texts()[1]

    assert text(temperature=0.0) == text(temperature=0.0) == text(top_k=1, temperature=5.0)
    assert text(seed=1, temperature=5.0, top_k=0, top_p=1.0, min_p=0.0) != text(seed=2, temperature=5.0, top_k=0, top_p=1.0, min_p=0.0)


def test_the_server_takes_every_setting_of_presets(asking: Asking) -> None:
    unusual = Sampling(dry_multiplier=0.5, presence_penalty=0.5, typical_p=0.5, xtc_probability=0.5, logit_bias="5-inf")
    log = asking.ask("Hello", sampling=unusual, max_tokens=2)
    assert (log.end().error, log.ready.prompt.notices) == (None, ())


def test_the_second_turn_is_taken_from_the_cache_of_the_server_on_the_same_connection(asking: Asking) -> None:
    first = asking.ask("Tell me about the sea", sampling=GREEDY, max_tokens=4)
    answer = first.texts()[1]
    again = asking.ask("Tell me about the sea", answer, "More", sampling=GREEDY, max_tokens=4).end()
    assert again.timings.cache_n > 0
    pool = asking.backend._http._transport._pool  # type: ignore[union-attr]
    assert len(pool.connections) == 1


def test_a_stop_ends_the_answer_on_the_server_and_keeps_what_came(server: Server, asking: Asking) -> None:
    log = asking.ask("Hello", sampling=GREEDY, max_tokens=900)
    assert log.grew.wait(30)
    assert len(slots(server)) == 1
    stopped = time.perf_counter()
    asking.backend.stop(asking.turn)
    end = log.end()
    while slots(server):
        assert time.perf_counter() - stopped < CANCEL_S
        time.sleep(0.005)
    assert end.reason is StopReason.CANCELLED
    assert log.texts()[1]
    assert asking.ask("And now?", sampling=GREEDY, max_tokens=2).end().reason is StopReason.LENGTH


def test_a_stop_before_anything_was_sent_ends_the_turn(asking: Asking) -> None:
    log = asking.ask("Hello")
    asking.backend.stop(asking.turn)
    assert log.end().reason is StopReason.CANCELLED
    assert not any(isinstance(event, PrefillProgressed) for event in log.events)


def test_a_conversation_that_does_not_fit_is_refused_with_its_sizes(asking: Asking) -> None:
    end = asking.ask("word " * 3000, max_tokens=4).end()
    assert (end.reason, end.error and end.error.title.startswith("The conversation is too long")) == (StopReason.ERROR, True)
