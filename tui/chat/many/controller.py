"""Chat-screen actions: several answers to one message, side by side."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from engine.errors import UsageError, XchatError
from engine.events import BackgroundChanged, ColumnChanged, ComparisonEnded, ComparisonStarted, Event, ModelLoading
from engine.session.many.side_by_side import CURRENT, MOST_COLUMNS
from tui.chat.context import ChatContext
from tui.terminal.link import Pacer
from tui.text import wording

if TYPE_CHECKING:
    from tui.chat.many.screen import AnswersScreen

USUAL_ANSWERS = 3
"""Number of answers without an argument."""


class ManyController:
    """Starts comparisons, shows them, and keeps the chosen answer; reports ended background answers."""

    def __init__(self, context: ChatContext, *, pacer: Pacer, take_text: Callable[[Callable[[str], None]], None]) -> None:
        """Create it; `take_text` calls its argument with the message in the prompt, empty without one."""
        self._context = context
        self._pacer = pacer
        self._take_text = take_text
        self._screen: AnswersScreen | None = None

    def on_event(self, event: Event) -> None:
        """Handle an event of the session."""
        if isinstance(event, ComparisonStarted):
            self._open(event)
        elif isinstance(event, ColumnChanged | ModelLoading | ComparisonEnded) and self._screen is not None:
            self._screen.handle(event)
        elif isinstance(event, BackgroundChanged):
            self._background(event)
        if isinstance(event, ComparisonStarted | ComparisonEnded):
            self._context.set_status(activity="comparing" if isinstance(event, ComparisonStarted) else "")

    def _open(self, started: ComparisonStarted) -> None:
        from tui.chat.many.screen import AnswersScreen

        link = self._context.program.link
        self._screen = AnswersScreen(
            started,
            stop=self._context.live().stop,
            pause=self._pacer.pause,
            due=lambda: self._pacer.due(link(), time.monotonic()),
        )
        self._context.open(self._screen, self._closed)

    def _closed(self, answer_id: int | None) -> None:
        self._screen = None
        if answer_id is not None:
            self._context.attempt(lambda: self._context.live().show_message(answer_id))

    def _background(self, event: BackgroundChanged) -> None:
        self._context.set_status(background=event.running)
        if event.error is not None:
            self._context.report(event.error)
        elif event.ended is not None:
            self._context.notify(f"Answered: “{event.title}”", wording.timing_line(event.ended), "Open it", "sessions")

    # Actions

    async def compare(self, words: str) -> None:
        """Compare the named settings, or choose them from a list."""
        if not words:
            await self._choose()
            return
        try:
            names = shlex.split(words)
        except ValueError as error:
            raise UsageError("/compare can't be read", str(error)) from error
        self._compare(names)

    def answers(self, words: str) -> None:
        """Generate several answers with the settings in use: to the message after the number, in the prompt, or the last one."""
        count, _, text = words.partition(" ")
        if count and not count.isdecimal():
            raise UsageError(f"/answers can't be {count[:40]!r}", "", f"Give a number from 2 to {MOST_COLUMNS}.")
        number = int(count[:9]) if count else USUAL_ANSWERS
        if text.strip():
            self._context.prompt.put(text.strip())
        self._take_text(lambda text: self._begin(lambda: self._context.live().sides.repeat(number, text), text))

    async def _choose(self) -> None:
        from tui.chat.many.choose import ChooseScreen

        switching = self._context.live().switching
        offers, _ = await switching.offers()
        rows = [(CURRENT, "the settings in use")]
        rows += [(offer.preset.name, offer.preset.description) for offer in offers if not offer.problem]
        rows += [(quant, "quant of this model") for quant in await switching.quants()]

        def chosen(names: list[str] | None) -> None:
            if names:
                self._compare(names)

        self._context.open(ChooseScreen(rows, marked=CURRENT, most=MOST_COLUMNS), chosen)

    def _compare(self, names: list[str]) -> None:
        async def begin(text: str) -> None:
            try:
                await self._context.live().sides.compare(names, text)
            except XchatError as error:
                self._context.report(error)
            else:
                self._sent(text)

        self._take_text(lambda text: self._context.run_worker(partial(begin, text), group="compare answers", exclusive=True))

    def _begin(self, act: Callable[[], object], text: str) -> None:
        if self._context.attempt(act):
            self._sent(text)

    def _sent(self, text: str) -> None:
        if text:
            self._context.prompt.sent()
