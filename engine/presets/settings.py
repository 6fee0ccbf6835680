"""Parses and checks settings given as key and text (`threads=auto`, `sampling.temperature=0.2`)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import inspect

from engine.errors import UsageError
from engine.presets.answer_forms import IN_FILES
from engine.presets.preset import SETTINGS, TYPES, Cost, Preset, value_of
from engine.text import storable

KEYS: tuple[str, ...] = tuple(SETTINGS)
"""Every setting by its name on the command line and in messages."""

NAMES: dict[str, str] = {name: key for key, setting in SETTINGS.items() for name in (*setting.names, key.rpartition(".")[2], key)}
"""Keys by every name of a setting, here and in other programs."""

_FLOAT = re.compile(r"[-+]?\d*\.?\d+(?:e[-+]?\d+)?")
_NONE = {"", "none", "null", "-"}
_TRUE = {"true", "yes", "on", "1", "enabled"}
OFF_WORDS = {"false", "no", "off", "0", "disabled"}


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that differs between two presets."""

    key: str
    before: Any
    after: Any
    cost: Cost

    def __str__(self) -> str:
        """Format the change as a line of a list."""
        return f"{self.key}: {shown(self.before)} -> {shown(self.after)} ({self.cost})"


def key_named(name: str) -> str:
    """Return the key of the setting called `name`; accepts hyphens, other programs' names and sampling keys without their table.

    Raises UsageError when there is none; the nearest name is in the hint.
    """
    plain = name.strip().lower().lstrip("-").replace("-", "_")
    if plain not in NAMES:
        raise UsageError(f"There is no setting {name[:80]!r}", "", nearest_hint(plain[:80]))
    return NAMES[plain]


def nearest_hint(name: str) -> str:
    """Return `Did you mean …?`, or all the keys when none is similar."""
    near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.55)
    return f"Did you mean {NAMES[near[0]]}?" if near else f"Known settings: {', '.join(KEYS)}"


def with_values(preset: Preset, values: Mapping[str, Any], *, where: str = "") -> Preset:
    """Return the preset with other values of the right types.

    Raises UsageError for an invalid value or combination, with `where` and the allowed values.
    """
    table = msgspec.to_builtins(preset)
    for key, value in values.items():
        check_value(key, value, where=where)
        inner, _, field = key.rpartition(".")
        (table[inner] if inner else table)[field] = value
    try:
        return msgspec.convert(table, Preset)
    except UsageError as error:
        raise error.with_title(f"{where}: {error.title}" if where else error.title) from error


def with_text(preset: Preset, values: Mapping[str, str], *, where: str = "") -> Preset:
    """Return the preset with typed values. Raises the UsageError of `with_values`.

    A file's name may have bytes that are not text; elsewhere these are replaced.
    """
    typed = {key: _typed(key, text if key == "model" else storable(text)) for key, text in values.items()}
    return with_values(preset, typed, where=where)


def check_value(key: str, value: Any, *, where: str = "") -> None:
    """Raise UsageError with the allowed values when `value` is not one of them."""
    try:
        msgspec.convert(value, TYPES[key])
    except (msgspec.ValidationError, TypeError, UnicodeEncodeError) as error:
        title = f"{where}: " if where else ""
        what = f"a {'table' if isinstance(value, dict) else 'list'}" if isinstance(value, dict | list) else shown(value)[:80]
        raise UsageError(f"{title}{key} can't be {what}", "", f"It may be {allowed(key)}") from error


def parse_assignments(words: Iterable[str]) -> dict[str, str]:
    """Parse `KEY=VALUE` words. Raises UsageError for a word without `=` and for an unknown setting."""
    values = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise UsageError(f"{word!r} is not KEY=VALUE", "", "For example: threads=2, n_ctx=8192, sampling.temperature=0.2")
        values[key_named(name)] = text.strip()
    return values


def difference(before: Preset, after: Preset) -> tuple[Change, ...]:
    """Return the settings that differ, in the order of `KEYS`, except names and descriptions."""
    pairs = ((key, setting.cost, value_of(before, key), value_of(after, key)) for key, setting in SETTINGS.items())
    return tuple(Change(key, old, new, cost) for key, cost, old, new in pairs if cost is not None and old != new)


def shown(value: Any) -> str:
    """Format a value as it is typed."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, str) and (not value or not value.isprintable() or " " in value) else str(value)


def allowed(key: str) -> str:
    """Describe the allowed values: `a whole number from 1 to 1,024, or auto`."""
    kinds = _flat(inspect.type_info(TYPES[key]))
    words = [word for kind in kinds if (word := _in_words(kind))]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])}, or {words[-1]}"


def choices(key: str) -> tuple[str, ...]:
    """Return the words that a setting accepts; none for numbers or text only."""
    words: list[str] = []
    for kind in _flat(inspect.type_info(TYPES[key])):
        match kind:
            case inspect.LiteralType(values=values):
                words += map(str, values)
            case inspect.BoolType():
                words += ("true", "false")
            case inspect.NoneType():
                words.append("none")
            case _:
                pass
    return tuple(words)


def _typed(key: str, text: str) -> Any:
    """Convert typed text to the setting's type; returns the text if it is invalid."""
    kinds = _flat(inspect.type_info(TYPES[key]))
    word = text.strip().lower()
    switch = "on" if word in _TRUE else "off" if word in OFF_WORDS else None
    for kind in kinds:
        match kind:
            case inspect.NoneType() if word in _NONE or (word == "off" and key in (*IN_FILES, "regex")):
                return None
            case inspect.LiteralType(values=values) if word in values or switch in values:
                return word if word in values else switch
            case inspect.BoolType() if switch:
                return switch == "on"
            case inspect.IntType() if (number := _whole(word)) is not None:
                return number
            case inspect.FloatType() if _FLOAT.fullmatch(word):
                return float(word)
    return text


def _whole(word: str) -> int | None:
    """Parse `8192`, `8,192`, `8_192` and `8k` (times 1,024)."""
    digits = word.replace(",", "").replace("_", "")
    scale = 1024 if digits.endswith("k") else 1
    digits = digits.removesuffix("k")
    negative = digits.startswith("-")
    return (-1 if negative else 1) * int(digits.lstrip("-")) * scale if digits.lstrip("-").isdecimal() and len(digits) < 20 else None


def _flat(kind: inspect.Type) -> list[inspect.Type]:
    if isinstance(kind, inspect.UnionType):
        return [part for member in kind.types for part in _flat(member)]
    return _flat(kind.type) if isinstance(kind, inspect.Metadata) else [kind]


def _in_words(kind: inspect.Type) -> str:
    match kind:
        case inspect.IntType(ge=least, le=most):
            return f"a whole number from {least:,} to {most:,}"
        case inspect.FloatType(gt=above, ge=least, le=most):
            return f"a number {'above ' + str(above) if above is not None else 'from ' + str(least)} to {most}"
        case inspect.LiteralType(values=values):
            return " or ".join(map(str, values)) if len(values) < 3 else f"one of {', '.join(map(str, values))}"
        case inspect.BoolType():
            return "true or false"
        case inspect.NoneType():
            return "none"
        case _:
            return "text"
