"""Answer formats of requests: JSON, a JSON schema, or a grammar."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from engine.messages import Constraint, ConstraintKind
from engine.serving.refusal import Refusal
from engine.serving.request import encode
from engine.text import one_line

ANY_OBJECT: Final[dict[str, Any]] = {"type": "object"}
Format = str | dict[str, Any]


def of_schema(schema: object, field: str) -> Constraint:
    """Return the constraint of a JSON schema. Raises Refusal when it is not one."""
    if not isinstance(schema, dict | bool):
        raise Refusal(HTTPStatus.BAD_REQUEST, f"{field} is not a JSON schema")
    return Constraint(ConstraintKind.JSON_SCHEMA, encode(schema).decode())


def of_grammar(grammar: str) -> Constraint:
    """Return the constraint of a grammar: llama.cpp's, or llguidance's Lark, which begins with `%llguidance`."""
    first, _, rest = grammar.partition("\n")
    if first.startswith("%llguidance"):
        return Constraint(ConstraintKind.LARK, rest)
    return Constraint(ConstraintKind.GBNF, grammar)


def of_format(asked: Format | None, field: str) -> Constraint | None:
    """Return the constraint of OpenAI's `response_format` or `text.format`, or Ollama's `format`; None for any text. Raises Refusal."""
    if asked is None or asked == "":
        return None
    if asked == "json":
        return of_schema(ANY_OBJECT, field)
    kind = asked.get("type") if isinstance(asked, dict) else None
    match kind:
        case "text" if isinstance(asked, dict):
            return None
        case "json_object" if isinstance(asked, dict):
            return of_schema(asked.get("schema", ANY_OBJECT), field)
        case "json_schema" if isinstance(asked, dict):
            inner = asked.get("json_schema", asked)
            return of_schema(inner.get("schema") if isinstance(inner, dict) else None, field)
        case "grammar" if isinstance(asked, dict) and isinstance(asked.get("grammar"), str):
            return of_grammar(asked["grammar"])
    raise Refusal(HTTPStatus.BAD_REQUEST, f"{field} = {one_line(str(asked))[:80]} is not supported")
