"""The definition of a figure: name, explanation, reading from a snapshot, and its uses."""

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
"""A number, a text, plain data, the reason why it is unavailable, or None while there is nothing to measure."""

Reader = Callable[[Snapshot], Value]


@dataclass(frozen=True, slots=True)
class History:
    """The history of a figure, for the charts of the panel."""

    flowing: bool = False
    """Whether it covers the last second only, and not all the time since the last sample."""
    read: Reader | None = None
    """Reads the value to keep, where it differs from the one shown."""


@dataclass(frozen=True, slots=True)
class Column:
    """The column of a figure in `v_samples` and exports; it is logged with every sample."""

    type: Literal["REAL", "INTEGER"]
    name: str = ""
    """The figure's id when empty."""
    read: Reader | None = None
    """Reads the value to log, where it differs from the one shown."""


@dataclass(frozen=True, slots=True)
class Metric:
    """The metric of a figure for Prometheus, in Prometheus' base units."""

    name: str
    kind: Literal["gauge", "counter"] = "gauge"
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. Optional parts add uses: without `column`, for example, it isn't logged."""

    id: str
    name: str
    _: KW_ONLY
    read: Reader
    label: str = ""
    """The short name, for rows of the panel and lines of charts."""
    unit: str = ""
    formula: str = ""
    source: str = ""
    """The source of its inputs."""
    levers: str = ""
    """Changes that affect it."""
    actions: tuple[str, ...] = ()
    """Ids of actions that affect it; the screen adds their keys."""
    panes: tuple[str, ...] = ()
    """Panes of the panel whose explanation includes it."""
    row: bool = False
    """Whether it has its own row in its pane at full density."""
    detail: Callable[[Snapshot], str] | None = None
    """Text after the value in that row."""
    group: str = ""
    """Its object in the live report; none when empty."""
    key: str | None = None
    """Its name in the live report where it differs from its id; empty when it isn't reported."""
    fold: Fold = "mean"
    """How several values in one point of a chart are combined."""
    history: History | None = None
    column: Column | None = None
    sample_chart: str = ""
    """The chart over logged samples that has a line of it."""
    of_turn: Callable[[TurnRecord], float | None] | None = None
    """Reads it from a finished turn, for comparisons of sessions and settings."""
    less_is_better: bool | None = None
    """Whether less is better; None for a figure of quantity, not of quality."""
    turn_chart: str = ""
    """The chart over turns that has a line of it; `v_turns` has a column of its id."""
    metric: Metric | None = None

    @property
    def short(self) -> str:
        """Its short name."""
        return self.label or self.name

    @property
    def column_name(self) -> str:
        """Its column in the log."""
        return (self.column.name if self.column else "") or self.id

    @property
    def chart_unit(self) -> tuple[str, float]:
        """The unit of charts and comparisons, and the factor from the figure's own unit."""
        return ("MB", 1e6) if self.unit == "bytes" else (self.unit.split(" ")[0], 1)

    def kept(self, now: Snapshot) -> float | None:
        """Return the value for its history."""
        return number_in(((self.history and self.history.read) or self.read)(now))

    def logged(self, now: Snapshot) -> float | None:
        """Return the value for its column."""
        value = number_in(((self.column and self.column.read) or self.read)(now))
        return int(value) if value is not None and self.column and self.column.type == "INTEGER" else value

    def unavailable(self, now: Snapshot) -> str | None:
        """Return why it is unavailable now; None when it is available."""
        value = self.read(now)
        return value.reason if isinstance(value, Unavailable) else None


def number_in(value: Value) -> float | None:
    """Return the number, or None where there is none."""
    return value if isinstance(value, int | float) else None


def logged_figures(figures: Iterable[Figure]) -> tuple[Figure, ...]:
    """Return the figures with a column."""
    return tuple(figure for figure in figures if figure.column is not None)


NOT_SAMPLED = Unavailable("not sampled yet")


def of_host(read: Callable[[HostSample], Value]) -> Reader:
    """Read from the newest sample of the machine."""
    return lambda now: NOT_SAMPLED if now.host is None else read(now.host)
