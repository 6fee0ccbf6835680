"""A screen's own keys along its bottom, where they are not those of the registry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.widget import Widget

from tui.actions.registry import display_key

GAP = 2


def key_name(key: str) -> str:
    """A key as it is pressed: the case of a letter counts, and signs stand for themselves."""
    first = key.partition(",")[0]
    return first if len(first) == 1 else {"slash": "/"}.get(first) or display_key(first)


class KeyLine(Widget):
    """Shows the first keys of a list that fit; each can be clicked.

    One widget and one line: Textual's footer makes a widget per key anew whenever the focus moves, which costs more than the picture
    that the key asked for.
    """

    DEFAULT_CSS = """
    KeyLine { height: 1; background: $background; color: $muted; }
    """

    def __init__(self, keys: Sequence[Binding]) -> None:
        """Actions of `keys` are those of the screen."""
        super().__init__()
        self._keys = keys

    def use(self, keys: Sequence[Binding]) -> None:
        """Show other keys."""
        self._keys = keys
        self.refresh()

    def render(self) -> Content:
        """The line at its present width."""
        pieces: list[Content | str] = [" "]
        for _, binding in self._fitting():
            pieces += [Content.styled(key_name(binding.key), "bold $key"), f" {binding.description}", " " * GAP]
        return Content.assemble(*pieces)

    def on_click(self, event: events.Click) -> None:
        """A click on a key does what the key does."""
        for column, binding in self._fitting():
            if column <= event.x < column + _width(binding):
                self.run_worker(self.screen.run_action(binding.action), group="action")

    def _fitting(self) -> Iterator[tuple[int, Binding]]:
        """Column and key, from the left."""
        column = 1
        for binding in self._keys:
            if not binding.show:
                continue
            if column + _width(binding) > self.size.width:
                return
            yield column, binding
            column += _width(binding) + GAP


def _width(binding: Binding) -> int:
    return cell_len(f"{key_name(binding.key)} {binding.description}")
