"""The presets screen: pick a preset by its purpose, its changes, and the cost of switching."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from textwrap import wrap
from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content

from engine.errors import XchatError
from engine.session.session import Session
from engine.session.switching import Offer
from engine.text import drawable, one_line
from tui.actions.bindings import bindings_for
from tui.actions.footer import KeyBar
from tui.actions.registry import Scope
from tui.dialogs.picker import Picker
from tui.models.preset_files import PresetFiles
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
        "## Presets\n\nA preset is a named set of engine settings. Below each name are the settings that would change and the cost: hot "
        "settings apply from the next token, a rebuild makes a new context, a reload reads another file. "
        "`xchat presets` does the same from the command line.\n\n"
        "{edit_preset} edits the selected preset, {rename_preset} renames it, {delete_preset} deletes it, {new_preset} saves the settings "
        "in use as a preset. {export_preset} writes one to a file; {import_presets} reads such a file, llama-server's INI, LLAMA_ARG_* "
        "lines or llama-server command lines. Presets of xchat can be edited (your copy is used then), not renamed or deleted.\n"
    )
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.PRESETS)]
    PLACEHOLDER = "Part of a preset's name"

    def __init__(self, session: Session, *, files: PresetFiles, report: Callable[[XchatError], None]) -> None:
        super().__init__()
        self._session = session
        self._files = files
        self._report = report
        self._offers: tuple[Offer, ...] = ()
        self._drawn_cells = 0

    async def on_mount(self) -> None:
        """Read the presets on a thread."""
        await self.frame.mount(KeyBar(scope=Scope.PRESETS))
        self.frame.border_title = "Presets"
        self.frame.border_subtitle = self.accept_hint("use")
        self.fill([], "Reading the presets…")
        self.screen_layout_refresh_signal.subscribe(self, lambda _: self._fit())
        await self._read()

    async def _read(self) -> None:
        self._offers, problems = await self._session.switching.offers()
        for problem in problems:
            self._report(problem)
        await self.narrow()

    def on_screen_resume(self) -> None:
        """Read the files again: a dialog over the list may have changed them."""
        if self._offers:
            self.run_worker(self._read(), group="read", exclusive=True)

    def action_new_preset(self) -> None:
        """Save the settings in use as a preset."""
        self._files.run(self._files.save())

    def action_edit_preset(self) -> None:
        """Edit the selected preset."""
        self._with_chosen(self._files.edit)

    def action_rename_preset(self) -> None:
        """Rename the selected preset."""
        self._with_chosen(self._files.rename)

    def action_delete_preset(self) -> None:
        """Delete the selected preset."""
        self._with_chosen(self._files.delete)

    def action_export_preset(self) -> None:
        """Write the selected preset to a file."""
        self._with_chosen(self._files.export)

    def action_import_presets(self) -> None:
        """Import presets from a file."""
        self._files.run(self._files.import_file())

    def _with_chosen(self, act: Callable[[str], Awaitable[None]]) -> None:
        async def work(name: str) -> None:
            await act(name)
            await self._read()

        if self.chosen_id is not None:
            self._files.run(work(self.chosen_id))

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
