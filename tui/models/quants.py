"""The quants screen: pick a quant to make by its predicted size."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from textual.content import Content

from engine.errors import XchatError
from engine.models.check import check_model
from engine.models.quantize import QuantSize, predict_sizes
from engine.numbers import byte_size
from engine.text import drawable, file_name
from tui.dialogs.picker import Picker


def row(size: QuantSize, there: frozenset[str]) -> Content:
    """Format a quant as a row of the list."""
    mark = "  exists" if size.quant in there else ""
    return Content.assemble(
        f"{size.quant:<10}{byte_size(size.file_bytes):>10}{size.bits_per_weight:>7.2f} bits per weight", Content.styled(mark, "$muted")
    )


class QuantsScreen(Picker[str]):
    """Dismissed with the quant to make."""

    HELP = (
        "## Another quant\n\nThe sizes come from a dry run. Smaller quants are faster and less accurate; Q4_K_M is the usual choice. "
        "A quant of an already quantized file is worse than one of the full-precision file.\n"
    )
    PLACEHOLDER = "Part of a quant's name"

    def __init__(self, source: Path, *, there: frozenset[str], report: Callable[[XchatError], None]) -> None:
        """`there`: the existing quants of this model."""
        super().__init__()
        self._source = source
        self._there = there
        self._report = report
        self._sizes: tuple[QuantSize, ...] = ()

    async def on_mount(self) -> None:
        """Predict the sizes on a thread."""
        self.frame.border_title = Content(drawable(f"Another quant, made from {file_name(self._source)}"))
        self.frame.border_subtitle = self.accept_hint("make")
        self.fill([], "Predicting the size of each quant…")
        try:
            self._sizes = await asyncio.to_thread(lambda: predict_sizes(check_model(self._source)))
        except XchatError as error:
            self._report(error)
            self.dismiss(None)
            return
        await self.narrow()

    async def narrow(self) -> None:
        """Show the quants whose name contains the typed text."""
        if self._sizes:
            typed = self.typed.strip().upper()
            self.fill([(size.quant, row(size, self._there)) for size in self._sizes if typed in size.quant], "No quant matches.")

    def take(self) -> None:
        """Dismiss with the selected quant."""
        if self.chosen_id is not None:
            self.dismiss(self.chosen_id)
