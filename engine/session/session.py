"""The facade that the screen and the command line use.

It lives on the event loop's thread and emits the immutable events of `engine.events`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import partial

from engine.backend import Backend, EngineInfo, ThreadsNow
from engine.chat.tree import ConversationTree
from engine.errors import XchatError
from engine.events import Event, LoggingChanged, SessionOpened
from engine.host.sampler import HostSampler
from engine.model_ref import ModelRef
from engine.presets.preset import Preset
from engine.records import Message, SessionInfo
from engine.session.conversation import Conversation
from engine.session.instruments import Instruments
from engine.session.journal import Journal, OpenStore
from engine.session.kv_states import KvStates
from engine.session.library import Library
from engine.session.logged import LoggedSession
from engine.session.many.background import Background
from engine.session.many.side_by_side import SideBySide
from engine.session.model_finder import ModelFinder
from engine.session.model_slot import ModelSlot
from engine.session.presets import Presets
from engine.session.switching import Switching
from engine.session.target import of_no_model
from engine.session.turns import Turns
from engine.store.queries.sessions import read_session
from engine.store.reader import Reader
from engine.store.writer import Store

CLOSE_STOP_S = 1.0
"""Longest wait of `close` for the current answer; a stop takes 50 ms."""


class Session:
    """A conversation, the engine that answers in it, and the log of both."""

    def __init__(
        self,
        backend: Backend,
        *,
        preset: Preset,
        store: Store | OpenStore | None = None,
        reader: Reader | None = None,
        logging_error: XchatError | None = None,
        finder: ModelFinder | None = None,
        alerts: Mapping[str, float] | None = None,
        sampler: HostSampler | None = None,
    ) -> None:
        """Must be called on the running event loop.

        `store` is the log or opens it, as soon as it can; without one turns are not logged (`logging_error` says why, unless by choice).
        Without `reader` no sessions are listed.
        `backend` is closed with the session, or when a model of another engine is loaded. Raises UsageError for an unknown alert.
        """
        self._listeners: list[Callable[[Event], None]] = []
        self._closed = False
        self.logging_error = logging_error
        finder = finder or ModelFinder()
        self._states = KvStates(lambda: self.slot.backend)
        self._journal = Journal(store, self._logging_changed)
        self.library = Library(reader, self._journal, self._states, self._before_delete)
        self.instruments = Instruments(
            self._journal,
            emit=self.emit,
            threads_now=lambda: self.threads_now,
            pool_now=lambda: self.slot.pool_now,
            alerts=alerts,
            reader=reader,
            sampler=sampler,
        )
        self.slot = ModelSlot(backend, preset, finder=finder, emit=self.emit, paced=self.instruments.meter.paced)
        self.turns = Turns(self.slot, self._journal, self.instruments, self.emit)
        self.background = Background(self.turns, self._journal, self.instruments, self.emit)
        self.sides = SideBySide(self.turns, finder, switch=self._load)
        self.presets = Presets()
        self.switching = Switching(self.turns, self._states, load=self.load, finder=finder)

    # State

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` with every event from now on; the returned function unsubscribes it."""
        self._listeners.append(listener)
        return partial(self._listeners.remove, listener)

    @property
    def branch(self) -> tuple[Message, ...]:
        """The messages shown, oldest first; while an answer grows it ends with the message being answered."""
        return self.turns.conversation.tree.branch()

    @property
    def info(self) -> SessionInfo | None:
        """The conversation as it is logged; None until its first message is in the log, and when it isn't logged."""
        return self._journal.session.info if self._journal.session else None

    @property
    def session_id(self) -> int | None:
        """The id of the current conversation; None until it is in the database."""
        return self._journal.session.id if self._journal.session else None

    @property
    def logging(self) -> bool:
        """Whether turns are written to the database."""
        return self._journal.on

    @property
    def busy(self) -> bool:
        """Whether a turn is in progress."""
        return self.turns.busy

    @property
    def engine(self) -> EngineInfo | None:
        """The loaded model with its context."""
        return self.slot.engine

    @property
    def preset(self) -> Preset:
        """The settings in use."""
        return self.slot.preset

    @property
    def threads_now(self) -> ThreadsNow | None:
        """The thread counts in use and why; None when nothing is loaded, or the engine has no `threads`."""
        return self.slot.threads_now

    async def wait_idle(self) -> None:
        """Return when no turn is in progress."""
        await self.turns.wait_idle()

    # Messages

    def send(self, text: str) -> int:
        """Send `text` as the next message; return the id of its answer.

        Raises:
            UsageError: The text is empty, or a turn is in progress.
            EngineError: There is no model, or the engine died.
        """
        return self.turns.ask(lambda conversation: conversation.new_message(text))

    def regenerate(self) -> int:
        """Answer the last message of the branch again; the earlier answer stays as a sibling. Raises as `send` does."""
        return self.turns.ask(Conversation.regenerate)

    def edit(self, message_id: int, text: str) -> int:
        """Send `text` in place of an earlier message, as its sibling. Raises as `send` does, and UsageError for an answer."""
        return self.turns.ask(lambda conversation: conversation.edit(message_id, text))

    def continue_answer(self) -> int:
        """Continue the last answer where it was cut; the longer answer is a sibling of the cut one. Raises as `send` does."""
        return self.turns.ask(Conversation.continue_answer)

    def stop(self) -> None:
        """Stop the answer in progress and keep its text; several that are compared, too."""
        (self.sides if self.turns.held else self.turns).stop()

    def switch_sibling(self, message_id: int, step: int) -> None:
        """Show the previous (-1) or next (+1) version of a message with its continuation; nothing happens at the ends."""
        self.turns.move(lambda conversation: conversation.step(message_id, step))

    def show_message(self, message_id: int) -> None:
        """Show the newest branch with a message, unless it is shown already, or unknown. Raises UsageError while a turn is in progress."""
        self.turns.move(lambda conversation: conversation.show(message_id))

    # Model and settings

    async def load(self, ref: ModelRef, preset: Preset | None = None, *, force: bool = False) -> EngineInfo:
        """Load a model with `preset`, else with the current one; the conversation stays.

        Raises:
            UsageError: A turn is in progress.
            ModelError: The model can't be used; `engine` is what is loaded afterwards.
            TooLargeError: It doesn't fit into memory, and `force` is not set.
            EngineError: The engine is dead, or the context doesn't fit into memory.
            asyncio.CancelledError: `cancel_load` was called.
        """
        self.turns.refuse_while_busy("Stop it before loading another model.")
        return await self._load(ref, preset, force=force)

    async def _load(self, ref: ModelRef, preset: Preset | None, *, force: bool = False) -> EngineInfo:
        before = self.engine
        if before is not None and before.model.ref != ref:
            self._keep_state()

        async def loaded() -> None:
            engine = self.slot.engine
            assert engine is not None
            if before is None or before.model.fingerprint != engine.model.fingerprint:
                await self._restore_state()
            if engine.library and (before is None or before.library != engine.library):
                self._journal.add(lambda store: store.describe_engine(engine.library))
            self.turns.model_changed()

        return await self.slot.load(ref, preset or of_no_model(self.preset), self.turns.arrive, force=force, loaded=loaded)

    # Sessions

    def new_session(self) -> None:
        """Begin a new conversation; the one before stays in the log, and its answer continues in the background.

        Raises UsageError when it can't go on.
        """
        self._open(Conversation(), None)

    async def resume(self, session_id: int) -> None:
        """Resume a saved conversation, or return to one whose answer continues in the background.

        Raises:
            UsageError: The answer in progress can't continue in the background.
            StoreError: There is no such session, or it can't be read.
        """
        running = self.background.find(session_id)
        if running is not None:
            self._open(running.conversation, running.logged)
            self.background.came_back()
            return
        await self.library.logged()  # an answer of it may have ended just now
        stored = await self.library.reader.read(read_session, session_id)
        if stored.info.interrupted and self.logging:
            # Resuming shows where it was cut.
            await self._journal.run(lambda store: store.mark_interrupted(session_id, False))
        self._open(Conversation(ConversationTree(stored.messages, stored.info.head_id)), stored.info)
        await self._restore_state()

    async def close(self, *, keep_state: bool = False, interrupted: bool = False) -> None:
        """Stop, save the partial answer, close the database and free the model. Safe to call twice.

        With `keep_state` the KV state is saved, if that is cheaper than prefilling again; it can take seconds. With `interrupted` an
        answer that is in progress is marked as cut off, as one in the background always is: the next start offers the conversation.
        """
        if self._closed:
            return
        self._closed = True
        await self.switching.close()
        current = (self._journal.session,) if interrupted and self.busy else ()
        cut = (*current, *self.background.sessions)
        self.turns.stop_all()
        await self.sides.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.wait_idle(), CLOSE_STOP_S)
        for session in cut:
            self._journal.write(lambda store, session_id: store.mark_interrupted(session_id, True), of=session)
        await self.instruments.close()
        await self._journal.close()
        if keep_state:
            self._keep_state()
            await self._states.written()
        await self.library.close(forget_missing=keep_state)
        with contextlib.suppress(RuntimeError):  # memory allows no more threads
            await asyncio.to_thread(self.slot.backend.close)

    def _open(self, conversation: Conversation, session: SessionInfo | LoggedSession | None) -> None:
        """Make another conversation the current one: a new one, a saved one, or one from the background."""
        left = self.busy
        self.background.leave()
        self._keep_state()
        self.turns.conversation, self.turns.last_prompt = conversation, ""
        self._journal.leave(session if isinstance(session, LoggedSession) else None)
        if isinstance(session, SessionInfo):
            self._journal.resume(session, conversation.tree.messages)
        self.emit(SessionOpened(self.info, self.branch))
        if left:
            self.background.report()

    async def _before_delete(self, session_id: int) -> None:
        """End what continues in a conversation; if it is the current one, a new one begins."""
        if session_id == self.session_id:
            self.new_session()
        await self.background.end(session_id)

    def _keep_state(self) -> None:
        """Save the KV state of this conversation, if there is one."""
        session_id, engine = self.session_id, self.engine
        if session_id is not None and engine is not None and self._states.held and not self.busy:
            self._states.keep(session_id, self.switching.prefill_speed(engine.model.ref))

    async def _restore_state(self) -> None:
        session_id = self.session_id
        if session_id is not None and self.engine is not None and not self.busy:
            await self._states.restore(session_id, lambda: session_id == self.session_id)

    def _logging_changed(self, on: bool, error: XchatError | None) -> None:
        self.logging_error = None if on else error
        self.emit(LoggingChanged(on, error))

    def emit(self, event: Event) -> None:
        """Deliver an event to subscribers, then to the parts of the session; an exception of one does not affect the others."""
        with contextlib.ExitStack() as calls:
            for handle in (self.switching.handle, self._states.handle, self.instruments.handle, *reversed(self._listeners)):
                calls.callback(handle, event)
