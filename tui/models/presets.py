"""The presets screen: pick a preset by its purpose, its changes, and the cost of switching."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import wrap

from textual.content import Content

from engine.errors import XchatError
from engine.session.session import Session
from engine.session.switching import Offer
from engine.text import drawable, one_line
from tui.dialogs.picker import Picker
from tui.text.cells import cut

NAME_CELLS = 18
INDENT = " " * 4
NARROWEST_CELLS = 30


def row(offer: Offer, current: str, cells: int) -> Content:
    """Format a preset for a list of `cells` cells: name and purpose, then changes and their cost."""
    name = cut(one_line(offer.preset.name), NAME_CELLS)
    mark = "  in use" if offer.preset.name == current else ""
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
        "## Presets\n\nA preset is a named set of engine settings. Below each name are the settings that would change and the cost: "
        "hot settings apply from the next token, a rebuild makes a new context, a reload reads another file. "
        "`xchat presets` creates and edits them.\n"
    )
    PLACEHOLDER = "Part of a preset's name"

    def __init__(self, session: Session, *, report: Callable[[XchatError], None]) -> None:
        super().__init__()
        self._session = session
        self._report = report
        self._offers: tuple[Offer, ...] = ()
        self._drawn_cells = 0

    async def on_mount(self) -> None:
        """Read the presets on a thread."""
        self.frame.border_title = "Presets"
        self.frame.border_subtitle = f"Enter use · {self.close_hint}"
        self.fill([], "Reading the presets…")
        self.screen_layout_refresh_signal.subscribe(self, lambda _: self._fit())
        self._offers, problems = await self._session.switching.offers()
        for problem in problems:
            self._report(problem)
        await self.narrow()

    async def narrow(self) -> None:
        """Show the presets that contain all typed words."""
        self._drawn_cells = self.row_cells
        current = self._session.preset.name
        shown = [offer for offer in self._offers if self.matches(f"{offer.preset.name} {offer.preset.description}")]
        self.fill([(offer.preset.name, row(offer, current, self._drawn_cells)) for offer in shown], "No preset matches.")

    def _fit(self) -> None:
        """Wrap the rows again if the width of the list changed."""
        if self._offers and self.row_cells != self._drawn_cells:
            self.call_later(self.narrow)

    def take(self) -> None:
        """Dismiss with the selected preset."""
        if self.chosen_id is not None:
            self.dismiss(self.chosen_id)
