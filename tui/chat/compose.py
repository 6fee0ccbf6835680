"""Composing: send, stop, regenerate, edit, continue, and the commands that change the conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import msgspec

from engine.attachments.attach import detached, mentions
from engine.errors import UsageError, XchatError
from engine.events import Event, ModelFailed, ModelReady, SessionOpened, TurnStarted
from engine.messages import Role
from engine.regular_file import read_regular
from tui.actions.registry import Action
from tui.actions.slash import Do, Say, Unknown, parse
from tui.chat.context import ChatContext
from tui.prompt.prompt import as_input

READ_LIMIT = 4_000_000
"""Largest file that `/read` accepts, in bytes."""

_EDIT_TITLE = "Another version of an earlier message"


class ComposeController:
    """Handles submitted text: a message, a new version of one, or a command."""

    def __init__(
        self,
        context: ChatContext,
        *,
        model_expected: Callable[[], bool],
        waiting: str | None,
        attach: Callable[[str], Awaitable[str]],
    ) -> None:
        """`model_expected` returns whether the first model is still loading; `waiting`: a message sent before the screen was ready.

        `attach` returns a message with the files that it names; raises UsageError.
        """
        self._attach = attach
        self._context = context
        self._model_expected = model_expected
        self._waiting = waiting
        """A message sent before a model was loaded."""
        self._continued: tuple[str, str] | None = None
        """Text and thinking that the next answer continues."""
        self.editing: int | None = None
        """The message that the prompt will replace."""

    def on_event(self, event: Event) -> None:
        """Handle an event of the session."""
        if isinstance(event, TurnStarted) and self._continued is not None:
            text, thinking = self._continued
            self._continued = None
            self._context.transcript.grow(event.answer_id, text, thinking, in_thinking=False)
        elif isinstance(event, SessionOpened):
            self._leave_editing()
        elif isinstance(event, ModelReady):
            self._send_waiting()
        elif isinstance(event, ModelFailed):
            self.return_waiting()

    def submit(self, text: str) -> None:
        """Send a submitted text, or run it as a command."""
        context = self._context
        if self.editing is not None:
            self._with_files(text, partial(self._send_edit, self.editing))
            return
        meant = parse(text)
        if isinstance(meant, Unknown):
            hint = meant.hint(context.reach("help"))
            context.report(UsageError(f"There is no command /{meant.name}", "", hint))
        elif isinstance(meant, Say):
            self._with_files(meant.text, self._send)
        elif isinstance(meant, Do):
            context.prompt.sent()
            context.program.do(meant.action_id, meant.argument)

    def _with_files(self, text: str, send: Callable[[str], None]) -> None:
        """Send a message with the files that it names; without files, at once."""

        async def read_and_send() -> None:
            try:
                whole = await self._attach(text)
            except XchatError as error:
                self._context.report(error)
            else:
                send(whole)

        if any(mentions(text)):
            self._context.run_worker(read_and_send(), group="send", exclusive=True)
        else:
            send(text)

    def take_text(self, use: Callable[[str], None]) -> None:
        """Call `use` with the message in the prompt and its files, or with nothing when there is none, or a command."""
        text = self._context.prompt.whole
        meant = parse(text)
        if self.editing is None and isinstance(meant, Say) and meant.text.strip():
            self._with_files(meant.text, use)
        else:
            use("")

    def _send(self, text: str) -> None:
        context = self._context
        if self._waiting is None and self._model_expected():
            self._waiting = text
            context.prompt.sent()
            context.notify("Your message is queued", "It is sent as soon as the model is loaded")
        elif context.attempt(lambda: context.live().send(text)):
            context.prompt.sent()

    def _send_waiting(self) -> None:
        text, self._waiting = self._waiting, None
        if text is not None and not self._context.attempt(lambda: self._context.live().send(text)):
            self._context.prompt.put(detached(text))

    def return_waiting(self) -> None:
        """Put the queued message back into the prompt when no model was loaded."""
        text, self._waiting = self._waiting, None
        if text is not None and not self._context.prompt.text:
            self._context.prompt.put(detached(text))

    def _send_edit(self, message_id: int, text: str) -> None:
        if self._context.attempt(lambda: self._context.live().edit(message_id, text)):
            self._context.prompt.sent()
            self._leave_editing()

    def _leave_editing(self) -> None:
        self.editing = None
        self._context.prompt.border_title = ""

    def ask_argument(self, action: Action) -> None:
        """Put a command that needs an argument into the prompt for the user to complete."""
        self._context.notify(f"/{action.slash[0]} {action.argument}", action.sentence)
        self._context.prompt.put(f"/{action.slash[0]} ")
        self._context.prompt.focus()

    # Actions

    def stop(self) -> None:
        """Cancel editing, or stop the answer or the load that is running."""
        context, session = self._context, self._context.session
        if self.editing is not None:
            context.prompt.clear()
            self._leave_editing()
        elif session is not None and session.busy:
            session.stop()
        elif session is not None and session.slot.loading:
            session.slot.cancel_load()
        else:
            context.prompt.focus()
            if not context.prompt.text:
                context.set_status(activity=f"{context.reach('quit')} leaves xchat")

    def regenerate(self) -> None:
        """Answer the last message again."""
        self._context.live().regenerate()

    def edit_message(self) -> None:
        """Put the selected user message, or the last one, into the prompt; sending it creates a new version."""
        context = self._context
        own = [message for message in context.branch if message.role is Role.USER]
        chosen = context.chosen
        message = next((one for one in reversed(own) if chosen is None or one.id <= chosen.id), None)
        if message is None:
            raise UsageError("There is no message to edit", "", "Send one first.")
        context.transcript.choose(None)
        self.editing = message.id
        context.prompt.put(detached(message.text))
        context.prompt.border_title = _EDIT_TITLE
        context.prompt.focus()

    def continue_answer(self) -> None:
        """Continue an answer that was cut off."""
        branch = self._context.branch
        self._continued = (branch[-1].text, branch[-1].thinking) if branch else None
        if not self._context.attempt(lambda: self._context.live().continue_answer()):
            self._continued = None

    def system_prompt(self, text: str) -> None:
        """Set the system prompt; without text, show it."""
        context, session = self._context, self._context.live()
        if not text:
            context.notify("System prompt", session.preset.system or "None is set.")
            return
        session.switching.use(msgspec.structs.replace(session.preset, system=None if text == "none" else text))
        context.notify("System prompt", "Removed." if text == "none" else "Applies from the next message.")

    async def read_file(self, name: str) -> None:
        """Insert the text of a file into the prompt."""
        path = Path(name)
        try:
            text = await asyncio.to_thread(_text_of, path)
        except OSError as error:
            raise UsageError(f"{path} can't be read", error.strerror or str(error)) from error
        self._context.prompt.put(as_input(text))
        self._context.prompt.focus()


def _text_of(path: Path) -> str:
    data = read_regular(path.expanduser(), READ_LIMIT)
    if len(data) > READ_LIMIT:
        raise UsageError(f"{path} is too long", f"It has more than {READ_LIMIT:,} bytes")
    if b"\0" in data[:8192]:
        raise UsageError(f"{path} is not a text file")
    return data.decode("utf-8", "replace")
