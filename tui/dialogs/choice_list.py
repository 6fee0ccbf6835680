"""The list of choices that dialogs and lists of saved things share."""

from __future__ import annotations

from textual.widgets import OptionList


class ChoiceList(OptionList):
    """Textual's list, which can be paged through in a window that leaves it no cell: Textual 8.2 ends with a KeyError there."""

    def action_page_up(self) -> None:
        """Move the highlight up by a page."""
        if self.scrollable_content_region:
            super().action_page_up()  # type: ignore[no-untyped-call]

    def action_page_down(self) -> None:
        """Move the highlight down by a page."""
        if self.scrollable_content_region:
            super().action_page_down()  # type: ignore[no-untyped-call]
