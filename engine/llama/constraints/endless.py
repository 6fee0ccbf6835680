"""Detection of grammars that no text completes because of endless recursion. Pure."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias


class Every(NamedTuple):
    """Complete when all of these are."""

    parts: tuple[Form, ...]


class Either(NamedTuple):
    """Complete when one of these is."""

    parts: tuple[Form, ...]


Form: TypeAlias = "str | Every | Either"
"""The condition that completes a rule; a string is the name of another rule."""

_NOTHING: Final = Every(())
"""Always complete."""
_NEVER: Final = Either(())

_HEADER = re.compile(r"^[ \t]*[?!]?(\w+)(?:::\w+)?(?:\.-?\d+)?[ \t]*(?:\[[^\]\n]*\])?[ \t]*:(?!:)", re.MULTILINE)
_DIRECTIVE = re.compile(r"^[ \t]*%(?!json|regex|lark)\w+[^\n]*", re.MULTILINE)
_TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*|\#[^\n]*|->\s*\w+|::\w+)
    |(?P<terminal>"(?:\\.|[^"\\\n])*"i?|/(?:\\.|[^/\\\n])+/\w*|<[^<>\s]+>|@\w+)
    |(?P<nested>%(?:json|regex)\b)
    |(?P<least>\{\s*(\d*)[^}\n]*\}|~\s*(\d+)(?:\s*\.\.\s*\d+)?)
    |(?P<name>\w+)
    |(?P<mark>.)""",
    re.VERBOSE,
)


def completes(rules: Mapping[str, Form], start: str) -> bool:
    """Return whether some text completes `start`; a name without a rule counts as complete."""
    users: dict[str, set[str]] = defaultdict(set)
    for name, form in rules.items():
        for used in _names(form):
            users[used].add(name)
    done = set[str]()

    def complete(form: Form) -> bool:
        match form:
            case str(name):
                return name in done or name not in rules
            case Every(parts):
                return all(map(complete, parts))
            case Either(parts):
                return any(map(complete, parts))

    todo = list(rules)
    while todo:
        name = todo.pop()
        if name not in done and complete(rules[name]):
            done.add(name)
            todo += users[name]
    return complete(start)


def _names(form: Form) -> set[str]:
    return {form} if isinstance(form, str) else set[str]().union(*map(_names, form.parts))


def schema_completes(schema: Any) -> bool:
    """Return whether a JSON value can satisfy a schema, judging only its references."""
    rules: dict[str, Form] = {}
    todo = ["#"]
    while todo:
        reference = todo.pop()
        if reference not in rules:
            rules[reference] = _schema_form(_resolved(schema, reference), todo)
    return completes(rules, "#")


def _resolved(schema: Any, reference: str) -> Any:
    if not reference.startswith("#"):
        return True
    for step in reference.removeprefix("#").split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")  # noqa: PLW2901
        if isinstance(schema, dict):
            schema = schema.get(step, True)
        elif isinstance(schema, list) and step.isdigit() and int(step) < len(schema):
            schema = schema[int(step)]
        else:
            return True
    return schema


def _schema_form(schema: Any, references: list[str]) -> Form:
    if not isinstance(schema, dict):
        return _NEVER if schema is False else _NOTHING
    parts: list[Form] = []
    if isinstance(schema.get("$ref"), str):
        references.append(schema["$ref"])
        parts.append(schema["$ref"])
    for key, kind in (("anyOf", Either), ("oneOf", Either), ("allOf", Every)):
        if isinstance(schema.get(key), list):
            parts.append(kind(tuple(_schema_form(each, references) for each in schema[key])))
    parts += [_schema_form(each, references) for each in _required(schema)]
    return Every(tuple(parts))


def _required(schema: Mapping[str, Any]) -> list[Any]:
    """Return the schemas of values that every value contains."""
    types, properties, prefix = schema.get("type"), schema.get("properties"), schema.get("prefixItems")
    least, required = schema.get("minItems"), schema.get("required")
    if types in ("object", ["object"]) and isinstance(required, list):
        known = properties if isinstance(properties, dict) else {}
        return [known.get(name, schema.get("additionalProperties", True)) for name in required if isinstance(name, str)]
    if types in ("array", ["array"]) and isinstance(least, int) and least > 0:
        first = prefix[:least] if isinstance(prefix, list) else []
        return [*first, *([schema.get("items", True)] if len(first) < least else [])]
    return []


def lark_completes(grammar: str) -> bool:
    """Return whether a text can satisfy a Lark grammar without syntax errors, judging only its rules."""
    grammar = re.sub(r"\n\s*\|", " |", grammar)
    headers = list(_HEADER.finditer(grammar))
    ends = [*(header.start() for header in headers[1:]), len(grammar)]
    rules: dict[str, Form] = {}
    for header, end in zip(headers, ends, strict=True):
        body = grammar[header.end() : end]
        directive = _DIRECTIVE.search(body, body.find("\n") if "\n" in body else len(body))
        rules[header[1]] = _lark_form(body[: directive.start()] if directive else body)
    return completes(rules, "start")


def _lark_form(body: str) -> Form:
    """Return the form of a rule's body."""
    stack: list[list[list[Form]]] = [[[]]]
    at = 0
    while (token := _TOKEN.match(body, at)) is not None:
        at, text, here = token.end(), token[0], stack[-1][-1]
        match token.lastgroup:
            case "name":
                here.append(text)
            case "terminal":
                here.append(_NOTHING)
            case "nested":
                begin = at + len(body[at:]) - len(body[at:].lstrip())
                try:
                    value, at = json.JSONDecoder().raw_decode(body, begin)
                except ValueError:
                    return _NOTHING
                here.append(_NOTHING if text != "%json" or schema_completes(value) else _NEVER)
            case "least" if here and not int(token[5] or token[6] or 0):
                here[-1] = _NOTHING
            case "mark":
                _mark(text, stack)
    return Either(tuple(Every(tuple(parts)) for parts in stack[0]))


def _mark(mark: str, stack: list[list[list[Form]]]) -> None:
    """Apply a mark to the alternatives of the open groups, the innermost last."""
    here = stack[-1][-1]
    if mark in "?*" and here:
        here[-1] = _NOTHING
    elif mark == "|":
        stack[-1].append([])
    elif mark in "([":
        stack.append([[]])
    elif mark in ")]" and len(stack) > 1:
        group = Either(tuple(Every(tuple(parts)) for parts in stack.pop()))
        stack[-1][-1].append(group if mark == ")" else _NOTHING)
