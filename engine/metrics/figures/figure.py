"""What a figure is: how it is called and explained, how it is read from a snapshot, and where else it goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal

from engine.host.sampler import HostSample
from engine.host.value import Unavailable
from engine.metrics.history import Fold
from engine.metrics.snapshot import Snapshot
from engine.records import TurnRecord

Value = float | str | Unavailable | Sequence[object] | Mapping[str, object] | None
"""A number, a text, plain data, why it can't be known, or None while there is nothing to measure."""

Reader = Callable[[Snapshot], Value]


@dataclass(frozen=True, slots=True)
class History:
    """The figure is kept over time, for the charts of the panel."""

    flowing: bool = False
    """It stands for the last second only. Others stand for all the time since the sample before: at rest samples are seconds apart."""
    read: Reader | None = None
    """What to keep where that is not the figure as it is shown."""


@dataclass(frozen=True, slots=True)
class Column:
    """The figure is logged with every sample, and is a column of `v_samples` and of exports."""

    type: Literal["REAL", "INTEGER"]
    name: str = ""
    """The figure's id when empty."""
    read: Reader | None = None
    """What to log where that is not the figure as it is shown."""


@dataclass(frozen=True, slots=True)
class Metric:
    """The figure is served to Prometheus, in Prometheus' base units."""

    name: str
    kind: Literal["gauge", "counter"] = "gauge"
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. What it leaves out it doesn't have: no `column`, and it isn't logged."""

    id: str
    name: str
    _: KW_ONLY
    read: Reader
    label: str = ""
    """The name where room is short: beside a value of the panel, a line of a chart."""
    unit: str = ""
    formula: str = ""
    source: str = ""
    """Where the inputs come from."""
    levers: str = ""
    """What would change it."""
    actions: tuple[str, ...] = ()
    """Ids of actions that change it; the screen adds their keys."""
    panes: tuple[str, ...] = ()
    """Panes of the panel whose explanation names it."""
    row: bool = False
    """It has a row of its own in its pane at full density."""
    detail: Callable[[Snapshot], str] | None = None
    """What is said after the value in that row."""
    group: str = ""
    """The object in the live report that it belongs to; none when empty."""
    key: str | None = None
    """Its name in the live report where that is not its id; empty when it isn't reported."""
    fold: Fold = "mean"
    """What becomes of several values in one point of a chart."""
    history: History | None = None
    column: Column | None = None
    sample_chart: str = ""
    """The chart over logged samples that it is a line of."""
    of_turn: Callable[[TurnRecord], float | None] | None = None
    """What it was in a finished turn: such figures of two sessions or settings are compared."""
    less_is_better: bool | None = None
    """None for a figure that says what was done, not how well."""
    turn_chart: str = ""
    """The chart over turns that it is a line of; `v_turns` has a column of its id."""
    metric: Metric | None = None

    @property
    def short(self) -> str:
        """What it is called where room is short."""
        return self.label or self.name

    @property
    def column_name(self) -> str:
        """Its column in the log."""
        return (self.column.name if self.column else "") or self.id

    @property
    def chart_unit(self) -> tuple[str, float]:
        """The unit of charts and comparisons over turns and samples, and how much of the figure's own unit it is."""
        return ("MB", 1e6) if self.unit == "bytes" else (self.unit.split(" ")[0], 1)

    def kept(self, now: Snapshot) -> float | None:
        """The value for its history."""
        return number_in(((self.history and self.history.read) or self.read)(now))

    def logged(self, now: Snapshot) -> float | None:
        """The value for its column."""
        value = number_in(((self.column and self.column.read) or self.read)(now))
        return int(value) if value is not None and self.column and self.column.type == "INTEGER" else value

    def unavailable(self, now: Snapshot) -> str | None:
        """Why it can't be known now; None when it can."""
        value = self.read(now)
        return value.reason if isinstance(value, Unavailable) else None


def number_in(value: Value) -> float | None:
    """The number, or None where there is none."""
    return value if isinstance(value, int | float) else None


def logged_figures(figures: Iterable[Figure]) -> tuple[Figure, ...]:
    """Those with a column."""
    return tuple(figure for figure in figures if figure.column is not None)


NOT_SAMPLED = Unavailable("not sampled yet")


def of_host(read: Callable[[HostSample], Value]) -> Reader:
    """Read from the newest sample of the machine."""
    return lambda now: NOT_SAMPLED if now.host is None else read(now.host)
