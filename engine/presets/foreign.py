"""Makes presets from settings of llama.cpp's programs: `LLAMA_ARG_*` variables, llama-server's preset INI, command lines."""

from __future__ import annotations

import configparser
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from engine.errors import UsageError
from engine.presets.preset import SETTINGS, Preset, value_of
from engine.presets.settings import NAMES, OFF_WORDS, choices, with_text
from engine.text import storable

VARIABLE_PREFIX = "LLAMA_ARG_"

_VARIABLE_LINE = re.compile(rf"^[^#\n]*?\b({VARIABLE_PREFIX}[A-Z0-9_]+)\s*[=:][ \t]*(.*)$", re.MULTILINE)
_PROGRAM = re.compile(r"(?:.*[/=\\])?llama-[a-z-]+(?:\.exe)?")
_ENDS_COMMAND = re.compile(r"[();<>|&]+")
_NUMBER = re.compile(r"-\d+(?:\.\d+)?")
_HUB = {"hf", "hf_repo"}
"""Settings that name a model of the hub, not a file."""
_OFF = {flag.lstrip("-"): key for key, setting in SETTINGS.items() for flag in setting.off.split()}
"""Settings by the flags that switch them off."""
_FORMAT_KEY = "version"
"""The key of an INI file's format, which is not a setting."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A preset made from another program's settings."""

    preset: Preset
    left_out: tuple[str, ...]
    """Settings without a counterpart, by their own names."""


def from_variables(environ: Mapping[str, str], name: str = "imported") -> Imported:
    """Make a preset from `LLAMA_ARG_*`. Raises UsageError that names a variable with an invalid value."""
    flags = {key.removeprefix(VARIABLE_PREFIX).lower(): value for key, value in environ.items() if key.startswith(VARIABLE_PREFIX)}
    return _import(name, flags, {flag: f"{VARIABLE_PREFIX}{flag.upper()}" for flag in flags}, f"{VARIABLE_PREFIX}* of the environment")


def from_variable_lines(text: str, name: str = "imported") -> Imported:
    """Make a preset from lines such as `export LLAMA_ARG_CTX_SIZE=8192`, as in a shell script or an environment file."""
    return from_variables({match[1]: match[2].strip().strip("\"'") for match in _VARIABLE_LINE.finditer(text)}, name)


def from_ini(text: str, source: str) -> tuple[Imported, ...]:
    """Make presets from an INI file of llama-server, one for each section, over `[*]`. `source` names the file in errors.

    Raises UsageError when it is not INI, or with section and key for an invalid value.
    """
    parser = configparser.ConfigParser(interpolation=None, default_section="*", allow_no_value=True, strict=False)
    try:
        # Keys before the first section (`version = 1`) apply to all sections too.
        parser.read_string(f"[*]\n{text}", source=source)
    except (configparser.Error, AttributeError) as error:  # AttributeError: a continued line below a key without a value
        raise UsageError(f"{source} is not an INI file of llama-server", str(error)[:300].replace("\n", " "), "Fix the line") from error
    if not parser.sections():
        raise UsageError(f"{source} has no preset", "It has no section but [*]", "A preset begins with its name in brackets")
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
        imported.append(_import(_file_name(section), flags, spelled, f"{source}, [{section[:80]}]"))
    return tuple(imported)


def is_program(word: str) -> bool:
    """Return whether a word is one of llama.cpp's programs: `llama-server`, `/usr/bin/llama-cli`."""
    return _PROGRAM.fullmatch(word) is not None


def command_lines(text: str) -> list[list[str]]:
    """Split each line that starts one of llama.cpp's programs with flags into words; a backslash continues a line."""
    found = []
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        if line.lstrip().startswith(("#", ";")) or "llama-" not in line:
            continue
        try:
            words = _words(line)
        except ValueError:  # a quote that isn't closed
            continue
        if any(is_program(word) and after.startswith("-") for word, after in pairwise(words)):
            found.append(words)
    return found


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


def from_command(words: Sequence[str], name: str = "imported") -> Imported:
    """Make a preset from the words of a command line: variables, the program, flags.

    Raises UsageError that names a flag with an invalid value.
    """
    start = next((place for place, word in enumerate(words) if is_program(word)), -1)
    flags, spelled = dict[str, str](), dict[str, str]()
    for word in words[: max(start, 0)]:
        variable, equals, text = word.partition("=")
        if equals and variable.startswith(VARIABLE_PREFIX):
            flag = variable.removeprefix(VARIABLE_PREFIX).lower()
            flags[flag], spelled[flag] = text, variable
    rest = list(map(storable, words[start + 1 :]))
    while rest and not _ENDS_COMMAND.fullmatch(rest[0]):
        word, equals, text = rest.pop(0).partition("=")
        # Case matters: -c is the context, -C a CPU mask.
        flag = word.lstrip("-").replace("-", "_")
        if not equals and word.startswith("-") and rest and _takes(flag, rest[0]):
            text = rest.pop(0)
        flags[flag], spelled[flag] = text, word[:40]
    return _import(name, flags, spelled, f"The command line of {words[start].rpartition('/')[2]}")


def _takes(flag: str, following: str) -> bool:
    """Return whether the word after a flag is its value: not for a flag without one, nor before another flag."""
    key = _OFF.get(flag, NAMES.get(flag.removeprefix("no_")))
    if key is not None and set(words := choices(key)) >= {"true"}:
        return False
    if key is not None and "on" in words:
        return following.lower() in words or following in {"0", "1"}
    return not (following.startswith("-") and not _NUMBER.fullmatch(following)) and not _ENDS_COMMAND.fullmatch(following)


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
        elif (key := _OFF.get(flag, NAMES.get(flag.removeprefix("no_")))) is not None and isinstance(value_of(preset, key), bool):
            values[key] = "true" if text.strip().lower() in OFF_WORDS else "false"
        else:
            left_out.append(spelled[flag])
    return Imported(with_text(preset, values, where=where), tuple(left_out))


def _file_name(section: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", section).strip("-.")[:64] or "imported"
