"""The capture viewer as a separate app, for `xchat profile show` and `xchat profile diff` in a terminal."""

from __future__ import annotations

import os
from typing import ClassVar

from textual.app import App
from textual.binding import BindingType

from engine.last_used import recall
from engine.paths import state_dir
from tui.actions.bindings import bindings_for
from tui.actions.dispatch import widget_for
from tui.actions.registry import BY_ID, Scope
from tui.flame.screen import FlameScreen
from tui.flame.subject import Subject
from tui.terminal.clipboard import copy
from tui.terminal.driver import AsciiDriver, SafeLinuxDriver
from tui.terminal.terminal import Terminal
from tui.theming import load_themes, theme_for, variable_defaults


class ProfileViewer(App[None], inherit_bindings=False):
    """Shows one subject; exits when its screen is closed."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.APP, only={"quit", "help"})]

    def __init__(self, subject: Subject, terminal: Terminal, theme: str | None = None) -> None:
        super().__init__(driver_class=SafeLinuxDriver if terminal.unicode else AsciiDriver)
        self._subject = subject
        themes = load_themes().themes
        for made in themes.values():
            self.register_theme(made)
        wanted = theme or recall().theme or ""
        self.theme = wanted if wanted in themes else theme_for(terminal)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Defaults of xchat's own colours, for themes that do not set them."""
        return variable_defaults(self.current_theme)

    def copy_to_clipboard(self, text: str) -> None:
        """Copy as in the chat, through tmux and over SSH."""
        self.run_worker(self._copy(text), group="copy")

    async def _copy(self, text: str) -> None:
        driver = self._driver
        try:
            copied = await copy(text, write=driver.write if driver is not None else lambda _: None, folder=state_dir(), environ=os.environ)
        except OSError as error:
            self.notify(str(error), title="The path could not be copied", severity="error", markup=False)
        else:
            self.notify(copied.sentence, title="Copied", markup=False)

    async def action_do(self, action_id: str) -> None:
        """Run the action of a key or of a click in the footer."""
        action = BY_ID[action_id]
        await (widget_for(self.screen, action) or self).run_action(action.method)

    async def action_help(self) -> None:
        """Explain the view and the capture."""
        await self.screen.run_action("explain")

    def on_mount(self) -> None:
        """Open the viewer's screen."""
        self.push_screen(FlameScreen(self._subject), lambda _: self.exit())
        if isinstance(self._driver, SafeLinuxDriver):
            self._driver.taking_input.set()
