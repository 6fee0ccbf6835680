"""Chat-screen actions: record captures, choose how, and view them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.errors import XchatError
from engine.events import AnswerGrew, Event
from engine.paths import database_path
from tui.chat.context import ChatContext

if TYPE_CHECKING:
    from engine.profiling.capture import Capture
    from engine.profiling.profiler import Profiler
    from engine.profiling.records import CaptureRecord
    from engine.profiling.request import CaptureRequest, Setting


class ProfilingController:
    """Records one capture at a time; saves and shows it."""

    def __init__(self, context: ChatContext) -> None:
        self._context = context
        self._request: CaptureRequest | None = None
        """The last choice in the capture dialog."""
        self._last: CaptureRecord | None = None
        """The latest capture, for sessions without a database."""
        self._profiler: Profiler | None = None

    @property
    def profiler(self) -> Profiler:
        """The profiler, created on first use."""
        if self._profiler is None:
            from engine.profiling.profiler import Profiler

            self._profiler = Profiler(self._capture_changed)
        return self._profiler

    async def close(self) -> None:
        """End a running capture and its py-spy process."""
        if self._profiler is not None:
            await self._profiler.close()

    def on_event(self, event: Event) -> None:
        """Count the tokens of an answer."""
        if isinstance(event, AnswerGrew):
            self.profiler.tokens.feed(event.answer_id, event.token_ns)

    def capture(self) -> None:
        """Start a capture, or end the running one early and keep it."""
        active = self.profiler.active
        if active is not None:
            active.stop_early()
        else:
            self._record(self._chosen_request())

    def capture_mode(self) -> None:
        """Choose mode and length, and start a capture."""
        from tui.flame.capture import CaptureDialog

        def begin(request: CaptureRequest | None) -> None:
            if request is not None:
                self._request = request
                self._record(request)

        self._context.open(CaptureDialog(self._chosen_request()), begin)

    def flame(self) -> None:
        """Pick a capture and view it."""
        self._context.run_worker(self._view_one(), group="flame", exclusive=True)

    def cancel(self) -> bool:
        """Cancel the running capture. Returns whether there was one."""
        active = self._profiler.active if self._profiler is not None else None
        if active is not None:
            self._context.run_worker(active.cancel(), group="capture end")
        return active is not None

    def _chosen_request(self) -> CaptureRequest:
        from engine.profiling.request import CaptureRequest

        return self._request or CaptureRequest()

    def _setting(self) -> Setting:
        from engine.profiling.request import Setting

        session = self._context.session
        if session is None:
            return Setting()
        engine, preset = session.engine, session.preset.name
        return Setting(engine.model.name, engine.model.quant, preset) if engine is not None else Setting(preset=preset)

    def _record(self, request: CaptureRequest) -> None:
        try:
            capture = self.profiler.start(request, self._setting())
        except XchatError as error:
            self._context.report(error)
            return
        session = self._context.session
        if session is not None and not session.slot.capabilities.in_process:
            self._context.notify("The capture shows the screen only", "This engine computes in another process.")
        self._context.run_worker(self._follow(capture), group="capture")

    async def _follow(self, capture: Capture) -> None:
        """Show the countdown, then save and show the capture."""
        from engine.profiling.records import MODE_TEXTS, CaptureMode
        from tui.flame.capture import CaptureOverlay

        reach = self._context.reach
        overlay = CaptureOverlay(capture, end_key=reach("capture"), cancel_key=reach("stop"))
        await self._context.screen.mount(overlay)
        try:
            record = await capture.result()
        except XchatError as error:
            self._context.report(error)
            return
        finally:
            await overlay.remove()
        if record is None:
            self._context.notify("The capture was cancelled")
            return
        if record.mode is CaptureMode.IN_PROCESS:
            self._context.notify(f"Recorded {MODE_TEXTS[record.mode].label.lower()}, since py-spy could not", "\n".join(record.notes))
        self._last = await self._saved(record)
        await self._view(self._last)

    async def _saved(self, record: CaptureRecord) -> CaptureRecord:
        """Save a capture if the session is logged; returns it with its id."""
        session = self._context.session
        if session is None or not session.logging:
            return record
        from engine.store.captures import save_capture

        try:
            return replace(record, id=await asyncio.to_thread(save_capture, database_path(), record))
        except XchatError as error:
            self._context.report(error)
            return record

    async def _view_one(self) -> None:
        record = await self._pick()
        if record is not None:
            await self._view(record)

    async def _view(self, record: CaptureRecord) -> None:
        from tui.flame.screen import FlameScreen
        from tui.flame.subject import CaptureSubject

        # On a thread, since building the tree of a large profile would block the event loop.
        subject = await asyncio.to_thread(CaptureSubject, record)
        await self._context.screen.app.push_screen(FlameScreen(subject, pick=self._pick))

    async def _pick(self, beside: CaptureRecord | None = None) -> CaptureRecord | None:
        """Let the user pick one of the saved captures, except `beside`."""
        from engine.store.captures import list_captures, load_capture
        from tui.dialogs.picker import PickOne
        from tui.text.capture_text import capture_line

        path = database_path()
        try:
            captures = list(await asyncio.to_thread(list_captures, path))
            if self._last is not None and self._last.id is None:
                captures.insert(0, self._last)
            captures = [capture for capture in captures if beside is None or not _same(capture, beside)]
            if not captures:
                what = "There is no capture yet" if beside is None else "There is no other capture to compare with"
                self._context.notify(what, "", "Record one", "capture")
                return None
            rows = [(capture, capture_line(capture)) for capture in captures]
            chosen = await self._context.screen.app.push_screen_wait(PickOne("Captures", rows))
            return chosen if chosen is None or chosen.id is None else await asyncio.to_thread(load_capture, path, chosen.id)
        except XchatError as error:
            self._context.report(error)
            return None

    def _capture_changed(self, on: bool) -> None:
        """Exclude turns during a capture from comparisons."""
        if self._context.session is not None:
            self._context.session.instruments.meter.capture(on)


def _same(one: CaptureRecord, other: CaptureRecord) -> bool:
    """Return whether these are one capture, by number, or by time before it has one."""
    return one.id == other.id if one.id is not None and other.id is not None else one.started_ms == other.started_ms
