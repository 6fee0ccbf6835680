"""The chat screen: conversation and prompt, with the panel beside or below."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static, TextArea

from engine.events import Event, Notice
from engine.prompt_history import history_path
from engine.session.session import Session
from tui.actions.bindings import OF_THE_APP, Handler, bindings_for
from tui.actions.footer import KeyBar
from tui.actions.hints import Situation
from tui.actions.registry import Action, Scope, action_names
from tui.chat.attaching import AttachingController
from tui.chat.completing import CompletingController
from tui.chat.compose import ComposeController
from tui.chat.context import ChatContext, Program
from tui.chat.drafting import DraftingController
from tui.chat.lab import LabController
from tui.chat.layout import ROOM_CSS
from tui.chat.library import LibraryController
from tui.chat.many.controller import ManyController
from tui.chat.models import ModelsController
from tui.chat.panel import PanelController
from tui.chat.profiling import ProfilingController
from tui.chat.reading import ReadingController
from tui.chat.serving import ServingController
from tui.chat.status import StatusLine
from tui.chat.stream import AnswerStream
from tui.chat.switching import SwitchingController
from tui.chat.welcome import WelcomeController
from tui.prompt.prompt import Prompt
from tui.prompt.suggestions import Suggestions
from tui.terminal.attention import Attention
from tui.text import wording
from tui.transcript.transcript import Transcript

if TYPE_CHECKING:
    from tui.panel.panel import Panel

NOTICES = "textual-toastrack"
"""Id of Textual's container of notices."""


@dataclass
class SessionEvent(Message, bubble=False):
    """An event of the session, delivered through the screen's message queue."""

    event: Event


class ChatScreen(Screen[None]):
    """The chat screen: owns the widgets and the controllers, and passes them events and actions."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.APP, leave_out=OF_THE_APP)]
    AUTO_FOCUS = "#prompt"
    DEFAULT_CSS = f"ChatScreen {{ layers: default capture narrow; {ROOM_CSS} }}"

    def __init__(
        self,
        program: Program,
        *,
        open_session: Callable[[], Awaitable[Session]],
        remote: bool,
        typed: str = "",
        submitted: str | None = None,
    ) -> None:
        """`typed` and `submitted`: text from the first frame."""
        super().__init__(id="chat")
        self._program = program
        self._open_session = open_session
        self._typed = typed
        self.transcript = Transcript(id="transcript")
        self.prompt = Prompt(history=history_path(), remembers=program.options.log, id="prompt")
        self.suggestions = self.prompt.suggestions = Suggestions(id="suggestions")
        self.status_line = StatusLine(id="status")
        self.key_bar = KeyBar(id="keys")
        context = self.context = ChatContext(program, self, self.transcript, self.prompt, self.status_line)
        self.panel = PanelController(context, remote=remote, low_bandwidth=program.options.low_bandwidth)
        self._stream = AnswerStream(
            self.transcript,
            pacer=self.panel.pacing.pacer,
            line=program.link,
            bytes_written=program.bytes_written,
            painted=self.panel.painted,
            choose=self.panel.paced,
        )
        self.profiling = ProfilingController(context)
        self.reading = ReadingController(context, self._stream)
        self.models = ModelsController(context)
        self.switching = SwitchingController(context)
        self.library = LibraryController(context)
        self.lab = LabController(context)
        self.serving = ServingController(context)
        self.completing = CompletingController(context, self.suggestions)
        self.attaching = AttachingController(context)
        self.composing = ComposeController(
            context, model_expected=lambda: self.models.first_expected, waiting=submitted, attach=self.attaching.whole
        )
        self.many = ManyController(context, pacer=self.panel.pacing.pacer, take_text=self.composing.take_text)
        self.drafting = DraftingController(context, editing=lambda: self.composing.editing is not None)
        self.attention = Attention(program.options.notify, write=self._write, looked_at=lambda: self.app.app_focus)
        self.welcome = WelcomeController(context, send=self.send, resume=self.library.resume)
        # Composing comes last: it sends a queued message and extends an answer after the others have shown the event.
        self._listeners = (
            *(self.panel, self.profiling, self.reading, self.models, self.switching, self.library),
            *(self.many, self.drafting, self.attention, self.welcome, self.serving, self.composing),
        )
        self.actions = self._actions()

    def _actions(self) -> Mapping[str, Handler]:
        """Return the handler of each action; called with the argument where the action has one."""
        compose, reading, transcript = self.composing, self.reading, self.transcript
        models, library, panel, profiling = self.models, self.library, self.panel, self.profiling
        switching, live = self.switching, self.context.live
        return {
            "stop": self._stop,
            "regenerate": compose.regenerate,
            "compare": self.many.compare,
            "answers": self.many.answers,
            "edit_message": compose.edit_message,
            "continue_answer": compose.continue_answer,
            "system_prompt": compose.system_prompt,
            "change_setting": switching.change_setting,
            "read_file": compose.read_file,
            "attach_file": self.attaching.attach_file,
            "open_editor": self.drafting.open_editor,
            "prompt_library": self.drafting.library,
            "search_history": self.drafting.search_history,
            "select_previous": lambda: reading.select(-1),
            "select_next": lambda: reading.select(1),
            "page_up": lambda: transcript.scroll_pages(-1),
            "page_down": lambda: transcript.scroll_pages(1),
            "to_start": transcript.to_start,
            "to_end": transcript.to_end,
            "toggle_thinking": reading.toggle_thinking,
            "copy_message": reading.copy_message,
            "copy_code": reading.copy_code,
            "confidence": reading.show_confidence,
            "show_prompt": reading.show_prompt,
            "native_log": reading.native_log,
            "new_session": library.new_session,
            "sessions": library.sessions,
            "title_session": library.rename,
            "save_now": library.save_now,
            "export": library.export,
            "performance": library.performance,
            "models": models.models,
            "bigger_batch": lambda: models.step_batch(1),
            "smaller_batch": lambda: models.step_batch(-1),
            "auto_batch": lambda: live().slot.set_stream_batch("auto"),
            "presets": switching.presets,
            "next_preset": lambda: live().switching.next_preset(1),
            "previous_preset": lambda: live().switching.next_preset(-1),
            "use_quant": switching.use_quant,
            "next_quant": lambda: live().switching.next_quant(1),
            "previous_quant": lambda: live().switching.next_quant(-1),
            "use_threads": switching.use_threads,
            "fewer_threads": lambda: live().switching.more_threads(-1),
            "more_threads": lambda: live().switching.more_threads(1),
            "switch_back": switching.back,
            "toggle_panel": panel.toggle,
            "doctor": panel.doctor,
            "race": self.lab.race,
            "tune": self.lab.tune,
            "serve": self.serving.serve,
            "capture": profiling.capture,
            "capture_mode": profiling.capture_mode,
            "flame": profiling.flame,
        }

    def compose(self) -> ComposeResult:
        """Lay out conversation and panel, prompt, status line, footer, and the notice of a narrow screen."""
        with Container(id="desk"):
            yield self.transcript
            yield Container(id="panel-place")
        yield Container(id="strip-place")
        yield self.suggestions
        yield self.prompt
        yield self.status_line
        yield self.key_bar
        yield Static("Too narrow", id="narrow")

    def on_mount(self) -> None:
        """Take over from the first frame and start the session."""
        keymap = self._program.keymap
        self.key_bar.use(keymap)
        self.prompt.send_keys = frozenset(keymap.keys["send"])
        self.welcome.show()
        self.status_line.end_key = keymap.shown("to_end")
        self.screen_layout_refresh_signal.subscribe(self, lambda _: self._place_notices())
        self.watch(self, "focused", self._show_keys, init=False)
        self.context.set_status(activity="starting")
        if self._typed:
            self.prompt.put(self._typed)
        self.run_worker(self._start(), group="start")

    async def on_unmount(self) -> None:
        """Keep the draft, end the capture, the measurement and the server."""
        self.lab.stop()
        self.attention.close()
        self.drafting.close()
        await self.profiling.close()
        await self.serving.close()

    async def _start(self) -> None:
        """Open or resume the session, load the model, mount the panel."""
        session = self.context.session = await self._open_session()
        session.turns.action_names = action_names(self._program.keymap.keys)
        session.subscribe(self._on_engine_event)
        preset = session.preset
        self.context.set_status(
            activity="", logged=session.logging, preset=preset.name, batch=wording.batch(preset, session.slot.stream_batch)
        )
        self._stream.use_batch(preset.stream_batch)
        if session.logging_error is not None:
            self.context.report(session.logging_error)
        self.run_worker(self.library.check_database(), group="care")
        self.run_worker(self.drafting.remove_left(), group="care")
        self.run_worker(self.welcome.load(), group="welcome", exclusive=True)
        resume = self._program.options.resume
        if resume is not None:
            await self.library.resume(resume)
        self.drafting.begin()
        if resume is None:
            await self.library.offer_interrupted()
        if not await self.models.load_first():
            self.composing.return_waiting()
        await asyncio.to_thread(_import_slow_parts)
        self.watch(await self.panel.mount(), "expanded", self._show_keys, init=False)
        if self._program.options.serve is not None:
            await self.serving.begin(self._program.options.serve)
            await self.serving.show()

    def add_typed(self, before: str, typed: str) -> None:
        """Insert text typed into the first screen after its text `before` was transferred."""
        late, now = typed.removeprefix(before), self.prompt.whole
        if late:
            self.prompt.put(before + late + now.removeprefix(before))

    def send(self, text: str) -> None:
        """Send a text that was submitted in the first frame."""
        self.prompt.put(text)
        self.prompt.action_send()

    def ask_argument(self, action: Action) -> None:
        """Put a command that needs an argument into the prompt, for the user to complete."""
        self.composing.ask_argument(action)

    def _stop(self) -> None:
        """Remove the notice; cancel the running capture, else clear the selection, else stop the answer."""
        self._program.dismiss_notice()
        if not self.profiling.cancel() and not self.reading.leave_selection():
            self.composing.stop()

    def _write(self, data: str) -> None:
        """Write an escape sequence to the terminal; there is none in tests."""
        driver = self.app._driver
        if driver is not None:
            driver.write(data)

    def _place_notices(self) -> None:
        """Keep notices in their row above the prompt, whatever its height; the strip of figures stays above it."""
        self.set_class(bool(self.query("Toast")), "-notice")
        for rack in self.query(f"#{NOTICES}"):
            rack.styles.margin = (0, 0, max(1, self.size.height - self.prompt.region.y), 0)

    def _show_keys(self) -> None:
        """Show the keys of the current situation."""
        panel, session = self.panel.widget, self.context.session
        if panel is not None and self.focused is panel:
            situation = Situation.EXPANDED if panel.expanded else Situation.PANE
        elif self.transcript.chosen_id is not None:
            situation = Situation.SELECTED
        elif session is not None and session.busy:
            situation = Situation.ANSWERING
        else:
            situation = Situation.IDLE if self.context.branch else Situation.EMPTY
        self.key_bar.show_situation(situation)

    # Events

    def _on_engine_event(self, event: Event) -> None:
        self.post_message(SessionEvent(event))

    def on_session_event(self, message: SessionEvent) -> None:
        """Pass an event of the session to the controllers."""
        for listener in self._listeners:
            listener.on_event(message.event)
        if isinstance(message.event, Notice):
            self._program.show_notice(message.event)
        self._show_keys()

    @on(Prompt.Submitted)
    def _submitted(self, message: Prompt.Submitted) -> None:
        message.stop()
        self.composing.submit(message.text)

    @on(TextArea.Changed, "#prompt")
    def _prompt_changed(self) -> None:
        self.completing.suggest()
        self.drafting.changed()
        self.attaching.changed()

    @on(Prompt.CompletionRequested)
    def _completion_requested(self) -> None:
        self.run_worker(self.completing.complete(), group="complete", exclusive=True)

    @on(Transcript.FollowChanged)
    def _follow_changed(self, message: Transcript.FollowChanged) -> None:
        self.context.set_status(unseen=message.unseen)

    @on(Transcript.MessageChosen)
    def _message_chosen(self) -> None:
        self._show_keys()

    @on(Transcript.WelcomeChosen)
    def _welcome_chosen(self, message: Transcript.WelcomeChosen) -> None:
        self.prompt.focus()
        self.welcome.take(message.number)

    @on(Transcript.SiblingRequested)
    def _sibling_requested(self, message: Transcript.SiblingRequested) -> None:
        self.reading.switch_sibling(message.message_id, message.step)

    def on_panel_host_measured(self, message: Panel.HostMeasured) -> None:
        """Apply the limits of this machine that the panel measured."""
        self.panel.host_measured(message.limits)

    def on_resize(self) -> None:
        """Place the panel by the size of the screen."""
        self.panel.place()

    def on_key(self, event: events.Key) -> None:
        """Redirect typing from the transcript to the prompt."""
        if self.focused is self.transcript and event.is_printable and event.character:
            event.stop()
            self.transcript.choose(None)
            self.prompt.focus()
            self.prompt.insert(event.character)

    def on_paste(self, event: events.Paste) -> None:
        """Redirect a paste from the transcript to the prompt."""
        if self.focused is self.transcript:
            event.stop()
            self.prompt.focus()
            self.prompt.post_message(event)


def _import_slow_parts() -> None:
    """Import what answers and the panel need. Called on a thread."""
    import tui.panel.panel
    import tui.transcript.markdown  # noqa: F401
