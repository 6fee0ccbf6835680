"""The facts that must follow the program: keys and commands, read from the JSON that `python -m tui.cli.facts` writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class ActionFact:
    """Something a person can do in xchat, as the registry says."""

    id: str
    keys: tuple[str, ...]
    """As people write them, the one to name first: `Ctrl+R`."""
    label: str
    sentence: str
    group: str
    scope: str
    slash: tuple[str, ...]
    """Commands without the slash, the one to name first."""

    @property
    def key(self) -> str:
        """The key to name first."""
        return self.keys[0]


@dataclass(frozen=True, slots=True)
class Facts:
    """All facts of one generation."""

    actions: tuple[ActionFact, ...]

    def slots(self) -> dict[str, str]:
        """`key:regenerate` and `slash:regenerate` for the wordings that name a key or command in passing."""
        slots = {f"key:{action.id}": action.key for action in self.actions if action.keys}
        slots |= {f"slash:{action.id}": f"/{action.slash[0]}" for action in self.actions if action.slash}
        return slots


def load_facts(text: str | None = None) -> Facts:
    """The facts of the given JSON, or of the file that belongs to this version of the program."""
    raw = json.loads(text if text is not None else files("engine.demo").joinpath("facts.json").read_text(encoding="utf-8"))
    return Facts(
        tuple(
            ActionFact(**{key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()})
            for entry in raw["actions"]
        )
    )
