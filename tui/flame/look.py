"""Styles of a flamegraph under a theme. Colours only repeat figures and words."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from rich.style import Style
from textual.color import Color, ColorParseError

from engine.profiling.diff import Measure
from engine.profiling.frames import Module
from tui.theming import VARIABLES


class Tint(StrEnum):
    """Meaning of a block's colour: the part of the program, or the amount of change."""

    THREAD = Module.THREAD
    ENGINE = Module.ENGINE
    TUI = Module.TUI
    TEXTUAL = Module.TEXTUAL
    PYTHON = Module.PYTHON
    GGML = Module.GGML
    NATIVE = Module.NATIVE
    IDLE = Module.IDLE
    GREW = "grew"
    GREW_MUCH = "grew-much"
    SHRANK = "shrank"
    SHRANK_MUCH = "shrank-much"
    SAME = "same"


MUCH = 1.5
"""Factor from which a change counts as large."""

_VARIABLE: Mapping[Tint, str] = {
    **{Tint(module): f"flame-{module}" for module in Module},
    Tint.GREW: "flame-grew",
    Tint.GREW_MUCH: "flame-grew",
    Tint.SHRANK: "flame-shrank",
    Tint.SHRANK_MUCH: "flame-shrank",
    Tint.SAME: "flame-thread",
}
_PALE = 0.45
"""Share of the background in the colour of a small change."""
_SHADE = 0.10
"""Share of the background in every other shade, to separate adjacent blocks."""
SHADES = 3
_DARK_ANSI = frozenset({-1, 0, 1, 4, 5, 8})
"""Colours of a 16-colour terminal that are dark in all common palettes: black, red, blue, magenta, bright black; -1 is its
background."""


def tint_of_change(change: Measure) -> Tint:
    """Return the tint of a change."""
    if change.equal:
        return Tint.SAME
    much = change.ratio is None or not 1 / MUCH < change.ratio < MUCH
    if change.change > 0:
        return Tint.GREW_MUCH if much else Tint.GREW
    return Tint.SHRANK_MUCH if much else Tint.SHRANK


class FlameLook:
    """Rich styles of blocks under one theme."""

    def __init__(self, variables: Mapping[str, str], base: Style) -> None:
        """`variables`: the app's theme variables; `base`: the widget's own style."""
        self._variables = variables
        self._ground = _colour(variables, "background")
        self._styles: dict[tuple[Tint, int], Style] = {}
        self.base = base
        muted = _colour(variables, "muted", "foreground")
        self.rest = base + Style(color=muted.rich_color if muted else None, dim=True)
        """Style of blocks too narrow to draw."""
        self.chosen = base + Style(reverse=True, bold=True)
        """The block under the cursor."""
        match = _colour(variables, "flame-match", "foreground")
        paper = Style(color=_ink(match).rich_color, bgcolor=match.rich_color) if match else Style(reverse=True)
        self.match = base + paper + Style(bold=True, underline=True)
        """Blocks that match the search."""
        self.heading = base + Style(bold=True)

    def block(self, tint: Tint, shade: int) -> Style:
        """Return the style of a block; `shade` separates adjacent blocks."""
        key = (tint, shade % SHADES)
        style = self._styles.get(key)
        if style is None:
            style = self._styles[key] = self.base + self._make(*key)
        return style

    def _make(self, tint: Tint, shade: int) -> Style:
        variable = _VARIABLE[tint]
        colour = _colour(self._variables, variable, VARIABLES[variable])
        if colour is None:
            return Style(reverse=True)
        ink = _ink(colour)
        if self._ground is not None and colour.ansi is None and self._ground.ansi is None:
            paler = colour.blend(self._ground, _PALE) if tint in (Tint.GREW, Tint.SHRANK) else colour
            # The ink depends on the unshaded colour, so that neighbours of one part don't alternate between black and white.
            ink, colour = _ink(paler), paler.blend(self._ground, shade * _SHADE)
        return Style(color=ink.rich_color, bgcolor=colour.rich_color)


def _ink(background: Color) -> Color:
    """Return a readable colour for text on a background."""
    if background.ansi is not None:
        return Color.parse("ansi_bright_white" if background.ansi in _DARK_ANSI else "ansi_black")
    return background.get_contrast_text(1.0)


def _colour(variables: Mapping[str, str], *names: str) -> Color | None:
    for name in names:
        try:
            colour = Color.parse(variables[name])
        except (KeyError, ColorParseError):
            continue
        return colour if colour.ansi is not None else colour.with_alpha(1.0)
    return None
