"""Imports presets from `LLAMA_ARG_*` variables and llama-server's preset INI."""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.errors import UsageError
from engine.presets.preset import SETTINGS, Preset, value_of
from engine.presets.settings import NAMES, OFF_WORDS, with_text
from engine.written_files import read_written

VARIABLE_PREFIX = "LLAMA_ARG_"

_HUB = {"hf", "hf_repo"}
"""Names a model of the hub, not a file."""
_FORMAT_KEY = "version"
"""Says how an INI file is written, and is no setting."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A preset made from another program's settings."""

    preset: Preset
    left_out: tuple[str, ...]
    """Settings without a counterpart, by their own names."""


def from_variables(environ: Mapping[str, str], name: str = "imported") -> Imported:
    """A preset from `LLAMA_ARG_*`. Raises UsageError that names a variable whose value can't be."""
    flags = {key.removeprefix(VARIABLE_PREFIX).lower(): value for key, value in environ.items() if key.startswith(VARIABLE_PREFIX)}
    return _import(name, flags, {flag: f"{VARIABLE_PREFIX}{flag.upper()}" for flag in flags}, f"{VARIABLE_PREFIX}* of the environment")


def from_ini(path: Path) -> tuple[Imported, ...]:
    """Presets from an INI file of llama-server, one for each section; `[*]` is under all of them.

    Raises UsageError when it can't be read; or a value can't be, with section and key.
    """
    parser = configparser.ConfigParser(interpolation=None, default_section="*", allow_no_value=True, strict=False)
    try:
        # Keys before the first section (`version = 1`) are under all sections, too.
        parser.read_string(f"[*]\n{read_written(path)}", source=path.name)
    except FileNotFoundError as error:
        raise UsageError(f"{path.name} can't be read", str(error), "Check the path") from error
    except (configparser.Error, AttributeError) as error:  # AttributeError: a continued line below a key without a value
        raise UsageError(f"{path.name} is not an INI file of llama-server", str(error)[:300].replace("\n", " "), "Fix the line") from error
    if not parser.sections():
        raise UsageError(f"{path.name} has no preset", "It has no section but [*]", "A preset begins with its name in brackets")
    imported = []
    for section in parser.sections():
        flags, spelled = dict[str, str](), dict[str, str]()
        for key, value in parser.items(section):
            if key.lower() == _FORMAT_KEY:
                continue
            flag = key.lower().removeprefix(VARIABLE_PREFIX.lower()).lstrip("-").replace("-", "_")
            flags[flag], spelled[flag] = value or "", key
        if "/" in section and "model" not in flags and "hf_repo" not in flags:
            flags["hf_repo"], spelled["hf_repo"] = section, section
        imported.append(_import(_file_name(section), flags, spelled, f"{path.name}, [{section[:80]}]"))
    return tuple(imported)


def _import(name: str, flags: Mapping[str, str], spelled: Mapping[str, str], where: str) -> Imported:
    preset = Preset(name=name, description="Imported from llama.cpp's settings")
    values: dict[str, str] = {}
    left_out = []
    for flag, text in flags.items():
        if flag in _HUB:
            values["model"] = text if text.startswith("hf:") else f"hf:{text}"
        elif (key := NAMES.get(flag)) is not None:
            if text.strip() not in SETTINGS[key].default_words.split():
                values[key] = text or "on"
        elif (key := NAMES.get(flag.removeprefix("no_"))) is not None and isinstance(value_of(preset, key), bool):
            values[key] = "true" if text.strip().lower() in OFF_WORDS else "false"
        else:
            left_out.append(spelled[flag])
    return Imported(with_text(preset, values, where=where), tuple(left_out))


def _file_name(section: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", section).strip("-.")[:64] or "imported"
