"""The small dialogs of the capture viewer: a page of help, and a list to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static

from engine.text import drawable
from tui.actions.bindings import bindings_for
from tui.actions.registry import Scope


class FlameHelp(ModalScreen[None]):
    """A page of help; any of the usual keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.PAGE)]
    DEFAULT_CSS = """
    FlameHelp { align: center middle; }
    FlameHelp > VerticalScroll {
        width: 76; max-width: 96%; height: auto; max-height: 90%; border: round $primary; background: $surface; padding: 0 1;
    }
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """The page."""
        with VerticalScroll():
            yield Static(self._text, markup=False)


class ChooseOne(ModalScreen[int | None]):
    """Lines under a question; dismissed with the index of the chosen one, or None after Escape."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.PAGE)]
    DEFAULT_CSS = """
    ChooseOne { align: center middle; }
    ChooseOne > Vertical {
        width: 100; max-width: 96%; height: auto; max-height: 80%; border: round $primary; background: $surface; padding: 0 1;
    }
    ChooseOne OptionList { height: auto; max-height: 100%; border: none; background: $surface; &:focus { border: none; } }
    ChooseOne Static { text-style: bold; }
    """

    def __init__(self, question: str, lines: Sequence[str]) -> None:
        super().__init__()
        self._question = question
        self._lines = lines

    def compose(self) -> ComposeResult:
        """The question and its answers."""
        with Vertical():
            yield Static(self._question, markup=False)
            yield OptionList(*map(drawable, self._lines), markup=False)

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_index)
