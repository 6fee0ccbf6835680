"""A benchmark measured again, and what a long one does to the machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.host.sampler import HostSample, host_sampler
from engine.lab import endurance as module
from engine.lab.again import change_since, points_of
from engine.lab.bench import Point
from engine.lab.endurance import Endurance, Moment
from engine.lab.grid import Grid
from engine.lab.log import compare_runs, run_of_bench
from engine.lab.statistics import Interval
from engine.llama.measuring.work import Took
from tests.engine.lab.test_log import FIGURES, bench_run
from tests.engine.lab.test_reports import race_run


def test_the_points_of_a_run_are_those_that_were_measured() -> None:
    run = bench_run(10, 11)
    prefill, decode = points_of(run)
    assert (prefill.work.n_prompt, decode.work.n_gen) == (512, 128)
    assert prefill.setup.preset.threads == prefill.setup.preset.threads_batch == 2
    assert (prefill.setup.preset.n_batch, prefill.setup.preset.flash_attn, prefill.setup.preset.mmap) == (2048, "auto", True)


def test_threads_that_prefill_are_kept_for_a_test_that_decodes_too() -> None:
    ((setup, work),) = Grid(n_prompt=(), n_gen=(), pairs=((16, 4),)).points([Path("/m/a.gguf")])
    point = Point(setup, work, replace(FIGURES, threads=1, threads_batch=2))
    point.add(Took(10**9, 10**9, 0.0))
    run = run_of_bench([point], started_ms=0, seconds=1.0, command="")
    assert run is not None
    (again,) = points_of(run)
    assert (again.setup.preset.threads, again.setup.preset.threads_batch) == (1, 2)
    other = replace(run, facts={"rows": [dict(run.facts["rows"][0]) | {"n_threads_batch": 1}]})
    assert len(compare_runs(run, run)) == 1
    assert compare_runs(run, other) == ()


def test_the_largest_change_that_is_named_is_one_beyond_its_interval() -> None:
    before, after = bench_run(10, 10.1, 9.9), bench_run(8, 8.1, 7.9)
    sure, _ = compare_runs(before, after)
    noise = replace(sure, test="noise", ratio=Interval(3.0, 0.1, 9.0))
    assert sure.test in change_since(before, after, (noise, sure))


def test_a_run_that_is_no_benchmark_or_lacks_a_figure_is_refused() -> None:
    broken = bench_run(10)
    del broken.facts["rows"][0]["n_batch"]
    for run in (race_run(), broken):
        with pytest.raises(UsageError, match="can't be repeated"):
            points_of(run)


def test_a_word_says_what_changed_and_since_when() -> None:
    before, same, slower = bench_run(10, 10.1, 9.9), bench_run(10, 10.1, 9.9), bench_run(8, 8.1, 7.9)
    upgraded = replace(slower, host=replace(slower.host, llama_cpp_version="b9"))
    assert change_since(before, same, compare_runs(before, same)).startswith("No test changed beyond its interval; machine")
    said = change_since(before, upgraded, compare_runs(before, upgraded))
    assert said.startswith("2 of 2 tests slower")
    assert "since llama.cpp" in said
    assert "→ b9" in said


def moments(**last: float) -> Iterator[Moment]:
    for number in range(12):
        share = number / 11
        values = {name: start + share * (last.get(name, start) - start) for name, start in START.items()}
        yield Moment(number * 60.0, **values)


START = {"rss_bytes": 1e9, "temperature_c": 50.0, "freq_mhz": 3000.0}


@pytest.mark.parametrize(
    ("last", "named"),
    [
        ({"rss_bytes": 1.5e9}, "grew by 364 MB, 2.73 GB an hour"),
        ({"temperature_c": 90.0}, "°C"),
        ({"freq_mhz": 2000.0}, "clock fell"),
        ({}, None),
    ],
)
def test_growth_heat_and_a_falling_clock_are_named(last: dict[str, float], named: str | None) -> None:
    watched = Endurance(host_sampler())
    watched.moments = list(moments(**last))
    assert [named in remark for remark in watched.remarks if named] == ([True] if named else [])
    assert bool(watched.remarks) == bool(named)
    watched.moments = watched.moments[:8]
    assert watched.remarks == ()


def test_samples_are_spaced_and_a_figure_that_is_not_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting:
        taken = 0

        def sample(self) -> HostSample:
            self.taken += 1
            return real.sample()

        def watch_model(self, _path: object) -> None:
            raise AssertionError

        def close(self) -> None:
            raise AssertionError

    real, counting = host_sampler(), Counting()
    watched = Endurance(counting)
    watched.sample()
    watched.sample()
    assert counting.taken == 1
    monkeypatch.setattr(module, "SAMPLE_S", 0.0)
    watched.sample()
    assert counting.taken == len(watched.facts) == 2
    assert watched.facts[0]["rss_bytes"]
    real.close()
