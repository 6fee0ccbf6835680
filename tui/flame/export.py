"""Export a capture in a format that the user picks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from textual.screen import Screen

from engine.errors import CaptureError
from engine.profiling.export import ExportFormat, default_name, write_export
from engine.profiling.records import CaptureRecord
from tui.actions.bindings import keymap_of
from tui.dialogs.picker import PickOne

FORMS = {
    ExportFormat.SVG: "A picture for a browser (SVG)",
    ExportFormat.SPEEDSCOPE: "A file for speedscope (JSON)",
    ExportFormat.FOLDED: "Folded text, for every flamegraph tool",
}


async def export_capture(screen: Screen[Any], capture: CaptureRecord) -> Path | None:
    """Ask for a format and write the file into the current folder; returns its path, or None when cancelled or failed."""
    form = await screen.app.push_screen_wait(PickOne("Export as", [*FORMS.items()]))
    if form is None:
        return None
    try:
        path = await asyncio.to_thread(write_export, capture, form, Path.cwd() / default_name(capture, form))
    except CaptureError as error:
        screen.notify(f"{error.detail} {error.hint}".strip(), title=error.title, severity="error", markup=False)
        return None
    screen.notify(keymap_of(screen.app).hint(f"{path}\nCopy the path", "flame_copy_path"), title="Exported", markup=False)
    return path
