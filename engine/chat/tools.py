"""Tools in a conversation: how a model is told about them, and how it writes its calls."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from engine.chat.rendered import Entry
from engine.messages import Role, ToolCall

PROBE: Final = "probe_tool"
"""Name of the tool that a template is tried with."""
PROBE_TOOL: Final = {
    "type": "function",
    "function": {"name": PROBE, "description": "x", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}},
}
_PYTHON: Final = "<|python_tag|>"
"""Stands before the calls of some Llamas."""
MOST_CALL: Final = 1 << 20
"""Characters of the longest call that is read."""


@dataclass(frozen=True, slots=True)
class ToolStyle:
    """How a family of models writes its calls."""

    begin: str
    """Stands before calls; empty where an answer is nothing but its calls."""
    end: str
    arguments: str = "arguments"
    """The key of the arguments, beside `name`."""
    listed: bool = False
    """The calls of an answer are one JSON array."""
    line: str = ""
    """Stands between the markers and the call."""


HERMES: Final = ToolStyle("<tool_call>", "</tool_call>", line="\n")
"""Of Qwen, Hermes and many others; also that of models whose templates know nothing of tools."""
LLAMA: Final = ToolStyle("", "", "parameters")
MISTRAL: Final = ToolStyle("[TOOL_CALLS]", "", listed=True)
_STYLES: Final = (
    (re.compile(r"<tool_call>\s*\{\s*\"name\":"), HERMES),
    (re.compile(r"\[TOOL_CALLS\]\s*\[\s*\{"), MISTRAL),
    (re.compile(r"\{\s*\"name\":\s*\"" + PROBE + r"\",\s*\"parameters\":"), LLAMA),
)

_INTRODUCTION: Final = """\
You may call tools to answer the user. Their signatures:
<tools>
{tools}
</tools>
For each call write a JSON object with the tool's name and arguments, alone between these tags:
<tool_call>
{{"name": "the tool", "arguments": {{"an argument": "its value"}}}}
</tool_call>"""


def style_in(history: str) -> ToolStyle | None:
    """The style of a call of `PROBE` in a rendered conversation; None for one that is not known."""
    return next((style for pattern, style in _STYLES if pattern.search(history)), None)


def guarded(value: object, guard: Callable[[str], str]) -> Any:
    """A JSON value with `guard` applied to each of its texts. Raises RecursionError for one that is nested too deeply."""
    if isinstance(value, str):
        return guard(value)
    if isinstance(value, dict):
        return {guard(str(key)): guarded(inner, guard) for key, inner in value.items()}
    return [guarded(inner, guard) for inner in value] if isinstance(value, list) else value


def call_object(call: ToolCall, *, text: bool) -> dict[str, Any]:
    """A call as templates want it: with arguments as an object, or as `text`."""
    arguments = call.arguments if text else _object_of(call.arguments)
    return {"type": "function", "id": short_id(call.id), "function": {"name": call.name, "arguments": arguments}}


def short_id(call_id: str) -> str:
    """An id of nine letters and digits, as some templates insist on."""
    return call_id if len(call_id) == 9 and call_id.isalnum() else hashlib.sha256(call_id.encode("utf-8", "replace")).hexdigest()[:9]


def _object_of(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return arguments


def described(entries: Sequence[Entry], tools: Sequence[object]) -> list[Entry]:
    """The conversation for a template that knows nothing of tools: they, their calls and results become texts."""
    out: list[Entry] = []
    for entry in entries:
        if entry.role is Role.TOOL:
            text = f"<tool_response>\n{entry.content}\n</tool_response>"
            if out and out[-1].role is Role.USER:
                out[-1] = replace(out[-1], content=f"{out[-1].content}\n{text}")
            else:
                out.append(Entry(Role.USER, text))
        elif entry.calls:
            calls = (
                f'<tool_call>\n{{"name": {json.dumps(call.name)}, "arguments": {call.arguments}}}\n</tool_call>' for call in entry.calls
            )
            out.append(replace(entry, content="\n".join([entry.content, *calls]).strip("\n"), calls=()))
        else:
            out.append(entry)
    if tools:
        introduction = _INTRODUCTION.format(tools="\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools))
        if out[0].role is Role.SYSTEM:
            out[0] = replace(out[0], content=f"{out[0].content}\n\n{introduction}")
        else:
            out.insert(0, Entry(Role.SYSTEM, introduction))
    return out


class ToolParser:
    """Takes an answer apart while it streams: its text, and its calls."""

    def __init__(self, style: ToolStyle, names: frozenset[str], *, calls_only: bool = False) -> None:
        """`calls_only`: the answer is nothing but calls, and the marker before them may be missing."""
        self._style = style
        self._names = names
        self._state = self._in_call if calls_only else self._in_text if style.begin else self._at_start
        self._buffer = ""
        self._raw = ""
        """The marker that was read last, in case no call follows."""
        self._text: list[str] = []
        self._calls: list[ToolCall] = []

    def feed(self, text: str) -> tuple[str, list[ToolCall]]:
        """Add text; return the text of the answer and the calls that it completed."""
        self._buffer += text
        while self._state(text):
            pass
        shown, self._text = "".join(self._text), []
        calls, self._calls = self._calls, []
        return shown, calls

    def finish(self) -> str:
        """Return the text that was held back and is no call."""
        held, self._buffer = self._raw + self._buffer, ""
        return "" if self._state == self._behind_call else held

    def _show(self, length: int) -> None:
        self._text.append(self._buffer[:length])
        self._buffer = self._buffer[length:]

    # Each state returns whether the next one has something to do.

    def _at_start(self, _added: str) -> bool:
        """Before an answer that is nothing but its calls, or has none."""
        rest = self._buffer.lstrip()
        if not rest or _PYTHON.startswith(rest):
            return False
        self._state = self._in_call if rest.removeprefix(_PYTHON).lstrip().startswith("{") else self._in_plain
        return True

    def _in_plain(self, _added: str) -> bool:
        """In an answer without calls."""
        self._show(len(self._buffer))
        return False

    def _in_text(self, _added: str) -> bool:
        """In text that may be followed by a marker."""
        begin = self._style.begin
        at = self._buffer.find(begin)
        if at >= 0:
            blank = len(self._buffer[:at].rstrip("\n"))
            self._show(blank)
            self._raw, self._buffer = self._buffer[: at - blank + len(begin)], self._buffer[at - blank + len(begin) :]
            self._state = self._in_call
            return True
        held = next((n for n in range(min(len(begin) - 1, len(self._buffer)), 0, -1) if begin.startswith(self._buffer[-n:])), 0)
        self._show(len(self._buffer[: len(self._buffer) - held].rstrip("\n")))
        return False

    def _in_call(self, added: str) -> bool:
        """Behind a marker."""
        rest = self._buffer.lstrip(" \n\r\t;,")
        for marker in (self._style.begin, _PYTHON):
            rest = rest.removeprefix(marker).lstrip()
        if not rest.startswith(("{", "[")):
            if not rest or any(marker.startswith(rest) for marker in (self._style.begin, _PYTHON)):
                return False
            self._text.append(self._raw)
            self._raw, self._state = "", self._in_text if self._style.begin else self._in_plain
            return True
        if "}" not in added and "]" not in added:
            return False
        try:
            value, end = json.JSONDecoder().raw_decode(rest[:MOST_CALL])
        except (ValueError, RecursionError):
            return False
        calls = [self._read(each) for each in (value if isinstance(value, list) else [value])]
        if None in calls:
            self._text.append(self._raw + rest[:end])
        self._calls += filter(None, calls)
        self._raw, self._buffer, self._state = "", rest[end:], self._behind_call
        return True

    def _behind_call(self, _added: str) -> bool:
        """Behind a call, before the marker of its end."""
        end, rest = self._style.end, self._buffer.lstrip()
        if rest.startswith(end) and end:
            self._buffer, self._state = rest[len(end) :], self._in_text
            return True
        if not rest or end.startswith(rest):
            return False
        self._state = self._in_call if not self._style.begin and rest.startswith((";", "{")) else self._in_text
        if not self._style.begin and self._state == self._in_text:
            self._state = self._in_plain
        return True

    def _read(self, value: object) -> ToolCall | None:
        """A call of a tool that there is."""
        if not isinstance(value, dict) or value.get("name") not in self._names:
            return None
        arguments = value.get("arguments", value.get("parameters", {}))
        return ToolCall(str(value["name"]), arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False))
