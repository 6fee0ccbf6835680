"""Drafting: the unsent message of each session, the user's editor, and the search in sent messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from textual.timer import Timer

from engine.drafts import drafts_path
from engine.errors import UsageError
from engine.events import Event, SessionOpened, TurnFinished
from engine.paths import state_dir
from engine.prompts.library import Prompt, filled, load, prompts_dir, variables
from engine.text import one_line
from tui.chat.context import ChatContext
from tui.prompt.drafts import Drafts
from tui.prompt.prompt import as_input

WRITE_S = 1.0
"""Interval of saving the draft while the user types."""
SHOWN = 2000
"""Characters of a sent message that are shown and searched."""


class DraftingController:
    """Saves drafts, and opens the editor, the prompt library and the history."""

    def __init__(self, context: ChatContext, *, editing: Callable[[], bool]) -> None:
        """`editing` returns whether the prompt has a new version of a sent message, which is not a draft."""
        self._context = context
        self._editing = editing
        self._drafts = Drafts(drafts_path() if context.program.options.log else None)
        self._timer: Timer | None = None
        self._begun = False

    def begin(self) -> None:
        """Restore the draft of the first session, unless text is typed already; once."""
        if self._begun:
            return
        self._begun = True
        draft = self._drafts.open(self._context.live().session_id)
        if self._context.prompt.text:
            self.changed()
        elif draft:
            self._context.prompt.start(draft)

    def on_event(self, event: Event) -> None:
        """Handle an event of the session: each has its own draft."""
        session = self._context.live()
        if isinstance(event, SessionOpened) and (not self._begun or self._drafts.is_open(session.session_id)):
            self.begin()
        elif isinstance(event, SessionOpened):
            if self._timer is not None:
                self._keep()  # in the session before
            self._context.prompt.start(self._drafts.open(session.session_id))
        elif isinstance(event, TurnFinished):
            self._drafts.numbered(session.session_id)

    def changed(self) -> None:
        """Save the draft after a pause, once its session is open."""
        if self._timer is None and self._begun:
            self._timer = self._context.screen.set_timer(WRITE_S, self.keep)

    def keep(self) -> None:
        """Save the draft of the open session now."""
        session = self._context.session
        if session is not None:
            self._drafts.numbered(session.session_id)
        self._keep()

    def _keep(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if not self._editing():
            self._drafts.keep(self._context.prompt.whole)

    def close(self) -> None:
        """Save the draft, and wait until it is written."""
        self.keep()
        self._drafts.close()

    async def remove_left(self) -> None:
        """Remove files of the editor that killed programs left."""
        from tui.terminal.editor import remove_left_messages

        await asyncio.to_thread(remove_left_messages, state_dir())

    # Actions

    async def open_editor(self) -> None:
        """Edit the text of the prompt in the user's editor."""
        from tui.terminal.editor import edit_text

        context = self._context
        app = context.screen.app
        if app.is_headless:
            raise UsageError("There is no terminal for an editor")
        self.keep()
        context.prompt.put(as_input(await edit_text(app.suspend, context.prompt.whole, state_dir())))
        context.prompt.focus()

    async def library(self, name: str) -> None:
        """Use a prompt of the library by its name, or pick one: a persona becomes the system prompt, a snippet the message."""
        from tui.dialogs.picker import PickOne

        context = self._context
        found = await asyncio.to_thread(load)
        for problem in found.problems:
            context.report(problem)
        if name:
            self._use(found.get(name))
            return
        rows = [(prompt, f"{prompt.kind:<8} {prompt.name:<14} {one_line(prompt.about)}") for prompt in found.prompts]

        def take(chosen: Prompt | None) -> None:
            if chosen is not None:
                self._use(chosen)

        context.open(PickOne("Prompts", rows, subtitle=f"Your own: {prompts_dir()}"), take)

    def _use(self, prompt: Prompt) -> None:
        context = self._context
        if prompt.kind == "persona":
            context.live().switching.change({"system": prompt.text})
            context.notify(f"Persona {prompt.name}", "Applies from the next message.")
        else:
            context.run_worker(self._fill(prompt), group="snippet", exclusive=True)

    async def _fill(self, snippet: Prompt) -> None:
        """Ask for the variables of a snippet and insert it; typed text fills the first variable without a default."""
        from tui.dialogs.confirm import AskText

        prompt, values = self._context.prompt, dict[str, str]()
        typed = prompt.whole.strip()
        for variable, default in variables(snippet.text).items():
            if typed and not default:
                values[variable], typed = typed, ""
                continue
            value = await self._context.screen.app.push_screen_wait(AskText(f"{snippet.name}: {variable}", default.strip()))
            if value is None:
                return
            values[variable] = value
        prompt.put(as_input(filled(snippet.text, values)))
        prompt.focus()

    def search_history(self) -> None:
        """Pick one of the messages that were sent, and put it into the prompt."""
        from tui.dialogs.picker import PickOne

        context = self._context

        def take(chosen: str | None) -> None:
            if chosen is not None:
                context.prompt.put(chosen)
                context.prompt.focus()

        rows = [(text, one_line(text[:SHOWN])) for text in context.prompt.sent_before()]
        if not rows:
            raise UsageError("No message has been sent yet")
        context.open(PickOne("Messages you sent", rows, subtitle=context.program.keymap.fill("{accept} puts one into the prompt")), take)
