"""The files of the presets, for a screen: read and written on threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path

from engine.presets.folder import PresetFolder, Shelf
from engine.presets.foreign import Imported
from engine.presets.preset import Preset
from engine.presets.sharing import export, read


class Presets:
    """Lists, saves, renames, deletes and shares presets. Raises UsageError for what can't be used."""

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
        await asyncio.to_thread(self._folder().rename, name, to)

    async def delete(self, name: str) -> None:
        """Remove the file of a preset; a shipped one of that name is used again."""
        await asyncio.to_thread(self._folder().delete, name)

    async def export(self, names: Collection[str], path: Path) -> None:
        """Write presets to one file that doesn't exist yet."""
        presets = (await self.shelf()).presets
        await asyncio.to_thread(export, [preset for name, preset in presets.items() if name in names], path)

    async def read(self, path: Path) -> tuple[Imported, ...]:
        """The presets of a file to import; nothing is saved."""
        return await asyncio.to_thread(read, path)
