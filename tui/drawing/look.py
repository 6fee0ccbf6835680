"""Styles of the panel's roles under a theme. Colours only repeat bold, reverse and signs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.style import Style
from textual.color import Color, ColorParseError

from tui.drawing.rows import FLOW, LOAD, STORE, Ramp, Role

_COLOURS: Mapping[Role, tuple[str, ...]] = {
    Role.TEXT: ("foreground",),
    Role.LABEL: ("muted", "foreground"),
    Role.TITLE: ("heading", "primary"),
    Role.CHOSEN: ("accent", "primary"),
    Role.VALUE: ("foreground",),
    Role.GOOD: ("success",),
    Role.WARNING: ("warning",),
    Role.BAD: ("error",),
    Role.GRID: ("chart-grid", "panel"),
    Role.MARK: ("accent", "primary"),
    Role.FIRST: ("chart-1", "primary"),
    Role.SECOND: ("chart-2", "secondary"),
    Role.THIRD: ("chart-3", "warning"),
    Role.FOURTH: ("chart-4", "secondary"),
}
"""Theme variables by role; the first that the theme has is used."""

_RAMPS: Mapping[Ramp, tuple[tuple[str, ...], ...]] = {
    FLOW: (("chart-1", "primary"), ("chart-2", "secondary")),
    LOAD: (("success",), ("warning",), ("error",)),
    STORE: (("chart-4", "secondary"), ("chart-1", "primary")),
}
"""Theme variables between which the colours of a ramp change, from its bottom to its top."""

_MARKED: Mapping[Role, Style] = {
    Role.TITLE: Style(bold=True),
    Role.CHOSEN: Style(bold=True, reverse=True),
    Role.VALUE: Style(bold=True),
    Role.WARNING: Style(bold=True),
    Role.BAD: Style(bold=True),
}


def look(variables: Mapping[str, str], base: Style) -> Mapping[Role, Style]:
    """Return a style for each role; `base` has the widget's background."""
    plain = {role: base + _MARKED.get(role, Style.null()) + _style(_colour(variables, names)) for role, names in _COLOURS.items()}
    shades = {
        role: base + _style(_between([_colour(variables, names) for names in stops], step / (len(ramp) - 1)))
        for ramp, stops in _RAMPS.items()
        for step, role in enumerate(ramp)
    }
    return plain | shades


def _between(stops: Sequence[Color | None], share: float) -> Color | None:
    """Interpolate between colours; returns the nearest stop where the terminal's own colours can't be mixed."""
    place = share * (len(stops) - 1)
    low, high = stops[int(place)], stops[min(len(stops) - 1, int(place) + 1)]
    if low is None or high is None or low.ansi is not None or high.ansi is not None:
        return stops[round(place)]
    return low.blend(high, place - int(place))


def _style(colour: Color | None) -> Style:
    return Style.null() if colour is None else Style(color=colour.rich_color)


def _colour(variables: Mapping[str, str], names: tuple[str, ...]) -> Color | None:
    for name in names:
        try:
            return Color.parse(variables[name])
        except (KeyError, ColorParseError):
            continue
    return None
