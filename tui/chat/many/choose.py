"""Choice of presets and quants to compare, marked in a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from engine.text import one_line
from tui.actions.bindings import bindings_for
from tui.actions.registry import Scope
from tui.dialogs.choice_list import ChoiceList
from tui.dialogs.dialog import Dialog


class ChooseScreen(Dialog[list[str]]):
    """A list of rows to mark; dismissed with the names of the marked ones."""

    HELP = """\
## Compare

Mark two to four presets and quants with {mark_side}; {accept} answers the message with each of them. One mark alone is compared with
the settings in use. `/compare` takes models and settings too, such as `/compare current temperature=0.2`.
"""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.SIDES)]
    DEFAULT_CSS = """
    ChooseScreen {
        .box { width: 84; height: auto; max-height: 90%; }
        OptionList { height: auto; max-height: 20; }
    }
    """

    def __init__(self, rows: Sequence[tuple[str, str]], *, marked: str, most: int) -> None:
        """Create it with `rows` of names and descriptions; `marked` is marked first, and at most `most` can be."""
        super().__init__()
        self._rows = rows
        self._marked = [marked]
        self._most = most

    def compose(self) -> ComposeResult:
        """Yield the list."""
        with Vertical(classes="box") as box:
            box.border_title = "Compare"
            yield ChoiceList(*(Option(self._row(name, about), id=name) for name, about in self._rows))

    def on_mount(self) -> None:
        """Show the keys."""
        keys = f"{self.keymap.shown('mark_side')} mark · {self.accept_hint('compare')}"
        self.query_one(".box", Vertical).border_subtitle = keys

    def action_mark_side(self) -> None:
        """Mark or unmark the selected row."""
        options = self.query_one(OptionList)
        if options.highlighted is None:
            return
        name, about = self._rows[options.highlighted]
        if name in self._marked:
            self._marked.remove(name)
        elif len(self._marked) < self._most:
            self._marked.append(name)
        options.replace_option_prompt_at_index(options.highlighted, self._row(name, about))

    async def action_accept(self) -> None:
        """Dismiss with the marked rows; add the selected one where exactly one is missing."""
        highlighted = self.query_one(OptionList).highlighted
        if len(self._marked) < 2 and highlighted is not None and self._rows[highlighted][0] not in self._marked:
            self._marked.append(self._rows[highlighted][0])
        if len(self._marked) > 1:
            self.dismiss(self._marked)

    @on(OptionList.OptionSelected)
    async def _entered(self) -> None:
        await self.action_accept()

    def _row(self, name: str, about: str) -> Content:
        mark = Content.styled("[x] ", "bold $key") if name in self._marked else Content("[ ] ")
        return mark + Content(f"{one_line(name):<24} ") + Content.styled(one_line(about), "$muted")
