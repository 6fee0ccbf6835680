"""The filters, arithmetic and text formatting of chat templates, metered before they run."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jinja2 import TemplateError
from jinja2.environment import Environment
from jinja2.filters import FILTERS

from engine.chat.templating.budget import MAX_COUNT, MAX_NUMBER, Meter, TemplateLimitError

_TAKEN_OVER = """
    abs capitalize count d default dictsort e escape first float groupby int items last length list lower map max min reject rejectattr
    reverse round select selectattr sort title trim unique upper wordcount
""".split()  # noqa: SIM905 - a table of words reads better
"""Jinja's filters that are safe with metered arguments and results."""

_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "**": operator.pow,
    "%": operator.mod,
}


def metered_filters(meter: Meter, environment: Environment) -> dict[str, Callable[..., Any]]:
    """Return every filter that a template may use, by name."""
    own = _OwnFilters(meter, environment).by_name()
    return {name: _metered(meter, name, function) for name, function in ({n: FILTERS[n] for n in _TAKEN_OVER} | own).items()}


def arithmetic(symbol: str, left: float, right: float) -> float:
    """Apply a binary operator to numbers within the limits of templates."""
    if max(abs(left), abs(right)) > MAX_NUMBER or (symbol == "**" and (abs(left) > MAX_COUNT or abs(right) > 64)):
        raise TemplateLimitError("the template computes too large a number")
    result: float = _OPERATORS[symbol](left, right)
    if isinstance(result, int) and abs(result) > MAX_NUMBER:
        raise TemplateLimitError("the template computes too large a number")
    return result


def percent_format(meter: Meter, form: str, values: object) -> str:
    """Compute `form % values` for plain `%s` and `%d`; a width could ask for gigabytes."""
    if "%" in re.sub(r"%[sd%]", "", form):
        raise TemplateLimitError("the template formats text in a way that is not supported")
    meter.room_for(len(form) + (1 + form.count("%")) * meter.weigh(values))
    return meter.text(form % values)


def measure_replace(meter: Meter, text: str, old: str, new: str) -> None:
    """Raise for a replacement whose result would be too long."""
    meter.room_for(len(text) + (text.count(old) if old else len(text) + 1) * len(new))


MAX_OPTION = 100
"""Most characters of attribute names, of the characters for `trim`, and of separators, which are read for each item or character."""
_SHORT_OPTIONS = frozenset({"groupby", "map", "max", "min", "sort", "trim", "unique"})


def _metered(meter: Meter, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    passes = getattr(function, "jinja_pass_arg", None)
    first = 0 if passes is None else 1

    def metered(*args: Any, **kwargs: Any) -> Any:
        value = args[first] if len(args) > first else None
        meter.step(1 + (len(value) // 64 if isinstance(value, (str, list, tuple, dict)) else 0))
        for option in (*args[first + 1 :], *kwargs.values()):
            if isinstance(option, int) and abs(option) > MAX_COUNT:
                raise TemplateLimitError(f"the template asks {name} for {option}")
            if name in _SHORT_OPTIONS and isinstance(option, str) and len(option) > MAX_OPTION:
                raise TemplateLimitError(f"the template gives {name} a text of {len(option):,} characters")
        result = function(*args, **kwargs)
        if isinstance(result, int) and abs(result) > MAX_NUMBER:
            raise TemplateLimitError("the template computes too large a number")
        return result if result is value else meter.settled(result)

    if passes is not None:
        metered.jinja_pass_arg = passes  # type: ignore[attr-defined]
    return metered


class _OwnFilters:
    """Filters whose results could be far larger than their input, and those that Jinja lacks or implements differently."""

    def __init__(self, meter: Meter, environment: Environment) -> None:
        self._meter = meter
        self._getitem = environment.getitem

    def by_name(self) -> dict[str, Callable[..., Any]]:
        return {
            "from_json": json.loads,
            "format": lambda form, *values: percent_format(self._meter, str(form), values),
            "indent": self._indent,
            "join": self._join,
            "replace": self._replace,
            "safe": str,
            "string": self._meter.printed,
            "sum": self._sum,
            "tojson": self._to_json,
        }

    def _indent(self, text: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
        margin = width if isinstance(width, str) else " " * width
        self._meter.room_for(len(text) + (text.count("\n") + 1) * len(margin))
        head, *rest = text.split("\n")
        return "\n".join((margin + head if first else head, *(margin + line if line or blank else line for line in rest)))

    def _join(self, values: Iterable[Any], separator: str = "", attribute: str | int | None = None) -> str:
        listed = self._meter.listed(values)
        if attribute is not None:
            listed = [self._getitem(value, attribute) for value in listed]
        self._meter.room_for(len(separator) * len(listed))
        return separator.join(list(self._meter.texts(listed)))

    def _replace(self, text: object, old: str, new: str, count: int = -1) -> str:
        plain = self._meter.printed(text)
        measure_replace(self._meter, plain, old, new)
        return plain.replace(old, new, count)

    def _sum(self, values: Iterable[Any], attribute: str | int | None = None, start: float = 0) -> float:
        total = start
        for value in self._meter.listed(values):
            number = value if attribute is None else self._getitem(value, attribute)
            if not isinstance(number, (int, float)):
                raise TemplateError("sum needs numbers")
            total = arithmetic("+", total, number)
        return total

    def _to_json(
        self,
        value: object,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        """Encode as Hugging Face's chat templates expect: without HTML and character escapes."""
        self._meter.weigh(value)
        if indent is not None and not 0 <= indent <= 16:
            raise TemplateLimitError(f"the template asks tojson for {indent}")
        if separators is not None and sum(map(len, separators)) > MAX_OPTION:
            raise TemplateLimitError("the template asks tojson for long separators")
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
