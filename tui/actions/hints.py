"""The keys in the footer for each situation, the most useful first."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Situation(StrEnum):
    """The situation on the chat screen."""

    EMPTY = "an empty conversation"
    IDLE = "nothing runs"
    ANSWERING = "an answer is made"
    SELECTED = "a message is selected"
    PANE = "a pane of the panel has the focus"
    EXPANDED = "one pane fills the panel"


KEPT = frozenset({"help", "quit"})
"""Actions that are dropped last where not all fit."""

_PANE = ("open_chart", "explain", "panel_window", "pause_panel", "panel_density", "measure_host", "next_arrangement", "save_arrangement")

HINTS: Mapping[Situation, tuple[str, ...]] = {
    Situation.EMPTY: (
        *("palette", "models", "sessions", "presets", "help", "quit"),
        *("change_setting", "toggle_panel", "theme", "next_quant", "more_threads", "native_log"),
    ),
    Situation.IDLE: (
        *("regenerate", "copy_message", "palette", "models", "help", "quit"),
        *(
            "presets",
            "new_session",
            "sessions",
            "toggle_panel",
            "next_quant",
            "more_threads",
            "edit_message",
            "performance",
            "change_setting",
        ),
    ),
    Situation.ANSWERING: (
        *("stop", "toggle_panel", "capture", "help", "quit"),
        *("fewer_threads", "more_threads", "next_quant", "presets", "smaller_batch", "bigger_batch", "to_end"),
    ),
    Situation.SELECTED: (
        *("copy_message", "edit_message", "previous_sibling", "next_sibling", "stop", "help"),
        *("copy_code", "select_previous", "select_next"),
    ),
    Situation.PANE: ("stop", "expand_pane", *_PANE, "pane_down", "toggle_pane", "help", "quit"),
    Situation.EXPANDED: ("expand_pane", "stop", *_PANE, "pane_down", "help", "quit"),
}
"""Actions in the order of the footer."""

LABELS: Mapping[tuple[Situation, str], str] = {
    (Situation.SELECTED, "stop"): "Back",
    (Situation.PANE, "stop"): "Back",
    (Situation.EXPANDED, "stop"): "Back",
    (Situation.EXPANDED, "expand_pane"): "Restore",
    (Situation.EXPANDED, "pane_down"): "Next pane",
}
"""Labels that differ from the action's own."""
