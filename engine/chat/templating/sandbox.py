"""A metered Jinja sandbox for chat templates, which come with model files and may be hostile.

Jinja's sandbox limits access, but not CPU time and memory. Here every loop iteration, call, comparison and output is charged to a budget,
the size of strings and lists is limited, and filters and methods that could make large values are metered before they run.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from datetime import datetime
from types import BuiltinMethodType
from typing import Any, Never

from jinja2 import TemplateError, nodes, pass_context
from jinja2.environment import Template
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Joiner, Namespace
from jinja2.visitor import NodeTransformer

from engine.chat.templating.budget import MAX_SECONDS, MAX_STEPS, Meter, TemplateLimitError
from engine.chat.templating.filters import arithmetic, measure_replace, metered_filters, percent_format

MAX_SOURCE = 96 * 1024
"""Longest template source, in characters: the longest real ones have about 25,000, and compiling this length takes two seconds at most."""


class _Generation(Extension):
    """`{% generation %}`, which marks the answers in training; only its body is printed."""

    tags = {"generation"}  # noqa: RUF012 - the attribute is declared as a plain set by its base

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Metering(NodeTransformer):
    """Adds the meter to a parsed template: to every loop iteration and comparison, and to every new text and list."""

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
"""Methods that a template may call on plain values: harmless ones, and those that `_measure_method` checks before they run."""
_SEARCHING = _words("count find index lstrip partition rfind rindex rpartition rsplit rstrip split strip")
"""Text methods that may compare each character of the text with each one of their arguments."""
SEARCHED_PER_STEP = 4096
"""Comparisons of characters that count as a step."""


class Sandbox(ImmutableSandboxedEnvironment):
    """Compiles and renders one untrusted template. For one thread."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "**", "%"})

    def __init__(self, *, max_steps: int = MAX_STEPS, max_seconds: float = MAX_SECONDS) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,  # folding constants would run filters while compiling, before there is a meter
            finalize=self._finalize(),
            extensions=[LoopControlExtension, _Generation],
        )
        self.meter = Meter(max_steps=max_steps, max_seconds=max_seconds)
        self.globals = {
            "range": self.globals["range"],
            "dict": dict,
            "namespace": Namespace,
            "cycler": Cycler,
            "joiner": Joiner,
            "raise_exception": _raise_exception,
        }
        self.filters = metered_filters(self.meter, self)

    def compile_template(self, source: str) -> Template:
        """Compile a template; raises jinja2.TemplateError when it is invalid or too long."""
        if len(source) > MAX_SOURCE:
            raise TemplateLimitError(f"the template is {len(source):,} characters long")
        try:
            return self.from_string(source)
        except (RecursionError, MemoryError, SyntaxError, ValueError) as error:
            raise TemplateError(f"the template can't be compiled ({type(error).__name__})") from error

    def render_metered(self, template: Template, variables: Mapping[str, object], *, now: datetime) -> str:
        """Render within the budget. Raises jinja2.TemplateError when the template raises, is wrong, or exceeds the budget."""
        self.meter.begin(variables)
        try:
            return "".join(template.generate(**variables, strftime_now=lambda form: now.strftime(form[:100])))
        except TemplateError:
            raise
        except RecursionError as error:
            raise TemplateLimitError("the template calls itself endlessly") from error
        except MemoryError as error:
            raise TemplateLimitError("the template needs too much memory") from error
        except Exception as error:  # an untrusted program may fail in any way
            raise TemplateError(f"{type(error).__name__}: {error}"[:300]) from error

    def metered_step(self) -> bool:
        """Charge a step; called in every loop iteration and before every comparison."""
        self.meter.step()
        return True

    def metered_concat(self, *parts: object) -> str:
        """Concatenate, as `a ~ b`."""
        return self.meter.text("".join(self.meter.texts(parts)))

    def metered_value(self, value: object) -> object:
        """Charge a list, tuple or dict literal of the template."""
        self.meter.weigh(value)
        return value

    def is_safe_attribute(self, obj: object, attr: str, value: object) -> bool:
        """Allow only known harmless methods on plain values, and apply Jinja's rule to everything else, with a shortcut for namespaces."""
        if type(obj) is Namespace:
            return not attr.startswith("_")
        for kind, methods in _METHODS.items():
            if isinstance(obj, kind):
                return attr in methods
        if isinstance(obj, (int, float, bytes)):
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Run and charge a call of a template; also for macros and Jinja's own functions."""
        if getattr(function, "__self__", None) is self:  # inserted by _Metering; no template can name it
            return function(*args)
        self.meter.step()
        if isinstance(function, BuiltinMethodType):
            self._measure_method(function.__name__, function.__self__, args)
        result = super().call(context, function, *args, **kwargs)
        return self.meter.settled(result)

    def call_binop(self, context: Context, symbol: str, left: Any, right: Any) -> Any:
        """Compute an operator, with sizes checked before memory is allocated."""
        if type(left) is str and type(right) is str and symbol == "+":
            self.meter.room_for(len(left) + len(right))
            return self.meter.text(left + right)
        self.meter.step()
        if isinstance(left, (int, float)) and isinstance(right, (int, float)):
            return arithmetic(symbol, left, right)
        if symbol == "%" and isinstance(left, str):
            return percent_format(self.meter, left, right)
        if symbol in {"+", "*"}:
            times = [side for side in (left, right) if isinstance(side, int)]
            sized = sum(self.meter.weigh(side) for side in (left, right))
            if sized * max(times, default=1) > self.meter.max_size:
                raise TemplateLimitError("the template makes a value that is too long")
            return self.meter.settled(super().call_binop(context, symbol, left, right))
        return super().call_binop(context, symbol, left, right)

    def _generate(self, source: nodes.Template, name: str | None, filename: str | None, defer_init: bool = False) -> str:
        return super()._generate(_Metering().visit(source), name, filename, defer_init)

    def _finalize(self) -> Callable[[Context, object], str]:
        @pass_context  # this also prevents Jinja from folding constants in the output
        def finalize(_context: Context, value: object) -> str:
            return self.meter.output(value if type(value) is str else self.meter.printed(value))

        return finalize

    def _measure_method(self, name: str, owner: object, args: tuple[Any, ...]) -> None:
        self.meter.step(1 + (len(owner) // 1024 if isinstance(owner, (str, list, tuple, dict)) else 0))
        if not isinstance(owner, str):
            return
        if name in _SEARCHING:
            self.meter.step(sum(len(owner) * len(text) for text in args if isinstance(text, str)) // SEARCHED_PER_STEP)
        if name == "join" and args:
            listed = self.meter.settled(args[0])
            self.meter.room_for(self.meter.weigh(listed) + len(owner) * len(listed))
        elif name == "replace" and len(args) >= 2:
            measure_replace(self.meter, owner, args[0], args[1])

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Wrap `str.format` for plain fields only; a width could ask for gigabytes."""
        if type(value) is str:
            return None
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


def _raise_exception(message: object = "") -> Never:
    raise TemplateError(str(message)[:300])
