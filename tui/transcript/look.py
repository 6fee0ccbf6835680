"""Styles of the transcript, from the theme's component styles."""

from __future__ import annotations

import io
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from rich.console import Console
from rich.style import Style
from rich.theme import Theme

if TYPE_CHECKING:
    from textual.widget import Widget

GUTTER = 2
"""Cells left of the text: one for the bar, one blank."""


@dataclass(frozen=True)
class Look:
    """A Rich style for each element of the transcript. Part of every cache key."""

    base: Style
    label_user: Style
    label_assistant: Style
    label_system: Style
    user_text: Style
    chosen: Style
    muted: Style
    faint: Style
    thinking: Style
    failure: Style
    heading: Style
    strong: Style
    link: Style
    quote: Style
    rule: Style
    inline_code: Style
    code: Style
    code_comment: Style
    code_keyword: Style
    code_string: Style
    code_number: Style
    code_name: Style

    COMPONENTS: ClassVar[frozenset[str]]

    @classmethod
    def of(cls, widget: Widget) -> Look:
        """Read the styles from a widget's stylesheet and theme."""
        return cls(
            base=widget.rich_style,
            **{name: widget.get_component_rich_style(component, partial=True) for name, component in _NAMES.items()},
        )

    @cached_property
    def console(self) -> Console:
        """Make a console that renders Rich objects in these styles, without output or markup."""
        return Console(
            file=io.StringIO(),
            force_terminal=True,
            color_system="truecolor",
            legacy_windows=False,
            markup=False,
            highlight=False,
            emoji=False,
            theme=Theme(self._markdown_styles(), inherit=False),
        )

    def _markdown_styles(self) -> dict[str, Style]:
        plain = Style()
        headings = {f"markdown.h{level}": self.heading for level in range(2, 7)}
        return headings | {
            "none": plain,
            "markdown.h1": self.heading + Style(underline=True),
            "markdown.paragraph": plain,
            "markdown.em": Style(italic=True),
            "markdown.strong": self.strong,
            "markdown.s": Style(strike=True),
            "markdown.code": self.inline_code,
            "markdown.block_quote": self.quote,
            "markdown.item": plain,
            "markdown.item.bullet": self.muted,
            "markdown.item.number": self.muted,
            "markdown.link": self.link,
            "markdown.link_url": self.muted,
            "markdown.table.border": self.rule,
            "markdown.table.header": self.strong,
            "table.cell": plain,
            "table.header": plain,
            "table.footer": plain,
            "table.title": plain,
            "table.caption": plain,
        }


_NAMES = {field.name: f"transcript--{field.name.replace('_', '-')}" for field in fields(Look) if field.name != "base"}
Look.COMPONENTS = frozenset(_NAMES.values())
