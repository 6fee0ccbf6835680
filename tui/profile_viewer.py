"""The capture viewer as a program of its own, for `xchat profile show` and `xchat profile diff` in a terminal."""

from __future__ import annotations

from typing import ClassVar

from textual.app import App
from textual.binding import BindingType

from engine.remembered import recall
from tui.bindings import bindings_for
from tui.driver import AsciiDriver, SafeLinuxDriver
from tui.keys import Scope
from tui.screens.flame import FlameScreen
from tui.terminal import Terminal
from tui.theming import load_themes, theme_for, variable_defaults
from tui.widgets.flame_subject import Subject


class ProfileViewer(App[None], inherit_bindings=False):
    """Shows one subject, and ends when its screen is left."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.APP, only={"quit"})]

    def __init__(self, subject: Subject, terminal: Terminal, theme: str | None = None) -> None:
        super().__init__(driver_class=SafeLinuxDriver if terminal.unicode else AsciiDriver)
        self._subject = subject
        themes = load_themes().themes
        for made in themes.values():
            self.register_theme(made)
        wanted = theme or recall().theme or ""
        self.theme = wanted if wanted in themes else theme_for(terminal)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Xchat's own colours, for themes that do not set them."""
        return variable_defaults(self.current_theme)

    def on_mount(self) -> None:
        """Show it."""
        self.push_screen(FlameScreen(self._subject), lambda _: self.exit())
