"""The shared context of the chat screen's controllers: session, widgets, and notifications."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from textual.screen import Screen, ScreenResultCallbackType

from engine.errors import EngineError, XchatError
from engine.events import Notice
from engine.metrics.link import Link
from engine.records import Message
from engine.session.session import Session
from tui.actions.bindings import Keymap
from tui.chat.status import StatusLine
from tui.options import AppOptions
from tui.prompt.prompt import Prompt
from tui.terminal.terminal import Terminal
from tui.theming import LoadedThemes
from tui.transcript.transcript import Transcript

Result = TypeVar("Result")


class Program(Protocol):
    """The interface of the program for the chat screen."""

    options: AppOptions
    keymap: Keymap
    terminal: Terminal
    themes: LoadedThemes

    def show_notice(self, notice: Notice) -> None:
        """Show a notice."""

    def dismiss_notice(self) -> None:
        """Remove the notice that is shown."""

    def show_error(self, error: XchatError) -> None:
        """Show an error as a notice."""

    def link(self) -> Link:
        """State of the connection to the terminal."""

    def bytes_written(self) -> int:
        """Bytes sent to the terminal so far."""

    def probe_line(self) -> bool:
        """Probe the connection while nothing is painted; returns whether the last reply was late."""

    def limit_colours(self, limited: bool) -> None:
        """Limit output to 256 colours, or lift the limit."""

    async def copy(self, text: str) -> None:
        """Copy to the clipboard and report where the text went."""

    def do(self, action_id: str, argument: str = "") -> None:
        """Run an action of the registry."""

    async def restart(self) -> None:
        """Save everything and restart the program with this session."""


class ChatContext:
    """The context of all controllers of one chat screen. The screen sets `session` once it is open."""

    def __init__(self, program: Program, screen: Screen[None], transcript: Transcript, prompt: Prompt, status_line: StatusLine) -> None:
        self.program = program
        self.screen = screen
        self.transcript = transcript
        self.prompt = prompt
        self.status_line = status_line
        self.session: Session | None = None

    def live(self) -> Session:
        """Return the open session.

        Raises:
            EngineError: The session is not open yet.
        """
        if self.session is None:
            raise EngineError("xchat is still starting", "", "Try again in a moment.")
        return self.session

    @property
    def branch(self) -> tuple[Message, ...]:
        """Messages of the open branch; empty before the session is open."""
        return tuple(self.session.branch) if self.session is not None else ()

    @property
    def chosen(self) -> Message | None:
        """The message selected in the transcript."""
        chosen_id = self.transcript.chosen_id
        return next((message for message in self.branch if message.id == chosen_id), None) if chosen_id is not None else None

    def reach(self, action_id: str) -> str:
        """Say how to run an action: its key, else its slash command, else its name in the palette."""
        return self.program.keymap.reach(action_id)

    def set_status(self, **changes: Any) -> None:
        """Change fields of the status line."""
        self.status_line.show(replace(self.status_line.status, **changes))

    def notify(self, title: str, detail: str = "", hint: str = "", action: str = "") -> None:
        """Show a notice; `action`: the id of the hint's action."""
        self.program.show_notice(Notice("information", title, detail, hint, action))

    def report(self, error: XchatError) -> None:
        """Show an error as a notice."""
        self.program.show_error(error)

    def open(self, screen: Screen[Result], callback: ScreenResultCallbackType[Result] | None = None) -> None:
        """Open a screen on top of this one; `callback` receives its result."""
        self.screen.app.push_screen(screen, callback)

    def run_worker(
        self, work: Coroutine[Any, Any, object] | Callable[[], Coroutine[Any, Any, object]], *, group: str, exclusive: bool = False
    ) -> None:
        """Run `work` in the background; `exclusive` cancels other work of the group.

        Pass a function where the work may be cancelled before it begins, since Python warns of a coroutine that was never run.
        """
        self.screen.run_worker(work, group=group, exclusive=exclusive)

    def attempt(self, act: Callable[[], object]) -> bool:
        """Run `act` and report a refusal. Returns whether it succeeded."""
        try:
            act()
        except XchatError as error:
            self.report(error)
            return False
        return True
