from __future__ import annotations

import math
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.lab.bench import Point
from engine.lab.engine import LabEngine
from engine.lab.grid import Grid
from engine.lab.log import compare_runs, run_of_bench, run_of_quality, run_of_race
from engine.lab.quality.figures import Estimate, Quality
from engine.lab.quality.run import Arm as QualityArm
from engine.lab.quality.run import Outcome
from engine.lab.race import Arm, Use, race
from engine.lab.statistics import mean_interval
from engine.llama.measuring.work import ModelFigures, Setup, Took
from engine.presets.preset import Preset
from engine.store.lab_runs import LabRun, delete_run, list_runs, load_run, save_run
from engine.store.sqlite.connect import open_writer
from engine.store.upkeep.repair import ORDER

FIGURES = ModelFigures("/m/a.gguf", "qwen3 0.6B Q4_0", 400 << 20, 600_000_000, 2, 2, "0.5, b1234 (0c1e570)", "AVX2 = 1")


def bench_run(*speeds: float) -> LabRun:
    points = [Point(setup, work, FIGURES) for setup, work in Grid(n_prompt=(512,), n_gen=(128,)).points([Path("/m/a.gguf")])]
    for point in points:
        for speed in speeds:
            point.add(Took(0, round((point.work.n_prompt + point.work.n_gen) / speed * 1e9), 0.01))
    run = run_of_bench(points, started_ms=1_000, seconds=9.5, command="xchat bench")
    assert run is not None
    return run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "xchat.db"


def test_runs_are_listed_newest_first_read_back_whole_and_deleted(path: Path) -> None:
    first, second = bench_run(10, 11), bench_run(12)
    assert [save_run(path, first), save_run(path, second)] == [1, 2]
    assert [run.id for run in list_runs(path)] == [2, 1]
    assert load_run(path, 1) == replace(first, id=1, host=replace(first.host, cpu_flags=""))
    delete_run(path, 1)
    for gone in (load_run, delete_run):
        with pytest.raises(UsageError):
            gone(path, 1)


def test_a_figure_without_bounds_leaves_the_log_readable(path: Path) -> None:
    run = bench_run(10)
    save_run(path, replace(run, facts={"family": [{"decode": mean_interval([10.0]), "kld": math.nan}]}))
    assert load_run(path, 1).facts == {"family": [{"decode": {"estimate": 10.0, "low": None, "high": None}, "kld": None}]}
    assert len(list_runs(path)) == 1


def test_a_model_that_was_compared_with_nothing_has_no_divergence_in_lists() -> None:
    alone = Outcome((Quality("Q4_0", 100, 4, Estimate(10.0, 0.1), None),), 512, 4)
    arms = [QualityArm("Q4_0", Path("q4.gguf"), Preset())]
    lone, largest = (run_of_quality(arms, alone, of_family=family, started_ms=0, seconds=1.0, command="") for family in (False, True))
    assert lone is not None
    assert largest is not None
    assert lone.facts["quality"] == []
    assert [one["kld"] for one in largest.facts["quality"]] == [0.0]


def test_a_database_from_before_the_laboratory_has_no_runs(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA application_id = 2020828276")
    open_writer(path).close()
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE lab_runs")
    assert list_runs(path) == ()
    with pytest.raises(UsageError):
        load_run(path, 1)


def test_every_table_of_the_schema_is_copied_by_a_repair(path: Path) -> None:
    open_writer(path).close()
    tables = {name for (name,) in sqlite3.connect(path).execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {name for name in tables if not name.startswith(("sqlite_", "messages_"))} == set(ORDER)


def test_a_run_that_measured_nothing_is_not_kept() -> None:
    points = [Point(setup, work, skipped="too large") for setup, work in Grid().points([Path("m")])]
    assert run_of_bench(points, started_ms=0, seconds=0, command="") is None


def test_two_benchmarks_are_compared_row_by_row_with_an_interval() -> None:
    rows = compare_runs(bench_run(100, 101, 99, 100), bench_run(110, 111, 109, 110))
    assert [row.test for row in rows] == ["pp512, 2 threads", "tg128, 2 threads"]
    for row in rows:
        assert row.ratio.low < 1.1 < row.ratio.high
        assert row.ratio.low > 1.05
    assert compare_runs(bench_run(100), replace(bench_run(100), facts={})) == ()


@pytest.mark.slow
def test_a_race_is_kept_with_its_verdict_and_without_texts(engine: LabEngine, tiny: Path, path: Path) -> None:
    arms = [Arm("a", Setup(tiny, Preset(threads=1))), Arm("b", Setup(tiny, Preset(threads=1)))]
    result = race(engine, arms, Use.DECODE, seconds=0.5)
    run = run_of_race(result, "0.5", started_ms=5, command="xchat race a b")
    save_run(path, run)
    kept = load_run(path, 1)
    assert (kept.kind, kept.title, kept.verdict) == ("race", "a : b", run.verdict)
    assert kept.verdict.split(":")[0] in {"PASS", "FAIL", "INCONCLUSIVE"}
    assert [arm["arm"] for arm in kept.facts["arms"]] == ["a", "b"]
    assert len(kept.facts["arms"][1]["turns_s"]) == result.units
