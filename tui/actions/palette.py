"""The entries of the command palettes: actions and themes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from tui.actions.bindings import Keymap
from tui.actions.registry import Action


@dataclass(frozen=True, slots=True)
class Command:
    """An entry of a palette."""

    name: str
    about: str
    key: str
    """For display; empty without one."""
    run: Callable[[], None]


def action_commands(actions: Iterable[Action], keymap: Keymap, do: Callable[[str], None]) -> list[Command]:
    """Make a command for each action except the palette's own; `do` gets an action's id."""
    return [
        Command(action.command, action.sentence, keymap.shown(action.id), partial(do, action.id))
        for action in actions
        if action.id != "palette"
    ]


def theme_commands(titles: Mapping[str, str], current: str, use: Callable[[str], None]) -> list[Command]:
    """Make a command for each theme, the current one first; `use` gets a theme's name."""
    names = sorted(titles, key=lambda name: (name != current, name))
    return [Command(name, titles[name], "", partial(use, name)) for name in names]
