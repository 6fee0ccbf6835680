"""Tools of requests: definitions, the format of calls, and their parsing."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import msgspec

from engine.chat.tools import ToolParser, ToolStyle
from engine.llama.constraints.grammar import lark_of
from engine.messages import Constraint, ConstraintKind
from engine.serving.refusal import Refusal
from engine.serving.request import encode
from engine.serving.served import Served
from engine.text import one_line

MOST_TOOLS: Final = 128
_NAME: Final = re.compile(r"[\w.:/-]{1,128}")
_WHITE: Final = {"whitespace_pattern": r"[ \n\r\t]{0,40}"}


class Function(msgspec.Struct, kw_only=True):
    """A tool."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools that a model may call."""

    functions: tuple[Function, ...]
    required: bool = False
    """Whether an answer must consist of calls."""
    parallel: bool = True
    """Whether an answer may have several calls."""

    @property
    def text(self) -> str:
        """The tools for the prompt."""
        return encode(
            [
                {
                    "type": "function",
                    "function": {"name": each.name, "description": each.description or "", "parameters": each.parameters or _NOTHING},
                }
                for each in self.functions
            ]
        ).decode()

    def parser(self, style: ToolStyle) -> ToolParser:
        """Return a parser of one answer."""
        return ToolParser(style, frozenset(each.name for each in self.functions), calls_only=self.required)


_NOTHING: Final = {"type": "object", "properties": {}}


def tools_of(given: Sequence[object], choice: str | None, *, parallel: bool = True) -> Tools | None:
    """Return the tools of a request; `choice` is auto, none, required, or the name of the tool to call. Raises Refusal."""
    if len(given) > MOST_TOOLS:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"tools has more than {MOST_TOOLS} tools")
    functions, wrong = [], []
    for index, tool in enumerate(given):
        try:
            functions.append(_function(tool))
        except (msgspec.ValidationError, RecursionError) as error:
            wrong.append(f"tools[{index}]: {one_line(str(error))}")
    if wrong:
        raise Refusal(HTTPStatus.BAD_REQUEST, "; ".join(wrong[:20]))
    if choice in {None, "auto", "none", "required"}:
        if choice == "required" and not functions:
            raise Refusal(HTTPStatus.BAD_REQUEST, "tool_choice is required, and there are no tools")
        return Tools(tuple(functions), choice == "required", parallel) if functions and choice != "none" else None
    named = tuple(function for function in functions if function.name == choice)
    if not named:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"tool_choice names {one_line(str(choice))[:40]!r}, which is not among the tools")
    return Tools(named, required=True, parallel=False)


def _function(tool: object) -> Function:
    """Return a tool of a request, with or without `{"type": "function", "function": …}`; Anthropic's have an `input_schema`.

    Raises ValidationError.
    """
    inner = tool
    if isinstance(tool, dict):
        if tool.get("type", "function") not in {"function", "custom"}:
            raise msgspec.ValidationError(f"type {str(tool['type'])[:40]!r} is not supported")
        inner = tool.get("function", tool)
    if isinstance(inner, dict) and "input_schema" in inner:
        inner = {**inner, "parameters": inner["input_schema"]}
    function = msgspec.convert(inner, Function)
    if not _NAME.fullmatch(function.name):
        raise msgspec.ValidationError(f"{function.name[:40]!r} can't be a name")
    return function


def choice_of(choice: str | dict[str, Any] | None) -> str | None:
    """Return OpenAI's `tool_choice`: a word, or the name in an object. Raises Refusal."""
    if choice is None or isinstance(choice, str):
        if choice not in {None, "auto", "none", "required"}:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"tool_choice = {one_line(str(choice))[:40]} is not supported")
        return choice
    inner = choice.get("function", choice)
    name = inner.get("name") if isinstance(inner, dict) else None
    if not isinstance(name, str):
        raise Refusal(HTTPStatus.BAD_REQUEST, "tool_choice names no function")
    return name


def _moved(schema: Any, to: str) -> Any:
    """Return a schema for another place in a document, with its internal references adjusted. Raises Refusal."""
    try:
        return _with_refs(schema, to)
    except RecursionError:
        raise Refusal(HTTPStatus.BAD_REQUEST, "a schema of tools is nested too deeply") from None


def _with_refs(value: Any, to: str) -> Any:
    if isinstance(value, list):
        return [_with_refs(inner, to) for inner in value]
    if not isinstance(value, dict):
        return value
    moved = {key: _with_refs(inner, to) for key, inner in value.items()}
    if isinstance(ref := moved.get("$ref"), str) and ref.startswith("#"):
        moved["$ref"] = to + ref[1:]
    return moved


async def form_of(tools: Tools, style: ToolStyle, served: Served) -> Constraint | None:
    """Return the constraint of calls: on the whole answer where they are required, else from their marker on."""
    if not style.begin and not tools.required:
        return None
    calls = {
        "anyOf": [
            {
                "type": "object",
                "properties": {"name": {"const": each.name}, style.arguments: {"$ref": f"#/$defs/{index}"}},
                "required": ["name", style.arguments],
                "additionalProperties": False,
            }
            for index, each in enumerate(tools.functions)
        ]
    }
    parameters = {str(index): _moved(each.parameters or _NOTHING, f"#/$defs/{index}") for index, each in enumerate(tools.functions)}
    schema = {"type": "array", "items": calls, "minItems": 1, "maxItems": 20 if tools.parallel else 1} if style.listed else calls
    body = f"call: %json {json.dumps({**schema, '$defs': parameters, 'x-guidance': _WHITE})}\nBLANK: /[ \\n]{{0,4}}/\n"
    begin, end = await served.consult(lambda model, _n_ctx: [list(lark_of(text, model.vocabulary)) for text in (style.begin, style.end)])
    one = " ".join(["BLANK", "call", *(["BLANK", *end] if end else [])])
    if not tools.required:
        return Constraint(ConstraintKind.LARK, f"start: {one}\n{body}", (style.begin,))
    whole = " ".join([*begin, one])
    many = tools.parallel and not style.listed and bool(end)
    return Constraint(ConstraintKind.LARK, f"start: {f'{whole} (BLANK {whole})*' if many else whole}\n{body}")
