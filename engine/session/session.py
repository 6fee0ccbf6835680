"""The facade: one object that the screen and the command line both drive.

It lives on the event loop's thread. Backend events are made on the compute thread, hop over once per chunk, and become the immutable
facts of `engine.events`. Send, regenerate, edit and continue are one path with different inputs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from engine.backend import (
    Backend,
    BackendEvent,
    Capabilities,
    EngineInfo,
    GenerateRequest,
    GenerationFinished,
    LoadProgressed,
    PrefillProgressed,
    PromptReady,
    ThreadsNow,
    TokensDecoded,
)
from engine.chat.thinking import Split
from engine.chat.titles import session_title
from engine.chat.tree import ConversationTree
from engine.clock import now_ns, wall_ms
from engine.errors import EngineError, StoreError, UsageError, XchatError
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
from engine.guide import builtin
from engine.guide.respelling import ActionNames
from engine.host.sampler import HostSampler
from engine.messages import ChatMessage, ChatPrompt, Role
from engine.models.fit import TooLargeError
from engine.presets.preset import AUTO_STREAM_BATCH, Preset
from engine.records import Message, MessageStatus, SessionInfo, TurnRecord, new_message_id
from engine.session.answer import Turn
from engine.session.instruments import Instruments
from engine.session.journal import Journal, LoggedSession
from engine.session.kv_states import KvKeeping
from engine.session.model_finder import ModelFinder
from engine.session.switching import Switching
from engine.session.target import of_no_model
from engine.store.export.run_card import GOVERNOR_KIND
from engine.store.reader import Reader
from engine.store.regression import Regression
from engine.store.writer import Store

ANSWER_RESERVE = 512
"""Tokens of the window kept free for an answer without a longest length; turns that would take them are left out of the prompt."""

CLOSE_STOP_S = 1.0
"""How long closing waits for the answer under way to end; a stop takes 50 ms."""

Listener = Callable[[Event], None]


class Session:
    """A conversation, the engine that answers in it, and the log of both."""

    def __init__(
        self,
        backend: Backend,
        *,
        preset: Preset,
        store: Store | None = None,
        reader: Reader | None = None,
        logging_error: XchatError | None = None,
        finder: ModelFinder | None = None,
        alerts: Mapping[str, float] | None = None,
        sampler: HostSampler | None = None,
    ) -> None:
        """Must be called on the running event loop.

        Args:
            backend: Generates; closed with the session.
            preset: The settings to begin with.
            store: Where turns are logged; without one they are not.
            reader: Where saved sessions are read; without one none are listed.
            logging_error: Why there is no store, if that is not by choice.
            finder: Tells which files presets and quants mean; by default among all models of this machine.
            alerts: Limits of alerts, over the defaults.
            sampler: Samples the machine; by default the one for this operating system.

        Raises:
            UsageError: There is no such alert.
        """
        self._backend = backend
        self._loop = asyncio.get_running_loop()
        self._journal = Journal(store, self._logging_failed)
        self.instruments = Instruments(self._journal, emit=self._emit, threads_now=lambda: self.threads_now, alerts=alerts, sampler=sampler)
        self._reader = reader
        self._listeners: list[Listener] = []
        self._arrived: deque[BackendEvent] = deque()
        self._tree = ConversationTree()
        self._first_kept = 0
        self._moves: tuple[str, ...] = ()
        """What the thread governors had decided when they were last asked."""
        self._told: set[str] = set()
        """What had to be adapted for this model's template, so that each sentence is said once."""
        self._turn: Turn | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._loads = 0
        self._closed = False
        self._finder = finder or ModelFinder()
        self.switching = Switching(self, finder=self._finder)
        self._states = KvKeeping(backend)
        self.preset = preset
        self.engine: EngineInfo | None = None
        self._info: SessionInfo | None = None
        self.stream_batch = AUTO_STREAM_BATCH if preset.stream_batch == "auto" else preset.stream_batch
        self.instruments.meter.paced(self.stream_batch)
        self.last_prompt = ""
        self.action_names: Mapping[str, ActionNames] = {}
        """Keys and commands that the built-in model's answers are to name; empty leaves them as the model says them."""
        self.logging_error = logging_error

    # Watching

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every event from now on; the returned function ends that."""
        self._listeners.append(listener)
        return partial(self._listeners.remove, listener)

    @property
    def branch(self) -> tuple[Message, ...]:
        """The messages shown, oldest first; while an answer grows it ends with the message being answered."""
        return self._tree.branch()

    @property
    def info(self) -> SessionInfo | None:
        """The conversation as the log knows it; None until its first message is there, and when it isn't logged."""
        logged = self._journal.session
        if self._info is None and logged is not None and logged.id is not None:
            self._info = SessionInfo(logged.id, logged.title, logged.created_ms, logged.created_ms, None)
        return self._info

    @property
    def busy(self) -> bool:
        """Whether a turn is under way."""
        return self._turn is not None

    @property
    def loading(self) -> bool:
        """Whether a model is being loaded, or a context made."""
        return self._loads > 0

    @property
    def capabilities(self) -> Capabilities:
        """What the engine offers beyond answering messages."""
        return self._backend.capabilities

    @property
    def threads_now(self) -> ThreadsNow | None:
        """The thread counts in use and why; None when nothing is loaded, or the engine's threads are not ours to count."""
        return self._backend.threads_now if self.capabilities.threads else None

    @property
    def answer_id(self) -> int | None:
        """The answer that is growing."""
        return self._turn.answer.id if self._turn else None

    @property
    def logging(self) -> bool:
        """Whether turns are written to the database."""
        return self._journal.on

    @property
    def session_id(self) -> int | None:
        """The number of the current conversation; None until it is in the database."""
        return self._journal.session.id if self._journal.session else None

    @property
    def title(self) -> str:
        """The title of the current conversation, empty before its first message."""
        return self._journal.session.title if self._journal.session else ""

    @property
    def dead(self) -> XchatError | None:
        """Why the engine is gone for good, if it is."""
        return self._backend.dead

    def siblings(self, message_id: int) -> tuple[int, int]:
        """Index (from 0) of a message among the versions of itself, and how many there are."""
        versions, index = self._tree.siblings(message_id)
        return index, len(versions)

    async def wait_idle(self) -> None:
        """Return when no turn is under way."""
        await self._idle.wait()

    # Talking

    def send(self, text: str) -> int:
        """Say `text` and have it answered; returns the id of the answer.

        Raises:
            UsageError: The text is empty.
            EngineError: There is no model, a turn is under way, or the engine died.
        """
        engine = self._ready()
        if not text.strip():
            raise UsageError("The message is empty", "", "Type something first.")
        head = self._tree.head
        user = Message(new_message_id(head.id if head else None), head.id if head else None, Role.USER, text, created_ms=wall_ms())
        return self._start(engine, user)

    def regenerate(self) -> int:
        """Answer the last message of the branch again; the answer that was there stays as a sibling. Raises as `send` does."""
        engine = self._ready()
        user = next((message for message in reversed(self.branch) if message.role is Role.USER), None)
        if user is None:
            raise UsageError("There is no message to answer again", "", "Send one first.")
        return self._start(engine, user)

    def edit(self, message_id: int, text: str) -> int:
        """Send `text` in place of an earlier message, as its sibling. Raises as `send` does, and UsageError for an answer."""
        engine = self._ready()
        old = self._tree.get(message_id)
        if old.role is not Role.USER:
            raise UsageError("Only your own messages can be edited", "", "Select one of them, or regenerate the answer.")
        if not text.strip():
            raise UsageError("The message is empty", "", "Type something first.")
        user = Message(new_message_id(old.id), old.parent_id, Role.USER, text, created_ms=wall_ms())
        return self._start(engine, user)

    def continue_answer(self) -> int:
        """Go on with the last answer where it was cut; the longer answer is a sibling of the cut one. Raises as `send` does."""
        engine = self._ready()
        cut = next(iter(reversed(self.branch)), None)
        if cut is None or cut.role is not Role.ASSISTANT or cut.parent_id is None or cut.status is MessageStatus.COMPLETE:
            raise UsageError(
                "There is no cut answer to go on with", "", "Only an answer that was stopped or reached its limit can be continued."
            )
        return self._start(engine, self._tree.get(cut.parent_id), cut)

    def stop(self) -> None:
        """End the answer under way; what has come so far is kept."""
        if self._turn is not None:
            self._backend.stop(self._turn.answer.id)

    def switch_sibling(self, message_id: int, step: int) -> None:
        """Show the previous (-1) or next (+1) version of a message with what followed it; nothing happens at the ends."""
        if self.busy:
            raise UsageError("An answer is being written", "", "Stop it before moving to another branch.")
        versions, index = self._tree.siblings(message_id)
        if 0 <= index + step < len(versions):
            self._show_branch_of(versions[index + step].id)

    def _show_branch_of(self, message_id: int) -> None:
        self._tree.switch(message_id)
        self._first_kept = 0
        self._remember_head()
        self._emit(BranchChanged(self.branch))

    # Model and settings

    async def load(self, path: Path, preset: Preset | None = None, *, force: bool = False) -> EngineInfo:
        """Load a model (under `preset`, else the one in force with this file as its model); the conversation stays.

        Raises:
            UsageError: A turn is under way.
            ModelError: The file can't be used; what is loaded afterwards is in `engine`.
            TooLargeError: The memory of this machine can't hold it, and no `force` is used.
            EngineError: The engine is dead, or there is no memory for the context.
            asyncio.CancelledError: `cancel_load` was called.
        """
        if self.busy:
            raise UsageError("An answer is being written", "", "Stop it before loading another model.")
        preset = preset or of_no_model(self.preset)
        before = self.engine
        if before is not None and before.model.path != path:
            self._keep_state()
        self._loads += 1
        self._emit(ModelLoading(path, 0.0))
        try:
            self.engine = await asyncio.wrap_future(self._backend.load(path, preset, self._arrive, force=force))
            if before is None or before.model.fingerprint != self.engine.model.fingerprint:
                await self._put_back_state()
        except TooLargeError as error:
            known = await asyncio.to_thread(self._finder.with_smaller_quants, error, path, preset)
            self.engine = self._backend.loaded
            self._emit(ModelFailed(path, known, self.engine))
            raise known from error
        except XchatError as error:
            self.engine = self._backend.loaded
            self._emit(ModelFailed(path, error, self.engine))
            raise
        except asyncio.CancelledError:
            self.engine = self._backend.loaded
            self._emit(ModelFailed(path, EngineError("The load was cancelled"), self.engine))
            raise
        finally:
            self._loads -= 1
        if self.engine.library and (before is None or before.library != self.engine.library):
            self._journal.engine(self.engine.library)
        self._first_kept = 0
        self._told.clear()
        if preset != self.preset:
            self._set_preset(preset)
        self._emit(ModelReady(self.engine))
        self._tell_fewer_threads()
        return self.engine

    def _tell_fewer_threads(self) -> None:
        """Say it when the preset asks for more threads than this process may use: a speed must not be laid to the wrong count."""
        asked, now = self.preset.threads, self.threads_now
        if isinstance(asked, int) and now is not None and now.threads < asked:
            self._emit(Notice("warning", f"{asked} threads were asked for, but this process may use {now.threads}: that many decode"))

    def _keep_state(self) -> None:
        """Keep the engine's state of this conversation, if there is one that is worth it."""
        session_id, engine = self.session_id, self.engine
        if session_id is not None and engine is not None and self.switching.held and not self.busy:
            self._states.keep(session_id, self.switching.prefill_speed(engine.model.path))

    async def _put_back_state(self) -> None:
        session_id = self.session_id
        if session_id is not None and self.engine is not None and not self.busy:
            held = await self._states.put_back(session_id)
            if held and session_id == self.session_id:
                self.switching.holds(held)

    def cancel_load(self) -> None:
        """Give up the load under way."""
        self._backend.cancel_load()

    def use_preset(self, preset: Preset) -> None:
        """Put a preset in force: hot settings from the next token on, the others with a rebuild or reload after the turn under way."""
        self.switching.use(preset)

    def put_in_force(self, preset: Preset) -> None:
        """Let a preset that differs in hot settings only count from the next token on."""
        self._backend.apply_hot(preset)
        self._set_preset(preset)

    def tell(self, notice: Notice) -> None:
        """Tell whoever watches something that concerns this session."""
        self._emit(notice)

    def set_stream_batch(self, value: int | Literal["auto"]) -> None:
        """Turn the knob: tokens that travel together to the screen, also while they flow."""
        self._set_preset(msgspec.structs.replace(self.preset, stream_batch=value))
        self.pace(AUTO_STREAM_BATCH if value == "auto" else value)

    def pace(self, batch: int, reason: str = "") -> None:
        """Let that many tokens travel together; `reason` says why, when `auto` chose it."""
        self.stream_batch = batch
        if self.capabilities.stream_batch:
            self._backend.set_stream_batch(batch)
        self.instruments.meter.paced(batch, reason)

    # Sessions

    def new_session(self) -> None:
        """Begin another conversation; the one before stays in the log."""
        self._refuse_while_busy()
        self._open(ConversationTree(), None)

    async def resume(self, session_id: int) -> None:
        """Go on with a saved conversation.

        Raises:
            UsageError: A turn is under way.
            StoreError: There is no such session, or it can't be read.
        """
        self._refuse_while_busy()
        stored = await self._read().session(session_id)
        if stored.info.interrupted and self.logging:
            # Whoever goes on with it has seen where it was cut.
            await self._journal.run(lambda store: store.clear_interrupted(session_id))
        self._open(ConversationTree(stored.messages, stored.info.head_id), stored.info)
        await self._put_back_state()

    async def sessions(self, *, search: str = "", limit: int = 200) -> Sequence[SessionInfo]:
        """Saved conversations, pinned and newest first; with `search`, those in which the words occur."""
        return await self._read().sessions(search=search, limit=limit)

    @property
    def reader(self) -> Reader:
        """Answers questions about what is saved.

        Raises:
            StoreError: There is no database to read.
        """
        return self._read()

    @property
    def unclean_end(self) -> bool:
        """Whether an xchat before this one ended without closing the database."""
        return self._journal.unclean_end

    def show_message(self, message_id: int) -> None:
        """Show the newest branch that a message is in; nothing happens when it is shown already, or unknown.

        Raises:
            UsageError: A turn is under way.
        """
        self._refuse_while_busy()
        if message_id in self._tree and all(message.id != message_id for message in self.branch):
            self._show_branch_of(message_id)

    async def logged(self) -> None:
        """Wait until everything so far is in the database, for those who read it there."""
        await self._journal.drain()

    async def regressions(self, turn: TurnRecord) -> tuple[Regression, ...]:
        """What was clearly slower in a finished turn than in this host's own clean turns before it.

        Raises:
            StoreError: The database can't be read.
        """
        await self.logged()
        return await self._read().regressions(turn)

    async def interrupted(self) -> SessionInfo | None:
        """The newest conversation whose answer was cut by the end of the program."""
        return next((info for info in await self.sessions(limit=20) if info.interrupted), None)

    async def rename(self, session_id: int, title: str) -> None:
        """Give a saved conversation another title."""
        await self._journal.run(lambda store: store.rename(session_id, title))
        if self.info is not None and self.info.id == session_id:
            self._info = replace(self.info, title=title)
        if self._journal.session is not None and self._journal.session.id == session_id:
            self._journal.session.title = title

    async def pin(self, session_id: int, pinned: bool) -> None:
        """Keep a saved conversation at the top of the list, or no longer."""
        await self._journal.run(lambda store: store.pin(session_id, pinned))

    async def delete(self, session_id: int) -> None:
        """Delete a saved conversation for good; if it is the current one, a new one begins."""
        if self._journal.session is not None and self._journal.session.id == session_id:
            self.new_session()
        await self._journal.run(lambda store: store.delete_session(session_id))
        await self._states.forget(session_id)

    def log_mark(self, kind: str, text: str) -> None:
        """Put a mark on the time line of the log: a preset change, a move of the thread governor."""
        self._journal.mark(self.answer_id, kind, text)

    async def close(self, *, keep_state: bool = False) -> None:
        """Stop, save the partial answer, close the database and free the model. Safe to call twice.

        With `keep_state` the engine's state of the conversation is kept on the disk, if that is cheaper than prefilling it again:
        it can take seconds.
        """
        if self._closed:
            return
        self._closed = True
        await self.switching.close()
        self.stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), CLOSE_STOP_S)
        await self.instruments.close()
        await self._journal.close()
        if keep_state:
            self._keep_state()
            await self._states.written()
        if self._reader is not None:
            if keep_state:
                await self._states.forget_missing(self._reader.exists)
            await self._reader.close()
        await asyncio.to_thread(self._backend.close)

    # One path for every turn

    def _ready(self) -> EngineInfo:
        self._refuse_while_busy()
        if self._backend.dead is not None:
            raise self._backend.dead
        if self.loading:
            raise EngineError("A model is being loaded", "", "Send it again when it is ready.")
        if self.engine is None:
            raise EngineError("No model is loaded", "", "Start with `xchat MODEL.gguf`, or pick one.", "models")
        return self.engine

    def _refuse_while_busy(self) -> None:
        if self.busy:
            raise UsageError("An answer is being written", "", "Stop it first.", "stop")

    def _start(self, engine: EngineInfo, user: Message, continued: Message | None = None) -> int:
        if user.id not in self._tree:
            self._tree.add(user)
        self._tree.look_at(user.id)
        answer = Message(new_message_id(user.id), user.id, Role.ASSISTANT, "", created_ms=wall_ms())
        if continued is not None:
            answer = replace(continued, id=answer.id, created_ms=answer.created_ms)
        respelling = builtin.respelling(engine.model.path, self.action_names)
        turn = Turn(answer, engine, self.preset, self.stream_batch, now_ns(), wall_ms(), respelling)
        self._turn = turn
        self._idle.clear()
        self._log_start(user)
        self._emit(TurnStarted(user, answer.id, turn.submitted_ns, turn.started_ms))
        self._backend.submit(
            GenerateRequest(
                turn=answer.id,
                prompt=self._prompt((*self.branch, continued) if continued else self.branch, continues=continued is not None),
                sampling=self.preset.sampling,
                on_event=self._arrive,
                submitted_ns=turn.submitted_ns,
                max_tokens=self.preset.max_tokens,
            )
        )
        return answer.id

    def _prompt(self, branch: Sequence[Message], *, continues: bool) -> ChatPrompt:
        """What is asked of the engine; the preset's system prompt goes first, unless the branch has one of its own."""
        messages = tuple(message.for_engine for message in branch)
        if self.preset.system and branch[0].role is not Role.SYSTEM:
            messages = (ChatMessage(Role.SYSTEM, self.preset.system), *messages)
        return ChatPrompt(
            messages,
            thinking=self.preset.thinking,
            began_ms=next((message.created_ms for message in branch if message.role is not Role.SYSTEM), 0),
            reserve=self.preset.max_tokens or ANSWER_RESERVE,
            first_kept=self._first_kept,
            continue_answer=continues,
        )

    # Events from the compute thread

    def _arrive(self, event: BackendEvent) -> None:
        """Called on the compute thread: queue the event and wake the loop once for all that wait."""
        self._arrived.append(event)
        if len(self._arrived) == 1:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the program is ending
                self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        """Take what waits. An event leaves the queue when it is done with, so that `_arrive` need not wake a loop that is awake."""
        while self._arrived:
            try:
                self._take(self._arrived[0])
            except Exception:
                self._loop.call_soon(self._drain)  # a listener's fault must not keep the rest of the answer back
                raise
            finally:
                self._arrived.popleft()

    def _take(self, event: BackendEvent) -> None:
        turn = self._turn
        if isinstance(event, LoadProgressed):
            self._emit(ModelLoading(event.path, event.fraction))
            return
        if turn is None or event.turn != turn.answer.id:
            return
        self._log_moves()
        if isinstance(event, TokensDecoded):
            self._emit_growth(turn, turn.grow(event), event.token_ns)
        elif isinstance(event, PromptReady):
            turn.prompt_ready(event)
            self._first_kept = event.prompt.first_kept
            self.last_prompt = event.prompt.text
            for sentence in event.prompt.notices:
                if sentence not in self._told:
                    self._told.add(sentence)
                    self._emit(Notice("warning", sentence))
            self._emit_prefill(turn, event, 0, (event.prompt.n_tokens or 0) - event.cache_n, 0.0, None)
        elif isinstance(event, PrefillProgressed) and turn.prompt is not None:
            self._emit_prefill(turn, turn.prompt, event.processed, event.total, event.elapsed_ms, event.eta_ms)
        elif isinstance(event, GenerationFinished):
            self._finish(turn, event)

    def _emit_growth(self, turn: Turn, added: Split, token_ns: tuple[int, ...]) -> None:
        self._emit(
            AnswerGrew(
                answer_id=turn.answer.id,
                text=added.answer,
                thinking=added.thinking,
                moved=added.moved,
                in_thinking=turn.parser.in_thinking,
                token_ns=token_ns,
                context_used=turn.context_used,
            )
        )

    def _emit_prefill(self, turn: Turn, prompt: PromptReady, processed: int, total: int, elapsed_ms: float, eta_ms: float | None) -> None:
        self._emit(
            PromptEvaluated(
                answer_id=turn.answer.id,
                cache_n=prompt.cache_n,
                processed=processed,
                total=total,
                elapsed_ms=elapsed_ms,
                eta_ms=eta_ms,
                left_out=prompt.prompt.left_out,
                diverged_at=prompt.diverged_at,
                prompt_text=prompt.prompt.text,
            )
        )

    def _finish(self, turn: Turn, end: GenerationFinished) -> None:
        answer, record, late = turn.finish(end, self.instruments.figures())
        if late.answer or late.thinking:
            self._emit_growth(turn, late, ())
        self._tree.add(answer)
        self._turn = None
        self._idle.set()
        if self._journal.session is not None:
            self._journal.turn(self._journal.session, record, answer)
            self._journal.head(self._journal.session, answer.id)
            self._journal.answering(self._journal.session, False)
        self._emit(TurnFinished(answer, record, end.error))
        if self._backend.dead is not None:
            self._emit(EngineDied(self._backend.dead))

    # The log

    def _log_start(self, user: Message) -> None:
        if self._journal.session is None:
            self._journal.session = self._journal.begin(session_title(user.text), user.created_ms)
        self._journal.message(self._journal.session, user)
        self._journal.answering(self._journal.session, True)

    def _log_moves(self) -> None:
        """Put what the thread governors decided since the last event of a turn on the time line, for the run card."""
        now = self.threads_now
        if now is None or now.moves == self._moves:
            return
        for move in now.moves:
            if move not in self._moves:
                self.log_mark(GOVERNOR_KIND, move)
        self._moves = now.moves

    def _remember_head(self) -> None:
        if self._journal.session is not None:
            self._journal.head(self._journal.session, self._tree.head.id if self._tree.head else None)

    def _logging_failed(self, error: XchatError) -> None:
        self.logging_error = error
        self._emit(LoggingChanged(False, error))

    def _read(self) -> Reader:
        if self._reader is None:
            raise StoreError("There is no database to read", "", "The chat goes on, but it is not logged and old sessions can't be listed.")
        return self._reader

    # Small things

    def _open(self, tree: ConversationTree, info: SessionInfo | None) -> None:
        self._keep_state()
        self._tree = tree
        self._first_kept = 0
        self._moves = ()
        self._info = info
        self._journal.session = LoggedSession(info.title, info.created_ms, info.id) if info is not None else None
        self.last_prompt = ""
        self._emit(SessionOpened(info, self.branch))

    def _set_preset(self, preset: Preset) -> None:
        if preset.stream_batch != self.preset.stream_batch:
            self.stream_batch = AUTO_STREAM_BATCH if preset.stream_batch == "auto" else preset.stream_batch
            self.instruments.meter.paced(self.stream_batch)
        self.preset = preset
        self._emit(PresetChanged(preset))

    def _emit(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            listener(event)
        self.instruments.handle(event)
        self.switching.heard(event)
