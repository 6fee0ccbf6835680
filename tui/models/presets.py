"""Picking a preset: what it is for, what it would change, and what that costs from here."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import wrap

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from engine.errors import XchatError
from engine.session.session import Session
from engine.session.switching import Offer
from engine.text import drawable, one_line
from tui.dialogs.picker import Picker

NAME_CELLS = 18
INDENT = " " * 4
NARROWEST_CELLS = 30


def row(offer: Offer, current: str, cells: int) -> Content:
    """A preset in a list of so many cells: name and purpose, below them what changes and what that costs."""
    name = one_line(offer.preset.name)
    name = set_cell_size(name, NAME_CELLS) if cell_len(name) <= NAME_CELLS else set_cell_size(name, NAME_CELLS - 1) + "…"
    mark = "  in force" if offer.preset.name == current else ""
    inside = max(NARROWEST_CELLS, cells - len(INDENT))
    lines = [Content.assemble(name, "  ", Content.styled(one_line(offer.preset.description), "$muted"), Content.styled(mark, "$success"))]
    if offer.problem:
        lines += [Content.styled(f"{INDENT}{line}", "$warning") for line in wrap(drawable(offer.problem), inside)]
    elif offer.price is not None and offer.price.changes:
        changes = ", ".join(str(change) for change in offer.price.changes)
        lines += [Content(f"{INDENT}{line}") for line in wrap(drawable(changes), inside)]
        lines += [Content.styled(f"{INDENT}{line}", "$muted") for line in wrap(drawable(offer.price.sentence), inside)]
    return Content("\n").join(lines)


class PresetsScreen(Picker[str]):
    """Dismissed with the name of the preset to use."""

    HELP = (
        "## Presets\n\nA preset is a named set of engine settings. Below each name stands what would change and what that costs: "
        "hot settings count from the next token on, a rebuild makes a new context, a reload reads another file. "
        "`xchat presets` makes and edits them.\n"
    )
    PLACEHOLDER = "Part of a preset's name"

    def __init__(self, session: Session, *, report: Callable[[XchatError], None]) -> None:
        super().__init__()
        self._session = session
        self._report = report
        self._offers: tuple[Offer, ...] = ()

    async def on_mount(self) -> None:
        """Read the presets without holding up the screen."""
        self.frame.border_title = "Presets"
        self.frame.border_subtitle = f"Enter use · {self.close_hint}"
        self.fill([], "Reading the presets…")
        self._offers, problems = await self._session.switching.offers()
        for problem in problems:
            self._report(problem)
        await self.narrow()

    async def narrow(self) -> None:
        """Show the presets that have all the words typed."""
        words = self.typed.lower().split()
        current = self._session.preset.name
        shown = [
            offer for offer in self._offers if all(word in f"{offer.preset.name} {offer.preset.description}".lower() for word in words)
        ]
        self.fill([(offer.preset.name, row(offer, current, self.row_cells)) for offer in shown], "No preset of this name.")

    async def on_resize(self) -> None:
        """Wrap the rows anew."""
        if self._offers:
            await self.narrow()

    def take(self) -> None:
        """Use what is chosen."""
        if self.chosen_id is not None:
            self.dismiss(self.chosen_id)
