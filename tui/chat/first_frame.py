"""The first frame: the chat screen's appearance and a working prompt, before anything slow is imported.

The chat screen replaces it as soon as it is imported and keeps the typed text.
"""

from __future__ import annotations

from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from tui.actions.bindings import Keymap
from tui.actions.footer import KeyBar
from tui.chat.layout import ROOM_CSS, arrange, welcome
from tui.chat.status import Status, StatusLine
from tui.prompt.prompt import Prompt
from tui.terminal.driver import SafeLinuxDriver


class FirstScreen(Screen[None]):
    """The screen of the first frame, shown for a fraction of a second."""

    AUTO_FOCUS = "#prompt"
    DEFAULT_CSS = f"""
    FirstScreen {{
        {ROOM_CSS}
        #greeting {{ height: 1fr; width: 1fr; content-align: center middle; color: $muted; }}
        &:ansi #greeting {{ text-style: dim; }}
    }}
    """

    def __init__(self, keymap: Keymap) -> None:
        super().__init__(id="first")
        self._keymap = keymap
        self.prompt = Prompt(id="prompt")
        self.submitted: str | None = None
        """A message sent before the chat screen was ready."""
        self.on_late_send: Callable[[str], None] | None = None
        """Handles a message sent while the chat screen takes over."""

    def compose(self) -> ComposeResult:
        """Lay out the same widgets as the chat screen."""
        with Container(id="desk"):
            yield Static(Content("\n".join(welcome(self._keymap))), id="greeting")
            yield Container(id="panel-place")
        yield Container(id="strip-place")
        yield self.prompt
        yield StatusLine(id="status")
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        """Show that xchat is starting."""
        self.query_one(KeyBar).use(self._keymap)
        self.prompt.send_keys = frozenset(self._keymap.keys["send"])
        self.query_one(StatusLine).show(Status(model="xchat", session="", activity="starting"))
        if isinstance(driver := self.app._driver, SafeLinuxDriver):
            self.call_after_refresh(driver.taking_input.set)

    def on_resize(self) -> None:
        """Reserve the space of the panel."""
        arrange(self, panel=True)

    @on(Prompt.Submitted)
    def _keep(self, event: Prompt.Submitted) -> None:
        if self.on_late_send is not None:
            self.on_late_send(event.text)
        elif self.submitted is None:
            self.submitted = event.text
            self.prompt.clear()
