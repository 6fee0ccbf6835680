"""`xchat load` against the real server: the figures of what its clients see."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from engine.lab.load import Call, LoadPlan, LoadResult, changes
from engine.lab.traffic import Traffic
from engine.llama.backend import LlamaBackend
from engine.presets.preset import Preset
from engine.serving.guard import Guard
from engine.serving.server import Address, Server
from tests import ggufs
from tests.tui.cli.conftest import Run
from tui.cli.serving.watch import _of_metrics

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
    plan = LoadPlan("http://127.0.0.1", 1, 1)
    figures = LoadResult(plan, [Call(sent_ns=0, ended_ns=5, tokens=2)], 1.0).as_dict()
    assert (figures["succeeded"], figures["tokens"]) == (1, 2)
    assert figures["tokens_per_second"]["mean"] is None
    assert figures["ttft_ms"]["mean"] is None


def test_requests_come_at_random_moments_whether_others_have_ended_or_not(xchat: Run, url: str) -> None:
    ran = xchat("load", url, "--rate", "40", "-r", "12", "--words", "5-40", "--shared", "50", "-n", "2-9", "--slo-ttft", "60000", "--json")
    assert ran.code == 0, ran.err
    figures = json.loads(ran.out)
    assert (figures["rate"], figures["succeeded"]) == (40.0, 12)
    assert figures["goodput_per_second"] == pytest.approx(figures["requests_per_second"])
    assert 24 <= figures["tokens"] <= 108
    strict = json.loads(xchat("load", url, "-r", "4", "-n", "2", "--slo-ttft", "0.001", "--json").out)
    assert strict["goodput_per_second"] == 0


def test_a_sweep_has_a_line_for_each_level_and_two_tests_are_compared(xchat: Run, url: str, tmp_path: Path) -> None:
    swept = xchat("load", url, "-c", "1,2", "-r", "4", "-n", "3")
    assert [line.split()[:2] for line in swept.out.splitlines()[1:]] == [["1", "100%"], ["2", "100%"]], swept.err
    before = xchat("load", url, "-c", "1", "-r", "8", "-n", "4", "--json").out
    (tmp_path / "before.json").write_text(before, "utf-8")
    ran = xchat("load", url, "-c", "1", "-r", "8", "-n", "4", "--against", str(tmp_path / "before.json"))
    assert ran.code == 0, ran.err
    assert "with its 95 % interval" in ran.out
    (tmp_path / "wrong.json").write_text('{"each": {"ttft_ms": ["x"]}}', "utf-8")
    assert "is not a load test" in xchat("load", url, "--against", str(tmp_path / "wrong.json")).err


def test_traffic_is_the_same_for_the_same_seed_and_begins_with_what_is_shared() -> None:
    traffic = Traffic(words=(10, 30), shared=0.5, max_tokens=(1, 9), rate=10.0)
    first, again = ([*islice(traffic.messages(), 500)] for _ in range(2))
    assert first == again
    words = [message.split() for message, *_ in first]
    assert {tuple(each[:9]) for each in words} == {tuple(words[0][:9])}
    assert {len(each) for each in words} == set(range(10, 31))
    assert {limit for _, limit, _ in first} == set(range(1, 10))
    assert sum(wait for *_, wait in first) / 500 == pytest.approx(0.1, rel=0.15)


def test_a_change_is_shown_only_where_there_is_one() -> None:
    before = {"ttft_ms": [100.0 + number % 7 for number in range(50)], "gap_ms": [], "total_ms": [1.0] * 9}
    after = {"ttft_ms": [80.0 + number % 7 for number in range(50)], "gap_ms": [1.0], "total_ms": [1.0] * 9}
    found = changes(before, after)
    assert found["ttft_ms"].high < 0.9
    assert found["total_ms"].estimate == 1
    assert "gap_ms" not in found


@pytest.mark.parametrize(
    "flags", [["-c", "0"], ["-c", "1,x"], ["-n", "9-2"], ["--rate", "-1"], ["--rate", "nan"], ["--shared", "50"], ["-c", "\u00b2"]]
)
def test_wrong_numbers_are_refused(xchat: Run, flags: list[str]) -> None:
    assert xchat("load", "http://127.0.0.1:9", *flags).code == 2


def test_a_server_is_watched_and_one_without_figures_is_an_error_of_the_user(xchat: Run, url: str) -> None:
    head, row = xchat("stats", url).out.splitlines()
    assert (
        dict(zip(head.replace(" %", "").replace("TTFT p", "TTFTp").replace("KV c", "KVc").split(), row.split(), strict=True))["state"]
        == "serving"
    )
    assert json.loads(xchat("stats", f"{url}/v1", "--json").out)["state"] == "serving"
    for wrong in ("http://127.0.0.1:9", "nonsense", f"{url}/props"):
        assert xchat("stats", wrong).code == 2


def test_a_server_with_metrics_alone_is_watched_too() -> None:
    page = b"# TYPE\nllamacpp:requests_processing 2\nllamacpp:requests_deferred 1\nllamacpp:tokens_predicted_total 50\nllamacpp:x y\n"
    figures, before = _of_metrics(page, (0, 10.0))
    assert (figures["running"], figures["waiting"], figures["tokens"]) == (2, 1, 50)
    assert figures["tokens_per_second"] > 0
    assert before is not None
    assert _of_metrics(b"nonsense", None) == ({}, None)
