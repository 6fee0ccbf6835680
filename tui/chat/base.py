"""What all parts of the chat screen stand on: its widgets, the session, and how to tell the person something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from textual.screen import Screen

from engine.errors import EngineError, XchatError
from engine.events import Notice
from engine.messages import Role
from engine.metrics.ui_cost import Link
from engine.paths import state_dir
from engine.records import Message, TurnRecord
from engine.session.session import Session
from tui.actions.bindings import Keymap
from tui.chat.footer import KeyBar
from tui.chat.status import StatusLine
from tui.options import AppOptions
from tui.prompt.prompt import Prompt
from tui.terminal.terminal import Terminal
from tui.text import wording
from tui.transcript.transcript import NO_EXTRAS, Extras, Transcript


class Program(Protocol):
    """What the chat screen needs of the program around it."""

    options: AppOptions
    keymap: Keymap
    terminal: Terminal

    def tell(self, notice: Notice) -> None:
        """Show a notice."""

    def line(self) -> Link:
        """How the terminal is doing."""

    def bytes_written(self) -> int:
        """Bytes sent to the terminal so far."""

    def spend_few_bytes(self, few: bool) -> None:
        """Send at most 256 colours, or all of them again."""

    async def copy(self, text: str) -> None:
        """Copy, and say which way it went."""

    def use_theme(self, name: str) -> None:
        """Switch to a theme, or say that there is none of this name."""

    def do(self, action_id: str) -> None:
        """Do an action of the registry, wherever it lives."""

    async def restart(self) -> None:
        """Save everything and start the program again on this session."""


HISTORY_FILE = "prompts.jsonl"

NOTICES = "textual-toastrack"
"""Textual's name for the place of its notices."""


class ChatBase(Screen[None]):
    """Widgets and session of the chat screen."""

    def __init__(self, program: Program) -> None:
        super().__init__(id="chat")
        self.program = program
        self.session: Session | None = None
        self.transcript = Transcript(id="transcript")
        self.prompt = Prompt(history=state_dir() / HISTORY_FILE, id="prompt")
        self.status_line = StatusLine(id="status")
        self.key_bar = KeyBar(id="keys")
        self.extras: dict[int, Extras] = {}
        """What stands beside and below messages, by their id; kept while branches come and go."""
        self.logged: Mapping[int, TurnRecord] | None = None
        """Turns of the open session as they were logged, by their answer's id; None until they are read."""
        self.editing: int | None = None
        """The message that the prompt will replace."""

    def on_mount(self) -> None:
        """Notices stand above the message, however tall it grows."""
        self.screen_layout_refresh_signal.subscribe(self, lambda _: self._place_notices())

    def _place_notices(self) -> None:
        for rack in self.query(f"#{NOTICES}"):
            rack.styles.margin = (0, 0, max(1, self.size.height - self.prompt.region.y), 0)

    def live(self) -> Session:
        """The session.

        Raises:
            EngineError: It isn't open yet.

        """
        if self.session is None:
            raise EngineError("xchat is still starting", "", "Try again in a moment.")
        return self.session

    def say(self, **changes: Any) -> None:
        """Change fields of the status line."""
        self.status_line.show(replace(self.status_line.status, **changes))

    def tell(self, title: str, detail: str = "", hint: str = "") -> None:
        """Show a notice that needs no attention."""
        self.program.tell(Notice("information", title, detail, hint))

    def report(self, error: XchatError) -> None:
        """Show an error as a notice."""
        self.program.tell(Notice("error", error.title, error.detail, error.hint))

    def attempt(self, act: Callable[[], object]) -> bool:
        """Do something that may be refused; a refusal is shown. Returns whether it was done."""
        try:
            act()
        except XchatError as error:
            self.report(error)
            return False
        return True

    def show_branch(self) -> None:
        """Show the session's branch as it is now."""
        if self.session is not None:
            self.transcript.show(self.session.branch, self.all_extras())

    def all_extras(self) -> Mapping[int, Extras]:
        """Extras of the branch, each with which of its siblings the message is."""
        session = self.session
        if session is None:
            return {}
        found: dict[int, Extras] = {}
        for message in session.branch:
            extra = self.extras.get(message.id) or self._recalled(message)
            index, versions = session.siblings(message.id)
            found[message.id] = replace(extra, aside=f"{index + 1}/{versions}") if versions > 1 else extra
        return found

    def _recalled(self, message: Message) -> Extras:
        """What the log knows of an answer that this process has not seen grow."""
        if self.logged is None or message.role is not Role.ASSISTANT:
            return NO_EXTRAS
        turn = self.logged.get(message.id)
        error = XchatError(turn.error) if turn is not None and turn.error else None
        failure = wording.ending(message, turn, error, continue_key=self.program.keymap.shown("continue_answer"))
        known = Extras(failure=failure) if turn is None else Extras(label=turn.model, note=wording.timing_line(turn), failure=failure)
        self.extras[message.id] = known
        return known

    def branch_message(self, message_id: int | None) -> Message | None:
        """A message of the branch."""
        if self.session is None or message_id is None:
            return None
        return next((message for message in self.session.branch if message.id == message_id), None)
