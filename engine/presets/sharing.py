"""Exports presets to one file, and imports them from xchat's own files or from settings of llama.cpp's programs."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from engine.atomic_write import write_atomically
from engine.errors import UsageError
from engine.presets.folder import as_table, check_name, read_values
from engine.presets.foreign import VARIABLE_PREFIX, Imported, command_lines, from_command, from_ini, from_variable_lines
from engine.presets.preset import SAMPLING, Preset
from engine.presets.settings import KEYS, with_values
from engine.regular_file import read_written

MOST = 200
"""Most presets in one file."""
_TABLE = "presets"
_SECTION = re.compile(r"^\s*\[[^\[\]\n]+\]\s*$", re.MULTILINE)


def export(presets: Iterable[Preset], path: Path, *, replace: bool = False) -> None:
    """Write presets to one file, a table for each. Raises UsageError when it exists and `replace` is not set, or can't be written."""
    if path.exists() and not replace:
        raise UsageError(f"{path} exists already", "", "Use another name, or replace it")
    try:
        write_atomically(path, to_text(presets).encode())
    except OSError as error:
        raise UsageError(f"{path} can't be written", error.strerror or str(error), "Use another folder") from error


def to_text(presets: Iterable[Preset]) -> str:
    """Format presets as TOML, a table for each."""
    import tomli_w

    return tomli_w.dumps({_TABLE: {preset.name: as_table(preset) for preset in presets}})


def read(path: Path, name: str = "") -> tuple[Imported, ...]:
    """Read the presets of a file, by its contents: xchat's own TOML, a command line, llama-server's INI, or `LLAMA_ARG_*` lines.

    `name` is for a preset that the file does not name. Raises UsageError when it can't be read, or a value is invalid.
    """
    try:
        text = read_written(path)
    except FileNotFoundError as error:
        raise UsageError(f"{path.name} can't be read", str(error), "Check the path") from error
    found = from_text(text, path.name, name or re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-.")[:64] or "imported")
    if len(found) > MOST:
        raise UsageError(f"{path.name} has {len(found):,} presets", f"At most {MOST} are imported", "Split the file")
    for one in found:
        check_name(one.preset.name)
    for twice in (one for one, times in Counter(item.preset.name for item in found).items() if times > 1):
        raise UsageError(f"Two presets of {path.name} have the name {twice!r}", "", "Rename one of them in the file")
    return found


def from_text(text: str, source: str, name: str) -> tuple[Imported, ...]:
    """Read the presets of a text like `read`; `source` names it in errors."""
    table = _own_table(text)
    if table is not None:
        return _from_own(table, source, name)
    if commands := command_lines(text):
        names = [name, *(f"{name}-{number}" for number in range(2, len(commands) + 1))]
        return tuple(from_command(words, one) for words, one in zip(commands, names, strict=True))
    if _SECTION.search(text):
        return from_ini(text, source)
    if VARIABLE_PREFIX in text:
        return (from_variable_lines(text, name),)
    hint = f"Give a file of `xchat presets export`, llama-server's INI, {VARIABLE_PREFIX}* lines, or a llama-server command line"
    raise UsageError(f"{source} has no presets", "", hint)


def _own_table(text: str) -> dict[str, Any] | None:
    """Parse the text as xchat's own TOML; None for another format."""
    try:
        table = tomllib.loads(text)
        msgspec.json.encode(table)
    except (ValueError, OverflowError, RecursionError):
        return None
    own = isinstance(table.get(_TABLE), dict) or bool(table.keys() & {*KEYS, SAMPLING})
    return table if own else None


def _from_own(table: dict[str, Any], source: str, name: str) -> tuple[Imported, ...]:
    named = table.get(_TABLE)
    tables = named.items() if isinstance(named, dict) else [(str(table.get("name") or name), table)]
    return tuple(_one(one, values, source) for one, values in tables)


def _one(name: str, table: Any, source: str) -> Imported:
    where = f"{source}, preset {name[:80]!r}"
    if not isinstance(table, dict):
        raise UsageError(f"{where} is not a table of settings")
    values, unknown = read_values(table, lambda _key: where)
    return Imported(msgspec.structs.replace(with_values(Preset(), values, where=where), name=name), tuple(unknown))


def left_out(imported: Sequence[Imported]) -> str:
    """Count and name the unknown settings; empty when there are none."""
    counted = Counter(name for one in imported for name in one.left_out)
    if not counted:
        return ""
    names = ", ".join(name if times == 1 else f"{name} ({times} times)" for name, times in counted.items())
    return f"{counted.total()} unknown {'setting was' if counted.total() == 1 else 'settings were'} left out: {names}"
