"""Saves, edits, renames, deletes, exports and imports presets, with dialogs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from textual.app import App

from engine.errors import UsageError, XchatError
from engine.paths import expanded
from engine.presets.preset import Preset
from engine.presets.settings import with_text
from engine.presets.sharing import left_out
from engine.session.session import Session
from tui.dialogs.confirm import AskText, Confirm
from tui.models.settings import Edited, SettingsScreen


class PresetFiles:
    """Asks in dialogs, acts, and notifies of the result. Its coroutines wait for dialogs; run them in workers."""

    def __init__(
        self, app: App[Any], session: Session, *, report: Callable[[XchatError], None], notify: Callable[[str, str], None]
    ) -> None:
        """`notify` gets a title and a detail."""
        self._app = app
        self._session = session
        self._report = report
        self._notify = notify

    def run(self, work: Awaitable[object]) -> None:
        """Run one of the methods, and report errors."""

        async def attempt() -> None:
            try:
                await work
            except XchatError as error:
                self._report(error)

        self._app.run_worker(attempt(), group="presets")

    async def settings(self, key: str = "") -> None:
        """Open the settings in use, `key` for editing."""
        session = self._session
        name = session.preset.name
        saved = await session.presets.saved(name)
        edited = Edited(
            now=lambda: session.preset,
            saved=saved or Preset(),
            saved_name=name if saved is not None else "default",
            change=session.switching.change,
            price=self._price,
            save=lambda: self.run(self.save()),
            described=key == "description",
        )
        self._app.push_screen(SettingsScreen(edited, title=f"Settings of {name}", key=key))

    def _price(self, preset: Preset) -> str:
        found = self._session.switching.price(preset)
        return f"{found.sentence}." if found is not None else ""

    async def save(self) -> None:
        """Save the settings in use under a name, and use that preset."""
        session = self._session
        preset = await self._save_as(session.preset)
        if preset is None:
            return
        session.switching.use(msgspec.structs.replace(session.preset, name=preset.name))
        for screen in self._app.screen_stack:
            if isinstance(screen, SettingsScreen):
                screen.saved_as(preset)

    async def _save_as(self, preset: Preset) -> Preset | None:
        """Ask for a name, save settings under it, and return them; None when cancelled."""
        name = await self._app.push_screen_wait(AskText("Save the settings as a preset", preset.name))
        if name is None:
            return None
        if name != preset.name and await self._session.presets.saved(name) is not None and not await self._sure([name]):
            return None
        named = msgspec.structs.replace(preset, name=name)
        await self._session.presets.save(named)
        self._notify(f"Saved as preset {name}", "")
        return named

    async def _sure(self, names: list[str]) -> bool:
        """Ask whether presets may be replaced."""
        many = len(names) > 1
        title = f"Replace preset{'s' if many else ''} {', '.join(names)}?"
        detail = "Presets of these names exist already." if many else "A preset of that name exists already."
        sure: bool | None = await self._app.push_screen_wait(Confirm(title, detail, yes="Replace"))
        return bool(sure)

    async def edit(self, name: str) -> None:
        """Edit a preset's file; each change is saved, and applied to the preset in use, at once."""
        session = self._session
        saved = (await session.presets.shelf()).get(name)
        draft = [saved]

        def change(values: Mapping[str, str]) -> None:
            draft[0] = with_text(draft[0], values)
            self.run(session.presets.save(draft[0]))
            if session.preset.name == name:
                session.switching.change(values)

        edited = Edited(
            now=lambda: draft[0],
            saved=saved,
            saved_name="before",
            change=change,
            price=lambda _: "",
            save=lambda: self.run(self._save_as(draft[0])),
            described=True,
        )
        await self._app.push_screen_wait(SettingsScreen(edited, title=f"Preset {name}"))

    async def rename(self, name: str) -> None:
        """Ask for another name of a preset."""
        to = await self._app.push_screen_wait(AskText(f"Rename preset {name}", name))
        if to is not None and to != name:
            await self._session.presets.rename(name, to)
            if self._session.preset.name == name:
                self._session.switching.use(msgspec.structs.replace(self._session.preset, name=to))

    async def delete(self, name: str) -> None:
        """Ask for confirmation and delete one's own preset."""
        if name not in (await self._session.presets.shelf()).own:
            raise UsageError(f"Preset {name!r} comes with xchat and can't be deleted")
        if await self._app.push_screen_wait(Confirm(f"Delete preset {name}?", "Its file is removed.", yes="Delete")):
            await self._session.presets.delete(name)

    async def export(self, name: str) -> None:
        """Ask for a file and write a preset to it."""
        target = await self._app.push_screen_wait(AskText(f"Write preset {name} to a file", str(Path.cwd() / f"{name}.toml")))
        if target is not None:
            await self._session.presets.export({name}, expanded(target))
            self._notify(f"Preset {name} is written", target)

    async def import_file(self) -> None:
        """Ask for a file and save its presets."""
        source = await self._app.push_screen_wait(AskText("Import a file: xchat's, INI, LLAMA_ARG_*, or llama-server command lines", ""))
        if source is None:
            return
        found = await self._session.presets.read(expanded(source))
        taken = (await self._session.presets.shelf()).presets
        again = [one.preset.name for one in found if one.preset.name in taken]
        if again and not await self._sure(again):
            return
        for one in found:
            await self._session.presets.save(one.preset)
        self._notify(f"Imported {', '.join(one.preset.name for one in found)}", left_out(found))
