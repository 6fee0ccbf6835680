"""The user's presets: one TOML file each in the config folder, over the shipped ones."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from engine.atomic_write import write_atomically
from engine.errors import UsageError
from engine.host.topology import read_room, read_topology
from engine.paths import config_dir
from engine.presets.preset import SAMPLING, Preset
from engine.presets.settings import KEYS, check_value, nearest_hint, with_values
from engine.presets.shipped import shipped_presets
from engine.regular_file import read_toml

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Shelf:
    """All presets, and the problems of unreadable files."""

    presets: dict[str, Preset]
    """By name, shipped ones first."""
    own: frozenset[str]
    """Names that have a file; others are shipped."""
    problems: tuple[UsageError, ...]

    def get(self, name: str) -> Preset:
        """Return the preset called `name`. Raises UsageError with the nearest name."""
        preset = self.presets.get(name)
        if preset is None:
            raise UsageError(
                f"There is no preset {name!r}", f"Known presets: {', '.join(self.presets)}", _nearest_preset(name, self.presets)
            )
        return preset


class PresetFolder:
    """Reads and writes the files, without a cache, so that an edited file is used at once."""

    def __init__(self, folder: Path | None = None, shipped: dict[str, Preset] | None = None) -> None:
        self._folder = folder if folder is not None else config_dir() / "presets"
        self._shipped = shipped

    def load(self) -> Shelf:
        """Read all presets. A broken file is a problem in the result, not an error."""
        presets = dict(self._shipped if self._shipped is not None else shipped_presets(read_topology(), read_room()))
        own, problems = set[str](), list[UsageError]()
        try:
            paths = sorted(self._folder.glob("*.toml"))
        except OSError as error:
            return Shelf(presets, frozenset(), (UsageError(f"{self._folder} can't be read", str(error), "Check its permissions"),))
        for path in paths:
            try:
                presets[path.stem] = read_preset(path)
                own.add(path.stem)
            except UsageError as error:
                problems.append(error)
        return Shelf(presets, frozenset(own), tuple(problems))

    def save(self, preset: Preset) -> Path:
        """Write a preset under its name.

        Raises UsageError when the name is not a valid file name, the folder can't be written, or the model's file name is not text.
        """
        path = self.path_of(preset.name)
        try:
            content = to_toml(preset).encode()
        except UnicodeEncodeError as error:
            detail = "The name of its model's file is not text, and presets are text"
            raise UsageError(f"Preset {preset.name!r} can't be saved", detail, "Rename the file.") from error
        try:
            write_atomically(path, content)
        except OSError as error:
            raise UsageError(
                f"Preset {preset.name!r} can't be saved", str(error), f"Check the disk and the permissions of {path.parent}"
            ) from error
        return path

    def delete(self, name: str) -> None:
        """Remove a preset's file; a shipped one of that name is used again. Raises UsageError when it has none."""
        path = self.path_of(name)
        try:
            path.unlink()
        except FileNotFoundError as error:
            shipped = name in self.load().presets
            detail = "It comes with xchat and has no file" if shipped else ""
            hint = "" if shipped else _nearest_preset(name, self.load().own)
            raise UsageError(f"There is no preset {name!r} to delete", detail, hint) from error
        except OSError as error:
            raise UsageError(f"Preset {name!r} can't be deleted", str(error), f"Check the permissions of {path.parent}") from error

    def rename(self, name: str, to: str) -> None:
        """Give a preset another name. Raises UsageError when it has no file, or the other name is taken."""
        shelf = self.load()
        preset = shelf.get(name)
        if name not in shelf.own:
            raise UsageError(f"Preset {name!r} comes with xchat and can't be renamed", "", "Save it under another name instead")
        if to in shelf.presets:
            raise UsageError(f"There is a preset {to!r} already", "", "Use another name")
        self.save(msgspec.structs.replace(preset, name=to))
        self.delete(name)

    def path_of(self, name: str) -> Path:
        """Return the path of a preset's file, which need not exist. Raises UsageError when the name is not a valid file name."""
        check_name(name)
        return self._folder / f"{name}.toml"


def check_name(name: str) -> None:
    """Raise UsageError when the name of a preset is not a valid file name."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"A preset can't be called {name[:80]!r}", "", "Use letters, digits, dots, hyphens and underscores, 64 at most")


def read_preset(path: Path) -> Preset:
    """Read a preset from a file; missing settings have their defaults.

    Raises UsageError with file, line and key, and the allowed values or the nearest key.
    """
    if not path.stem.isprintable():
        raise UsageError(f"{path.name!a} is not a preset's name", "It has characters that can't be shown", "Rename the file")
    try:
        text, table = read_toml(path)
    except FileNotFoundError as error:
        raise UsageError(f"{path.name} can't be read", str(error), "Check the path") from error
    values, unknown = read_values(table, lambda key: f"{path.name}, line {_line_of(text, key)}")
    if unknown:
        where = f"{path.name}, line {_line_of(text, unknown[0])}"
        raise UsageError(f"{where}: there is no setting {unknown[0][:80]!r}", "", nearest_hint(unknown[0][:80]))
    return msgspec.structs.replace(with_values(Preset(), values, where=path.name), name=path.stem)


def read_values(table: Mapping[str, Any], where: Callable[[str], str]) -> tuple[dict[str, Any], list[str]]:
    """Parse a preset's table into settings and unknown names.

    Raises UsageError for an invalid value; `where` returns the position of a key.
    """
    values: dict[str, Any] = {}
    unknown = []
    for name, value in _flat(table):
        if name in KEYS:
            check_value(name, value, where=where(name))
            values[name] = value
        elif name != "name":
            unknown.append(name)
    return values, unknown


def to_toml(preset: Preset) -> str:
    """Format the file's content: every setting that is not none."""
    import tomli_w

    return tomli_w.dumps(as_table(preset))


def as_table(preset: Preset) -> dict[str, Any]:
    """Return every setting that is not none, as in the preset's file."""
    table = msgspec.to_builtins(preset)
    del table["name"]
    table = {key: value for key, value in table.items() if value is not None}
    table[SAMPLING] = {key: value for key, value in table[SAMPLING].items() if value is not None}
    return table


def _flat(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield keys and values, those of the sampling table with its prefix."""
    for key, value in table.items():
        if key == SAMPLING and isinstance(value, dict):
            yield from ((f"{SAMPLING}.{inner}", item) for inner, item in value.items())
        else:
            yield key, value


def _line_of(text: str, name: str) -> int:
    """Return the line that sets a key; the first one if unknown."""
    table, _, field = name.rpartition(".")
    inside = ""
    spellings = {name, field, f'"{field}"', f"'{field}'"}
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("[") and "]" in line:
            inside = line.lstrip().lstrip("[").partition("]")[0].strip()
            if inside == name:
                return number
        elif line.partition("=")[0].strip() in spellings and (inside == table or name in line):
            return number
    return 1


def _nearest_preset(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {near[0]}?" if near else "xchat presets list shows them"
