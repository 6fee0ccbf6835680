"""The description of an action: keys, scope, slash command. Imports no Textual."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """Where an action's keys work."""

    APP = "anywhere"
    PROMPT = "in the prompt"
    TRANSCRIPT = "in the transcript"
    PANEL = "in the panel"
    LIST = "in a list"
    MODELS = "in the list of models"
    TURNS = "in the performance view"
    DIALOG = "in a dialog"
    BRANCHES = "in the branches"
    COMPARISON = "side by side"
    FLAME = "in the flamegraph viewer"
    ICICLE = "in a flamegraph"
    TABLE = "in the table of functions"
    SEARCH = "in the search line"
    CAPTURE = "in the capture dialog"
    CHART = "in a large chart"
    PAGE = "on a page of help"
    SETTINGS = "in the settings"
    PRESETS = "in the presets"
    RACE = "in a race"
    REQUESTS = "in the requests"
    ANSWERS = "in compared answers"
    SIDES = "in the choice of what to compare"

    @property
    def around(self) -> frozenset[Scope]:
        """Other scopes whose keys also work in this one."""
        return _AROUND.get(self, frozenset())


_AROUND: Mapping[Scope, frozenset[Scope]] = {
    **dict.fromkeys((Scope.PROMPT, Scope.TRANSCRIPT, Scope.PANEL), frozenset({Scope.APP})),
    **dict.fromkeys(
        (
            Scope.LIST,
            Scope.MODELS,
            Scope.SETTINGS,
            Scope.PRESETS,
            Scope.TURNS,
            Scope.BRANCHES,
            Scope.COMPARISON,
            Scope.CAPTURE,
            Scope.RACE,
            Scope.REQUESTS,
            Scope.ANSWERS,
            Scope.SIDES,
        ),
        frozenset({Scope.DIALOG}),
    ),
    **dict.fromkeys((Scope.ICICLE, Scope.TABLE), frozenset({Scope.FLAME})),
}


class Group(StrEnum):
    """Headings of the help and of the README's table."""

    TALK = "Talk"
    READ = "Read and copy"
    SESSIONS = "Sessions"
    TUNE = "Models and presets"
    MEASURE = "Measure"
    FLAME = "Flamegraph"
    PROGRAM = "Program"


@dataclass(frozen=True, slots=True)
class Action:
    """An action of the user."""

    id: str
    """Stable name, used in the config's `[keys]` table."""
    keys: tuple[str, ...]
    """Default keys in Textual's spelling; the first is the one shown."""
    label: str
    """One or two words for the footer."""
    sentence: str
    """Its description, for help and palette; without a full stop."""
    group: Group
    scope: Scope = Scope.APP
    slash: tuple[str, ...] = ()
    """Its slash commands, without the slash; the first is the one shown."""
    argument: str = ""
    """Argument of the slash command, as in the help: `NAME`."""
    with_argument: str = ""
    """Its description with an argument, where that differs from `sentence`."""
    needs_argument: bool = False
    """Whether it needs an argument, and otherwise asks for one."""
    call: str = ""
    """Textual's action with parameters, where it is not the id: `move(-1)`."""
    footer: bool = False
    """Whether it is shown in the footer where its keys work."""
    fixed: bool = False
    """Whether it can't be unbound, so that quit and help always work."""

    @property
    def method(self) -> str:
        """Textual's action, run by the widget or screen that binds this one."""
        return self.call or self.id

    @property
    def command(self) -> str:
        """Its name in the palette."""
        return f"{self.group.value}: {self.label.lower()}"


_NAMES = {"escape": "Esc", "pageup": "PgUp", "pagedown": "PgDn", "enter": "Enter"}
_SIGNS = {"question_mark": "?", "slash": "/", "minus": "-", "underscore": "_", "circumflex_accent": "^", "left_square_bracket": "["}


def display_key(key: str) -> str:
    """Format a key for display: `ctrl+r` becomes `Ctrl+R`, `pageup` becomes `PgUp`."""
    if len(key) == 1 and key.isupper():
        return f"Shift+{key}"
    return "+".join(_NAMES.get(part, _SIGNS.get(part, part.capitalize() if len(part) > 1 else part.upper())) for part in key.split("+"))
