"""Chat-screen actions: switch preset, quant and threads during a conversation."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from engine.errors import UsageError
from engine.events import Event, ModelFailed, ModelReady, PresetChanged
from engine.presets.answer_forms import with_contents
from engine.presets.preset import SETTINGS, Preset, value_of
from engine.presets.settings import key_named
from tui.chat.context import ChatContext

if TYPE_CHECKING:
    from tui.models.preset_files import PresetFiles

TUNED = [key for key, setting in SETTINGS.items() if setting.cost is not None and key not in {"model", "quant"}]
"""Settings by which presets are compared, without the model."""


class SwitchingController:
    """Asks the session to switch; the session reports the cost and the result."""

    def __init__(self, context: ChatContext) -> None:
        self._context = context

    def on_event(self, event: Event) -> None:
        """Handle an event of the session: update an open settings screen."""
        from tui.models.settings import SettingsScreen

        if isinstance(event, PresetChanged | ModelReady):
            self._context.run_worker(self._compare, group="compare", exclusive=True)
        if isinstance(event, PresetChanged | ModelReady | ModelFailed):
            for screen in self._context.screen.app.screen_stack:
                if isinstance(screen, SettingsScreen):
                    screen.refresh_values()

    async def _compare(self) -> None:
        """Mark the preset in the status line where the settings differ from its file."""
        preset = self._context.live().preset
        saved = await self._context.live().presets.saved(preset.name)
        differs = any(value_of(preset, key) != value_of(saved or Preset(), key) for key in TUNED)
        self._context.set_status(changed=differs)

    async def change_setting(self, words: str) -> None:
        """Change one setting, given as `KEY VALUE`; with less than that, open the settings screen."""
        session = self._context.live()
        name, _, value = words.partition(" ")
        key = key_named(name) if name else ""
        if not value.strip():
            await self._preset_files().settings(key)
            return
        values = await asyncio.to_thread(with_contents, {key: value.strip()})
        before = session.preset
        session.switching.change(values)
        if session.preset != before:
            self._context.notify("Changed", words)

    def _preset_files(self) -> PresetFiles:
        from tui.models.preset_files import PresetFiles

        context = self._context
        return PresetFiles(context.screen.app, context.live(), report=context.report, notify=context.notify)

    def presets(self, name: str) -> None:
        """Use a preset by name, or pick one from the list."""
        from tui.models.presets import PresetsScreen

        context, session = self._context, self._context.live()

        def use(chosen: str | None) -> None:
            if chosen is not None:
                context.attempt(lambda: session.switching.use_named(chosen))

        if name:
            session.switching.use_named(name)
        else:
            context.open(PresetsScreen(session, files=self._preset_files(), report=context.report), use)

    def use_threads(self, count: str) -> None:
        """Set the number of decode threads, or `auto`; without an argument, show the number and the reason."""
        session = self._context.live()
        if not count:
            now = session.threads_now
            if now is None:
                raise UsageError("No model is loaded", "", "Pick one.", "models")
            self._context.notify("Threads", f"Answers: {now.reason}\nPrompts: {now.reason_batch}\n{now.waiting}".strip())
        elif count.lower() == "auto":
            session.switching.use_threads("auto")
        elif count.isdecimal():
            session.switching.use_threads(int(count))
        else:
            raise UsageError(f"/threads can't be {count!r}", "", "Give a number, or `auto`.")

    def use_quant(self, name: str) -> None:
        """Use a quant of the model by name."""
        self._context.live().switching.use_quant(name)

    def back(self) -> None:
        """Go back to the settings and the model before the last switch."""
        self._context.live().switching.back()
