"""What the screen's tests share: a host for one widget, and waiting for a fact instead of for time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widget import Widget

from engine.messages import Role
from engine.records import Message
from tui.actions.dispatch import widget_for
from tui.actions.registry import BY_ID
from tui.theming import load_themes, variable_defaults


async def wait_until(pilot: Pilot[Any], predicate: Callable[[], bool], what: str = "") -> None:
    """Let the program run until `predicate` holds; fails after five seconds."""
    for _ in range(500):
        if predicate():
            return
        await pilot.pause()
        await asyncio.sleep(0.01)
    raise AssertionError(f"never came true: {what or predicate}")


THEMES = tuple(load_themes(Path("/nonexistent")).themes.values())


class Host(App[None]):
    """One widget in the program's own theme."""

    def __init__(self, *widgets: Widget, theme: str = "dark") -> None:
        super().__init__()
        self._widgets = widgets
        for made in THEMES:
            self.register_theme(made)
        self.theme = theme

    def compose(self) -> ComposeResult:
        yield from self._widgets

    async def action_do(self, action_id: str) -> None:
        widget = widget_for(self.screen, BY_ID[action_id])
        if widget is not None:
            await widget.run_action(BY_ID[action_id].method)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults(self.current_theme)


def screen_lines(app: App[Any]) -> list[str]:
    """The screen as text, line by line."""
    return [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]


def column_lines(app: App[Any]) -> list[str]:
    """The screen as text, without a scroll bar at its right."""
    return [line[: app.size.width - 1].rstrip() for line in screen_lines(app)]


def screen_text(app: App[Any]) -> str:
    """The screen as text."""
    return "\n".join(screen_lines(app))


def talk(*texts: str) -> list[Message]:
    """A conversation: user, assistant, user, and so on."""
    roles = [Role.USER, Role.ASSISTANT]
    return [Message(id=number + 1, parent_id=number or None, role=roles[number % 2], text=text) for number, text in enumerate(texts)]


def numbered(count: int, lines: int = 4) -> Iterable[Message]:
    """A long conversation whose every line says where it is."""
    return talk(*("\n\n".join(f"message {number} line {line}" for line in range(lines)) for number in range(count)))
