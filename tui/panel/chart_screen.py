"""A live chart at full screen."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import BindingType

from engine.metrics.history import Trace, Window
from engine.metrics.snapshot import Marker, Snapshot
from engine.numbers import UNKNOWN, significant
from engine.store.series import axis_end
from engine.text import one_line
from tui.actions.bindings import bindings_for, keymap_of
from tui.actions.registry import Scope
from tui.drawing.braille import Glyphs
from tui.drawing.chart import highest
from tui.drawing.large_chart import LargeChartScreen, Plot, line_sign
from tui.drawing.rows import cut
from tui.panel.pane import ChartSpec

REFRESH_S = 1.0
"""Interval of drawing; plotext takes some ten milliseconds per chart."""


def plot_of(traces: Sequence[Trace], spec: ChartSpec, markers: Sequence[Marker], uptime_s: float, cursor: int | None) -> Plot:
    """Make a plot of traces, with times in seconds before now."""
    lines = tuple(
        tuple(
            (_seconds(trace, place, uptime_s), None if value is None else value / spec.divisor) for place, value in enumerate(trace.values)
        )
        for trace in traces
    )
    span = traces[0].span_s if traces else 60.0
    marks = tuple((when, _named(marker)) for marker in markers if -span <= (when := marker.seconds - uptime_s) <= 0)
    at = _seconds(traces[0], cursor, uptime_s) if traces and cursor is not None else None
    top = spec.top or max(spec.floor, axis_end(highest(traces) or 0.0)) / spec.divisor
    return Plot(lines, -span, 0.0, top, marks, at, times=True)


def _named(marker: Marker) -> str:
    """Return the name of a mark: the switch, or the turn that began."""
    text = marker.text.partition(":")[0]
    return text if text.startswith(marker.kind.value) else f"{marker.kind.value} {text}"


def _seconds(trace: Trace, place: int, uptime_s: float) -> float:
    """Return the middle of a bucket, in seconds before now."""
    return min(0.0, (trace.first + place + 0.5) * trace.bucket_s - uptime_s)


class ChartScreen(LargeChartScreen):
    """Shows a chart of the panel at full screen, live."""

    KEYS = "{chart_left} {chart_right} read  {chart_window} window  {close_chart} closes"
    HELP = (
        "{chart_left} and {chart_right} read, {chart_first} and {chart_last} jump, {chart_window} changes the span, {close_chart} closes."
    )
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.CHART, only={"chart_window"})]

    def __init__(self, title: str, spec: ChartSpec, source: Callable[[], Snapshot], *, window: Window, glyphs: Glyphs) -> None:
        super().__init__(glyphs=glyphs)
        self._title = title
        self._spec = spec
        self._source = source
        self._window = window
        self._bucket: int | None = None
        """Bucket under the cursor; None follows the newest."""

    def on_mount(self) -> None:
        """Start drawing periodically."""
        self.set_interval(REFRESH_S, self.draw)

    def action_move(self, steps: int) -> None:
        """Move the cursor by values, skipping buckets without one."""
        traces = self._traces()
        measured = sorted({trace.first + place for trace in traces for place, value in enumerate(trace.values) if value is not None})
        if not measured:
            return
        here = bisect_left(measured, traces[0].last if self._bucket is None else self._bucket)
        self._bucket = measured[min(len(measured) - 1, max(0, here + steps))]
        self.draw()

    def action_jump(self, place: int) -> None:
        """Move to the oldest value, or follow the newest."""
        self._bucket = None
        if place == 0:
            self.action_move(-sum(len(trace.values) for trace in self._traces()))
        self.draw()

    def action_window(self) -> None:
        """Change the time span."""
        windows = list(Window)
        self._window = windows[(windows.index(self._window) + 1) % len(windows)]
        self._bucket = None
        self.draw()

    def _traces(self) -> list[Trace]:
        known = self._source().traces.get(self._window, {})
        return [known[name] for name in self._spec.traces if name in known and known[name].values]

    def draw(self) -> None:
        """Draw the current values."""
        now, traces = self._source(), self._traces()
        heading = f"{self._title}: {self._spec.label}, {self._window.value}"
        if now.engine is not None:
            threads = f"{now.engine.threads} thread{'' if now.engine.threads == 1 else 's'}"
            heading += f" · {one_line(now.engine.model)} {one_line(now.engine.quant)}, {threads}"
        if not traces or all(value is None for trace in traces for value in trace.values):
            empty = "Nothing was measured in this window."
            further = keymap_of(self.app).hint(f"{empty} Change it", "chart_window")
            self.show(heading, empty if self._window is Window.SESSION else further, "")
            return
        place = self._place(traces[0])
        what = plot_of(traces, self._spec, now.markers, now.uptime_s, None if self._bucket is None else place)
        self.show(heading, what, self._reading(traces, place, now))

    def _place(self, trace: Trace) -> int:
        """Return the index of the value under the cursor; the oldest if it left the window."""
        return len(trace.values) - 1 if self._bucket is None else min(len(trace.values) - 1, max(0, self._bucket - trace.first))

    def _reading(self, traces: Sequence[Trace], place: int, now: Snapshot) -> str:
        values = []
        for line, (name, trace) in enumerate(zip(self._spec.names, traces, strict=False)):
            value = trace.values[place] if place < len(trace.values) else None
            shown = UNKNOWN if value is None else significant(value / self._spec.divisor)
            values.append(f"{line_sign(line, self._glyphs)} {name} {shown} {self._spec.unit}")
        seconds = _seconds(traces[0], place, now.uptime_s)
        near = [marker.text for marker in now.markers if abs(marker.seconds - now.uptime_s - seconds) <= traces[0].bucket_s]
        return cut(
            f"{max(0.0, -seconds):,.1f} s ago   {'   '.join(values)}{'   ' + '; '.join(near) if near else ''}", max(0, self.size.width - 2)
        )
