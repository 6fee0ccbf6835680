"""Picking a quant to make: what each would come to, before anything is written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from textual.content import Content

from engine.errors import XchatError
from engine.models.check import check_model
from engine.models.fit import gib
from engine.models.quantize import QuantSize, predict_sizes
from engine.text import drawable, file_name
from tui.dialogs.picker import Picker


def row(size: QuantSize, there: frozenset[str]) -> Content:
    """A quant in the list."""
    mark = "  here already" if size.quant in there else ""
    return Content.assemble(
        f"{size.quant:<10}{gib(size.file_bytes):>10}{size.bits_per_weight:>7.2f} bits per weight", Content.styled(mark, "$muted")
    )


class QuantsScreen(Picker[str]):
    """Dismissed with the quant to make."""

    HELP = (
        "## Another quant\n\nThe sizes come from a dry run. Smaller quants are faster and answer worse; Q4_K_M is what most people take. "
        "A quant made from a file that is quantized already is worse than one made from the full-precision file.\n"
    )
    PLACEHOLDER = "Part of a quant's name"

    def __init__(self, source: Path, *, there: frozenset[str], report: Callable[[XchatError], None]) -> None:
        """`there` are the quants of this model that need not be made."""
        super().__init__()
        self._source = source
        self._there = there
        self._report = report
        self._sizes: tuple[QuantSize, ...] = ()

    async def on_mount(self) -> None:
        """Work out the sizes without holding up the screen."""
        self.frame.border_title = Content(drawable(f"Another quant, made from {file_name(self._source)}"))
        self.frame.border_subtitle = f"Enter make · {self.close_hint}"
        self.fill([], "Working out what each quant would come to…")
        try:
            self._sizes = await asyncio.to_thread(lambda: predict_sizes(check_model(self._source)))
        except XchatError as error:
            self._report(error)
            self.dismiss(None)
            return
        await self.narrow()

    async def narrow(self) -> None:
        """Show the quants whose name has what is typed."""
        if self._sizes:
            typed = self.typed.strip().upper()
            self.fill([(size.quant, row(size, self._there)) for size in self._sizes if typed in size.quant], "No quant of this name.")

    def take(self) -> None:
        """Make what is chosen."""
        if self.chosen_id is not None:
            self.dismiss(self.chosen_id)
