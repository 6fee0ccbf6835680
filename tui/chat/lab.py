"""Chat-screen actions: race and search settings on the running engine."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from engine.errors import UsageError, XchatError
from tui.chat.context import ChatContext

if TYPE_CHECKING:
    from engine.lab.live import LiveRun, Outcome
    from engine.lab.progress import Progress
    from engine.presets.preset import Preset
    from tui.lab.race import RaceScreen


class LabController:
    """Runs one race or search at a time, in front of the conversation or in the background."""

    def __init__(self, context: ChatContext) -> None:
        self._context = context
        self._run: LiveRun | None = None
        self._title = ""
        self._screen: RaceScreen | None = None
        """The open screen."""
        self._progress: Progress | None = None
        self._outcome: Outcome | None = None
        """Outcome of the last measurement."""
        self._unseen = False
        """Whether the last measurement ended in the background."""

    def race(self, words: str) -> None:
        """Race the named settings; without any, show the running measurement, or offer choices."""
        if not words and (self._run is not None or self._unseen):
            self._show()
            return
        run = self._new_run()
        try:
            arms = shlex.split(words)
        except ValueError as error:
            raise UsageError("/race can't be read", str(error)) from error
        if arms:
            self._begin(run, f"Race: {' : '.join(arms)}", lambda: run.race(arms))
        else:
            self._choose(run)

    def tune(self, use: str) -> None:
        """Search the fastest settings for a use; without one, show the running measurement, or search for chatting."""
        from engine.lab.race import Use

        if not use and (self._run is not None or self._unseen):
            self._show()
            return
        if use and use not in set(Use):
            raise UsageError(f"/tune can't be {use[:80]!r}", f"Possible uses: {', '.join(Use)}")
        run, wanted = self._new_run(), Use(use or Use.CHAT)
        self._begin(run, f"Tune: {wanted}", lambda: run.tune(wanted))

    def stop(self) -> bool:
        """End the running measurement. Returns whether there was one."""
        if self._run is not None:
            self._run.stop()
        return self._run is not None

    def _new_run(self) -> LiveRun:
        from engine.lab.live import LiveRun

        if self._run is not None:
            raise UsageError("A measurement is running", "", "Show it, and end it there.", "race")
        loop = asyncio.get_running_loop()
        return LiveRun(self._context.live(), lambda progress: _call(loop, self._progressed, progress))

    def _choose(self, run: LiveRun) -> None:
        from tui.dialogs.picker import PickOne

        def chosen(word: str | None) -> None:
            if word is not None:
                self._begin(run, f"Race: current : {word}", lambda: run.race([word]))

        rows = [(word, word) for word in run.choices()]
        self._context.open(PickOne("Race the settings in use against", rows, subtitle="/race A B compares presets and quants too"), chosen)

    def _begin(self, run: LiveRun, title: str, measure: Callable[[], Awaitable[Outcome]]) -> None:
        self._run, self._title, self._progress, self._outcome = run, title, None, None
        self._show()
        self._context.run_worker(self._measure(measure), group="lab")

    def _show(self) -> None:
        from tui.lab.race import RaceScreen

        self._unseen = False
        self._screen = RaceScreen(self._title, self.stop, self._progress, self._outcome)
        self._context.open(self._screen, self._closed)

    def _progressed(self, progress: Progress) -> None:
        self._progress = progress
        if self._screen is not None:
            self._screen.show(progress)

    async def _measure(self, measure: Callable[[], Awaitable[Outcome]]) -> None:
        try:
            self._outcome = outcome = await measure()
        except XchatError as error:
            if self._screen is not None and self._screen.is_current:
                self._screen.dismiss(None)
            self._context.report(error)
            return
        finally:
            self._run = None
        if self._screen is not None:
            self._screen.finish(outcome)
        else:
            self._unseen = True
            self._context.notify("Measured", outcome.verdict, "See it", "race")

    def _closed(self, keep: bool | None) -> None:
        self._screen = None
        if keep and self._outcome is not None and self._outcome.faster is not None:
            self._keep(self._outcome.faster)

    def _keep(self, faster: Preset) -> None:
        from tui.dialogs.confirm import AskText

        def named(name: str | None) -> None:
            if name:
                self._context.run_worker(self._save(msgspec.structs.replace(faster, name=name)), group="preset")

        self._context.open(AskText("Save as a preset and use it", faster.name), named)

    async def _save(self, preset: Preset) -> None:
        session = self._context.live()
        try:
            if await session.presets.saved(preset.name) is not None:
                raise UsageError(f"There is already a preset {preset.name!r}", "", "Use another name.")
            await session.presets.save(preset)
            session.switching.use_named(preset.name)
        except XchatError as error:
            self._context.report(error)


def _call(loop: asyncio.AbstractEventLoop, receive: Callable[[Progress], None], progress: Progress) -> None:
    """Call on the loop's thread; do nothing once the loop is closed."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(receive, progress)
