"""Reports of runs: what they say, and that nothing from outside acts in them."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from engine.lab.bench import Point
from engine.lab.grid import Grid
from engine.lab.log import run_of_bench, run_of_race, run_of_tuning
from engine.lab.race import Use, race
from engine.lab.reports.charts import Bar, Curve, IntervalChart, LineChart, svg_of
from engine.lab.reports.pages import write_html, write_markdown
from engine.lab.reports.report import report_of, report_of_two, scaling_charts
from engine.lab.tune import tune
from engine.llama.measuring.work import Took
from engine.store.lab_runs import LabRun
from tests.engine.lab.test_log import FIGURES, bench_run
from tests.engine.lab.test_race import Scripted, arm
from tests.engine.lab.test_tune import TODAY, Machine, stages

HOSTILE = "<script>alert(1)</script>\x1b[2J|`*\u202e"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, _attrs: object) -> None:
        self.tags.append(tag)
        if tag not in {"meta", "path", "circle"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"path", "circle"}:
            assert self.open.pop() == tag


def tags_of(page: str) -> list[str]:
    parser = Tags()
    parser.feed(page)
    assert parser.open == []
    return parser.tags


def race_run() -> LabRun:
    return run_of_race(
        race(Scripted({1: 20e6, 2: 10e6}), [arm(1), arm(2)], Use.DECODE, seed=1), "b1", started_ms=0, command="xchat race a b"
    )


def tune_run() -> LabRun:
    return run_of_tuning(tune(Machine(), TODAY, Use.CHAT, stages(), seed=1), "b1", started_ms=0, command="xchat tune")


@pytest.mark.parametrize("run", [bench_run(10, 11, 12), race_run(), tune_run()], ids=["bench", "race", "tune"])
def test_a_report_begins_with_the_verdict_and_ends_with_how_to_repeat_it(run: LabRun) -> None:
    text, page = io.StringIO(), io.StringIO()
    made = report_of(run)
    write_markdown(text, made)
    write_html(page, made)
    lines = [line for line in text.getvalue().splitlines() if line]
    assert lines[1].startswith("**")
    assert run.command in lines[-2 - len(made.repeat) + 1 :]
    assert "svg" in tags_of(page.getvalue())
    assert all(sheet.rows for sheet in made.sheets)


def test_a_benchmarks_report_names_the_call_of_llama_bench_that_measures_the_same() -> None:
    repeat = report_of(bench_run(10, 11)).repeat
    settings = "-m /m/a.gguf -t 2 -b 2048 -ub 512 -ctk f16 -ctv f16 -fa -1 -mmp 1 -r 2"
    assert repeat == ("xchat bench", f"llama-bench {settings} -p 512 -n 0", f"llama-bench {settings} -p 0 -n 128")


def test_a_benchmark_of_several_sequences_names_the_call_with_the_threads_that_prefilled() -> None:
    run = bench_run(10)
    run.facts["rows"] = [run.facts["rows"][0] | {"n_prompt": 16, "n_gen": 4, "n_parallel": 3, "n_threads_batch": 4}]
    assert report_of(run).repeat[1].startswith("llama-batched-bench -m /m/a.gguf -t 2 ")
    assert report_of(run).repeat[1].endswith(" -tb 4 -npp 16 -ntg 4 -npl 3")


def test_a_races_report_names_a_call_for_each_arm() -> None:
    _, *calls = report_of(race_run()).repeat
    assert [call.split(" -t ")[1].split()[0] for call in calls] == ["1", "2"]
    assert all(call.startswith("llama-bench -m m.gguf -p 0 -n 256 -d 256") for call in calls)


def test_before_and_after_counts_what_changed_beyond_its_interval() -> None:
    before, after = bench_run(10, 10.1, 9.9, 10), bench_run(12, 12.1, 11.9, 12)
    made = report_of_two(before, replace(after, host=replace(after.host, kernel="Linux 99")))
    assert made.verdict == "2 faster, 0 slower, 0 without a clear difference, of 2 tests."
    assert any("Changed kernel" in line and "Linux 99" in line for line in made.disturbed)
    assert report_of_two(before, before).verdict.startswith("0 faster, 0 slower, 2 without")
    assert report_of_two(before, race_run()).verdict.endswith("of 0 tests.")


def test_nothing_from_outside_acts_in_a_report() -> None:
    hostile = replace(race_run(), title=HOSTILE, verdict=HOSTILE, model=HOSTILE, command=HOSTILE)
    hostile.facts["arms"][1]["arm"] = HOSTILE
    text, page = io.StringIO(), io.StringIO()
    for write, out in ((write_markdown, text), (write_html, page)):
        write(out, report_of(hostile))
        assert "\x1b" not in out.getvalue()
        assert "\u202e" not in out.getvalue()
    assert "script" not in tags_of(page.getvalue())
    assert "\n| <script" not in text.getvalue()


def test_threads_and_depth_become_curves() -> None:
    points = [
        Point(setup, work, replace(FIGURES, threads=setup.preset.threads))  # type: ignore[arg-type]
        for setup, work in Grid(n_prompt=(), n_gen=(16,), n_depth=(0, 64), settings={"threads": (1, 2)}).points([Path("/m/a.gguf")])
    ]
    for number, point in enumerate(points):
        point.add(Took(0, 10**9 * (number + 1), 0.0))
    run = run_of_bench(points, started_ms=0, seconds=1.0, command="")
    assert run is not None
    charts = list(scaling_charts(run.facts))
    assert [chart.x for chart in charts] == ["threads", "depth in tokens"]
    assert [[x for x, _ in curve.points] for curve in charts[0].curves] == [[1, 2], [1, 2]]
    assert "path" in tags_of(svg_of(charts[0]))


def test_a_name_that_is_cut_is_not_cut_within_a_character_of_the_markup() -> None:
    drawn = svg_of(IntervalChart("t", "u", (Bar("a" * 42 + "<script>", 1.0, None, None),), None))
    assert f"{'a' * 42}&lt;s<" in drawn


@pytest.mark.parametrize(
    "chart",
    [
        IntervalChart("t", "%", (Bar("a", None, None, None), Bar("b", math.nan, None, None)), 0.0),
        IntervalChart("t", "%", (Bar("a", 0.0, None, None),), 0.0),
        IntervalChart("t", "%", (Bar("a", 1.0, -math.inf, math.inf), Bar("b", -4.0, -5.0, -3.0)), 0.0),
        LineChart("t", "x", "u", (Curve("a", ((1.0, 0.0),)),)),
        LineChart("t", "x", "u", (Curve("a", ((1.0, 2.0), (3.0, 4.0)), frozenset({1}), ("p", "q")),), Curve("roof", ((1.0, 9.0),))),
    ],
)
def test_a_chart_of_few_or_equal_figures_stays_finite(chart: IntervalChart | LineChart) -> None:
    drawn = svg_of(chart)
    tags_of(drawn)
    assert "nan" not in drawn
    assert "inf" not in drawn
