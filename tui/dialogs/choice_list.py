"""The shared list widget of dialogs and pickers."""

from __future__ import annotations

from textual.widgets import OptionList


class ChoiceList(OptionList):
    """Textual's list, fixed for paging in a window without space for it, where Textual 8.2 raises KeyError."""

    def action_page_up(self) -> None:
        """Move the highlight up by a page."""
        if self.scrollable_content_region:
            super().action_page_up()  # type: ignore[no-untyped-call]

    def action_page_down(self) -> None:
        """Move the highlight down by a page."""
        if self.scrollable_content_region:
            super().action_page_down()  # type: ignore[no-untyped-call]
