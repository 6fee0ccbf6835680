"""Presets out of what other programs are set up with: `LLAMA_ARG_*` variables and llama-server's preset INI."""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine.errors import UsageError
from engine.presets.preset import Preset
from engine.presets.settings import with_text

VARIABLE_PREFIX = "LLAMA_ARG_"
_MOST_BYTES = 1 << 20

_SETTINGS = {
    "model": "model",
    "hf_repo": "model",
    "threads": "threads",
    "threads_batch": "threads_batch",
    "ctx_size": "n_ctx",
    "batch": "n_batch",
    "batch_size": "n_batch",
    "ubatch": "n_ubatch",
    "ubatch_size": "n_ubatch",
    "cache_type_k": "type_k",
    "cache_type_v": "type_v",
    "flash_attn": "flash_attn",
    "n_predict": "max_tokens",
    "predict": "max_tokens",
    "reasoning": "thinking",
    "temp": "sampling.temperature",
    "temperature": "sampling.temperature",
    "top_k": "sampling.top_k",
    "top_p": "sampling.top_p",
    "min_p": "sampling.min_p",
    "repeat_penalty": "sampling.repeat_penalty",
    "repeat_last_n": "sampling.repeat_last_n",
    "seed": "sampling.seed",
}
"""llama.cpp's long flags (hyphens as underscores) and what they are here."""

_SHORT = {"m": "model", "hf": "hf_repo", "t": "threads", "tb": "threads_batch", "c": "ctx_size", "b": "batch_size", "ub": "ubatch_size"}
_SHORT |= {"ctk": "cache_type_k", "ctv": "cache_type_v", "fa": "flash_attn", "n": "n_predict", "s": "seed"}
_SWITCHES = {"mmap": ("mmap", "true"), "no_mmap": ("mmap", "false"), "repack": ("repack", "true"), "no_repack": ("repack", "false")}
_FORMAT_KEY = "version"
"""Says how an INI file is written, and is no setting."""
_OFF = {"0", "false", "off", "disabled", "no"}
_ON = {"1", "true", "on", "enabled", "yes", ""}


@dataclass(frozen=True, slots=True)
class Imported:
    """A preset made from another program's settings."""

    preset: Preset
    left_out: tuple[str, ...]
    """Settings that mean nothing here, by their own names."""


def from_variables(environ: Mapping[str, str], name: str = "imported") -> Imported:
    """A preset from `LLAMA_ARG_*`. Raises UsageError that names a variable whose value can't be."""
    flags = {key.removeprefix(VARIABLE_PREFIX).lower(): value for key, value in environ.items() if key.startswith(VARIABLE_PREFIX)}
    return _import(name, flags, {flag: f"{VARIABLE_PREFIX}{flag.upper()}" for flag in flags}, "")


def from_ini(path: Path) -> tuple[Imported, ...]:
    """Presets from an INI file of llama-server, one for each section; `[*]` is under all of them.

    Raises:
        UsageError: It can't be read; or a value can't be, with section and key.
    """
    parser = configparser.ConfigParser(interpolation=None, default_section="*", allow_no_value=True, strict=False)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{path.name} is no preset file", "It is longer than a mebibyte")
        # Keys before the first section (`version = 1`) are under all sections, too.
        parser.read_string(f"[*]\n{path.read_text('utf-8')}", source=path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name} can't be read", str(error), "Check the path") from error
    except configparser.Error as error:
        raise UsageError(f"{path.name} is no INI file of llama-server", str(error).replace("\n", " "), "Mend the line") from error
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
        imported.append(_import(_file_name(section), flags, spelled, f"{path.name}, [{section}]"))
    return tuple(imported)


def _import(name: str, flags: Mapping[str, str], spelled: Mapping[str, str], where: str) -> Imported:
    values: dict[str, str] = {}
    left_out = []
    for flag, text in flags.items():
        long = _SHORT.get(flag, flag)
        if long in _SWITCHES:
            key, on = _SWITCHES[long]
            off = text.strip().lower() in _OFF
            values[key] = on if not off else ("true" if on == "false" else "false")
        elif long in _SETTINGS:
            key = _SETTINGS[long]
            if (value := _translated(key, text)) is not None:
                values[key] = f"hf:{value}" if long == "hf_repo" and not value.startswith("hf:") else value
        else:
            left_out.append(spelled[flag])
    preset = msgspec.structs.replace(Preset(), name=name, description="Imported from llama.cpp's settings")
    for key, text in values.items():
        try:
            with_text(Preset(), {key: text})
        except UsageError as error:
            title = f"{where}: {error.title}" if where else f"{error.title} (from the environment)"
            if key not in {"type_v", "flash_attn", "n_ubatch", "n_batch"}:
                raise UsageError(title, error.detail, error.hint) from error
    return Imported(with_text(preset, values), tuple(left_out))


def _translated(key: str, text: str) -> str | None:
    """llama.cpp's special values as ours; None for those that mean the default."""
    word = text.strip().lower()
    if key == "n_ctx" and word == "0":
        return "auto"
    if key in {"threads", "threads_batch"} and word in {"-1", "0"}:
        return "auto"
    if key in {"max_tokens", "sampling.seed"} and word in {"-1", "-2"}:
        return None
    if key in {"flash_attn", "thinking"}:
        return "off" if word in _OFF else "on" if word in _ON else word
    return text


def _file_name(section: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", section).strip("-.")[:64] or "imported"
