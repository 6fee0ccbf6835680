"""`xchat cache`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.backend import StopReason
from engine.store.results import ResultCache, results_path
from tui.cli.main import main


def filled() -> None:
    cache = ResultCache(results_path(), most_bytes=1 << 20, most_hours=1)
    cache.put(b"k" * 32, [1, 2], StopReason.EOG)
    cache.get(b"k" * 32)
    cache.get(b"x" * 32)
    cache.close()


def test_stats_show_what_is_stored_and_how_often_it_helped(capsys: pytest.CaptureFixture[str]) -> None:
    filled()
    assert main(["cache", "stats"]) == 0
    out = capsys.readouterr().out
    assert "1 of 2 lookups (50%)" in out
    assert main(["cache", "stats", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hit_rate"] == 0.5


def test_clear_removes_a_damaged_file_too(capsys: pytest.CaptureFixture[str]) -> None:
    results_path().parent.mkdir(parents=True, exist_ok=True)
    results_path().write_bytes(b"damaged" * 1_000)
    assert main(["cache", "stats"]) == 1
    assert "xchat cache clear" in capsys.readouterr().err
    assert main(["cache", "clear"]) == 0
    assert not results_path().exists()
    assert main(["cache", "clear"]) == 0


@pytest.mark.slow
def test_a_file_of_prompts_warms_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("Hello\nWhat is a token?\n", "utf-8")
    for _ in range(2):
        assert main(["cache", "warm", str(prompts), "-m", "builtin", "--temp", "0", "-n", "4"]) == 0
    cache = ResultCache(results_path(), most_bytes=1 << 20, most_hours=1)
    assert (cache.stats().answers, cache.stats().hits) == (2, 2)
    cache.close()
    assert list(tmp_path.glob("*.jsonl")) == []
    assert capfd.readouterr().out == ""
