"""`xchat models compare`: the table of a family, its picture, and what is logged."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from engine.guide import builtin
from engine.lab.quality.family import Member, pareto_front
from engine.lab.quality.figures import Against, Estimate, Quality
from engine.lab.reports.charts import Curve, LineChart
from engine.lab.statistics import Interval, mean_interval
from engine.model_ref import BuiltInModel
from tests.tui.cli.conftest import Run
from tui.cli.lab.family import table
from tui.drawing.braille import Glyphs
from tui.drawing.picture import picture_of


def member(name: str, speed: float, kld: float | None) -> Member:
    none = Estimate(0.0, 0.0)
    against = None if not kld else Against(none, 0.0, none, Estimate(kld, 0.0), 0.0, 0.0, 0.0, Estimate(0.9, 0.0), 0.0)
    quality = None if kld is None else Quality(name, 100, 4, Estimate(10.0, 0.1), against)
    interval = Interval(speed, speed - 1, speed + 1)
    return Member(name, BuiltInModel("Q8_0"), 1 << 20, 2 << 20, 0.5, interval, interval, quality)


def test_the_front_has_every_quant_that_no_other_one_beats_in_speed_and_quality() -> None:
    members = [member("F16", 10, 0.0), member("Q8_0", 20, 0.001), member("Q5_0", 15, 0.01), member("Q4_0", 30, 0.05), member("x", 99, None)]
    assert pareto_front(members) == {0, 1, 3}
    lines = table(members)
    assert [line[0] for line in lines[1:6]] == ["*", "*", " ", "*", " "]
    assert "KL divergence from F16" in "\n".join(lines)


def test_a_speed_of_one_repetition_has_no_bounds() -> None:
    once = replace(member("Q8_0", 20, None), decode=mean_interval([20.0]))
    row = table([once, member("F16", 10, None)])[1]
    assert "inf" not in row
    assert len(row) == len(table([member("Q8_0", 20, None)])[1])


def test_equal_quants_are_both_on_the_front_and_one_alone_too() -> None:
    assert pareto_front([member("a", 10, 0.01), member("b", 10, 0.01)]) == {0, 1}
    assert pareto_front([member("a", 10, 0.0)]) == {0}
    assert pareto_front([]) == frozenset()


@pytest.mark.parametrize("glyphs", [Glyphs.HALVES, Glyphs.ASCII])
def test_a_picture_names_its_curves_and_points_and_keeps_its_width(glyphs: Glyphs) -> None:
    curves = (Curve("decode\x1b", ((1.0, 10.0), (2.0, 18.0), (4.0, 19.0))),)
    drawn = picture_of(
        LineChart("Decode speed", "threads", "tokens/s", curves, Curve("roofline", ((1.0, 20.0), (4.0, 40.0)))), 60, 12, glyphs
    )
    assert all(len(line) <= 60 for line in drawn.splitlines())
    assert "= roofline" in drawn
    assert "\x1b" not in drawn
    assert drawn.replace("␛", "").isascii() or glyphs is Glyphs.HALVES
    named = picture_of(LineChart("t", "x", "u", (Curve("q", ((0.0, 9.0), (0.5, 1.0)), frozenset({0}), ("F16", "Q4_0")),)), 60, 12, glyphs)
    assert "# F16" in named
    assert "o Q4_0" in named


@pytest.mark.slow
def test_the_quants_of_the_built_in_model_are_compared_and_reported(xchat: Run) -> None:
    builtin.quant_path("Q4_K_M")
    ran = xchat("models", "compare", "builtin", "--windows", "1", "--json")
    assert ran.code == 0, ran.err
    family = json.loads(ran.out)["family"]
    assert len(family) >= 2
    assert all(one["decode"]["estimate"] > 0 and one["load_s"] > 0 and one["memory_bytes"] > one["size_bytes"] for one in family)
    assert family[0]["kld"] == 0.0
    assert any(one["pareto"] for one in family)
    report = xchat("runs", "report", "1", "--format", "html").out
    assert "KL divergence from the reference" in report


def test_a_family_of_one_quant_has_nothing_to_compare(xchat: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    from tests import ggufs

    lone = ggufs.MAKERS["dense"](tmp_path_factory.mktemp("lone") / "lone.gguf")
    ran = xchat("models", "compare", str(lone))
    assert ran.code == 2
    assert "nothing to compare" in ran.err
