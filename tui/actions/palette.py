"""What the command palette offers: every action of the registry that works anywhere, and the themes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from tui.actions.bindings import Keymap
from tui.actions.registry import ACTIONS, Scope


@dataclass(frozen=True, slots=True)
class Command:
    """Something to find by its name."""

    name: str
    about: str
    key: str
    """As people write it; empty without one."""
    run: Callable[[], None]


def action_commands(keymap: Keymap, do: Callable[[str], None]) -> list[Command]:
    """Every action that works anywhere, in the order of the help; `do` takes an action's id."""
    return [
        Command(f"{action.group.value}: {action.label.lower()}", action.sentence, keymap.shown(action.id), partial(do, action.id))
        for action in ACTIONS
        if action.scope is Scope.APP and action.id != "palette"
    ]


def theme_commands(titles: Mapping[str, str], use: Callable[[str], None]) -> list[Command]:
    """Every theme by name; `use` takes a theme's name."""
    return [Command(name, title, "", partial(use, name)) for name, title in sorted(titles.items())]
