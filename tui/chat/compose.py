"""Talking: send, stop, regenerate, edit, continue, and the commands typed into the prompt."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
from textual import on
from textual.widgets import TextArea

from engine.errors import UsageError, XchatError
from engine.messages import Role
from engine.presets.settings import key_named, with_text
from tui.actions.slash import Do, Say, Unknown, matching, parse
from tui.chat.base import ChatBase
from tui.prompt.prompt import Prompt, as_input

READ_LIMIT = 4_000_000
"""Bytes that `/read` takes at most."""

_EDIT_TITLE = "Another version of an earlier message"


class TalkActions(ChatBase):
    """What goes from the person to the model."""

    starting = True
    """The first model has not been looked for yet."""
    loading_model = False
    """A model is being loaded."""
    waiting: str | None = None
    """A message that was sent before there was a model to answer it."""
    continued: tuple[str, str] | None = None
    """Text and thinking that the answer about to start goes on from."""

    @on(Prompt.Submitted)
    async def _submitted(self, event: Prompt.Submitted) -> None:
        event.stop()
        if self.editing is not None:
            self._send_edit(self.editing, event.text)
            return
        meant = parse(event.text)
        if isinstance(meant, Unknown):
            self.report(UsageError(f"There is no command /{meant.name}", "", meant.sentence))
        elif isinstance(meant, Say):
            self._send(meant.text)
        else:
            self.prompt.sent()
            await self._do(meant)

    def take_over(self, text: str) -> None:
        """Send what was typed before this screen was there."""
        self.prompt.put(text)
        self.prompt.action_send()

    def _send(self, text: str) -> None:
        if self.waiting is None and self._first_model_is_coming():
            self.waiting = text
            self.prompt.sent()
            self.tell("Your message waits for the model", "It is sent as soon as the model is loaded")
        elif self.attempt(lambda: self.live().send(text)):
            self.prompt.sent()

    def _first_model_is_coming(self) -> bool:
        session = self.session
        return session is None or session.loading or (session.engine is None and (self.starting or self.loading_model))

    def send_waiting(self) -> None:
        """The model is there: send what was waiting for it."""
        self.starting = False
        text, self.waiting = self.waiting, None
        if text is not None and not self.attempt(lambda: self.live().send(text)):
            self.prompt.put(text)

    def give_back_waiting(self) -> None:
        """No model came: what was waiting goes back into the prompt."""
        self.starting = False
        text, self.waiting = self.waiting, None
        if text is not None and not self.prompt.text:
            self.prompt.put(text)

    def _send_edit(self, message_id: int, text: str) -> None:
        if self.attempt(lambda: self.live().edit(message_id, text)):
            self.prompt.sent()
            self._leave_editing()

    @on(TextArea.Changed, "#prompt")
    def _hint(self) -> None:
        text = self.prompt.text if self.prompt.document.line_count == 1 else ""
        self.prompt.border_subtitle = "  ".join(name for name, _ in matching(text)) if text != "/" else "F1 lists all commands"

    async def _do(self, command: Do) -> None:
        words = command.rest
        try:
            if command.name == "model":
                self.load_by_command(words)
            elif command.name == "theme":
                self.program.use_theme(words)
            elif command.name == "system":
                self._system(words)
            elif command.name in {"preset", "quant", "threads"}:
                self.switch_by_command(command.name, words)
            elif command.name == "set":
                self._set(words)
            elif command.name == "read":
                await self._read(Path(words))
            elif command.name == "export" and words:
                self.export_as(words)
            elif command.name == "title":
                await self._title(words)
            else:
                self.program.do(command.name)
        except XchatError as error:
            self.report(error)

    def load_by_command(self, words: str) -> None:
        """Load the model that the words of a command name."""
        raise NotImplementedError

    def switch_by_command(self, name: str, words: str) -> None:
        """Switch to what the words of a command say."""
        raise NotImplementedError

    def export_as(self, words: str) -> None:
        """Export this session in a format, to a file if one is named."""
        raise NotImplementedError

    def _system(self, text: str) -> None:
        session = self.live()
        if not text:
            self.tell("System prompt", session.preset.system or "There is none.")
            return
        session.use_preset(msgspec.structs.replace(session.preset, system=None if text == "none" else text))
        self.tell("System prompt", "There is none any more." if text == "none" else "In force from the next message on.")

    def _set(self, words: str) -> None:
        session = self.live()
        if not words:
            raise UsageError("/set needs a setting and a value", "", "For example: /set temperature 0.2")
        key, _, value = words.partition(" ")
        preset = with_text(session.preset, {key_named(key): value.strip()})
        session.use_preset(preset)
        if session.preset == preset:
            self.tell("Changed", words)

    async def _read(self, path: Path) -> None:
        def content() -> str:
            with path.expanduser().open("rb") as file:
                data = file.read(READ_LIMIT + 1)
            if len(data) > READ_LIMIT:
                raise UsageError(f"{path} is too long", f"It has more than {READ_LIMIT:,} bytes")
            if b"\0" in data[:8192]:
                raise UsageError(f"{path} is no text")
            return data.decode("utf-8", "replace")

        try:
            text = await asyncio.to_thread(content)
        except OSError as error:
            raise UsageError(f"{path} can't be read", error.strerror or str(error)) from error
        self.prompt.put(as_input(text))
        self.prompt.focus()

    async def _title(self, text: str) -> None:
        session = self.live()
        if not text:
            raise UsageError("/title needs a title", "", "For example: /title Notes on caching")
        if session.info is None:
            raise UsageError("This session has no title yet", "It is saved with its first message", "Send one first.")
        await session.rename(session.info.id, text)
        self.say(session=text)

    def action_stop(self) -> None:
        """Close what is open, then stop what is under way."""
        if self.selections:
            self.clear_selection()
        elif self.transcript.chosen_id is not None:
            self.transcript.choose(None)
            self.prompt.focus()
        elif self.editing is not None:
            self.prompt.clear()
            self._leave_editing()
        elif self.session is not None and self.session.busy:
            self.session.stop()
        elif self.session is not None and self.session.loading:
            self.session.cancel_load()
        else:
            self.prompt.focus()
            if not self.prompt.text:
                self.say(activity=f"{self.program.keymap.shown('quit')} leaves xchat")

    def action_regenerate(self) -> None:
        """Answer the last message again."""
        self.attempt(lambda: self.live().regenerate())

    def action_edit_message(self) -> None:
        """Put the chosen message of one's own, or the last one, into the prompt; sending it makes another version of it."""
        session = self.session
        own = [message for message in session.branch if message.role is Role.USER] if session is not None else []
        chosen = self.branch_message(self.transcript.chosen_id)
        message = next((one for one in reversed(own) if chosen is None or one.id <= chosen.id), None)
        if message is None:
            self.report(UsageError("There is no message to edit", "", "Send one first."))
            return
        self.transcript.choose(None)
        self.editing = message.id
        self.prompt.put(message.text)
        self.prompt.border_title = _EDIT_TITLE
        self.prompt.focus()

    def _leave_editing(self) -> None:
        self.editing = None
        self.prompt.border_title = ""

    def action_continue_answer(self) -> None:
        """Let the model go on with an answer that was cut off."""
        branch = self.session.branch if self.session is not None else ()
        self.continued = (branch[-1].text, branch[-1].thinking) if branch else None
        if not self.attempt(lambda: self.live().continue_answer()):
            self.continued = None
