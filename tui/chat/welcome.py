"""The contents of an empty conversation: the model's card, questions to ask, and the last sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import Any

from engine.backend import EngineInfo
from engine.clock import wall_ms
from engine.errors import XchatError
from engine.events import Event, ModelFailed, ModelLoading, ModelReady, PresetChanged, SessionOpened
from engine.host.topology import read_room
from engine.model_ref import BuiltInModel
from engine.numbers import byte_size, significant
from engine.records import SessionInfo
from engine.store.queries.speeds import MeasuredSpeed, measured_speeds
from engine.text import file_name, one_line
from tui.chat.context import ChatContext
from tui.chat.layout import WELCOME, WELCOME_KEYS
from tui.text.session_rows import ago
from tui.text.wording import count
from tui.transcript.welcome import WelcomeLine

LOGO = ("▀▄▀ █▀▀ █ █ ▄▀█ ▀█▀", "▄▀▄ █▄▄ █▀█ █▀█  █ ")
LETTER = 4
"""Cells of a letter of the logo."""
QUESTIONS = (
    "Explain what a KV cache is, in three sentences.",
    "Write a haiku about a patient computer.",
    "What does quantization cost, and what does it save?",
)
GUIDE_QUESTIONS = ("What can you do?", "How do I load a real model?", "Which keys should I know?")
"""Questions for the built-in model, which knows xchat."""
MOST_SESSIONS = 3
FIRST_SESSION = len(QUESTIONS) + 1
"""The number of the first session."""
LABEL_CELLS = 9
GAUGE_CELLS = 12


class WelcomeController:
    """Updates the lines of an empty conversation, and runs their choices."""

    def __init__(self, context: ChatContext, *, send: Callable[[str], None], resume: Callable[[int], Coroutine[Any, Any, None]]) -> None:
        """`send` sends a question, `resume` opens a session by its number."""
        self._context = context
        self._send = send
        self._resume = resume
        self._sessions: Sequence[SessionInfo] = ()
        self._speed: MeasuredSpeed | None = None
        self._memory_total = 0
        self._choices: dict[int, Callable[[], None]] = {}
        """The action of each number: questions first, then sessions from a fixed number on."""

    def on_event(self, event: Event) -> None:
        """Handle an event of the session."""
        if isinstance(event, SessionOpened | ModelReady):
            self._context.run_worker(self.load(), group="welcome", exclusive=True)
        if isinstance(event, ModelLoading | ModelReady | ModelFailed | PresetChanged):
            self.show()

    async def load(self) -> None:
        """Read the last sessions and the speed measured here, and show them."""
        session = self._context.live()
        path = session.engine.model.path if session.engine is not None else None
        self._memory_total = (await asyncio.to_thread(read_room)).total
        try:
            self._speed = await asyncio.to_thread(lambda: measured_speeds().of(path)) if path is not None else None
            found = await session.library.sessions(limit=20)
        except XchatError:
            found = ()  # a failing database is reported by the log itself
        others = [info for info in found if info.id != session.session_id]
        self._sessions = sorted(others, key=lambda info: not info.interrupted)[:MOST_SESSIONS]
        self.show()

    def show(self) -> None:
        """Show the current lines."""
        session = self._context.session
        engine = session.engine if session is not None else None
        self._choices.clear()
        keymap, blank = self._context.program.keymap, WelcomeLine(spare=5)
        blocks = [list(self._logo())]
        if engine is None:
            blocks.append([WelcomeLine(((keymap.fill(WELCOME), "muted"),))])
        else:
            blocks += [list(self._model(engine)), list(self._questions(engine))]
        if self._sessions:
            numbered = enumerate(self._sessions, FIRST_SESSION)
            blocks.append([WelcomeLine((("Or resume", "muted"),), spare=3), *(self._session_line(*each) for each in numbered)])
        keys = [(keymap.shown(action), word) for action, word in WELCOME_KEYS.items() if keymap.shown(action)]
        blocks.append([WelcomeLine(tuple(run for key, word in keys for run in ((key, "label_user"), (f" {word}   ", "muted"))), spare=4)])
        self._context.transcript.show_welcome([line for block in blocks for line in (blank, *block)][1:])

    def take(self, number: int) -> None:
        """Ask the question or resume the session with this number, from 1."""
        if number in self._choices:
            self._choices[number]()

    def _logo(self) -> Iterator[WelcomeLine]:
        """Yield the name, large where the terminal draws blocks."""
        about = "   a chat that shows what the engine does"
        if not self._context.program.terminal.unicode:
            yield WelcomeLine((("x", "chosen"), ("chat", "heading"), (about, "muted")), spare=6)
            return
        for row, text in enumerate(LOGO):
            letters = ((text[:LETTER], "chosen"), (text[LETTER:], "label_user"))
            yield WelcomeLine((*letters, (about if row else "", "muted")), spare=6)

    def _model(self, engine: EngineInfo) -> Iterator[WelcomeLine]:
        """Yield the card of the model."""
        model, session, guide = engine.model, self._context.live(), isinstance(engine.model.ref, BuiltInModel)
        yield WelcomeLine(((one_line(model.name), "heading"), (f"  {one_line(model.quant)}", "label_assistant")), framed=True)
        if guide:
            way = self._context.program.keymap.hint("It knows xchat and little else. Load or download a real model", "models")
            yield WelcomeLine(((way, "base"),), framed=True)
        needed, now, speed = sum(engine.memory.values()), session.threads_now, self._speed
        file = file_name(model.path) if model.path is not None and not guide else ""
        facts = (
            ("file", (("  ".join(filter(None, (file, byte_size(model.size_bytes) if model.size_bytes else ""))), "base"),)),
            ("context", ((f"{engine.n_ctx:,} tokens", "base"),)),
            ("memory", self._memory(needed) if needed else ()),
            ("threads", ((one_line(now.reason) if now.reason else str(now.threads), "base"),) if now is not None and now.threads else ()),
            ("speed", ((_measured(speed), "code_string"), (", last measured here", "muted")) if speed and _measured(speed) else ()),
        )
        for place, (label, runs) in enumerate(facts):
            if runs and runs[0][0]:
                yield WelcomeLine(((f"{label:<{LABEL_CELLS}}", "muted"), *runs), framed=True, spare=2 if place == 0 and not guide else 0)

    def _memory(self, needed: int) -> tuple[tuple[str, str], ...]:
        """Format the model's share of this machine's memory."""
        if not self._memory_total:
            return ((byte_size(needed), "base"),)
        share = needed / self._memory_total
        filled = min(GAUGE_CELLS, max(1, round(share * GAUGE_CELLS)))
        ink = "failure" if share > 0.9 else "code_number" if share > 0.7 else "code_string"
        text = f"{byte_size(needed)} of this machine's {byte_size(self._memory_total)}  "
        return ((text, "base"), ("━" * filled, ink), ("━" * (GAUGE_CELLS - filled), "rule"))

    def _questions(self, engine: EngineInfo) -> Iterator[WelcomeLine]:
        how = self._context.program.keymap.fill("Write a message, or press {complete} and a number")
        yield WelcomeLine(((how, "muted"),))
        asked = GUIDE_QUESTIONS if isinstance(engine.model.ref, BuiltInModel) else QUESTIONS
        for number, question in enumerate(asked, 1):
            yield self._choice(number, question, "", partial(self._send, question))

    def _session_line(self, number: int, info: SessionInfo) -> WelcomeLine:
        mark = "interrupted, " if info.interrupted else ""

        def resume() -> None:
            self._context.run_worker(self._resume(info.id), group="resume", exclusive=True)

        about = f"  {mark}{ago(info.updated_ms, wall_ms())}, {count(info.n_turns, 'turn')}"
        return self._choice(number, one_line(info.title) or "untitled", about, resume, spare=3)

    def _choice(self, number: int, text: str, aside: str, act: Callable[[], None], *, spare: int = 0) -> WelcomeLine:
        self._choices[number] = act
        return WelcomeLine(((f"{number} ", "chosen"), (f" {text}", "base"), (aside, "muted")), number, spare=spare)


def _measured(speed: MeasuredSpeed) -> str:
    """Format the decode and prefill speeds."""
    decoding = f"{significant(speed.predicted_per_second)} tokens/s" if speed.predicted_per_second else ""
    prefill = f"prefill {significant(speed.prompt_per_second)} tokens/s" if speed.prompt_per_second else ""
    return ", ".join(filter(None, (decoding, prefill)))
