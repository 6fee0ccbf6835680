from __future__ import annotations

import io
import json
from pathlib import Path
from statistics import fmean

import pytest

from engine.errors import EngineError, UsageError
from engine.lab.bench import LEAST_REPEATS, Limits, Point, measure
from engine.lab.engine import LabEngine
from engine.lab.grid import Grid, numbers
from engine.lab.rows import batched_rows, batched_table, bench_rows, markdown_table, name_of_test
from engine.llama.measuring.work import Setup, Took, Work
from engine.presets.preset import Preset
from engine.presets.settings import check_value
from engine.store.export.llama_bench import FIELDS, Dialect, write_llama_bench
from engine.store.host import Host

HOST = Host("box", "Linux 6", "A CPU", "avx2", 2, 1 << 30, "0.1", "b1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4", [4]),
        ("1,2,8", [1, 2, 8]),
        ("1-4", [1, 2, 3, 4]),
        ("2-9+3", [2, 5, 8]),
        ("64-512*2", [64, 128, 256, 512]),
        ("1-2, 7", [1, 2, 7]),
        ("0", [0]),
    ],
)
def test_lists_and_ranges_are_those_of_llama_bench(text: str, expected: list[int]) -> None:
    assert numbers(text) == expected


@pytest.mark.parametrize("text", ["", "a", "1-", "1-4*1", "0-4*2", "1-4+0", "1;2", "-3", "1,,2", "8-1"])
def test_a_list_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        numbers(text)


def test_a_grid_makes_prefill_decode_and_paired_tests_for_every_setting() -> None:
    grid = Grid(n_prompt=(8, 0), n_gen=(4,), pairs=((8, 2),), n_depth=(0, 16), settings={"threads": (1, 2)}, same_threads=True)
    points = grid.points([Path("m.gguf")])
    assert len(points) == 12
    assert {(setup.preset.threads, setup.preset.threads_batch) for setup, _ in points} == {(1, 1), (2, 2)}
    assert [work for _, work in points[:3]] == [Work(8, 0, 0), Work(0, 4, 0), Work(8, 2, 0)]


def test_every_window_is_one_that_a_preset_may_ask_for() -> None:
    for setup, work in Grid(n_prompt=(1, 512), n_gen=(8,), n_depth=(0, 64)).points([Path("m.gguf")]):
        check_value("n_ctx", setup.preset.n_ctx)
        assert isinstance(setup.preset.n_ctx, int)
        assert setup.preset.n_ctx >= work.n_prompt + work.n_gen + work.n_depth


def test_values_out_of_bounds_and_endless_grids_are_refused() -> None:
    with pytest.raises(UsageError):
        Grid(settings={"type_k": ("q9_9",)}).points([Path("m.gguf")])
    with pytest.raises(UsageError):
        Grid(n_prompt=range(1, 9999)).points([Path("m.gguf")])


@pytest.fixture
def measured(engine: LabEngine, tiny: Path) -> tuple[list[Point], list[Point]]:
    """Two threads' points and one that can't be had, and the order of the repetitions."""
    base = Preset(n_batch=128, n_ubatch=64)
    grid = Grid(n_prompt=(32,), n_gen=(4,), n_depth=(0, 8), settings={"threads": (1, 2)}, base=base, same_threads=True)
    points = [Point(setup, work) for setup, work in grid.points([tiny])]
    points += [Point(setup, work) for setup, work in Grid(n_prompt=(8,), n_gen=()).points([tiny.with_name("missing.gguf")])]
    order: list[Point] = []
    measure(engine, points, Limits(repeats=3), order.append)
    return points, order


def test_points_take_turns_and_one_that_can_not_be_measured_is_skipped(measured: tuple[list[Point], list[Point]]) -> None:
    points, order = measured
    assert [len(point.samples_ns) for point in points] == [3] * 8 + [0]
    assert points[-1].skipped
    first_round = order[:8]
    assert len({id(point) for point in first_round}) == 8, "each point once before any is repeated"


def test_rows_fill_every_field_of_llama_bench(measured: tuple[list[Point], list[Point]]) -> None:
    rows = list(bench_rows(measured[0], HOST))
    assert len(rows) == 8
    out = io.StringIO()
    write_llama_bench(out, Dialect.JSONL, rows)
    for line in out.getvalue().splitlines():
        row = json.loads(line)
        assert [field for field in FIELDS if row[field] is None] == []
        assert len(row["samples_ns"]) == 3
        assert row["avg_ns"] == pytest.approx(fmean(row["samples_ns"]), abs=1)
        assert row["avg_ts"] == pytest.approx(fmean(row["samples_ts"]))
        assert row["samples_ts"] == pytest.approx([(row["n_prompt"] + row["n_gen"]) * 1e9 / took for took in row["samples_ns"]])
    names = [name_of_test(row) for row in rows]
    assert names[:4] == ["pp32", "tg4", "pp32 @ d8", "tg4 @ d8"]
    table = markdown_table(rows).splitlines()
    assert len(table) == 10
    assert len({len(line) for line in table}) == 1


def point_of(times: list[int], disturbed: float = 0.0) -> Point:
    setup, work = Grid(n_prompt=(), n_gen=(100,)).points([Path("m")])[0]
    point = Point(setup, work)
    for took in times:
        point.add(Took(0, took, disturbed))
    return point


def test_a_point_is_repeated_until_its_interval_is_narrow() -> None:
    limits = Limits(precision=0.01, seconds=100)
    assert point_of([1_000_000] * LEAST_REPEATS).enough(limits)
    assert not point_of([1_000_000] * (LEAST_REPEATS - 1)).enough(limits)
    assert not point_of([1_000_000, 1_300_000] * LEAST_REPEATS).enough(limits)
    assert point_of([101_000_000_000]).enough(limits), "the time is up"


def test_disturbance_outliers_and_drift_are_named() -> None:
    assert point_of([1_000_000] * 6).remarks == ()
    assert "12%" in point_of([1_000_000] * 6, 0.12).remarks[0]
    assert "outliers" in point_of([1_000_000, 1_010_000, 990_000, 1_005_000, 9_000_000]).remarks[0]
    assert "-25%" in point_of([900_000] * 3 + [1_000_000] * 3 + [1_200_000] * 3).remarks[-1]


def test_several_sequences_decode_together_and_make_rows_of_llama_batched_bench(engine: LabEngine, tiny: Path) -> None:
    grid = Grid(n_prompt=(16,), n_gen=(4,), n_parallel=(1, 3), settings={"threads": (1,)}, same_threads=True)
    points = [Point(setup, work) for setup, work in grid.points([tiny])]
    measure(engine, points, Limits(repeats=2))
    assert [point.skipped for point in points] == [None, None]
    rows = list(batched_rows(points))
    assert [(row["pp"], row["tg"], row["pl"], row["n_kv"]) for row in rows] == [(16, 4, 1, 20), (16, 4, 3, 60)]
    for row in rows:
        assert row["t"] == pytest.approx(row["t_pp"] + row["t_tg"])
        assert row["speed"] == pytest.approx(row["n_kv"] / row["t"])
        assert row["speed_tg"] == pytest.approx(4 * row["pl"] / row["t_tg"])
    assert {len(line) for line in batched_table(rows).splitlines()} == {103}


def test_a_prompt_of_several_sequences_is_cut_where_a_batch_is_full(engine: LabEngine, tiny: Path) -> None:
    setup = Setup(tiny, Preset(threads=1, threads_batch=1, n_batch=32, n_ubatch=32, n_ctx=512, parallel=3))
    assert engine.run(setup, Work(50, 2, 0, 3)).prompt_ns > 0
    with pytest.raises(EngineError):
        engine.run(setup, Work(50, 2, 0, 4))
