"""The base of every dialog: a box over the screen that Esc closes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from textual.binding import BindingType
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.actions.bindings import Keymap, bindings_for, keymap_of
from tui.actions.registry import Scope
from tui.text.hints import key_line

Result = TypeVar("Result")

_ON_ENTER = ("press", "submit", "select", "toggle_button")
"""Textual's actions that Enter runs in a button, an input, a list and a checkbox."""


class Dialog(ModalScreen[Result | None], Generic[Result]):
    """Dismissed with a result, or with None by Esc. Its content is in a container of class `box`."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.DIALOG)]
    DEFAULT_CSS = """
    Dialog {
        align: center middle;
        background: $background 60%;
        &:ansi { background: ansi_default; }

        .box {
            width: 64;
            max-width: 96%;
            height: auto;
            max-height: 96%;
            padding: 0 1;
            border: round $border;
            background: $surface;
            border-title-color: $heading;
            border-title-style: bold;
            border-subtitle-color: $muted;
        }
        .whole { width: 100%; max-width: 100%; height: 100%; max-height: 100%; }
        #hints { height: 1; dock: bottom; text-wrap: nowrap; }
        .question { padding: 1 2; }
        .detail { color: $foreground; margin-bottom: 1; }
        .buttons { height: auto; align-horizontal: right; }
        Button { margin-left: 2; min-width: 12; }
        ProgressBar { width: 1fr; margin: 1 0; }
        Bar { width: 1fr; }
        OptionList {
            padding: 0;
            border: none;
            background: $surface;
            text-wrap: nowrap;
            text-overflow: ellipsis;
            scrollbar-size-vertical: 1;
            &:focus { border: none; background-tint: transparent; }
            & > .option-list--option-highlighted {
                color: $block-cursor-foreground;
                background: $block-cursor-background;
                text-style: $block-cursor-text-style;
            }
        }
    }
    """

    CLOSED_BY: ClassVar[str] = "close"
    """The action that closes it."""

    @property
    def keymap(self) -> Keymap:
        """The app's keymap."""
        return keymap_of(self.app)

    @property
    def close_hint(self) -> str:
        """Hint for the subtitle: `Esc closes`."""
        return f"{self.keymap.shown(self.CLOSED_BY)} closes"

    def accept_hint(self, word: str) -> str:
        """Return a hint for the subtitle with the action of accepting: `Enter load · Esc closes`."""
        return f"{self.keymap.shown('accept')} {word} · {self.close_hint}"

    async def action_accept(self) -> None:
        """Run the action of Enter in the focused widget."""
        focused = self.focused
        action = next((name for name in _ON_ENTER if hasattr(focused, f"action_{name}")), None)
        if focused is not None and action is not None:
            await focused.run_action(action)

    def show_hints(self, hints: Sequence[tuple[str, str]], width: int) -> None:
        """Show the keys with their labels that fit into `width` cells in the row `#hints`."""
        self.query_one("#hints", Static).update(key_line(hints, width))

    def action_close(self) -> None:
        """Dismiss without a result."""
        self.dismiss(None)
