"""Chat-screen actions: switch preset, quant and threads during a conversation."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from textual.screen import Screen

from engine.errors import UsageError
from engine.events import Event, ModelFailed, ModelReady, PresetChanged
from engine.presets.preset import Preset
from engine.presets.settings import key_named
from tui.chat.context import ChatContext

ScreenKind = TypeVar("ScreenKind", bound=Screen[Any])


class SwitchingController:
    """Asks the session to switch; the session reports the cost and the result."""

    def __init__(self, context: ChatContext) -> None:
        self._context = context

    def on_event(self, event: Event) -> None:
        """Handle an event of the session: show the values of an open settings screen again."""
        from tui.models.settings import SettingsScreen

        if isinstance(event, PresetChanged | ModelReady | ModelFailed):
            for screen in self._open_screens(SettingsScreen):
                screen.refresh_values()

    async def change_setting(self, words: str) -> None:
        """Change one setting, given as `KEY VALUE`; with less than that, open the settings screen."""
        session = self._context.live()
        name, _, value = words.partition(" ")
        key = key_named(name) if name else ""
        if not value.strip():
            await self._settings(key)
            return
        before = session.preset
        session.switching.change({key: value.strip()})
        if session.preset != before:
            self._context.notify("Changed", words)

    async def _settings(self, key: str) -> None:
        from tui.models.settings import Edited, SettingsScreen

        session = self._context.live()
        name = session.preset.name
        saved = await session.presets.saved(name)

        def price(preset: Preset) -> str:
            found = session.switching.price(preset)
            return f"{found.sentence}." if found is not None else ""

        edited = Edited(
            now=lambda: session.preset,
            saved=saved or Preset(),
            saved_name=name if saved is not None else "default",
            change=session.switching.change,
            price=price,
            save=lambda: self._context.run_worker(self._save_settings(), group="presets"),
        )
        self._context.open(SettingsScreen(edited, title=f"Settings of {name}", key=key))

    async def _save_settings(self) -> None:
        """Save the settings in use under a name, and use that preset."""
        from tui.models.settings import SettingsScreen

        session = self._context.live()
        name = await self._ask_name("Save the settings as a preset", session.preset.name)
        if name is None:
            return
        preset = msgspec.structs.replace(session.preset, name=name)
        await session.presets.save(preset)
        session.switching.use(preset)
        self._context.notify(f"Saved as preset {name}")
        for screen in self._open_screens(SettingsScreen):
            screen.saved_as(preset)

    async def _ask_name(self, title: str, name: str) -> str | None:
        """Ask for the name of a preset, and whether it may replace another one of that name."""
        from tui.dialogs.confirm import AskText, Confirm

        app = self._context.screen.app
        chosen = await app.push_screen_wait(AskText(title, name))
        if chosen is None or chosen == name or await self._context.live().presets.saved(chosen) is None:
            return chosen
        sure = await app.push_screen_wait(Confirm(f"Replace preset {chosen}?", "There is a preset of that name already.", yes="Replace"))
        return chosen if sure else None

    def _open_screens(self, kind: type[ScreenKind]) -> list[ScreenKind]:
        return [screen for screen in self._context.screen.app.screen_stack if isinstance(screen, kind)]

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
            context.open(PresetsScreen(session, report=context.report), use)

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
