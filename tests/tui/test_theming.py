"""Themes are complete, checked, and never take the program down."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from textual.color import Color

import tui
from engine.errors import UsageError
from tui.terminal.terminal import read_terminal
from tui.theming import VARIABLES, ThemeFile, load_themes, parse_theme, theme_for

GOOD = Path(__file__).parents[2].joinpath("themes/dark.toml")


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "themes"
    folder.mkdir()
    return folder


def test_the_themes_that_come_with_xchat_are_all_right_and_set_every_colour(own_folder: Path) -> None:
    loaded = load_themes(own_folder)
    assert loaded.failures == ()
    assert {"dark", "light", "contrast", "terminal"} <= set(loaded.themes)
    for theme in loaded.themes.values():
        assert set(VARIABLES) <= set(theme.variables)
        assert theme.to_color_system().generate()


TEXT_ON: Mapping[str, tuple[str, ...]] = {
    "background": (
        *("foreground", "primary", "secondary", "accent", "success", "warning", "error", "muted", "faint", "key", "user", "assistant"),
        *("thinking", "chosen", "heading", "strong", "link", "quote", "code"),
    ),
    "surface": ("foreground", "primary", "accent", "success", "warning", "error", "muted", "faint", "key", "chosen", "heading", "strong"),
    "user-background": ("foreground", "user"),
    "code-background": ("code", "code-comment", "code-keyword", "code-string", "code-number", "code-name"),
    "status-background": ("status", "muted", "foreground", "accent", "warning"),
    "block-cursor-background": ("block-cursor-foreground",),
}
"""What is written on which background."""


@pytest.mark.parametrize("name", [name for name, theme in load_themes(Path("/nonexistent")).themes.items() if not theme.ansi])
def test_text_has_a_contrast_of_4_5_in_every_theme_and_lines_of_charts_one_of_3(name: str) -> None:
    theme = load_themes(Path("/nonexistent")).themes[name]
    colours = theme.to_color_system().generate() | theme.variables
    poor = [
        f"{ink} on {paper}: {ratio:.2f}"
        for paper, inks in TEXT_ON.items()
        for ink in inks
        if (ratio := contrast(colours[ink], colours[paper])) < 4.5
    ]
    poor += [f"chart-{n}" for n in range(1, 5) if contrast(colours[f"chart-{n}"], colours["background"]) < 3]
    assert poor == []


def contrast(one: str, other: str) -> float:
    """The contrast ratio of the WCAG."""
    lighter, darker = sorted((luminance(Color.parse(colour)) for colour in (one, other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: Color) -> float:
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_there_are_eight_themes_and_light_ones_among_them() -> None:
    themes = load_themes(Path("/nonexistent")).themes.values()
    assert len(themes) >= 8
    assert sum(not theme.dark for theme in themes) >= 3


def test_a_theme_of_the_persons_own_is_found_and_replaces_one_of_the_same_name(own_folder: Path) -> None:
    text = GOOD.read_text()
    (own_folder / "dark.toml").write_text(text.replace("#7aa2d6", "#ff0000"))
    (own_folder / "mine.toml").write_text(text)
    loaded = load_themes(own_folder)
    assert loaded.themes["dark"].primary == "#ff0000"
    assert "mine" in loaded.themes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('primary = "#7aa2d6"', 'primary = "bleu"'), r"palette\.primary = 'bleu' is not a colour"),
        (('muted = "#8d95a3"', 'mutd = "#8d95a3"'), r"colours\.mutd is unknown"),
        (('muted = "#8d95a3"', 'muted = "ansi_red"'), r"colours\.muted = 'ansi_red' must be an exact colour"),
        (('scrollbar = "#363d49"', 'scrolbar = "#363d49"'), r"textual\.scrolbar is unknown"),
        (("[palette]", "[palete]"), r"palete"),
        (("[palette]", "[palette"), r"broken\.toml can't be used"),
    ],
)
def test_a_bad_theme_is_left_out_and_reported_with_file_key_and_reason(own_folder: Path, change: tuple[str, str], said: str) -> None:
    (own_folder / "broken.toml").write_text(GOOD.read_text().replace(*change, 1))
    loaded = load_themes(own_folder)
    assert "broken" not in loaded.themes
    assert "dark" in loaded.themes
    assert re.search(said, str(loaded.failures[0]))
    assert "broken.toml" in str(loaded.failures[0])


def test_a_theme_that_is_no_text_is_reported(own_folder: Path) -> None:
    (own_folder / "binary.toml").write_bytes(b"\xff\xfe\x00")
    assert "binary.toml" in str(load_themes(own_folder).failures[0])


def test_a_theme_without_own_colours_falls_back_to_its_palette() -> None:
    text = GOOD.read_text().split("[colours]")[0]
    theme, _ = parse_theme("plain", text, file="plain.toml")
    assert theme.variables["code-keyword"] == theme.primary
    assert ThemeFile.__struct_fields__


def test_sixteen_colours_and_no_color_choose_the_terminals_own_colours() -> None:
    assert theme_for(read_terminal({"TERM": "linux"}, encoding="utf-8")) == "terminal"
    assert theme_for(read_terminal({"TERM": "xterm-256color", "NO_COLOR": "1"}, encoding="utf-8")) == "terminal"
    assert theme_for(read_terminal({"TERM": "xterm-256color"}, encoding="utf-8")) == "dark"


def test_colours_stand_in_themes_and_nowhere_else() -> None:
    literal = re.compile(r"""#[0-9a-fA-F]{6}\b|\brgba?\(\d|(?:color|background): (?:red|blue|green|white|black|yellow|cyan|magenta)\b""")
    for path in [*Path(tui.__file__).parent.rglob("*.py"), *Path(tui.__file__).parent.rglob("*.tcss")]:
        found = literal.findall(path.read_text())
        assert not found, f"{path.name}: {found}"


def test_errors_are_of_the_family_that_people_read() -> None:
    with pytest.raises(UsageError):
        parse_theme("x", "title = 3", file="x.toml")
