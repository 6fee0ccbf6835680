"""Replaces keys and slash commands in the built-in model's answers by those of the user.

The model was trained with the keys and commands of one version of the program (`taught.json`): keys in bold or in the first column of a
table, commands as code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

NO_KEY: Final = "no key"
NO_COMMAND: Final = "no command"

_WORD = re.compile(r"[a-z]{4,}")
_FORMAT = re.compile(r"\*\*|`")


@dataclass(frozen=True, slots=True)
class ActionNames:
    """Keys and commands of an action."""

    keys: tuple[str, ...]
    """Keys in display form (`Ctrl+R`), the one to show first; empty when unbound."""
    commands: tuple[str, ...]
    """Slash commands without the slash, the one to show first."""


class TaughtAction(msgspec.Struct, frozen=True):
    """An action as the model learned it."""

    id: str
    keys: tuple[str, ...]
    label: str
    sentence: str
    scope: str
    slash: tuple[str, ...]

    def likeness(self, text: str) -> int:
        """Count the words of a lower-case text that are this action's."""
        own = f"{self.id} {self.label} {self.sentence} {self.scope}".lower().replace("_", " ")
        return len(set(_WORD.findall(own)) & set(_WORD.findall(text)))


class _Taught(msgspec.Struct):
    actions: tuple[TaughtAction, ...]


@cache
def taught_actions() -> tuple[TaughtAction, ...]:
    """Return every action that the shipped model was trained on."""
    return msgspec.json.decode(files("engine.guide").joinpath("taught.json").read_bytes(), type=_Taught).actions


class Respelling:
    """Replaces taught keys and commands in a streamed text; the result doesn't depend on the pieces.

    A line is returned unchanged up to a spelling that may need replacement; the rest of the line follows as a whole, because the text after
    a key determines which of several actions it is for.
    """

    def __init__(self, names: Mapping[str, ActionNames]) -> None:
        """`names`: every action of the program by its id; an action that was taught and is missing there doesn't exist any more."""
        self._names = names
        taught = taught_actions()
        changed = [action for action in taught if names.get(action.id) != ActionNames(action.keys, action.slash)]
        keys = {key for action in changed for key in action.keys}
        commands = {command for action in changed for command in action.slash}
        self._by_key = {key: [action for action in taught if key in action.keys] for key in keys}
        self._by_command = {command: action for action in changed for command in action.slash}
        self._taken = {
            key: action.id for action in changed if action.id in names for key in names[action.id].keys if key not in action.keys
        }
        key, command = _any_of(keys), _any_of(commands)
        self._spelled = re.compile(
            rf"\*\*(?P<taken>{_any_of(self._taken)})\*\*(?: is free| does nothing in xchat by default, as far as I know)|"
            rf"\*\*(?P<key>{key})\*\*(?P<more> \(or \*\*{key}\*\*(?: or \*\*{key}\*\*)*\)| to \*\*{key}\*\*)?"
            rf"|(?P<cell>(?<=^\| ){key}(?= \|))"
            rf"|`/(?P<command>{command})(?P<words> [^`]*)?`(?P<others> \(or `/{command}`(?: or `/{command}`)*\))?"
            rf"|(?P<line>^/{command}$)"
        )
        self._key = re.compile(key)
        self._inside = tuple([f"**{key}**" for key in (*keys, *self._taken)] + [f"`/{command}" for command in commands])
        self._at_start = tuple([f"| {key} |" for key in keys] + [f"/{command}\n" for command in commands])
        self._line = ""
        self._handed_out = 0
        self.needed = bool(changed)
        """Whether any key or command differs from the taught one."""

    def whole(self, text: str) -> str:
        """Replace keys and commands in a complete answer."""
        return "".join(map(self._respelled, _lines(text)))

    def feed(self, piece: str) -> str:
        """Add the next piece of an answer; return the text that is final."""
        *complete, self._line = _lines(self._line + piece)
        out = []
        for line in complete:
            out.append(self._respelled(line)[self._handed_out :])
            self._handed_out = 0
        end = self._unchanging()
        out.append(self._line[self._handed_out : end])
        self._handed_out = end
        return "".join(out)

    def finish(self) -> str:
        """Return the text held back at the end of the answer; another answer may follow."""
        rest = self._respelled(self._line)[self._handed_out :]
        self._line, self._handed_out = "", 0
        return rest

    def _unchanging(self) -> int:
        """Return the length of the final part of the unfinished line."""
        for at in range(self._handed_out, len(self._line)):
            rest = self._line[at:]
            openers = self._inside + self._at_start if at == 0 else self._inside
            if any(rest.startswith(opener) or opener.startswith(rest) for opener in openers):
                return at
        return len(self._line)

    def _respelled(self, line: str) -> str:
        """Replace keys and commands in a whole line, and add notes on actions without any."""
        body, end = (line[:-1], "\n") if line.endswith("\n") else (line, "")
        lost: dict[str, None] = {}

        def replace(match: re.Match[str]) -> str:
            match match.lastgroup:
                case "taken":
                    return f"**{match['taken']}** is `{self._taken[match['taken']]}`"
                case "line":
                    return f"/{self._commands(match['line'][1:], lost)[0]}"
                case "cell":
                    return " and ".join(self._keys(match["cell"], body, match, lost))
                case "key" | "more":
                    return self._key_unit(match, body, lost)
                case _:
                    return self._command_unit(match, lost)

        return self._spelled.sub(replace, body) + "".join(f" {note}" for note in lost if not body.startswith("|")) + end

    def _key_unit(self, match: re.Match[str], body: str, lost: dict[str, None]) -> str:
        """Replace a bold key, with the other keys of its action that follow."""
        if match["more"]:
            together = {match["key"], *self._key.findall(match["more"])}
            for action in self._by_key[match["key"]]:
                if together <= set(action.keys):
                    return _with_others([f"**{key}**" for key in self._now(action, lost)])
        shown = " and ".join(f"**{key}**" for key in self._keys(match["key"], body, match, lost))
        return shown + self._spelled.sub(lambda other: self._key_unit(other, body, lost), match["more"] or "")

    def _command_unit(self, match: re.Match[str], lost: dict[str, None]) -> str:
        """Replace a command in code, with the other commands of its action that follow."""
        now = self._commands(match["command"], lost)
        if match["others"] is None and match["command"] in now:
            return match[0]
        if now == (NO_COMMAND,):
            return f"**{NO_COMMAND}**"
        spelled = [f"`/{command}{match['words'] or ''}`" for command in now]
        return _with_others(spelled if match["others"] else spelled[:1])

    def _keys(self, key: str, body: str, match: re.Match[str], lost: dict[str, None]) -> Sequence[str]:
        """Return the replacement of a single key: itself if it still works, else the current first key of its action."""
        shown: dict[str, None] = {}
        for action in self._meant(self._by_key[key], body, match):
            now = self._now(action, lost)
            shown[key if key in now else now[0]] = None
        return tuple(shown)

    def _meant(self, candidates: Sequence[TaughtAction], body: str, match: re.Match[str]) -> Sequence[TaughtAction]:
        """Return the actions on a key that a line is about, by its scope, description and words."""
        behind = body[match.end() :].lower()
        placed = [action for action in candidates if behind.startswith(f" {action.scope}")]
        if len(candidates) == 1 or placed:
            return placed or candidates
        if told := [action for action in candidates if action.sentence.split(";")[0].lower() in behind]:
            return told
        before = _FORMAT.split(body[: match.start()].lower())[-1]
        near = before + " " + _FORMAT.split(behind)[0]
        return [max(candidates, key=lambda action: action.likeness(near))]

    def _now(self, action: TaughtAction, lost: dict[str, None]) -> tuple[str, ...]:
        """Return the keys of an action; without any, add a note."""
        names = self._names.get(action.id)
        if names is None:
            lost[f"(This version of xchat has no `{action.id}`.)"] = None
        elif not names.keys:
            instead = f"; type `/{names.commands[0]}`, or" if names.commands else ";"
            lost[f"(`{action.id}` has no key now{instead} give it one in the `[keys]` table of the config.)"] = None
        return names.keys if names and names.keys else (NO_KEY,)

    def _commands(self, command: str, lost: dict[str, None]) -> tuple[str, ...]:
        """Return the current commands of a taught command's action; without any, add a note."""
        action = self._by_command[command]
        names = self._names.get(action.id)
        if names is None:
            lost[f"(This version of xchat has no `{action.id}`.)"] = None
        elif not names.commands:
            lost[f"(`{action.id}` has no command now.)"] = None
        return names.commands if names and names.commands else (NO_COMMAND,)


def _any_of(spellings: Iterable[str]) -> str:
    """Make a pattern for any of these texts, the longest first; without texts it never matches."""
    return "(?:" + ("|".join(map(re.escape, sorted(spellings, key=len, reverse=True))) or "(?!)") + ")"


def _lines(text: str) -> list[str]:
    """Split a text into lines with their ends; the last one has none and may be empty."""
    *complete, last = text.split("\n")
    return [*(f"{line}\n" for line in complete), last]


def _with_others(spelled: Sequence[str]) -> str:
    first, *others = spelled
    return f"{first} (or {' or '.join(others)})" if others else first
