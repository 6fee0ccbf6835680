"""Reads the prompt library, and fills the variables of a snippet."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import msgspec

from engine.errors import UsageError
from engine.paths import config_dir
from engine.regular_file import read_toml

_VARIABLE = re.compile(r"\{\{\s*([^{}=\n]{1,60}?)\s*(?:=([^{}\n]*))?\}\}")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A persona, which becomes the system prompt, or a snippet, which is inserted into the message."""

    kind: Literal["persona", "snippet"]
    name: str
    about: str
    text: str


@dataclass(frozen=True, slots=True)
class Library:
    """All prompts, the shipped ones first, and the files that could not be read."""

    prompts: tuple[Prompt, ...]
    problems: tuple[UsageError, ...]

    def get(self, name: str) -> Prompt:
        """Return the prompt called `name`. Raises UsageError that lists the known names."""
        found = next((prompt for prompt in self.prompts if prompt.name == name), None)
        if found is None:
            raise UsageError(f"There is no prompt {name!r}", "", f"Known: {', '.join(prompt.name for prompt in self.prompts)}.")
        return found


class _Persona(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    system: str
    about: str = ""


class _Snippet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str
    about: str = ""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    persona: dict[str, _Persona] = {}
    snippet: dict[str, _Snippet] = {}


def prompts_dir() -> Path:
    """Return the folder of the person's prompts; it need not exist."""
    return config_dir() / "prompts"


def load(folder: Path | None = None) -> Library:
    """Read the shipped prompts and the files of a folder, which replace prompts of the same name. Blocks."""
    found = {
        prompt.name: prompt for prompt in _prompts(tomllib.loads(files("engine.prompts").joinpath("examples.toml").read_text("utf-8")))
    }
    problems = []
    for path in sorted((folder or prompts_dir()).glob("*.toml")):
        try:
            _, table = read_toml(path)
            found |= {prompt.name: prompt for prompt in _prompts(table)}
        except msgspec.ValidationError as error:
            hint = "Use tables [persona.NAME] with `system`, and [snippet.NAME] with `text`; both may have `about`"
            problems.append(UsageError(f"{path.name} can't be used", str(error)[:200], hint))
        except (UsageError, FileNotFoundError) as error:
            problems.append(error if isinstance(error, UsageError) else UsageError(f"{path.name} can't be read", "It is gone"))
    return Library(tuple(found.values()), tuple(problems))


def _prompts(table: Mapping[str, Any]) -> Iterator[Prompt]:
    file = msgspec.convert(table, _File)
    for name, persona in file.persona.items():
        yield Prompt("persona", name, persona.about, persona.system.strip())
    for name, snippet in file.snippet.items():
        yield Prompt("snippet", name, snippet.about, snippet.text.strip())


def variables(text: str) -> dict[str, str]:
    """Return the variables of a snippet in their order, with their defaults."""
    found: dict[str, str] = {}
    for name, default in _VARIABLE.findall(text):
        found[name] = found.get(name) or default
    return found


def filled(text: str, values: Mapping[str, str]) -> str:
    """Fill the variables of a snippet; one without a value stays."""
    return _VARIABLE.sub(lambda match: values.get(match[1], match[0]), text)
