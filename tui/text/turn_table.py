"""Formats turns of a session and comparisons as rows of figures, for the screen and the command line. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.metrics.figures import BY_ID
from engine.metrics.side_by_side import Difference, Middle, Side
from engine.records import TurnRecord
from engine.text import one_line
from tui.text.cells import cut
from tui.text.table import Column, fitting

UNKNOWN = "–"


TurnColumn = Column[TurnRecord]


def _figure(figure_id: str, width: int, rank: int, title: str = "", *, digits: int = 0) -> TurnColumn:
    """Make the column of a registered figure; `title` replaces a name that is too long."""
    figure = BY_ID[figure_id]
    unit, scale = figure.chart_unit
    read = figure.of_turn
    assert read is not None, figure_id

    def text(_: int, turn: TurnRecord) -> str:
        value = read(turn)
        return UNKNOWN if value is None else f"~{value:.0%}" if unit == "share" else f"{value / scale:,.{digits}f}"

    return Column(title or f"{figure.short} {unit}", width, text, rank)


def _threads(turn: TurnRecord) -> str:
    """Format the decode threads, and in brackets different prefill threads."""
    if not turn.threads:
        return UNKNOWN
    return str(turn.threads) if turn.threads == turn.threads_batch else f"{turn.threads} ({turn.threads_batch})"


def _when(turn: TurnRecord) -> str:
    return f"{datetime.fromtimestamp(turn.started_ms / 1000).astimezone():%m-%d %H:%M}"


def _remark(turn: TurnRecord) -> str:
    if turn.error is not None:
        return f"failed: {one_line(turn.error)}"
    if turn.noisy is not None:
        return f"noisy: {one_line(turn.noisy)}"
    return "" if turn.judged else "not judged"


COLUMNS: tuple[TurnColumn, ...] = (
    Column("turn", 5, lambda number, _: f"{number:,}", 0),
    Column("when", 11, lambda _, turn: _when(turn), 8),
    _figure("prompt_n", 7, 2, "prompt"),
    _figure("cache_n", 7, 2, "reused"),
    _figure("predicted_n", 9, 1, "generated"),
    _figure("ttft_ms", 8, 1),
    _figure("prompt_per_second", 9, 7, "prefill/s", digits=1),
    _figure("predicted_per_second", 8, 0, "tokens/s", digits=1),
    _figure("disturbed", 6, 3, "others"),
    _figure("itl_p99_ms", 7, 3, digits=1),
    _figure("rss_peak_bytes", 8, 4, "RAM MB"),
    Column("quant", 8, lambda _, turn: one_line(turn.quant), 6, left=True),
    Column("threads", 8, lambda _, turn: _threads(turn), 5),
    Column("preset", 12, lambda _, turn: one_line(turn.preset), 5, left=True),
    Column("", 24, lambda _, turn: _remark(turn), 9, left=True),
)
"""All columns, from left to right."""


def columns_for(width: int) -> tuple[TurnColumn, ...]:
    """Return the columns that fit."""
    return fitting(COLUMNS, width)


# Two sides


@dataclass(frozen=True, slots=True)
class SideLayout:
    """Column widths of a comparison."""

    name: int
    """Width of a figure's name with its unit."""
    side: int
    """Width of each side."""
    deviation: bool
    """Whether the deviation is shown."""


def side_layout(width: int) -> SideLayout:
    """Choose the layout for a width."""
    if width >= 92:
        return SideLayout(29, 20, True)
    return SideLayout(24, 14, False) if width >= 73 else SideLayout(20, 10, False)


def side_heading(left: Side, right: Side, layout: SideLayout) -> tuple[str, str, str, str]:
    """Format the names of both sides, the number of compared turns, their quants and threads."""
    names = [cut(one_line(side.name), layout.side) for side in (left, right)]
    counts = [f"{'~' if side.disturbed else ''}{len(side.compared):,} of {len(side.turns):,}" for side in (left, right)]
    quants, threads = ([_values(side, of) for side in (left, right)] for of in (lambda turn: one_line(turn.quant), _threads))
    rows = (("turns compared", counts), ("quant", quants), ("threads (prefill)", threads))
    compared, quant, thread = (_sides(name, [f"{cut(text, layout.side):>{layout.side}}" for text in texts], layout) for name, texts in rows)
    return _sides("", names, layout), compared, quant, thread


def _values(side: Side, of: Callable[[TurnRecord], str]) -> str:
    """Format a property of a side's compared turns, each value once."""
    return " or ".join(dict.fromkeys(map(of, side.compared))) or UNKNOWN


def advice(*sides: Side) -> tuple[str, ...]:
    """Return advice for sides without clean turns, one sentence each."""
    if any(side.disturbed for side in sides):
        return (
            "~ No clean turns: other programs took some of the time, which ± includes.",
            "Repeat the prompts on a quiet machine, or alternate between both settings.",
        )
    return () if all(side.compared for side in sides) else ("One side has no turns. Send a prompt there first.",)


def difference_row(row: Difference, layout: SideLayout) -> str:
    """Format a figure of both sides, with the change from left to right."""
    sides = [f"{_middle(middle, layout):>{layout.side}}" for middle in (row.left, row.right)]
    change = "" if row.change is None else f"{row.change:+.1%}"
    verdict = "" if row.better is None else "  better" if row.better else "  worse"
    return f"{_sides(f'{row.figure.name}, {row.figure.chart_unit[0]}', sides, layout)}  {change:>7}{verdict}".rstrip()


def _middle(middle: Middle | None, layout: SideLayout) -> str:
    if middle is None:
        return UNKNOWN
    mark = "~" if middle.disturbed else ""
    return f"{mark}{middle.median:,.1f} ± {middle.deviation:,.1f}" if layout.deviation else f"{mark}{middle.median:,.1f}"


def _sides(name: str, cells: Sequence[str], layout: SideLayout) -> str:
    return f"{cut(name, layout.name)}  {'  '.join(cells)}"
