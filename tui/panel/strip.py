"""The panel's figures in one row above the prompt, where the panel does not fit or is hidden."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.host.value import known
from engine.metrics.history import Window
from engine.metrics.snapshot import EMPTY, Phase, Snapshot
from engine.numbers import byte_size, percent, significant
from tui.drawing.braille import Glyphs, spark
from tui.drawing.one_row import OneRow
from tui.drawing.rows import Role, Row, Run, bar, fit, level, text_of
from tui.panel.values import shown, speed

GAP = 2
"""Cells between two figures."""
PULSE = (8, 40)
"""Fewest and most cells of the curve of the speed."""
BAR_CELLS = 5
OTHERS_PCT = 20.0
"""Share of all cores from which other programs are marked, in per cent."""


@dataclass(frozen=True, slots=True)
class Part:
    """A figure of the strip."""

    importance: int
    """Importance, from 0; the least important part is dropped first."""
    runs: Row
    short: Row = ()
    """The version for narrow screens."""


def strip_row(now: Snapshot, width: int, glyphs: Glyphs) -> Row:
    """Make the row of the known figures that fit; the curve fills the rest."""
    parts = list(_parts(now))
    room = width - 3 - PULSE[0]
    if _width(parts) > room:
        parts = [Part(part.importance, part.short or part.runs) for part in parts]
    while len(parts) > 1 and _width(parts) > room:
        parts.remove(max(parts, key=lambda part: part.importance))
    pulse = _pulse(now, min(PULSE[1], max(0, width - 3 - _width(parts))), glyphs)
    first, *others = parts
    runs: list[Run] = [(" ", Role.TEXT), *first.runs, *([(" ", Role.TEXT), (pulse, Role.FIRST)] if pulse.strip() else [])]
    for part in others:
        runs += [(" " * GAP, Role.TEXT), *part.runs]
    return fit(tuple(runs), width)


def _width(parts: Sequence[Part]) -> int:
    return sum(len(text_of(part.runs)) for part in parts) + GAP * (len(parts) - 1)


def _parts(now: Snapshot) -> Iterator[Part]:
    label, value = _speed(now)
    brief = tuple((text.replace("last turn", "last"), role) for text, role in label)
    yield Part(0, (*label, *value), (*brief, *value))
    if now.alerts:
        yield Part(2, ((f"{len(now.alerts)} alert{'s' if len(now.alerts) > 1 else ''}", Role.BAD),))
    if now.waterfall is not None:
        yield Part(3, (("TTFT ", Role.LABEL), (shown(now, "ttft_ms"), Role.VALUE)))
    context = now.context
    if context.n_ctx and context.share is not None:
        role = level(context.share, 0.8, 0.95)
        yield Part(1, *_gauge("ctx", context.share, percent(context.share), role))
    if now.host is not None:
        total, available = known(now.host.memory.total), known(now.host.memory.available)
        if total and available is not None:
            share = 1 - available / total
            taken = f"{significant((total - available) / 1e9)} of {byte_size(total)}"
            yield Part(5, *_gauge("RAM", share, taken, level(share, 0.8, 0.95), percent(share)))
        others, machine = known(now.host.cpu.others_pct) or 0.0, known(now.host.cpu.machine_pct)
        if machine is not None:
            role = Role.WARNING if others >= OTHERS_PCT else Role.FIRST
            taken = f"{percent(machine / 100)}, others {percent(others / 100)}" if role is Role.WARNING else percent(machine / 100)
            yield Part(4, *_gauge("CPU", machine / 100, taken, role, percent(machine / 100)))


def _gauge(name: str, share: float, value: str, role: Role, brief: str = "") -> tuple[Row, Row]:
    """Make a figure with a small bar, and without it."""
    text, ink = (f"{name} ", Role.LABEL), _valued(role)
    return (text, *bar(share, BAR_CELLS, role), (f" {value}", ink)), (text, (brief or value, ink))


def _valued(role: Role) -> Role:
    """Return the role of a number whose bar has this role."""
    return Role.VALUE if role is Role.FIRST else role


def _speed(now: Snapshot) -> tuple[Row, Row]:
    """Make the phase with its speed."""
    if now.phase is Phase.LOADING:
        return (("loading ", Role.LABEL),), ((percent(now.loading), Role.VALUE),)
    label, value = speed(now)
    if now.phase.in_turn or now.speed.mean is not None:
        return ((f"{label} ".lstrip(), Role.LABEL),), ((f"{value:>9}", Role.GOOD if now.phase.in_turn else Role.VALUE),)
    return ((now.phase.value, Role.LABEL),), ()


def _pulse(now: Snapshot, cells: int, glyphs: Glyphs) -> str:
    trace = now.traces.get(Window.MINUTE, {}).get("tokens_per_second")
    values = trace.values[-cells:] if trace is not None and cells >= PULSE[0] else ()
    highest = max((value for value in values if value is not None), default=0.0)
    return f"{spark(values, high=highest, glyphs=glyphs):>{cells}}"


class PanelStrip(OneRow):
    """Shows one snapshot per tick."""

    DEFAULT_CSS = """
    PanelStrip { height: 1; width: 1fr; background: $background; }
    """

    def __init__(self, *, glyphs: Glyphs = Glyphs.BRAILLE, id: str | None = None) -> None:
        super().__init__(id=id)
        self._glyphs = glyphs
        self._snapshot = EMPTY

    def on_show(self) -> None:
        """Draw the figures that came while the strip was hidden."""
        self.restyle()

    def show(self, snapshot: Snapshot) -> None:
        """Show these figures. Costs nothing while the strip is hidden."""
        self._snapshot = snapshot
        if self.is_on_screen:
            self.redraw()

    def row(self, width: int) -> Row:
        """Return the row of figures."""
        return strip_row(self._snapshot, width, self._glyphs)
