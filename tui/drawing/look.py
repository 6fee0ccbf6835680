"""Styles of the panel's roles under a theme. Bold, reverse and signs repeat what colour expresses."""

from __future__ import annotations

from collections.abc import Mapping

from rich.style import Style
from textual.color import Color, ColorParseError

from tui.drawing.rows import Role

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
}
"""Theme variables by role; the first that the theme has is used."""

_MARKED: Mapping[Role, Style] = {
    Role.TITLE: Style(bold=True),
    Role.CHOSEN: Style(bold=True, reverse=True),
    Role.VALUE: Style(bold=True),
    Role.WARNING: Style(bold=True),
    Role.BAD: Style(bold=True),
}


def look(variables: Mapping[str, str], base: Style) -> Mapping[Role, Style]:
    """A style for each role; `base` has the widget's background."""
    return {role: base + _MARKED.get(role, Style.null()) + _colour(variables, names) for role, names in _COLOURS.items()}


def _colour(variables: Mapping[str, str], names: tuple[str, ...]) -> Style:
    for name in names:
        try:
            return Style(color=Color.parse(variables[name]).rich_color)
        except (KeyError, ColorParseError):
            continue
    return Style.null()
