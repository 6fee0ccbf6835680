"""Slash commands typed into the prompt. Imports no Textual."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches

from tui.actions.registry import BY_SLASH

_COMMAND = re.compile(r"/(?P<name>[A-Za-z?][A-Za-z-]*|\?)(?:\s+(?P<rest>.*))?\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Say:
    """A message for the model."""

    text: str


@dataclass(frozen=True, slots=True)
class Do:
    """A command: an action of the registry with its argument."""

    action_id: str
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A command that does not exist."""

    name: str
    nearest: tuple[str, ...]

    def hint(self, help_key: str) -> str:
        """Return the next step; `help_key` opens the list of commands."""
        meant = f"Did you mean {' or '.join('/' + name for name in self.nearest)}? " if self.nearest else ""
        return f"{meant}{help_key} lists all commands; begin with // to send a slash."


def parse(text: str) -> Say | Do | Unknown:
    """Parse a submitted text."""
    if text.startswith("//"):
        return Say(text[1:])
    match = _COMMAND.match(text.rstrip())
    if match is None:
        return Say(text)
    name, rest = match["name"].lower(), (match["rest"] or "").strip()
    if name in BY_SLASH:
        return Do(BY_SLASH[name].id, rest)
    nearest: dict[str, str] = {}
    for command in get_close_matches(name, BY_SLASH, n=6, cutoff=0.6):
        nearest.setdefault(BY_SLASH[command].id, command)
    return Unknown(name, tuple(nearest.values())[:2])


def commands(text: str) -> list[tuple[str, str, str]]:
    """Commands that start with the typed text: name, usage with the argument, description.

    Each action once, by the first of its names that fits; one of exactly this name first.
    """
    if not text.startswith("/") or " " in text or "\n" in text:
        return []
    typed = text[1:].lower()
    found = []
    for action in {action.id: action for action in BY_SLASH.values()}.values():
        name = next((name for name in action.slash if name.startswith(typed)), None)
        if name is not None:
            argument = action.argument if action.needs_argument or not action.argument else f"[{action.argument}]"
            found.append((name, f"/{name} {argument}".rstrip(), action.with_argument or action.sentence))
    return sorted(found, key=lambda row: row[0] != typed)
