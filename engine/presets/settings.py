"""Preset settings by key and text: `threads=auto`, `sampling.temperature=0.2`; what each may be, and what is said when it can't."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import inspect

from engine.errors import UsageError
from engine.presets.preset import COSTS, Cost, Preset, Sampling

SAMPLING = "sampling"

_FLOAT_KV = {"f32", "f16", "bf16"}
_SAMPLING_KEYS = tuple(Sampling.__struct_fields__)
KEYS: tuple[str, ...] = (
    *(field for field in Preset.__struct_fields__ if field not in {"name", SAMPLING}),
    *(f"{SAMPLING}.{field}" for field in _SAMPLING_KEYS),
)
"""Every setting by the name it has on the command line and in messages."""

_OTHER_NAMES = {
    "batch": "n_batch",
    "batch_size": "n_batch",
    "cache_type_k": "type_k",
    "cache_type_v": "type_v",
    "context": "n_ctx",
    "ctx": "n_ctx",
    "ctx_size": "n_ctx",
    "fa": "flash_attn",
    "max": "max_tokens",
    "n_predict": "max_tokens",
    "n_threads": "threads",
    "num_ctx": "n_ctx",
    "num_predict": "max_tokens",
    "num_thread": "threads",
    "system_prompt": "system",
    "temp": "sampling.temperature",
    "ubatch": "n_ubatch",
    "ubatch_size": "n_ubatch",
}
"""What other programs call a setting."""

_FLOAT = re.compile(r"[-+]?\d*\.?\d+(?:e[-+]?\d+)?")
_NONE = {"", "none", "null", "-"}
_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that differs between two presets."""

    key: str
    before: Any
    after: Any
    cost: Cost

    def __str__(self) -> str:
        """As a line of a list."""
        return f"{self.key}: {shown(self.before)} -> {shown(self.after)} ({self.cost})"


def key_named(name: str) -> str:
    """The setting called `name`; hyphens, other programs' names and sampling keys without their table are understood.

    Raises:
        UsageError: There is none; the nearest name is in the hint.
    """
    plain = name.strip().lower().lstrip("-").replace("-", "_")
    plain = _OTHER_NAMES.get(plain, plain)
    if plain in KEYS:
        return plain
    if plain in _SAMPLING_KEYS:
        return f"{SAMPLING}.{plain}"
    raise UsageError(f"There is no setting {name!r}", "", nearest_hint(plain, (*KEYS, *_SAMPLING_KEYS)))


def nearest_hint(name: str, known: Iterable[str]) -> str:
    """`Did you mean …?`, or all the names when none is near."""
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, [*names, *_OTHER_NAMES], n=1, cutoff=0.55)
    if near:
        return f"Did you mean {_OTHER_NAMES.get(near[0], near[0])}?"
    return f"Settings are: {', '.join(names)}"


def cost_of(key: str) -> Cost:
    """What changing a setting costs."""
    return COSTS[SAMPLING if key.startswith(f"{SAMPLING}.") else key]


def get(preset: Preset, key: str) -> Any:
    """The value of a setting."""
    table, _, field = key.rpartition(".")
    return getattr(preset.sampling if table else preset, field)


def with_values(preset: Preset, values: Mapping[str, Any], *, where: str = "") -> Preset:
    """The preset with other values of their right types.

    Raises:
        UsageError: A value can't be, alone or together with the others; the error names it (and `where`) and what it may be.
    """
    table = msgspec.to_builtins(preset)
    for key, value in values.items():
        check_value(key, value, where=where)
        inner, _, field = key.rpartition(".")
        (table[SAMPLING] if inner else table)[field] = value
    changed = msgspec.convert(table, Preset)
    _holds_together(changed, where)
    return changed


def with_text(preset: Preset, values: Mapping[str, str]) -> Preset:
    """The preset with values as a person typed them. Raises UsageError as `with_values` does."""
    return with_values(preset, {key: _typed(key, text) for key, text in values.items()})


def check_value(key: str, value: Any, *, where: str = "") -> None:
    """Raise UsageError that says what a setting may be when it can't be `value`."""
    try:
        msgspec.convert(value, _TYPES[key])
    except (msgspec.ValidationError, TypeError) as error:
        title = f"{where}: " if where else ""
        raise UsageError(f"{title}{key} can't be {shown(value)}", "", f"It may be {allowed(key)}") from error


def parse_assignments(words: Iterable[str]) -> dict[str, str]:
    """`KEY=VALUE` words by setting. Raises UsageError for a word without `=` and for an unknown setting."""
    values = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise UsageError(f"{word!r} is no KEY=VALUE", "", "For example: threads=2, n_ctx=8192, sampling.temperature=0.2")
        values[key_named(name)] = text.strip()
    return values


def difference(before: Preset, after: Preset) -> tuple[Change, ...]:
    """The settings that differ, in the order of `KEYS`; names and descriptions cost nothing and are left out."""
    pairs = ((key, get(before, key), get(after, key)) for key in KEYS if key != "description")
    return tuple(Change(key, old, new, cost_of(key)) for key, old, new in pairs if old != new)


def shown(value: Any) -> str:
    """A value as a person writes it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, str) and (not value or not value.isprintable() or " " in value) else str(value)


def allowed(key: str) -> str:
    """What a setting may be, in words: `a whole number from 1 to 1,024, or auto`."""
    kinds = _flat(inspect.type_info(_TYPES[key]))
    words = [word for kind in kinds if (word := _in_words(kind))]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])}, or {words[-1]}"


def _struct_types() -> dict[str, Any]:
    from typing import get_type_hints

    hints = get_type_hints(Preset, include_extras=True)
    inner = get_type_hints(Sampling, include_extras=True)
    return {key: inner[key.partition(".")[2]] if "." in key else hints[key] for key in KEYS}


_TYPES = _struct_types()


def _typed(key: str, text: str) -> Any:
    """What a person typed, as the type that the setting has; left as text when it is none of them."""
    kinds = _flat(inspect.type_info(_TYPES[key]))
    word = text.strip().lower()
    for kind in kinds:
        match kind:
            case inspect.NoneType() if word in _NONE:
                return None
            case inspect.LiteralType(values=values) if word in values:
                return word
            case inspect.BoolType() if word in _TRUE | _FALSE:
                return word in _TRUE
            case inspect.IntType() if (number := _whole(word)) is not None:
                return number
            case inspect.FloatType() if _FLOAT.fullmatch(word):
                return float(word)
    return text


def _whole(word: str) -> int | None:
    """`8192`, `8,192`, `8_192` and `8k` (times 1,024)."""
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


def _holds_together(preset: Preset, where: str) -> None:
    """Refuse settings that are fine alone and impossible together."""
    title = f"{where}: " if where else ""
    if preset.type_v not in _FLOAT_KV and preset.flash_attn == "off":
        detail = f"type_v = {preset.type_v} needs flash attention, and flash_attn is off"
        raise UsageError(f"{title}type_v and flash_attn contradict each other", detail, "Set flash_attn to auto, or type_v to f16")
    if preset.n_ubatch != "auto" and preset.n_ubatch > preset.n_batch:
        detail = f"A graph of {preset.n_ubatch} tokens is never filled by batches of {preset.n_batch}"
        raise UsageError(f"{title}n_ubatch is larger than n_batch", detail, f"Set n_ubatch to {preset.n_batch} or less, or raise n_batch")
