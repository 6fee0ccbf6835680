"""The chat screen: the conversation, the prompt, and the panel beside or below them, by the room there is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container

from engine.errors import XchatError
from engine.events import (
    AnswerGrew,
    BranchChanged,
    EngineDied,
    Event,
    LoggingChanged,
    ModelFailed,
    ModelLoading,
    ModelReady,
    Notice,
    PresetChanged,
    PromptEvaluated,
    SessionOpened,
    TurnFinished,
    TurnStarted,
)
from engine.last_used import recall, remember
from engine.models.fit import TooLargeError
from engine.session.session import Session
from tui.actions.bindings import OF_THE_APP, bindings_for
from tui.actions.registry import Scope
from tui.chat.base import Program
from tui.chat.layout import ROOM_CSS, welcome
from tui.chat.library import SessionActions
from tui.chat.messages import ActionRequested, SessionSpoke
from tui.chat.models import LibraryActions
from tui.chat.panel import Numbers
from tui.chat.profiling import ProfileActions
from tui.chat.reading import ReadActions
from tui.chat.stream import AnswerStream
from tui.chat.switching import SwitchActions
from tui.text import wording
from tui.transcript.transcript import Extras


class ChatScreen(ProfileActions, SwitchActions, SessionActions, ReadActions, LibraryActions, Numbers):
    """Follows the session: every event becomes a change of a widget here, and nowhere else."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.APP, leave_out=OF_THE_APP)]
    AUTO_FOCUS = "#prompt"
    DEFAULT_CSS = f"ChatScreen {{ {ROOM_CSS} }}"

    def __init__(
        self,
        program: Program,
        *,
        open_session: Callable[[], Awaitable[Session]],
        remote: bool,
        alerts: Mapping[str, float],
        typed: str = "",
        submitted: str | None = None,
    ) -> None:
        """`typed` and `submitted` are what the person did before this screen was there."""
        super().__init__(program)
        self._typed = typed
        self.waiting = submitted
        self._open_session = open_session
        self.prepare_numbers(remote=remote, low_bandwidth=program.options.low_bandwidth, alerts=alerts)
        self._stream = AnswerStream(
            self.transcript,
            pacer=self.pacer,
            line=program.line,
            bytes_written=program.bytes_written,
            painted=self.note_painted,
            choose=self.note_paced,
        )

    def compose(self) -> ComposeResult:
        """Conversation and panel, prompt, status, keys."""
        with Container(id="desk"):
            yield self.transcript
            yield Container(id="panel-place")
        yield self.prompt
        yield self.status_line
        yield self.key_bar

    def on_mount(self) -> None:
        """Take over from the first frame, and start."""
        keymap = self.program.keymap
        self.key_bar.use(keymap)
        self.prompt.send_keys = frozenset(keymap.keys["send"])
        self.transcript.welcome = welcome(keymap)
        self.say(activity="starting")
        if self._typed:
            self.prompt.put(self._typed)
        self.run_worker(self._start(), group="start", exit_on_error=True)

    async def _start(self) -> None:
        """Open the session, furnish the panel, go on with what was asked for, load the model."""
        session = self.session = await self._open_session()
        session.subscribe(self._hear)
        self.say(activity="", logged=session.logging, preset=session.preset.name, batch=wording.batch(session.preset, session.stream_batch))
        self._stream.use_batch(session.preset.stream_batch)
        if session.logging_error is not None:
            self.report(session.logging_error)
        self.run_worker(self.look_for_damage(), group="care")
        options = self.program.options
        if options.resume is not None:
            await self.resume(options.resume)
        else:
            await self._offer_interrupted()
        path = await self._find_model()
        if path is not None:
            self.begin_load(path)
        else:
            self.starting = False
            self.give_back_waiting()
        await asyncio.to_thread(_import_slow_parts)
        await self.furnish_panel()

    def _hear(self, event: Event) -> None:
        self.post_message(SessionSpoke(event))

    async def _find_model(self) -> Path | None:
        model = self.program.options.model
        if not callable(model):
            return model
        try:
            return await asyncio.to_thread(model)
        except XchatError as error:
            self.report(error)
            return None

    async def _offer_interrupted(self) -> None:
        try:
            info = await self.live().interrupted()
        except XchatError:
            return
        if info is not None:
            key = self.program.keymap.shown("sessions")
            self.tell("The last conversation was cut off", f"“{info.title}” is saved up to where it stopped", f"{key} goes on with it.")

    # The session

    @on(ActionRequested)
    def _action_requested(self, event: ActionRequested) -> None:
        self.program.do(event.action_id)

    def on_session_spoke(self, message: SessionSpoke) -> None:
        """Something happened in the session."""
        event = message.event
        self.note_event(event)
        self.note_for_profiler(event)
        if isinstance(event, AnswerGrew):
            self._stream.add(event)
            self.say(activity="thinking" if event.in_thinking else "answering")
        elif isinstance(event, PromptEvaluated):
            self.say(activity=wording.prefill(event), left_out=event.left_out)
        elif isinstance(event, TurnStarted):
            self._turn_started(event)
        elif isinstance(event, TurnFinished):
            self._turn_finished(event)
        elif isinstance(event, ModelLoading | ModelReady | ModelFailed | EngineDied):
            self._model_spoke(event)
        else:
            self._conversation_spoke(event)

    def capture_changed(self, on: bool) -> None:
        """A capture of the profiler began or ended: the panel marks it, and figures measured meanwhile are noisy."""
        super().capture_changed(on)
        if self._metering is not None:
            self._metering.capture(on)

    def _turn_started(self, event: TurnStarted) -> None:
        session = self.live()
        label = session.engine.model.name if session.engine is not None else None
        self.show_branch()
        self.transcript.to_end()
        self.transcript.begin_answer(event.answer_id, label=label)
        if self.continued is not None:
            text, thinking = self.continued
            self.transcript.grow(event.answer_id, text, thinking, in_thinking=False)
            self.continued = None
        self.extras[event.answer_id] = Extras(label=label)
        self._stream.begin(event.answer_id, session.stream_batch)
        self.say(activity="reading the prompt")

    def _turn_finished(self, event: TurnFinished) -> None:
        self._stream.end()
        answer = event.answer
        failure = wording.ending(answer, event.turn, event.error, continue_key=self.program.keymap.shown("continue_answer"))
        known = self.extras.get(answer.id, Extras())
        self.extras[answer.id] = replace(known, note=wording.timing_line(event.turn), failure=failure)
        self.transcript.finish(answer, self.extras[answer.id])
        self.show_branch()
        self.say(activity="", left_out=event.turn.left_out)
        self.show_title()
        self.note_turn(event)
        if event.error is not None:
            self.report(event.error)

    def _model_spoke(self, event: ModelLoading | ModelReady | ModelFailed | EngineDied) -> None:
        if isinstance(event, ModelLoading):
            self.say(activity=wording.loading(event))
        elif isinstance(event, ModelReady):
            model = event.engine.model
            self.say(activity="", model=model.name, quant=model.quant)
            remember(model=str(model.path), preset=event.engine.preset.name)
            self.show_threads()
            self.note_model(event.engine)
            self.send_waiting()
        elif isinstance(event, ModelFailed):
            engine = event.engine
            self.say(activity="", model=engine.model.name if engine else "", quant=engine.model.quant if engine else "")
            if isinstance(event.error, TooLargeError):
                self.offer_what_fits(event, event.error)
            else:
                self.report(event.error)
            self.give_back_waiting()
        else:
            self._offer_restart(event.error)

    def _conversation_spoke(self, event: Event) -> None:
        if isinstance(event, SessionOpened):
            self.editing = None
            self.logged = None
            self.prompt.border_title = ""
            self.show_branch()
            if event.info is not None:
                self.run_worker(self.recall_turns(event.info), group="recall", exclusive=True)
            self.say(left_out=0)
            self.show_title()
        elif isinstance(event, BranchChanged):
            self.show_branch()
        elif isinstance(event, PresetChanged):
            session = self.live()
            self._stream.use_batch(event.preset.stream_batch)
            self.say(preset=event.preset.name, batch=wording.batch(event.preset, session.stream_batch))
            self.show_threads()
            if session.engine is not None and event.preset.name != recall().preset:
                remember(preset=event.preset.name)
        elif isinstance(event, LoggingChanged):
            self.say(logged=event.on)
            if event.error is not None:
                self.report(event.error)
        elif isinstance(event, Notice):
            self.program.tell(event)

    def _offer_restart(self, error: XchatError) -> None:
        from tui.dialogs.confirm import Confirm

        async def restart(sure: bool | None) -> None:
            if sure:
                await self.program.restart()

        self.say(activity="the engine has stopped")
        detail = f"{error.detail or error.title}\n\nThe conversation is saved. Only starting xchat again brings the engine back."
        self.app.push_screen(Confirm("The engine has stopped", detail, yes="Restart", no="Not now", safe=True), restart)


def _import_slow_parts() -> None:
    """What answers and the panel will need; loaded on a thread while nobody waits for it."""
    import tui.metering
    import tui.panel.panel
    import tui.transcript.markdown  # noqa: F401
