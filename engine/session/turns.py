"""Runs the turns: sends questions to the engine, emits what comes back as facts, and logs the end.

Usually one answer is in progress. In the background, and side by side, there are several; each belongs to its conversation.
Backend events are made on the compute thread and hop over to the event loop once per chunk.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from engine.backend import (
    BackendEvent,
    EngineInfo,
    GenerateRequest,
    GenerationFinished,
    LoadProgressed,
    PrefillProgressed,
    PromptReady,
    TokensDecoded,
)
from engine.chat.titles import session_title
from engine.clock import now_ns, wall_ms
from engine.errors import UsageError
from engine.events import BranchChanged, EngineDied, Event, ModelLoading, Notice, TurnFinished, TurnStarted
from engine.guide import builtin
from engine.guide.respelling import ActionNames
from engine.logprobs import TokenLogprobs
from engine.messages import constraint_of
from engine.pictures.stored import pictures_in
from engine.presets.preset import Preset
from engine.session.answer import Turn
from engine.session.conversation import Conversation, Question
from engine.session.instruments import Instruments, TurnFigures, unwatched
from engine.session.journal import Journal
from engine.session.logged import LoggedSession
from engine.session.model_slot import ModelSlot


@dataclass(slots=True, eq=False)
class UnderWay:
    """An answer in progress, and where it belongs."""

    turn: Turn
    user: int
    """The message that it answers."""
    conversation: Conversation
    logged: LoggedSession
    emit: Callable[[Event], None]
    """Receives its events."""
    beside: bool = False
    """Whether another answer was made at the same time."""
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def id(self) -> int:
        """The id of the answer."""
        return self.turn.answer.id

    def started(self) -> TurnStarted:
        """Make the event for its beginning."""
        return TurnStarted(self.conversation.tree.get(self.user), self.id, self.turn.submitted_ns, self.turn.started_ms)


class Turns:
    """Runs the turns of a session. Lives on the event loop's thread, except for `arrive`."""

    def __init__(self, slot: ModelSlot, journal: Journal, instruments: Instruments, emit: Callable[[Event], None]) -> None:
        """Must be called on the running event loop."""
        self.conversation = Conversation()
        """The current one."""
        self.last_prompt = ""
        self.logprobs: dict[int, tuple[TokenLogprobs, ...]] = {}
        """By the id of an answer of this run, where the setting `logprobs` was on."""
        self.action_names: Mapping[str, ActionNames] = {}
        """Keys and commands for the answers of the built-in model; empty leaves them as the model learned them."""
        self.slot = slot
        self.journal = journal
        self.instruments = instruments
        self.emit = emit
        self._loop = asyncio.get_running_loop()
        self._arrived: deque[BackendEvent] = deque()
        self._under_way: dict[int, UnderWay] = {}
        """By the id of the answer."""
        self.held = False
        """Whether the current conversation is busy between two turns too."""
        self._idle = asyncio.Event()
        self._idle.set()
        self._adapted: set[str] = set()
        """Shown notices on adaptations for this model's template; each is shown once."""

    @property
    def under_way(self) -> tuple[UnderWay, ...]:
        """The answers in progress, of all conversations, in the order of their questions."""
        return tuple(self._under_way.values())

    @property
    def current(self) -> tuple[UnderWay, ...]:
        """Those of the current conversation."""
        return tuple(one for one in self._under_way.values() if one.conversation is self.conversation)

    @property
    def busy(self) -> bool:
        """Whether the current conversation is being answered, or held."""
        return self.held or bool(self.current)

    def move(self, to: Callable[[Conversation], bool]) -> None:
        """Show another branch, unless `to` finds that it is shown already. Raises UsageError when a turn is in progress."""
        self.refuse_while_busy("Stop it before moving to another branch.")
        if to(self.conversation):
            self.keep_head()
            self.emit(BranchChanged(self.conversation.tree.branch()))

    def keep_head(self) -> None:
        """Save which branch is shown."""
        head = self.conversation.tree.head
        self.journal.write(lambda store, session_id: store.set_head(session_id, head.id if head else None))

    @property
    def running(self) -> bool:
        """Whether an answer is in progress in any conversation, or the current one is held."""
        return not self._idle.is_set()

    @property
    def what_runs(self) -> str:
        """The answers in progress, in words."""
        if len(self._under_way) > 1:
            return f"{len(self._under_way)} answers"
        return "the answer" if self.busy else "the answer in the background"

    def refuse_while_busy(self, hint: str = "Stop it first.") -> None:
        """Raise UsageError when the current conversation is being answered."""
        if self.busy:
            raise UsageError("An answer is being written", "", hint, "stop")

    async def wait_idle(self) -> None:
        """Return when no answer is in progress, in the background neither."""
        await self._idle.wait()

    def hold(self) -> None:
        """Keep the current conversation busy until `release`: more than one turn of it follows."""
        self.held = True
        self._idle.clear()

    def release(self) -> None:
        """End `hold`."""
        self.held = False
        self._settle()

    def model_changed(self) -> None:
        """Reset what depends on the model or the context."""
        self.conversation.first_kept = 0
        self._adapted.clear()

    def ask(self, question: Callable[[Conversation], Question]) -> int:
        """Send a question to the engine; return the id of the answer. Raises as `Session.send`."""
        self.refuse_while_busy()
        self.require(self.slot.preset)
        return self.start(question(self.conversation), self.slot.preset, self.emit)

    def require(self, preset: Preset) -> EngineInfo:
        """Return the engine. Raises EngineError when it can't answer, UsageError when not with these settings."""
        engine = self.slot.ready()
        if constraint_of(preset) is not None and not self.slot.capabilities.constraints:
            raise UsageError("This engine can't keep answers in a form", "", "Set json_schema, grammar and regex to none.")
        return engine

    def start(self, asked: Question, preset: Preset, emit: Callable[[Event], None]) -> int:
        """Send a question of the current conversation with the settings of one turn; `emit` receives the events of the answer.

        Return the id of the answer. Raises EngineError when there is no model, or the engine died; UsageError for a picture.
        """
        engine = self.require(preset)
        refuse_pictures(engine, asked.user.text)
        answer = self.conversation.begin(asked, max(self._under_way, default=0))
        respelling = builtin.respelling(engine.model.ref, self.action_names)
        turn = Turn(answer, engine, preset, self.slot.stream_batch, now_ns(), wall_ms(), respelling)
        self._idle.clear()
        if self.journal.session is None:
            self.journal.begin(session_title(asked.user.text), asked.user.created_ms, self.conversation.tree.messages)
        assert self.journal.session is not None
        one = UnderWay(turn, asked.user.id, self.conversation, self.journal.session, emit)
        self._under_way[answer.id] = one
        if len(self._under_way) > 1:
            for each in self._under_way.values():
                each.beside = True
        self.journal.write(lambda store, session_id: store.save_message(session_id, asked.user), asked.user)
        self._mark_answering(one)
        emit(one.started())
        self.slot.backend.submit(
            GenerateRequest(
                turn=answer.id,
                prompt=self.conversation.prompt(asked, preset),
                sampling=preset.sampling,
                on_event=self.arrive,
                submitted_ns=turn.submitted_ns,
                max_tokens=preset.max_tokens,
                repeatable=preset.repeatable,
                constraint=constraint_of(preset),
                logprobs=preset.logprobs if self.slot.capabilities.logprobs else None,
            )
        )
        return answer.id

    def _mark_answering(self, one: UnderWay) -> None:
        self.journal.write(lambda store, session_id: store.mark_answering(session_id, True), of=one.logged)

    def stop(self) -> None:
        """Stop the answers of the current conversation and keep their text."""
        for one in self.current:
            self.slot.backend.stop(one.id)

    def stop_all(self) -> None:
        """Stop all answers and keep their text."""
        for answer_id in self._under_way:
            self.slot.backend.stop(answer_id)

    def arrive(self, event: BackendEvent) -> None:
        """Queue an event, and wake the loop once for all queued ones; called on the compute thread."""
        self._arrived.append(event)
        if len(self._arrived) == 1:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the program is ending
                self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        """Handle the queued events. Each stays queued until handled, so that `arrive` does not wake a running loop again."""
        while self._arrived:
            try:
                self._take(self._arrived[0])
            except Exception:
                self._loop.call_soon(self._drain)  # an exception of a listener must not delay the rest of the answer
                raise
            finally:
                self._arrived.popleft()

    def _take(self, event: BackendEvent) -> None:
        if isinstance(event, LoadProgressed):
            self.emit(ModelLoading(event.ref, event.fraction))
            return
        one = self._under_way.get(event.turn)
        if one is None:
            return
        turn = one.turn
        self.instruments.log_moves()
        if isinstance(event, TokensDecoded):
            one.emit(turn.grew(turn.grow(event), event.token_ns))
        elif isinstance(event, PromptReady):
            self._prompt_ready(one, event)
        elif isinstance(event, PrefillProgressed) and turn.prompt is not None:
            one.emit(turn.evaluated(turn.prompt, event))
        elif isinstance(event, GenerationFinished):
            self._finish(one, event)

    def _prompt_ready(self, one: UnderWay, event: PromptReady) -> None:
        one.turn.prompt_ready(event)
        one.conversation.first_kept = event.prompt.first_kept
        if one.conversation is self.conversation:
            self.last_prompt = event.prompt.text
        for sentence in event.prompt.notices:
            if sentence not in self._adapted:
                self._adapted.add(sentence)
                self.emit(Notice("warning", sentence))
        one.emit(one.turn.evaluated(event))

    def _finish(self, one: UnderWay, end: GenerationFinished) -> None:
        """End the turn, also when a listener or what is left of the text raises."""
        try:
            late = one.turn.finish(end.tail)
            if late.answer or late.thinking:
                one.emit(one.turn.grew(late))
        finally:
            del self._under_way[one.id]
            self._settle()
            one.done.set()
            self._ended(one, end)

    def _settle(self) -> None:
        if not self._under_way and not self.held:
            self._idle.set()

    def _ended(self, one: UnderWay, end: GenerationFinished) -> None:
        answer, record = one.turn.final(end), one.turn.record(end, self._figures(one, end))
        one.conversation.tree.add(answer)
        if one.turn.logprobs:
            self.logprobs[answer.id] = tuple(one.turn.logprobs)
        self.journal.write(
            lambda store, session_id: store.save_turn(replace(record, session_id=session_id), answer), answer, record, of=one.logged
        )
        if any(other.logged is one.logged for other in self._under_way.values()):
            self._mark_answering(one)
        one.emit(TurnFinished(answer, record, end.error))
        if self.slot.backend.dead is not None and not self._under_way:
            self.emit(EngineDied(self.slot.backend.dead))

    def _figures(self, one: UnderWay, end: GenerationFinished) -> TurnFigures:
        if one.beside or not self.instruments.measured(one.id):
            return unwatched(end.taken_share, beside=one.beside)
        return self.instruments.figures(end.taken_share)


def refuse_pictures(engine: EngineInfo, text: str) -> None:
    """Raise UsageError when a message names a picture and the model takes none."""
    picture = next((found for _, _, found in pictures_in(text)), None)
    if picture is not None and not engine.projector:
        detail = f"{picture.name} is not sent: no projector (mmproj) that fits lies beside it, or it is of a kind not supported"
        hint = "Choose a model with one, or set mmproj to its file."
        raise UsageError(f"{engine.model.name} takes no pictures", detail, hint, "models")
