"""Chat-screen actions: show the branch and the streaming answer, select and copy messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from engine.errors import UsageError, XchatError
from engine.events import (
    AnswerGrew,
    BranchChanged,
    ColumnChanged,
    Event,
    ModelReady,
    PresetChanged,
    PromptEvaluated,
    SessionOpened,
    TurnFinished,
    TurnStarted,
)
from engine.messages import Role
from engine.records import Message, SessionInfo, TurnRecord
from engine.store.queries.turns import turns_of
from tui.chat.context import ChatContext
from tui.chat.stream import AnswerStream
from tui.text import wording
from tui.text.switch_text import Made, made_with, switch_line
from tui.transcript.transcript import NO_EXTRAS, Extras


class ReadingController:
    """Shows the session's branch with notes on each message."""

    def __init__(self, context: ChatContext, stream: AnswerStream) -> None:
        self._context = context
        self._stream = stream
        self._extras: dict[tuple[int, int | None], Extras] = {}
        """Notes of messages, by the ids of the message and of the answer before it."""
        self._turns: dict[int, TurnRecord] = {}
        """Turns of the open session, by their answer's id."""
        self._turns_read = False
        """Whether the logged turns of a resumed session are among them."""

    def on_event(self, event: Event) -> None:
        """Handle an event of the session."""
        context = self._context
        if isinstance(event, AnswerGrew):
            self._stream.add(event)
            context.set_status(activity="thinking" if event.in_thinking else "answering")
        elif isinstance(event, PromptEvaluated):
            context.set_status(activity=wording.prefill(event), left_out=event.left_out)
        elif isinstance(event, TurnStarted):
            self._turn_started(event)
        elif isinstance(event, TurnFinished):
            self._turn_finished(event)
        elif isinstance(event, ColumnChanged):
            self._turns |= {event.event.turn.id: event.event.turn} if isinstance(event.event, TurnFinished) else {}
        elif isinstance(event, BranchChanged):
            self.show_branch()
        elif isinstance(event, PresetChanged | ModelReady):
            self._switched(event)
        elif isinstance(event, SessionOpened):
            self._opened(event)

    def _opened(self, event: SessionOpened) -> None:
        self._turns, self._turns_read = {}, event.info is None
        self._extras.clear()
        self._stream.end()
        self.show_branch()
        self._context.set_status(left_out=0, activity="")
        if event.info is not None:
            self._context.run_worker(self._load_turns(event.info), group="turns", exclusive=True)

    def _switched(self, event: PresetChanged | ModelReady) -> None:
        """Show the switch below the last answer; after the end of a running one."""
        if isinstance(event, PresetChanged):
            self._stream.use_batch(event.preset.stream_batch)
        session = self._context.session
        if session is not None and not session.busy:
            self._context.transcript.decorate(self._branch_extras())

    def _turn_started(self, event: TurnStarted) -> None:
        session, transcript = self._context.live(), self._context.transcript
        label = session.engine.model.name if session.engine is not None else None
        self.show_branch()
        transcript.to_end()
        transcript.begin_answer(event.answer_id, label=label)
        if session.engine is not None:
            preset, now = session.preset, session.threads_now
            # A count that `auto` chooses may change until the answer ends.
            threads = now.threads if now is not None and preset.threads != "auto" else 0
            aside = made_with(session.engine.model.quant, preset.name, threads)
            transcript.decorate({event.answer_id: Extras(label, aside)})
        self._stream.begin(event.answer_id, session.slot.stream_batch)
        self._context.set_status(activity="reading the prompt")

    def _turn_finished(self, event: TurnFinished) -> None:
        self._stream.end()
        answer = event.answer
        self._turns[answer.id] = event.turn
        self._context.transcript.finish(answer, self._branch_extras().get(answer.id, NO_EXTRAS))
        self.show_branch()
        self._context.set_status(activity="", left_out=event.turn.left_out)
        if event.error is not None:
            self._context.report(event.error)

    async def _load_turns(self, info: SessionInfo) -> None:
        """Read the logged turns of a saved session and show model, speed and stop reason with its answers."""
        session = self._context.live()
        try:
            turns = await session.library.reader.read(turns_of, info.id)
        except XchatError:
            return  # a failing database is reported by the log itself
        if session.session_id == info.id:
            self._turns = {turn.id: turn for turn in turns} | self._turns
            self._turns_read = True
            self._extras.clear()
            self._context.transcript.decorate(self._branch_extras())

    def show_branch(self) -> None:
        """Show the current branch."""
        if self._context.session is not None:
            self._context.transcript.show(self._context.branch, self._branch_extras())

    def _branch_extras(self) -> Mapping[int, Extras]:
        """Make the notes of the branch: the settings of each answer, the switch after it, and its position among its siblings."""
        session = self._context.live()
        found: dict[int, Extras] = {}
        before: TurnRecord | None = None
        for message in session.branch:
            extra = self._answer_extras(message, before)
            turn = self._turns.get(message.id)
            if turn is not None and before is not None:
                found[before.id] = replace(found[before.id], switch=switch_line(Made.of_turn(before), Made.of_turn(turn)))
            before = turn or before
            index, versions = session.turns.conversation.siblings(message.id)
            aside = "  ".join(filter(None, (extra.aside, f"{index + 1}/{versions}" if versions > 1 else "")))
            found[message.id] = replace(extra, aside=aside) if aside != extra.aside else extra
        if before is not None and session.engine is not None:
            now = Made.of_engine(session.engine, session.preset)
            found[before.id] = replace(found[before.id], switch=switch_line(Made.of_turn(before), now))
        return found

    def _answer_extras(self, message: Message, before: TurnRecord | None) -> Extras:
        """Make the notes of an answer. `before`: the turn of the answer before it on the branch."""
        if message.role is not Role.ASSISTANT or not (self._turns_read or message.id in self._turns):
            return NO_EXTRAS
        key = message.id, before.id if before is not None else None
        if key not in self._extras:
            turn = self._turns.get(message.id)
            failure = wording.ending(message, turn, continue_key=self._context.reach("continue_answer"))
            self._extras[key] = (
                Extras(failure=failure)
                if turn is None
                else Extras(turn.model, made_with(turn.quant, turn.preset, turn.threads), wording.timing_line(turn, before), failure)
            )
        return self._extras[key]

    # Actions

    def select(self, step: int) -> None:
        """Select the message above (-1) or below (+1)."""
        transcript = self._context.transcript
        transcript.choose_step(step)
        (self._context.prompt if transcript.chosen_id is None else transcript).focus()

    def leave_selection(self) -> bool:
        """Clear the text selection, else the message selection. Returns whether there was one."""
        context = self._context
        if context.screen.selections:
            context.screen.clear_selection()
        elif context.transcript.chosen_id is not None:
            context.transcript.choose(None)
            context.prompt.focus()
        else:
            return False
        return True

    def switch_sibling(self, message_id: int, step: int) -> None:
        """Show another version of a message."""
        self._context.attempt(lambda: self._context.live().switch_sibling(message_id, step))

    def toggle_thinking(self) -> None:
        """Fold or unfold thinking."""
        unfolded = self._context.transcript.fold_thinking()
        self._context.set_status(activity="Thinking and files are unfolded" if unfolded else "Thinking and files are folded")

    async def copy_message(self) -> None:
        """Copy the selected text, else the selected message, else the last answer."""
        screen = self._context.screen
        selected = screen.get_selected_text()
        if selected:
            await self._context.program.copy(selected)
            screen.clear_selection()
            return
        text = self._text()
        if not text:
            raise UsageError("There is nothing to copy yet")
        await self._context.program.copy(text)

    async def copy_code(self) -> None:
        """Copy the last code block of the selected message, else the last one of the conversation."""
        from tui.transcript.pieces import code_blocks

        chosen = self._context.chosen
        messages = (chosen,) if chosen is not None else reversed(self._context.branch)
        block = next((blocks[-1] for message in messages if (blocks := code_blocks(message.text))), None)
        if block is None:
            raise UsageError(f"There is no code block in this {'conversation' if chosen is None else 'message'}")
        await self._context.program.copy(block)

    def _text(self) -> str:
        """Text of the selected message, or of the last answer."""
        chosen = self._context.chosen
        if chosen is not None:
            return chosen.text
        return next((message.text for message in reversed(self._context.branch) if message.role is Role.ASSISTANT), "")

    def show_confidence(self) -> None:
        """Show how sure the model was of each token of the selected answer, else of the last one."""
        from tui.transcript.confidence import ConfidenceScreen

        known = self._context.live().turns.logprobs
        chosen = self._context.chosen
        messages = (chosen,) if chosen is not None else reversed(self._context.branch)
        tokens = next((known[message.id] for message in messages if message.id in known), None)
        if tokens is None:
            raise UsageError("Nothing is noted of the tokens of this answer", "", "Set logprobs to 5, and ask again.")
        self._context.open(ConfidenceScreen(tokens))

    def show_prompt(self) -> None:
        """Show the last prompt after the chat template."""
        from tui.dialogs.text import PromptScreen

        session = self._context.session
        self._context.open(PromptScreen(session.turns.last_prompt if session is not None else ""))

    def native_log(self) -> None:
        """Show the log of the native library."""
        from tui.dialogs.text import LogScreen

        self._context.open(LogScreen(self._context.program.options.native_log))
