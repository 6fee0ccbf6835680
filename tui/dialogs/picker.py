"""A list that is filtered by typing: the base of the sessions and models screens."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from engine.text import drawable
from tui.dialogs.choice_list import ChoiceList
from tui.dialogs.dialog import Dialog

Picked = TypeVar("Picked")

_MOVES = {"up": "cursor_up", "down": "cursor_down", "pageup": "page_up", "pagedown": "page_down"}


class Picker(Dialog[Picked], Generic[Picked]):
    """Typing filters, arrows move, Enter chooses, Escape closes. Subclasses fill the list."""

    PLACEHOLDER = "Type to filter"
    DEFAULT_CSS = """
    Picker {
        .picker { width: 96; height: 80%; min-height: 8; }
        Input { border: none; height: 1; padding: 0 1; background: $surface; &:focus { border: none; } }
        .rule { height: 1; color: $rule; }
        OptionList { height: 1fr; }
        .empty { height: 1fr; padding: 1; color: $muted; display: none; }
        &.-empty OptionList { display: none; }
        &.-empty .empty { display: block; }
    }
    """

    def compose(self) -> ComposeResult:
        """Lay out input and list."""
        with Vertical(classes="box picker"):
            yield Input(placeholder=self.PLACEHOLDER, select_on_focus=False)
            yield Static(Content("─" * 200), classes="rule")
            yield from self.compose_heading()
            yield ChoiceList()
            yield Static("", classes="empty")

    def compose_heading(self) -> ComposeResult:
        """Lay out the heading above the list; empty unless overridden."""
        yield from ()

    @property
    def frame(self) -> Vertical:
        """The box, for its title and subtitle."""
        return self.query_one(".picker", Vertical)

    @property
    def options(self) -> OptionList:
        """The list."""
        return self.query_one(OptionList)

    @property
    def row_cells(self) -> int:
        """Width of a row, without padding and scrollbar."""
        return self.options.content_size.width - self.options.scrollbar_size_vertical - 2

    @property
    def typed(self) -> str:
        """The typed filter."""
        return self.query_one(Input).value

    def matches(self, text: str) -> bool:
        """Return whether a text contains all typed words."""
        return all(word in text.lower() for word in self.typed.lower().split())

    def fill(self, rows: Sequence[tuple[str | None, Content]], empty: str) -> None:
        """Show rows (id, text), or `empty` without any; one without an id can't be chosen. The cursor stays on its row."""
        chosen = self.chosen_id
        self.options.clear_options()
        self.options.add_options([Option(text, id=row_id, disabled=row_id is None) for row_id, text in rows])
        ids = [row_id for row_id, _ in rows]
        first = next((place for place, row_id in enumerate(ids) if row_id is not None), None)
        self.options.highlighted = ids.index(chosen) if chosen is not None and chosen in ids else first
        self.query_one(".empty", Static).update(Content(empty))
        self.set_class(not rows, "-empty")

    @property
    def chosen_id(self) -> str | None:
        """Id of the selected row."""
        index = self.options.highlighted
        return None if index is None else self.options.get_option_at_index(index).id

    def on_key(self, event: events.Key) -> None:
        """Move the selection while the input has the focus."""
        move = _MOVES.get(event.key)
        if move is not None and isinstance(self.focused, Input):
            event.stop()
            event.prevent_default()
            self._move(move)

    def _move(self, name: str) -> None:
        """Move the selection by one of the list's own actions."""
        getattr(self.options, f"action_{name}")()

    @on(Input.Changed)
    async def _narrow(self) -> None:
        await self.narrow()

    @on(Input.Submitted)
    def _enter(self) -> None:
        self.take()

    @on(OptionList.OptionSelected)
    def _click(self) -> None:
        self.take()

    @abstractmethod
    async def narrow(self) -> None:
        """Fill the list for the typed filter."""

    @abstractmethod
    def take(self) -> None:
        """Dismiss with the chosen row."""


class PickOne(Picker[Picked]):
    """Dismissed with the value of the chosen row."""

    DEFAULT_CSS = """
    PickOne {
        .picker { height: auto; }
        OptionList { height: auto; max-height: 60vh; }
        .empty { height: auto; }
    }
    """

    def __init__(self, title: str, rows: Sequence[tuple[Picked, str]], *, subtitle: str = "") -> None:
        """`rows`: the values to choose from, with their texts."""
        super().__init__()
        self._title, self._rows, self._subtitle = title, rows, subtitle

    async def on_mount(self) -> None:
        """Show all rows."""
        self.frame.border_title, self.frame.border_subtitle = Content(drawable(self._title)), Content(drawable(self._subtitle))
        await self.narrow()

    async def narrow(self) -> None:
        """Show the rows that contain all typed words."""
        rows = [(index, text) for index, (_, text) in enumerate(self._rows) if self.matches(text)]
        self.fill([(str(index), Content(drawable(text))) for index, text in rows], "Nothing matches.")

    def take(self) -> None:
        """Dismiss with the chosen value."""
        if self.chosen_id is not None:
            self.dismiss(self._rows[int(self.chosen_id)][0])
