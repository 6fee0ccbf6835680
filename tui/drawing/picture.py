"""Draws charts of the laboratory for a terminal with plotext, without colour."""

from __future__ import annotations

from engine.lab.reports.charts import LineChart
from engine.text import one_line
from tui.drawing.braille import Glyphs

_SIGNS = "*ox+#%@&"
_ASCII_FRAME = str.maketrans("┌┐└┘├┤┬┴┼─│", "+++++++++-|")


def picture_of(chart: LineChart, width: int, height: int, glyphs: Glyphs) -> str:
    """Draw the chart as lines of text: a sign for each curve, its points joined unless they have names; `=` is the ceiling."""
    import plotext

    plotext.clear_figure()
    plotext.theme("clear")
    plotext.limitsize(False, False)
    plotext.plotsize(width, height)
    curves = [*chart.curves, *([chart.ceiling] if chart.ceiling is not None else [])]
    plotext.ylim(0, 1.08 * max(y for curve in curves for _, y in curve.points) or 1.0)
    ticks = sorted({x for curve in curves for x, _ in curve.points})
    if any(curve.labels for curve in curves):  # space for the names
        span = ticks[-1] - ticks[0] or 1.0
        plotext.xlim(ticks[0] - 0.1 * span, ticks[-1] + 0.25 * span)
    legend = []
    for number, curve in enumerate(curves):
        xs, ys = zip(*curve.points, strict=True)
        sign = "=" if curve is chart.ceiling else _SIGNS[number % len(_SIGNS)]
        if curve.labels:
            for index, (x, y) in enumerate(curve.points):
                name = one_line(curve.labels[index])
                plotext.text(f"{'#' if index in curve.marked else 'o'} {name}", x, y, alignment="left")
        else:
            plotext.plot(xs, ys, marker=sign)
            legend.append(f"{sign} {one_line(curve.name)}")
    if len(ticks) <= width // 8:
        plotext.xticks(ticks, [f"{tick:g}" for tick in ticks])
    drawn = plotext.uncolorize(plotext.build())
    plotext.clear_figure()
    if glyphs is Glyphs.ASCII:
        drawn = drawn.translate(_ASCII_FRAME)
    head = f"{chart.title}, {chart.unit}, against {chart.x}"
    return "\n".join([head, *(line.rstrip() for line in drawn.splitlines()), *(f"  {line}" for line in legend)])
