"""Layout of the chat screen by the size of the terminal. Shared with the first frame, so it imports nothing slow."""

from __future__ import annotations

from textual.screen import Screen

from tui.actions.bindings import Keymap

BESIDE_COLUMNS = 100
"""Least width for the panel beside the conversation."""
WIDE_COLUMNS = 180
"""Least width for two columns of panes beside the conversation."""
BELOW_ROWS = 26
"""Least height for the panel below the conversation; lower, it replaces the conversation."""
BELOW_COLUMNS = 36
"""Least width for the panel below the conversation."""
SHORT_ROWS = 16
"""Below this height, the prompt has no frame and the footer is hidden."""
NARROW_COLUMNS = 10
"""Below this width, only a notice is shown."""

ROOM_CSS = """
    background: $background;

    #desk { height: 1fr; layout: vertical; }
    #panel-place { display: none; }
    #strip-place { height: 1; }
    #strip { display: none; }
    &.-strip #strip { display: block; }
    &.-strip.-notice #strip-place { height: 2; }
    &.-short #strip-place { display: none; }
    &.-beside #desk { layout: horizontal; }
    &.-beside #panel-place { display: block; width: 38%; max-width: 74; border-left: solid $rule; padding: 0 1; }
    &.-wide.-beside #panel-place { width: 82; max-width: 82; }
    &.-below #panel-place { display: block; height: 8; border-top: solid $rule; padding: 0 1; }
    &.-over #transcript { display: none; }
    &.-over #panel-place { display: block; height: 1fr; padding: 0 1; }
    &.-short Prompt { border: none; min-height: 1; max-height: 3; &:focus { border: none; } }
    &.-short KeyBar { display: none; }
    #narrow { display: none; layer: narrow; width: 100%; height: 100%; background: $background; }
    &.-narrow #narrow { display: block; }
"""


NOTICE_CSS = """
ToastRack { dock: top; height: 1; margin: 0; overflow: hidden hidden; }
ChatScreen ToastRack { dock: bottom; }
ToastHolder { position: absolute; height: 1; align-horizontal: left; }
Toast {
    width: 100%; max-width: 100%; height: 1; margin: 0; padding: 0 1; border: none;
    background: $surface; color: $foreground; text-wrap: nowrap; text-overflow: ellipsis;
    &.-warning { color: $warning; border: none; }
    &.-error { color: $error; border: none; }
    &.-information { border: none; }
}
"""
"""Notices: one line above the prompt, below the strip of figures where that is shown; on other screens in the top row, above any dialog.

A replaced notice leaves its empty `ToastHolder` (Textual 8.2.8): all are in the same place, the newest on top.
"""


def arrange(screen: Screen[None], *, panel: bool, over: bool = False) -> bool:
    """Lay out the screen by its size; returns whether the panel and the conversation both fit.

    Where they don't, the panel replaces the conversation if `over` is set.
    """
    columns, rows = screen.app.size
    beside = columns >= BESIDE_COLUMNS
    below = not beside and rows >= BELOW_ROWS and columns >= BELOW_COLUMNS
    screen.set_class(panel and beside, "-beside")
    screen.set_class(columns >= WIDE_COLUMNS, "-wide")
    screen.set_class(panel and below, "-below")
    screen.set_class(over and not (beside or below), "-over")
    screen.set_class(rows < SHORT_ROWS, "-short")
    visible = screen.has_class("-beside") or screen.has_class("-below") or screen.has_class("-over")
    screen.set_class(not visible and rows >= SHORT_ROWS, "-strip")
    screen.set_class(columns < NARROW_COLUMNS, "-narrow")
    return beside or below


WELCOME = "Write a message and press {send}."
"""The line of an empty conversation before there is a model; its keys are filled in."""
WELCOME_KEYS = {"help": "help", "palette": "commands", "sessions": "sessions", "models": "models"}
"""Actions whose keys an empty conversation shows, with a word for each."""


def welcome(keymap: Keymap) -> tuple[str, ...]:
    """Lines shown in an empty conversation."""
    keys = "   ".join(f"{keymap.shown(action)} {word}" for action, word in WELCOME_KEYS.items() if keymap.shown(action))
    return (keymap.fill(WELCOME), "", keys)
