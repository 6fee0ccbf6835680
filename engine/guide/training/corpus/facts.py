"""The facts that must follow the program: keys and commands, read from the JSON that `python -m tests.facts` writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files

from engine.guide.training.shape import Shape


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
class CommandFact:
    """A subcommand of `xchat`."""

    name: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Facts:
    """All facts of one generation."""

    actions: tuple[ActionFact, ...]
    commands: tuple[CommandFact, ...] = ()
    presets: tuple[str, ...] = ()
    """Names of the shipped presets."""

    def slots(self) -> dict[str, str]:
        """`key:regenerate` and `slash:regenerate` for the wordings that name a key or command in passing, lists of names, and its own size."""
        slots = Shape().slots()
        slots |= {f"key:{action.id}": action.key for action in self.actions if action.keys}
        slots |= {f"slash:{action.id}": f"/{action.slash[0]}" for action in self.actions if action.slash}
        slots["presets"] = ", ".join(f"`{name}`" for name in self.presets)
        slots["commands"] = ", ".join(f"`xchat {command.name}`" for command in self.commands)
        slots["command_list"] = "\n".join(f"- `xchat {command.name}`: {command.purpose}" for command in self.commands)
        return slots


def load_facts(text: str | None = None) -> Facts:
    """The facts of the given JSON, or of the file that belongs to this version of the program."""
    raw = json.loads(text if text is not None else files("engine.guide").joinpath("taught.json").read_text(encoding="utf-8"))
    actions = tuple(
        ActionFact(
            id=entry["id"],
            keys=tuple(entry["keys"]),
            label=entry["label"],
            sentence=entry["sentence"],
            group=entry["group"],
            scope=entry["scope"],
            slash=tuple(entry["slash"]),
        )
        for entry in raw["actions"]
        if entry["keys"] or entry["slash"]
    )
    return Facts(actions, tuple(CommandFact(**entry) for entry in raw["commands"]), tuple(raw["presets"]))
