"""A metered Jinja sandbox: a chat template comes with the model file and may be hostile.

Jinja's own sandbox keeps a template away from Python's insides, but not from the processor and the memory. Here every loop round,
call, comparison and output is counted against a budget and a deadline, every string and list that a template makes has a largest
size, and filters and methods that could build something enormous in one step are measured before they run or do not exist.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from types import BuiltinMethodType
from typing import Any, Never

from jinja2 import TemplateError, nodes, pass_context
from jinja2.environment import Template
from jinja2.ext import Extension, LoopControlExtension
from jinja2.filters import FILTERS
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Joiner, Namespace
from jinja2.visitor import NodeTransformer

from engine.metrics.clock import NS_PER_S, now_ns

MAX_SOURCE = 256 * 1024
"""Longest template source, in characters; the longest real ones have about 25,000."""

MAX_STEPS = 2_000_000
"""Steps of one rendering; a conversation of 2,000 messages takes some 100,000."""

MAX_SECONDS = 3.0
"""Longest rendering; only templates that mean harm come near it."""

BASE_SIZE = 4_000_000
"""Characters that any value, and all output together, may have; a conversation adds eight times its own length."""

BASE_ITEMS = 50_000
"""Elements that any value may have, nested ones included; a conversation adds eight times its own."""

MAX_DEPTH = 100
"""How deep lists may be nested."""

MAX_NUMBER = 2**64
"""Largest magnitude of a whole number."""

MAX_COUNT = 10_000
"""Largest number that a filter or a text method takes as a width or a count."""


_END = object()


class TemplateLimitError(TemplateError):
    """The template asked for more time or memory than a chat template can need."""


class Meter:
    """What one rendering may still spend."""

    def __init__(self, *, max_size: int, max_items: int, max_steps: int, max_seconds: float) -> None:
        self.max_size = max_size
        self.max_items = max_items
        self._steps = max_steps
        self._output = max_size
        self._deadline_ns = now_ns() + int(max_seconds * NS_PER_S)

    def step(self, cost: int = 1) -> None:
        """Pay for work. The deadline counts too, because some steps are longer than others."""
        self._steps -= cost
        if self._steps < 0 or now_ns() > self._deadline_ns:
            raise TemplateLimitError("the template does not come to an end")

    def text(self, value: str) -> str:
        """Pay for a text that was made; a far too long one is refused."""
        self.room_for(len(value))
        self.step(1 + len(value) // 1024)
        return value

    def room_for(self, size: int) -> None:
        """Refuse a text of this many characters before it is made, if it is far too long."""
        if size > self.max_size:
            raise TemplateLimitError("the template makes far too long a text")

    def output(self, piece: str) -> str:
        """Pay for a piece of output, captured pieces included."""
        self.step()
        self._output -= len(piece)
        if self._output < 0:
            raise TemplateLimitError("the template prints far too much")
        return piece

    def weigh(self, value: object) -> int:
        """The characters in a value with everything inside it, refused when it is far too big.

        A list that holds the same list twice counts it twice: that is what printing or comparing it costs.
        """
        size = items = 0
        waiting: list[Iterator[object]] = [iter((value,))]
        while waiting:
            part = next(waiting[-1], _END)
            if part is _END:
                waiting.pop()
                continue
            items += 1
            if items > self.max_items or len(waiting) > MAX_DEPTH:
                raise TemplateLimitError("the template makes far too big a list")
            if isinstance(part, str):
                size += len(part)
            elif (inner := _parts(part)) is not None:
                waiting.append(inner)
        self.step(1 + items // 16)
        self.room_for(size)
        return size + items


def _parts(value: object) -> Iterator[object] | None:
    if isinstance(value, Mapping):
        return (part for pair in value.items() for part in pair)
    if isinstance(value, (list, tuple, set, frozenset)):
        return iter(value)
    if isinstance(value, Namespace):
        return iter(tuple(object.__getattribute__(value, "_Namespace__attrs").values()))
    return None


def _weight(value: object) -> tuple[int, int]:
    """The characters and elements in a value of our own, which needs no metering."""
    if isinstance(value, str):
        return len(value), 1
    inner = [_weight(part) for part in _parts(value) or ()]
    return sum(characters for characters, _ in inner), 1 + sum(items for _, items in inner)


class _Generation(Extension):
    """`{% generation %}`, which marks the answers in training; here its body is just printed."""

    tags = {"generation"}  # noqa: RUF012 - the attribute is declared as a plain set by its base

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Metering(NodeTransformer):
    """Puts the meter into a parsed template: in every loop round and comparison, on every text and list that is made."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - the visitor's protocol
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_call("metered_step")))
        if node.test is not None:
            node.test = nodes.And(_call("metered_step"), node.test)
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return nodes.And(_call("metered_step"), node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _call("metered_concat", *node.nodes)

    def visit_List(self, node: nodes.List) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _call("metered_value", node) if node.items else node

    def visit_Dict(self, node: nodes.Dict) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _call("metered_value", node) if node.items else node

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        return _call("metered_value", node) if node.items and node.ctx == "load" else node

    def visit_TemplateData(self, node: nodes.TemplateData) -> nodes.Expr:  # noqa: N802
        return nodes.Const(node.data)


def _call(name: str, *arguments: nodes.Expr) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(name), list(arguments), [], None, None)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_METHODS: Mapping[type, frozenset[str]] = {
    str: _words("""
        capitalize count endswith find format index isalnum isalpha isascii isdecimal isdigit islower isnumeric isspace istitle isupper
        join lower lstrip partition removeprefix removesuffix replace rfind rindex rpartition rsplit rstrip split splitlines startswith
        strip swapcase title upper
    """),
    list: frozenset({"count", "index"}),
    tuple: frozenset({"count", "index"}),
    dict: frozenset({"get", "items", "keys", "values"}),
}
"""Methods that a template may call on plain values; none of them can do harm, or `_measure_method` looks before it runs."""

_FILTERS = _words("""
    abs capitalize count d default dictsort e escape first float groupby int items last length list lower map max min reject rejectattr
    reverse round select selectattr sort title trim unique upper wordcount
""")
"""Filters taken over from Jinja; `_own_filters` has the others."""


class Sandbox(ImmutableSandboxedEnvironment):
    """Compiles and renders one untrusted template. Belongs to one thread."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "**", "%"})

    def __init__(self, *, max_steps: int = MAX_STEPS, max_seconds: float = MAX_SECONDS) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,  # folding constants would run filters while compiling, before there is a meter
            finalize=self._finalize(),
            extensions=[LoopControlExtension, _Generation],
        )
        self._max_steps, self._max_seconds = max_steps, max_seconds
        self.meter = self._new_meter({})
        self.globals = {
            "range": self.globals["range"],
            "dict": dict,
            "namespace": Namespace,
            "cycler": Cycler,
            "joiner": Joiner,
            "raise_exception": _raise_exception,
        }
        own = self._own_filters()
        self.filters = {name: self._metered(name, function) for name, function in ({n: FILTERS[n] for n in _FILTERS} | own).items()}

    def compile_template(self, source: str) -> Template:
        """Raises jinja2.TemplateError for what is no template, or far too long for one."""
        if len(source) > MAX_SOURCE:
            raise TemplateLimitError(f"the template is {len(source):,} characters long")
        try:
            return self.from_string(source)
        except (RecursionError, MemoryError, SyntaxError, ValueError) as error:
            raise TemplateError(f"the template can't be compiled ({type(error).__name__})") from error

    def render_metered(self, template: Template, variables: Mapping[str, object], *, now: datetime) -> str:
        """Render within the budget. Raises jinja2.TemplateError when the template raises, is wrong, or wants too much."""
        self.meter = self._new_meter(variables)
        try:
            return "".join(template.generate(**variables, strftime_now=lambda form: now.strftime(form[:100])))
        except TemplateError:
            raise
        except RecursionError as error:
            raise TemplateLimitError("the template calls itself without an end") from error
        except MemoryError as error:
            raise TemplateLimitError("the template needs too much memory") from error
        except Exception as error:  # an untrusted program may fail in any way
            raise TemplateError(f"{type(error).__name__}: {error}"[:300]) from error

    def metered_step(self) -> bool:
        """Called in every loop round and before every comparison."""
        self.meter.step()
        return True

    def metered_concat(self, *parts: object) -> str:
        """`a ~ b`."""
        return self.meter.text("".join(self._texts(parts)))

    def metered_value(self, value: object) -> object:
        """A list, tuple or dict that the template spells out."""
        self.meter.weigh(value)
        return value

    def is_safe_attribute(self, obj: object, attr: str, value: object) -> bool:
        """Only methods known to be harmless, on plain values; Jinja's own rule on everything else."""
        for kind, methods in _METHODS.items():
            if isinstance(obj, kind):
                return attr in methods
        if isinstance(obj, (int, float, bytes)):
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Every call a template makes; macros and Jinja's own functions too."""
        self.meter.step()
        if isinstance(function, BuiltinMethodType):
            self._measure_method(function.__name__, function.__self__, args)
        result = super().call(context, function, *args, **kwargs)
        return self._settled(result)

    def call_binop(self, context: Context, symbol: str, left: Any, right: Any) -> Any:
        """Arithmetic, with sizes checked before memory is taken."""
        self.meter.step()
        if isinstance(left, (int, float)) and isinstance(right, (int, float)):
            return self._arithmetic(symbol, left, right)
        if symbol == "%" and isinstance(left, str):
            return self._percent_format(left, right)
        if symbol in {"+", "*"}:
            times = [side for side in (left, right) if isinstance(side, int)]
            sized = sum(self.meter.weigh(side) for side in (left, right))
            if sized * max(times, default=1) > self.meter.max_size:
                raise TemplateLimitError("the template makes far too long a value")
            return self._settled(super().call_binop(context, symbol, left, right))
        return super().call_binop(context, symbol, left, right)

    def _generate(self, source: nodes.Template, name: str | None, filename: str | None, defer_init: bool = False) -> str:
        return super()._generate(_Metering().visit(source), name, filename, defer_init)

    def _new_meter(self, variables: Mapping[str, object]) -> Meter:
        characters, items = _weight(variables)
        return Meter(
            max_size=BASE_SIZE + 8 * characters,
            max_items=BASE_ITEMS + 8 * items,
            max_steps=self._max_steps,
            max_seconds=self._max_seconds,
        )

    def _finalize(self) -> Callable[[Context, object], str]:
        @pass_context  # which also keeps Jinja from folding constants in the output
        def finalize(_context: Context, value: object) -> str:
            return self.meter.output(value if type(value) is str else self._text(value))

        return finalize

    def _text(self, value: object) -> str:
        if not isinstance(value, str):
            self.meter.weigh(value)
        return str(value)

    def _texts(self, values: Iterable[object]) -> Iterator[str]:
        total = 0
        for value in values:
            text = self._text(value)
            total += len(text)
            self.meter.room_for(total)
            yield text

    def _settled(self, value: Any) -> Any:
        """A value that was made, weighed; generators become lists, so that nothing goes on without the meter."""
        if isinstance(value, str):
            return self.meter.text(str(value))
        if isinstance(value, Iterator) and not isinstance(value, (Cycler, Joiner)):
            value = list(islice(value, self.meter.max_items + 1))
        if isinstance(value, (list, tuple, dict)):
            self.meter.weigh(value)
        return value

    def _arithmetic(self, symbol: str, left: float, right: float) -> float:
        if symbol == "**" and (abs(left) > MAX_COUNT or abs(right) > 64):
            raise TemplateLimitError("the template computes too large a number")
        result: float = self.binop_table[symbol](left, right)
        if isinstance(result, int) and abs(result) > MAX_NUMBER:
            raise TemplateLimitError("the template computes too large a number")
        return result

    def _percent_format(self, form: str, values: object) -> str:
        if re.sub(r"%[sd%]", "", form).count("%"):
            raise TemplateLimitError("the template formats text in a way that is not supported")
        self.meter.room_for(len(form) + (1 + form.count("%")) * self.meter.weigh(values))
        return self.meter.text(form % values)

    def _measure_method(self, name: str, owner: object, args: tuple[Any, ...]) -> None:
        self.meter.step(1 + (len(owner) // 1024 if isinstance(owner, (str, list, tuple, dict)) else 0))
        if not isinstance(owner, str):
            return
        if name == "join" and args:
            listed = self._settled(args[0])
            self.meter.room_for(self.meter.weigh(listed) + len(owner) * len(listed))
        elif name == "replace" and len(args) >= 2:
            self._measure_replace(owner, args[0], args[1])

    def _measure_replace(self, text: str, old: str, new: str) -> None:
        self.meter.room_for(len(text) + (text.count(old) if old else len(text) + 1) * len(new))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """`str.format`, with plain fields only: a width could ask for gigabytes."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        form: str = value.__self__

        def measured(*args: Any, **kwargs: Any) -> str:
            fields = list(string.Formatter().parse(form))
            if value.__name__ != "format" or any(spec or conversion for _, _, spec, conversion in fields):
                raise TemplateLimitError("the template formats text in a way that is not supported")
            self.meter.room_for(len(form) + len(fields) * self.meter.weigh((args, kwargs)))
            return wrapped(*args, **kwargs)

        return measured

    def _metered(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        passes = getattr(function, "jinja_pass_arg", None)
        first = 0 if passes is None else 1

        def metered(*args: Any, **kwargs: Any) -> Any:
            value = args[first] if len(args) > first else None
            self.meter.step(1 + (len(value) // 64 if isinstance(value, (str, list, tuple, dict)) else 0))
            for option in (*args[first + 1 :], *kwargs.values()):
                if isinstance(option, int) and abs(option) > MAX_COUNT:
                    raise TemplateLimitError(f"the template asks {name} for {option}")
            result = function(*args, **kwargs)
            return result if result is value else self._settled(result)

        if passes is not None:
            metered.jinja_pass_arg = passes  # type: ignore[attr-defined]
        return metered

    def _own_filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "from_json": json.loads,
            "format": lambda form, *values: self._percent_format(str(form), values),
            "indent": self._indent,
            "join": self._join,
            "replace": self._replace,
            "safe": str,
            "string": self._text,
            "sum": self._sum,
            "tojson": self._to_json,
        }

    def _indent(self, text: str, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
        margin = width if isinstance(width, str) else " " * width
        self.meter.room_for(len(text) + (text.count("\n") + 1) * len(margin))
        head, *rest = text.split("\n")
        lines = [margin + head if first else head, *(margin + line if line or blank else line for line in rest)]
        return "\n".join(lines)

    def _join(self, values: Iterable[Any], separator: str = "", attribute: str | int | None = None) -> str:
        listed = list(islice(values, self.meter.max_items + 1))
        if attribute is not None:
            listed = [self.getitem(value, attribute) for value in listed]
        self.meter.room_for(len(separator) * len(listed))
        return separator.join(list(self._texts(listed)))

    def _replace(self, text: object, old: str, new: str, count: int = -1) -> str:
        plain = self._text(text)
        self._measure_replace(plain, old, new)
        return plain.replace(old, new, count)

    def _sum(self, values: Iterable[Any], attribute: str | int | None = None, start: float = 0) -> float:
        total = start
        for value in islice(values, self.meter.max_items + 1):
            number = value if attribute is None else self.getitem(value, attribute)
            if not isinstance(number, (int, float)):
                raise TemplateError("sum takes numbers")
            total = self._arithmetic("+", total, number)
        return total

    def _to_json(
        self,
        value: object,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        """As Hugging Face's chat templates expect it: no HTML escapes, characters as they are."""
        self.meter.weigh(value)
        if indent is not None and not 0 <= indent <= 16:
            raise TemplateLimitError(f"the template asks tojson for {indent}")
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: object = "") -> Never:
    raise TemplateError(str(message)[:300])
