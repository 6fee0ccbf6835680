"""Where things stand on the chat screen, by the room there is. Shared by the first frame, which comes before anything slow is imported."""

from __future__ import annotations

from textual.screen import Screen

from tui.actions.bindings import Keymap

BESIDE_COLUMNS = 100
"""From this width on the panel stands beside the conversation."""
WIDE_COLUMNS = 180
"""From this width on there is room for two columns of panes beside the conversation."""
BELOW_ROWS = 26
"""Narrower, it stands below from this height on; else only in the place of the conversation."""
BELOW_COLUMNS = 36
"""Narrower than this the panel does not stand below either."""
SHORT_ROWS = 16
"""Lower than this, the prompt goes without a frame and the keys without a line."""
NARROW_COLUMNS = 10
"""Narrower than this nothing can be read, and the screen says so."""

ROOM_CSS = """
    background: $background;

    #desk { height: 1fr; layout: vertical; }
    #panel-place { display: none; }
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


def arrange(screen: Screen[None], *, panel: bool, over: bool = False) -> bool:
    """Place things by the size of the screen; returns whether the panel and the conversation both have room.

    Where they have not, the panel is shown when it was asked to stand in the conversation's place (`over`).
    """
    columns, rows = screen.app.size
    beside = columns >= BESIDE_COLUMNS
    below = not beside and rows >= BELOW_ROWS and columns >= BELOW_COLUMNS
    screen.set_class(panel and beside, "-beside")
    screen.set_class(columns >= WIDE_COLUMNS, "-wide")
    screen.set_class(panel and below, "-below")
    screen.set_class(over and not (beside or below), "-over")
    screen.set_class(rows < SHORT_ROWS, "-short")
    screen.set_class(columns < NARROW_COLUMNS, "-narrow")
    return beside or below


def welcome(keymap: Keymap) -> tuple[str, ...]:
    """What stands in an empty conversation."""
    words = {"help": "help", "palette": "commands", "sessions": "sessions", "models": "models"}
    keys = "   ".join(f"{keymap.shown(action)} {word}" for action, word in words.items() if keymap.shown(action))
    return ("Write a message and press Enter.", "", keys)
