"""Commands typed into the prompt. Imports no Textual."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from tui.actions.registry import BY_SLASH


@dataclass(frozen=True, slots=True)
class Taking:
    """A command that takes words after its name."""

    argument: str
    """What the words are, as the help writes it."""
    sentence: str


ARGUMENTS: Mapping[str, Taking] = {
    "model": Taking("PATH", "Load this GGUF file"),
    "theme": Taking("NAME", "Use this theme"),
    "system": Taking("TEXT", "Set the system prompt of the next messages; without text, show it"),
    "preset": Taking("NAME", "Put this preset in force"),
    "quant": Taking("NAME", "Take this quant of the model in use, such as `Q4_K_M`"),
    "threads": Taking("N|auto", "Decode with this many threads, or let xchat find out; without a word, say why so many"),
    "set": Taking("KEY VALUE", "Change one setting of the preset, such as `temperature 0.2` or `threads 6`"),
    "read": Taking("FILE", "Put the text of a file into the prompt"),
    "export": Taking("FORMAT [FILE]", "Write the measurements of this session: csv, json, jsonl, md, html or llama-bench"),
    "title": Taking("TEXT", "Give this session another title"),
}
"""Commands with words; `model`, `theme` and `export` open their lists without any."""

_COMMAND = re.compile(r"/(?P<name>[A-Za-z?][A-Za-z-]*|\?)(?:\s+(?P<rest>.*))?\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Say:
    """No command: a message for the model."""

    text: str


@dataclass(frozen=True, slots=True)
class Do:
    """A command that takes words, or that was given none: `name` is in `ARGUMENTS`, or an action's id."""

    name: str
    rest: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """It looks like a command, and there is none of this name."""

    name: str
    nearest: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What to do instead."""
        meant = f"Did you mean {' or '.join('/' + name for name in self.nearest)}? " if self.nearest else ""
        return f"{meant}F1 lists all commands; begin with // to send a slash."


def parse(text: str) -> Say | Do | Unknown:
    """What a person means who sends `text`."""
    if text.startswith("//"):
        return Say(text[1:])
    match = _COMMAND.match(text.rstrip())
    if match is None:
        return Say(text)
    name, rest = match["name"].lower(), (match["rest"] or "").strip()
    if rest and name in BY_SLASH:
        name = BY_SLASH[name].slash[0]
    if name in ARGUMENTS and (rest or name not in BY_SLASH):
        return Do(name, rest)
    if name in BY_SLASH:
        return Do(BY_SLASH[name].id, rest)
    return Unknown(name, tuple(get_close_matches(name, [*BY_SLASH, *ARGUMENTS], n=2, cutoff=0.6)))


def matching(text: str, limit: int = 4) -> list[tuple[str, str]]:
    """Commands whose name begins with what was typed so far, with what each does."""
    if not text.startswith("/") or " " in text or "\n" in text:
        return []
    typed = text[1:].lower()
    shown = {action.slash[0]: action.sentence for action in BY_SLASH.values()} | {
        name: taking.sentence for name, taking in ARGUMENTS.items() if name not in BY_SLASH
    }
    return [(f"/{name}", sentence) for name, sentence in shown.items() if name.startswith(typed)][:limit]
