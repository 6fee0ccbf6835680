"""`xchat load` against the real server: the figures of what its clients see."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.lab.load import Call, LoadPlan, LoadResult
from engine.llama.backend import LlamaBackend
from engine.presets.preset import Preset
from engine.serving.guard import Guard
from engine.serving.server import Address, Server
from tests import ggufs
from tests.tui.cli.conftest import Run

pytestmark = pytest.mark.slow

PRESET = Preset(n_ctx=1024, threads=1, threads_batch=1, parallel=4, stream_batch=1)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("loaded")
    backend = LlamaBackend(trusted=lambda _path: True, log_path=folder / "native.log")
    backend.load(ggufs.dense(folder / "tiny.gguf"), PRESET, lambda _event: None).result(60)
    server = Server(backend, PRESET, Guard(), Address(port=0))
    yield server.url
    server.stop(0.0)
    server.join(60)
    backend.close()


def test_the_figures_are_counted_from_what_arrives(xchat: Run, url: str) -> None:
    ran = xchat("load", url, "-c", "4", "-r", "10", "-n", "6", "--json")
    assert ran.code == 0, ran.err
    figures = json.loads(ran.out)
    assert (figures["requests"], figures["succeeded"], figures["success_rate"], figures["tokens"]) == (10, 10, 1.0, 60)
    assert figures["throughput_tokens_per_second"] == pytest.approx(60 / figures["elapsed_s"])
    for name in ("ttft_ms", "gap_ms", "total_ms", "tokens_per_second"):
        spread = figures[name]
        assert 0 < spread["min"] <= spread["p50"] <= spread["p95"] <= spread["p99"] <= spread["max"]
        assert spread["min"] <= spread["mean"] <= spread["max"]
    assert figures["ttft_ms"]["max"] < figures["elapsed_s"] * 1e3
    assert figures["cached_share"] > 0.5


def test_the_table_says_the_same_and_failures_are_named(xchat: Run, url: str) -> None:
    ran = xchat("load", f"{url}/v1", "-c", "2", "-r", "2", "-n", "2")
    assert ran.code == 0
    assert "2 of 2 requests succeeded (100.0%), 2 at a time" in ran.out
    assert "TTFT, ms" in ran.out
    failed = xchat("load", url, "-r", "2", "-n", "2", "--prompt", "words " * 2_000)
    assert failed.code == 1
    assert "0 of 2 requests succeeded" in failed.out
    assert "failed: 400" in failed.out


@pytest.mark.parametrize("wrong", ["http://127.0.0.1:9", "ftp://127.0.0.1", "nonsense", "http://[", str(Path("/tmp"))])
def test_a_url_where_nothing_answers_is_an_error_of_the_user(xchat: Run, wrong: str) -> None:
    ran = xchat("load", wrong, "-r", "1")
    assert ran.code == 2
    assert ran.err.startswith("xchat: ")


def test_an_answer_without_any_text_has_no_speed() -> None:
    plan = LoadPlan("http://127.0.0.1", 1, 1, "Hello", 2, "", "")
    figures = LoadResult(plan, [Call(sent_ns=0, ended_ns=5, tokens=2)], 1.0).as_dict()
    assert (figures["succeeded"], figures["tokens"]) == (1, 2)
    assert figures["tokens_per_second"]["mean"] is None
    assert figures["ttft_ms"]["mean"] is None
