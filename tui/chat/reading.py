"""Reading: scrolling, picking messages and their branches, thinking, copying, the raw prompt and the log."""

from __future__ import annotations

from textual import events, on

from engine.errors import UsageError
from engine.messages import Role
from tui.chat.base import ChatBase
from tui.transcript.transcript import Transcript


class ReadActions(ChatBase):
    """What comes back to the person."""

    def action_page_up(self) -> None:
        """A page up."""
        self.transcript.scroll_pages(-1)

    def action_page_down(self) -> None:
        """A page down."""
        self.transcript.scroll_pages(1)

    def action_to_start(self) -> None:
        """To the first line."""
        self.transcript.to_start()

    def action_to_end(self) -> None:
        """To the end, and follow it."""
        self.transcript.to_end()

    def action_select_previous(self) -> None:
        """Pick the message above."""
        self.transcript.choose_step(-1)
        self._focus_chosen()

    def action_select_next(self) -> None:
        """Pick the message below."""
        self.transcript.choose_step(1)
        self._focus_chosen()

    def _focus_chosen(self) -> None:
        (self.prompt if self.transcript.chosen_id is None else self.transcript).focus()

    def on_key(self, event: events.Key) -> None:
        """Who types while reading means the prompt."""
        if self.focused is self.transcript and event.is_printable and event.character:
            event.stop()
            self.transcript.choose(None)
            self.prompt.focus()
            self.prompt.insert(event.character)

    def on_paste(self, event: events.Paste) -> None:
        """Who pastes while reading means the prompt."""
        if self.focused is self.transcript:
            event.stop()
            self.prompt.focus()
            self.prompt.post_message(event)

    @on(Transcript.FollowChanged)
    def _follow_changed(self, event: Transcript.FollowChanged) -> None:
        self.say(unseen=event.unseen)

    @on(Transcript.SiblingRequested)
    def _sibling_requested(self, event: Transcript.SiblingRequested) -> None:
        session = self.session
        if session is not None:
            self.attempt(lambda: session.switch_sibling(event.message_id, event.step))

    def action_toggle_thinking(self) -> None:
        """Fold or unfold thinking."""
        unfolded = self.transcript.fold_thinking()
        self.say(activity="thinking is shown" if unfolded else "thinking is folded")

    async def action_copy_message(self) -> None:
        """Copy what is selected with the mouse, else the chosen message, else the last answer."""
        selected = self.get_selected_text()
        if selected:
            await self.program.copy(selected)
            self.clear_selection()
            return
        chosen = self.branch_message(self.transcript.chosen_id)
        text = chosen.text if chosen is not None else self._last_answer()
        if text:
            await self.program.copy(text)
        else:
            self.report(UsageError("There is nothing to copy yet"))

    async def action_copy_code(self) -> None:
        """Copy the last code block of the chosen message or the last answer."""
        from tui.transcript.pieces import code_blocks

        chosen = self.branch_message(self.transcript.chosen_id)
        blocks = code_blocks(chosen.text if chosen is not None else self._last_answer())
        if blocks:
            await self.program.copy(blocks[-1])
        else:
            self.report(UsageError("There is no code block in this answer"))

    def _last_answer(self) -> str:
        session = self.session
        answers = [message.text for message in session.branch if message.role is Role.ASSISTANT] if session is not None else []
        return answers[-1] if answers else ""

    def action_show_prompt(self) -> None:
        """Show the last prompt as the model got it."""
        from tui.dialogs.text import PromptScreen

        self.app.push_screen(PromptScreen(self.session.last_prompt if self.session is not None else ""))

    def action_native_log(self) -> None:
        """Show what the native library logged."""
        from tui.dialogs.text import LogScreen

        self.app.push_screen(LogScreen(self.program.options.native_log))
