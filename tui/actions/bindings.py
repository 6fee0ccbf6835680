"""Makes Textual's bindings from the registry of actions and the config's `[keys]`, and reports problems."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.binding import Binding
from textual.keys import KEY_ALIASES, Keys

from tui.actions.registry import ACTIONS, BY_ID, Action, Scope, display_key

if TYPE_CHECKING:
    from engine.events import Notice

Handler = Callable[..., Awaitable[None] | None]
"""A function that runs an action; gets the argument where the action has one."""

OF_THE_APP = frozenset({"quit", "help", "palette", "theme", "suspend"})
"""Actions that work on every screen; the other actions of `Scope.APP` belong to the chat screen."""

UNSAFE = {
    "ctrl+b": "tmux takes it as its prefix",
    "ctrl+a": "screen takes it as its prefix",
    "ctrl+i": "terminals can't distinguish it from Tab",
    "ctrl+m": "terminals can't distinguish it from Enter",
    "ctrl+h": "terminals can't distinguish it from Backspace",
    "ctrl+left_square_bracket": "terminals can't distinguish it from Esc",
}
"""Keys that may be bound but cause a warning."""

UNBOUND = "<unbound>"
"""The key of actions without one, which no terminal sends. Textual needs the binding to assign another key."""

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_NAMED = {key.value for key in Keys} | set(KEY_ALIASES)
_MODIFIERS = frozenset({"ctrl", "shift", "alt", "super", "hyper", "meta"})


@dataclass(frozen=True, slots=True)
class Keymap:
    """The keys of all actions after the user's changes."""

    keys: Mapping[str, tuple[str, ...]]
    """Keys of each action, the one to show first; empty when it was unbound."""
    problems: tuple[str, ...] = ()
    """Rejected changes and conflicts, one sentence each."""

    @property
    def notices(self) -> list[Notice]:
        """Return the problems as notices."""
        from engine.events import Notice

        return [Notice("warning", "Keys", problem) for problem in self.problems]

    def shown(self, action_id: str) -> str:
        """Return the key of an action for display; empty without one."""
        keys = self.keys[action_id]
        return display_key(keys[0]) if keys else ""

    def reach(self, action_id: str) -> str:
        """Say how to run an action: its key, else its slash command, else its name in the palette."""
        action = BY_ID[action_id]
        return self.shown(action_id) or (f"/{action.slash[0]}" if action.slash else f"“{action.command}” in the palette")

    def hint(self, sentence: str, *action_ids: str) -> str:
        """Append the ways to run actions to a sentence: `Pick one: F3`."""
        ways = [self.reach(name) for name in action_ids if name]
        return f"{sentence.rstrip('.')}: {' or '.join(ways)}." if ways else sentence

    def fill(self, text: str) -> str:
        """Replace actions in braces by their keys: `{send} sends` becomes `Enter sends`."""
        return _PLACEHOLDER.sub(lambda match: self.reach(match[1]), text)

    def overrides(self) -> dict[str, str]:
        """Return the differences from the defaults, for `App.set_keymap`."""
        return {name: ",".join(keys) or UNBOUND for name, keys in self.keys.items() if keys != BY_ID[name].keys}


DEFAULT_KEYMAP = Keymap({action.id: action.keys for action in ACTIONS})


def keymap_of(app: object) -> Keymap:
    """Return the keymap of an app, or the default one."""
    return getattr(app, "keymap", DEFAULT_KEYMAP)


def _is_key(key: str) -> bool:
    *modifiers, name = key.split("+")
    return set(modifiers) <= _MODIFIERS and (len(name) == 1 or name in _NAMED or (name.isidentifier() and not modifiers and len(name) > 2))


def _overlap(one: Action, other: Action) -> bool:
    """Return whether two actions can be bound in the same place."""
    if one.id in OF_THE_APP or other.id in OF_THE_APP:
        return True
    return one.scope is other.scope or one.scope in other.scope.around or other.scope in one.scope.around


def resolve(overrides: Mapping[str, Sequence[str] | str]) -> Keymap:
    """Return the keymap with the user's changes; a rejected change keeps the default and is reported."""
    keys = dict(DEFAULT_KEYMAP.keys)
    problems: list[str] = []
    changed: list[str] = []
    for name, value in overrides.items():
        wanted = tuple(part.strip() for part in (value.split(",") if isinstance(value, str) else value) if part.strip())
        if name not in BY_ID:
            problems.append(f"There is no action {name!r}; `xchat keys --list` shows them all")
        elif bad := [key for key in wanted if not _is_key(key)]:
            problems.append(f"{bad[0]!r} is not a key (action {name}); `xchat keys` shows the names of the keys that you press")
        elif not wanted and BY_ID[name].fixed:
            problems.append(f"{BY_ID[name].label} can't be left without a key")
        else:
            keys[name] = wanted
            changed.append(name)
            problems += [f"{display_key(key)} for {name}: {UNSAFE[key]}" for key in wanted if key in UNSAFE]
    for name in changed:
        problems += _settle(name, keys)
    return Keymap(keys, tuple(problems))


def _settle(name: str, keys: dict[str, tuple[str, ...]]) -> list[str]:
    """Remove the keys of a changed action from other actions of the same place; a fixed action keeps its last key."""
    problems = []
    for other in ACTIONS:
        shared = [key for key in keys[name] if key in keys[other.id]]
        if other.id == name or not shared or not _overlap(BY_ID[name], other):
            continue
        left = tuple(key for key in keys[other.id] if key not in shared)
        shown = display_key(shared[0])
        if other.fixed and not left:
            keys[name] = tuple(key for key in keys[name] if key not in shared)
            problems.append(f"{shown} stays with {other.label}, which can't be left without a key; {name} does not get it")
        else:
            keys[other.id] = left
            problems.append(f"{shown} is now {BY_ID[name].label}; {other.label} has {'no key left' if not left else display_key(left[0])}")
    return problems


def bindings_for(scope: Scope, *, only: Collection[str] | None = None, leave_out: Collection[str] = ()) -> Iterable[Binding]:
    """Yield Textual's bindings for the actions of a scope; ids are the actions', so that `App.set_keymap` finds them.

    All run the app's `do`. Those that work anywhere precede the bindings of the focused widget.
    """
    for action in ACTIONS:
        if action.scope is scope and action.id not in leave_out and (only is None or action.id in only):
            yield Binding(
                ",".join(action.keys) or UNBOUND,
                f"app.do('{action.id}')",
                action.label,
                show=action.footer,
                tooltip=action.sentence,
                priority=scope is Scope.APP,
                id=action.id,
            )
