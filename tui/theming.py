"""Reads and checks the themes in `themes/` and in the user's folder, and converts them to Textual's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from textual.color import Color, ColorParseError
from textual.theme import Theme

from engine.errors import UsageError
from engine.paths import config_dir
from engine.regular_file import read_written
from tui.terminal.terminal import Terminal

if TYPE_CHECKING:
    from engine.events import Notice

VARIABLES: Mapping[str, str] = {
    "muted": "foreground",
    "faint": "foreground",
    "rule": "panel",
    "key": "primary",
    "user": "primary",
    "user-background": "background",
    "assistant": "secondary",
    "thinking": "foreground",
    "chosen": "accent",
    "heading": "primary",
    "strong": "foreground",
    "link": "secondary",
    "quote": "foreground",
    "code": "foreground",
    "code-background": "surface",
    "code-comment": "foreground",
    "code-keyword": "primary",
    "code-string": "success",
    "code-number": "warning",
    "code-name": "secondary",
    "status": "foreground",
    "status-background": "surface",
    "chart-1": "primary",
    "chart-2": "success",
    "chart-3": "warning",
    "chart-4": "secondary",
    "chart-grid": "panel",
    "flame-thread": "panel",
    "flame-engine": "success",
    "flame-tui": "accent",
    "flame-textual": "secondary",
    "flame-python": "warning",
    "flame-ggml": "error",
    "flame-native": "primary",
    "flame-idle": "surface",
    "flame-grew": "error",
    "flame-shrank": "primary",
    "flame-match": "foreground",
}
"""xchat's own colours, each with the palette colour used when a theme does not set it."""

_ANSI_ONLY = ("ansi-background", "ansi-foreground")
"""Variables that Textual's stylesheets use and that `ansi` themes must define."""

_TEXT_STYLES = frozenset({"none", "bold", "dim", "italic", "underline", "reverse", "strike", "not"})


class Palette(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[palette]`: the base colours."""

    primary: str
    secondary: str
    accent: str
    success: str
    warning: str
    error: str
    foreground: str
    background: str
    surface: str
    panel: str


class ThemeFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Schema of a theme file."""

    title: str
    """A short line for the list."""
    dark: bool = True
    ansi: bool = False
    """Whether it uses the terminal's own 16 colours, `ansi_*`, and its background."""
    palette: Palette
    colours: dict[str, str] = {}
    """xchat's own colours, see `VARIABLES`."""
    textual: dict[str, str] = {}
    """Overrides of Textual's variables, such as `scrollbar` or `input-cursor-background`."""


@dataclass(frozen=True, slots=True)
class LoadedThemes:
    """The themes that could be read, and the errors of the others."""

    themes: Mapping[str, Theme]
    titles: Mapping[str, str]
    failures: tuple[UsageError, ...]

    def notices(self, wanted: str | None, used: str) -> list[Notice]:
        """Return the notices about themes that could not be read, and about an unknown `wanted` one."""
        from engine.events import Notice

        found = [Notice("warning", error.title, error.detail, error.hint, error.action) for error in self.failures]
        if wanted and wanted not in self.themes:
            found.append(Notice("warning", f"There is no theme {wanted!r}", f"Using {used}", f"Known: {', '.join(self.themes)}."))
        return found


def _check_colour(file: str, key: str, value: str, *, ansi: bool) -> None:
    try:
        colour = Color.parse(value)
    except ColorParseError:
        raise UsageError(
            f"Theme {file}: {key} = {value!r} is not a colour",
            "",
            "Write #rrggbb, a CSS colour name, or an ansi_* colour such as ansi_blue.",
        ) from None
    if ansi != (colour.ansi is not None) and value not in {"transparent", "ansi_default"}:
        kind = "one of the ansi_* colours, since `ansi = true`" if ansi else "an exact colour, since `ansi` is not set"
        raise UsageError(f"Theme {file}: {key} = {value!r} must be {kind}")


def _is_style(value: str) -> bool:
    return all(word in _TEXT_STYLES for word in value.split()) or re.fullmatch(r"auto( \d{1,3}%)?", value) is not None


def parse_theme(name: str, text: str, *, file: str) -> tuple[Theme, str]:
    """Read one theme; returns it with its title.

    Raises:
        UsageError: The theme is invalid; names file, key and reason.

    """
    try:
        theme = msgspec.toml.decode(text, type=ThemeFile)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise UsageError(f"Theme {file} can't be used", str(error), "Compare it with the shipped themes.") from error
    palette: dict[str, str] = msgspec.structs.asdict(theme.palette)
    for key, value in palette.items():
        _check_colour(file, f"palette.{key}", value, ansi=theme.ansi)
    for key, value in theme.colours.items():
        if key not in VARIABLES:
            raise UsageError(f"Theme {file}: colours.{key} is unknown", "", f"Known: {', '.join(VARIABLES)}.")
        _check_colour(file, f"colours.{key}", value, ansi=theme.ansi)
    made = Theme(
        name,
        theme.palette.primary,
        theme.palette.secondary,
        theme.palette.warning,
        theme.palette.error,
        theme.palette.success,
        theme.palette.accent,
        theme.palette.foreground,
        theme.palette.background,
        theme.palette.surface,
        theme.palette.panel,
        dark=theme.dark,
        ansi=theme.ansi,
    )
    known = {*Theme(name, "blue").to_color_system().generate(), *_ANSI_ONLY} if theme.textual else set()
    for key, value in theme.textual.items():
        if key not in known:
            raise UsageError(f"Theme {file}: textual.{key} is unknown", "", "Textual's guide on themes lists the names.")
        if not _is_style(value):
            _check_colour(file, f"textual.{key}", value, ansi=theme.ansi)
    made.variables = {key: palette[fallback] for key, fallback in VARIABLES.items()} | theme.colours | theme.textual
    if theme.ansi:
        made.variables = dict.fromkeys(_ANSI_ONLY, "ansi_default") | made.variables
    return made, theme.title


def variable_defaults(theme: Theme) -> dict[str, str]:
    """Xchat's own colours for a theme that does not set them, for `App.get_theme_variable_defaults`."""
    if theme.variables.keys() >= VARIABLES.keys():
        return {}
    colours = theme.to_color_system().generate()
    return {variable: colours[fallback] for variable, fallback in VARIABLES.items()}


def _theme_files(folder: Traversable | Path) -> Iterable[Traversable | Path]:
    if not folder.is_dir():
        return ()
    return sorted((entry for entry in folder.iterdir() if entry.name.endswith(".toml")), key=lambda entry: entry.name)


def load_themes(own_folder: Path | None = None, *, only: str | None = None) -> LoadedThemes:
    """Read the shipped themes, then the user's (`own_folder`, by default `themes/` in the config folder).

    A theme replaces an earlier one of the same name. Bad ones are skipped and reported. `only` reads one theme.
    """
    own_folder = own_folder or config_dir() / "themes"
    themes: dict[str, Theme] = {}
    titles: dict[str, str] = {}
    failures: list[UsageError] = []
    for folder, shown in ((files("themes"), "themes"), (own_folder, str(own_folder))):
        for entry in _theme_files(folder):
            name = entry.name.removesuffix(".toml")
            if only not in {None, name}:
                continue
            try:
                text = read_written(entry) if isinstance(entry, Path) else entry.read_text(encoding="utf-8")
                themes[name], titles[name] = parse_theme(name, text, file=f"{shown}/{entry.name}")
            except UsageError as error:
                failures.append(error)
            except (OSError, UnicodeDecodeError) as error:
                failures.append(UsageError(f"Theme {shown}/{entry.name} can't be read", str(error)))
    return LoadedThemes(themes, titles, tuple(failures))


def theme_for(terminal: Terminal) -> str:
    """Return the default theme for a terminal."""
    return "terminal" if terminal.depth == "16" or terminal.no_color else "dark"
