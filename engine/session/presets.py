"""Reads and writes the files of presets on threads, for a screen."""

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
        """Read all presets."""
        return await asyncio.to_thread(self._folder().load)

    async def saved(self, name: str) -> Preset | None:
        """Read the preset called `name`; None where there is none."""
        return (await self.shelf()).presets.get(name)

    async def save(self, preset: Preset) -> None:
        """Write a preset under its name, replacing one of that name."""
        await asyncio.to_thread(self._folder().save, preset)

    async def rename(self, name: str, to: str) -> None:
        """Rename a preset. Raises UsageError for a shipped one, or when the name is taken."""
        await asyncio.to_thread(self._folder().rename, name, to)

    async def delete(self, name: str) -> None:
        """Remove the file of a preset; a shipped one of that name is used again."""
        await asyncio.to_thread(self._folder().delete, name)

    async def export(self, names: Collection[str], path: Path) -> None:
        """Write presets to one file that doesn't exist yet."""
        presets = (await self.shelf()).presets
        await asyncio.to_thread(export, [preset for name, preset in presets.items() if name in names], path)

    async def read(self, path: Path) -> tuple[Imported, ...]:
        """Read the presets of a file to import, without saving them."""
        return await asyncio.to_thread(read, path)
