"""The files of the presets, for a screen: read and written on threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from engine.errors import UsageError
from engine.presets.folder import PresetFolder, Shelf
from engine.presets.preset import Preset


class Presets:
    """Lists, saves, renames and deletes presets. Each method raises UsageError for a name or a folder that can't be used."""

    def __init__(self, folder: Callable[[], PresetFolder] = PresetFolder) -> None:
        self._folder = folder

    async def shelf(self) -> Shelf:
        """All presets as they are in their files now."""
        return await asyncio.to_thread(self._folder().load)

    async def saved(self, name: str) -> Preset | None:
        """The preset called `name` as it is in its file; None where there is none."""
        return (await self.shelf()).presets.get(name)

    async def save(self, preset: Preset) -> None:
        """Write a preset under its name, over the one that has it."""
        await asyncio.to_thread(self._folder().save, preset)

    async def rename(self, name: str, to: str) -> None:
        """Give a preset another name. Raises UsageError when it comes with xchat, or the other name is taken."""

        def work() -> None:
            folder = self._folder()
            shelf = folder.load()
            preset = shelf.get(name)
            if name not in shelf.own:
                raise UsageError(f"Preset {name!r} comes with xchat and can't be renamed", "", "Save it under another name instead")
            if to in shelf.presets:
                raise UsageError(f"There is a preset {to!r} already", "", "Use another name")
            folder.save(msgspec.structs.replace(preset, name=to))
            folder.delete(name)

        await asyncio.to_thread(work)

    async def delete(self, name: str) -> None:
        """Remove the file of a preset; a shipped one of that name is used again."""
        await asyncio.to_thread(self._folder().delete, name)
