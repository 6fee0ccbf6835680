"""The chat screen's actions of the profiler: record, choose how, and look at what was recorded."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.errors import XchatError
from engine.events import AnswerGrew, Event, TurnStarted
from engine.paths import database_path
from tui.chat.compose import TalkActions

if TYPE_CHECKING:
    from engine.profiling.capture import Capture
    from engine.profiling.profiler import Profiler
    from engine.profiling.records import CaptureRecord
    from engine.profiling.request import CaptureRequest, Setting


class ProfileActions(TalkActions):
    """Captures of this program run. Comes before the other actions among the bases: while a capture runs, `stop` cancels it first."""

    DEFAULT_CSS = """
    ProfileActions { layers: default capture; }
    """

    _request: CaptureRequest | None = None
    """What the key records: what was chosen last."""
    _last: CaptureRecord | None = None
    """The latest capture, for a program that keeps no database."""
    _profiler: Profiler | None = None

    @property
    def profiler(self) -> Profiler:
        """The profiler of this run, made when it is first needed."""
        if self._profiler is None:
            from engine.profiling.profiler import Profiler

            self._profiler = Profiler(self.capture_changed)
        return self._profiler

    async def on_unmount(self) -> None:
        """No py-spy stays behind."""
        if self._profiler is not None:
            await self._profiler.close()

    def note_for_profiler(self, event: Event) -> None:
        """Take an event of the session: tokens are counted, and a turn that begins during a capture is kept out of comparisons."""
        if isinstance(event, AnswerGrew):
            self.profiler.tokens.feed(event.answer_id, event.token_ns)
        elif isinstance(event, TurnStarted) and self.profiler.active is not None:
            self._flag_turn()

    def action_capture(self) -> None:
        """Record; while it records, end it and keep what there is."""
        active = self.profiler.active
        if active is not None:
            active.stop_early()
        else:
            self._record(self._chosen_request())

    def action_capture_mode(self) -> None:
        """Choose what is recorded and how long, and begin."""
        from tui.flame.capture import CaptureDialog

        def begin(request: CaptureRequest | None) -> None:
            if request is not None:
                self._request = request
                self._record(request)

        self.app.push_screen(CaptureDialog(self._chosen_request()), begin)

    def action_flame(self) -> None:
        """Look at a capture."""
        self.run_worker(self._look_at_one(), group="flame", exclusive=True)

    def action_stop(self) -> None:
        """Cancel the capture that runs, else stop the answer."""
        active = self._profiler.active if self._profiler is not None else None
        if active is not None:
            self.run_worker(active.cancel(), group="capture end")
        else:
            super().action_stop()

    def _chosen_request(self) -> CaptureRequest:
        from engine.profiling.request import CaptureRequest

        return self._request or CaptureRequest()

    def _setting(self) -> Setting:
        from engine.profiling.request import Setting

        if self.session is None:
            return Setting()
        engine = self.session.engine
        preset = self.session.preset.name
        return Setting(engine.model.name, engine.model.quant, preset) if engine is not None else Setting(preset=preset)

    def _record(self, request: CaptureRequest) -> None:
        try:
            capture = self.profiler.start(request, self._setting())
        except XchatError as error:
            self.report(error)
            return
        self.run_worker(self._follow(capture), group="capture")

    async def _follow(self, capture: Capture) -> None:
        """Count down, save, show."""
        from engine.profiling.records import MODE_TEXTS, CaptureMode
        from tui.flame.capture import CaptureOverlay

        shown = self.program.keymap.shown
        overlay = CaptureOverlay(capture, end_key=shown("capture"), cancel_key=shown("stop"))
        await self.mount(overlay)
        try:
            record = await capture.result()
        except XchatError as error:
            self.report(error)
            return
        finally:
            await overlay.remove()
        if record is None:
            self.tell("The capture was cancelled")
            return
        if record.mode is CaptureMode.IN_PROCESS:
            self.tell(f"Recorded {MODE_TEXTS[record.mode].label.lower()}, since py-spy could not", "\n".join(record.notes))
        self._last = await self._saved(record)
        await self._view(self._last)

    async def _saved(self, record: CaptureRecord) -> CaptureRecord:
        """The record with its number, if this program logs."""
        if self.session is None or not self.session.logging:
            return record
        from engine.store.captures import save_capture

        try:
            return replace(record, id=await asyncio.to_thread(save_capture, database_path(), record))
        except XchatError as error:
            self.report(error)
            return record

    async def _look_at_one(self) -> None:
        record = await self._pick()
        if record is not None:
            await self._view(record)

    async def _view(self, record: CaptureRecord) -> None:
        from tui.flame.screen import FlameScreen
        from tui.flame.subject import CaptureSubject

        # On a thread: the tree of a large profile takes longer than a key may wait for its echo.
        subject = await asyncio.to_thread(CaptureSubject, record)
        await self.app.push_screen(FlameScreen(subject, pick=self._pick))

    async def _pick(self) -> CaptureRecord | None:
        """Let the person choose one of the captures there are."""
        from engine.store.captures import list_captures, load_capture
        from tui.flame.dialogs import ChooseOne
        from tui.text.capture_text import capture_line

        path = database_path()
        try:
            captures = list(await asyncio.to_thread(list_captures, path))
            if self._last is not None and self._last.id is None:
                captures.insert(0, self._last)
            if not captures:
                key = self.program.keymap.shown("capture")
                self.tell("There is no capture yet", f"{key} records one.")
                return None
            index = await self.app.push_screen_wait(ChooseOne("Captures", [capture_line(capture) for capture in captures]))
            if index is None:
                return None
            chosen = captures[index]
            return await asyncio.to_thread(load_capture, path, chosen.id) if chosen.id is not None else chosen
        except XchatError as error:
            self.report(error)
            return None

    def capture_changed(self, on: bool) -> None:
        """A capture began or ended: the turn under way is kept out of comparisons."""
        if on:
            self._flag_turn()

    def _flag_turn(self) -> None:
        from engine.profiling.profiler import NOISE

        if self.session is not None:
            self.session.flag_noisy(NOISE)
