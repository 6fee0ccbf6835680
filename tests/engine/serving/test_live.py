"""What is seen of a server, and what the person who serves may do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx2
import msgspec
import pytest

from engine.serving.live import ServerNow, State
from engine.serving.server import Server
from tests.engine.serving.conftest import PATIENCE_S, ask

pytestmark = pytest.mark.slow


@pytest.fixture
def live(server: Server) -> Iterator[Server]:
    """The server, which serves again afterwards."""
    yield server
    server.call(lambda served: served.drain(False)).result(PATIENCE_S)
    server.call(lambda served: served.pause(False)).result(PATIENCE_S)
    until(server, lambda now: not now.running + now.waiting)


def now_of(server: Server) -> ServerNow:
    return server.call(lambda served: served.live.now(served)).result(PATIENCE_S)


def until(server: Server, holds: Callable[[ServerNow], bool]) -> ServerNow:
    """Wait until the server is so."""
    for _ in range(1_000):
        if holds(now := now_of(server)):
            return now
        time.sleep(0.01)
    raise AssertionError(msgspec.to_builtins(now))


def asked(server: Server, **more: Any) -> Future[httpx2.Response]:
    """Ask on a thread of its own."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(httpx2.post, f"{server.url}/v1/chat/completions", json=ask(**more), timeout=PATIENCE_S)
    pool.shutdown(wait=False)
    return future


def test_a_request_is_seen_with_the_figures_that_its_client_gets(live: Server, http: httpx2.Client) -> None:
    timings = http.post("/v1/chat/completions", json=ask("Seen", max_tokens=9)).json()["timings"]
    now = msgspec.json.decode(http.get("/live").content, type=ServerNow)
    row = now.requests[0]
    assert (row.state, row.client, row.path) == (State.DONE, "127.0.0.1", "/v1/chat/completions")
    assert (row.predicted_n, row.cache_n) == (9, timings["cache_n"])
    assert row.prompt_n == timings["cache_n"] + timings["prompt_n"]
    assert row.predicted_per_second == pytest.approx(9e3 / timings["predicted_ms"])  # llama-server does not count the first token
    assert row.ttft_ms is not None
    assert 0 < row.wait_ms < row.ttft_ms < row.total_ms
    assert now.tokens >= 9
    assert now.cells > 0
    assert now.parallel == 4
    turn = live.call(lambda served: served.live.turn(row.number)).result(PATIENCE_S)
    assert turn is not None
    assert turn.timings.predicted_n == 9
    assert live.call(lambda served: served.live.turn(10**9)).result(PATIENCE_S) is None


def test_a_paused_server_keeps_requests_and_sends_them_on_when_it_resumes(live: Server) -> None:
    live.call(lambda served: served.pause(True)).result(PATIENCE_S)
    kept, gone = asked(live), asked(live, text="Ended while it is kept")
    now = until(live, lambda now: now.waiting == 2)
    assert (now.state, {row.state for row in now.requests[:2]}) == ("paused", {State.HELD})
    numbers = sorted(row.number for row in now.requests[:2])
    live.call(lambda served: served.kick(numbers[0])).result(PATIENCE_S)
    until(live, lambda now: now.waiting == 1)
    live.call(lambda served: served.pause(False)).result(PATIENCE_S)
    answers = [kept.result(PATIENCE_S), gone.result(PATIENCE_S)]
    assert sorted(answer.status_code for answer in answers) == [200, 503]
    assert "The answer was stopped" in "".join(answer.text for answer in answers)


def test_a_draining_server_finishes_what_runs_and_refuses_the_rest_in_every_form(live: Server, http: httpx2.Client) -> None:
    running = asked(live, max_tokens=200)
    until(live, lambda now: now.running == 1)
    live.call(lambda served: served.drain(True)).result(PATIENCE_S)
    for path in ("/v1/chat/completions", "/v1/messages", "/api/chat"):
        refused = http.post(path, json=ask())
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1"), path
        assert "takes no more requests" in refused.text
    assert http.get("/health").status_code == 503
    assert http.get("/live").json()["state"] == "draining"
    assert running.result(PATIENCE_S).status_code == 200
    live.call(lambda served: served.drain(False)).result(PATIENCE_S)
    assert http.get("/health").status_code == 200


def test_a_request_that_is_ended_by_the_person_ends_with_an_error_in_its_stream(live: Server, http: httpx2.Client) -> None:
    with http.stream("POST", "/v1/chat/completions", json=ask(stream=True, max_tokens=900, n=2)) as stream:
        lines = stream.iter_lines()
        next(lines)
        row = until(live, lambda now: now.running == 2).requests[0]
        live.call(lambda served: served.kick(row.number)).result(PATIENCE_S)
        last = [line for line in lines if line][-1]
    assert json.loads(last.removeprefix("data: "))["error"]["message"] == "The answer was stopped"
    now = until(live, lambda now: not now.running)
    assert [row.state for row in now.requests[:2]] == [State.STOPPED] * 2


def test_facts_are_made_on_the_thread_of_the_server_alone(live: Server) -> None:
    thread = live.call(lambda _served: threading.current_thread().name).result(PATIENCE_S)
    assert thread == "xchat-serve"
    with pytest.raises(ZeroDivisionError):
        live.call(lambda _served: 1 // 0).result(PATIENCE_S)
