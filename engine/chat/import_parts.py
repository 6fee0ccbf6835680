"""Splits an imported message into text, thinking, and the kinds of parts left out."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

_CITATION = re.compile("\ue200[^\ue200\ue201]*\ue201")
_DETAILS_END = "</details>"
_DETAILS = re.compile(r'<details type="(\w+)"[^<>]*>\s*(?:<summary>[^<]*</summary>)?(.*?)</details>\s*', re.DOTALL)


def text_of(value: object) -> str:
    """Return a text, or an empty one for another type."""
    return value if isinstance(value, str) else ""


def dicts(value: object) -> list[dict[str, Any]]:
    """Return the objects in a list; none for another type."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def parts(content: object) -> tuple[str, str, tuple[str, ...]]:
    """Split content into text, thinking, and the kinds of other parts."""
    texts: list[str] = []
    thinking: list[str] = []
    left_out: list[str] = []
    for part in [content] if isinstance(content, str) else content if isinstance(content, list) else ():
        if isinstance(part, dict) and isinstance(part.get("thinking"), str):
            thinking.append(part["thinking"])
        elif isinstance(text := part.get("text") if isinstance(part, dict) else part, str):
            text, thoughts, others = _taken_apart(text)
            texts.append(text)
            thinking += thoughts
            left_out += others
        else:
            left_out.append(kind_of(part))
    return "\n\n".join(texts), "\n\n".join(thinking), tuple(left_out)


def kind_of(part: object) -> str:
    """Return the file's name of the kind of a part or message."""
    about = part if isinstance(part, dict) else {}
    named = (text_of(about.get(key)) for key in ("content_type", "type", "role"))
    return next(filter(None, named), "part")


def calls(message: Mapping[str, Any]) -> tuple[str, ...]:
    """List the kinds of the tool calls of a message."""
    found = message.get("tool_calls") or message.get("toolCalls")
    return ("tool call",) * max(1, len(dicts(found))) if found else ()


def with_attachments(text: object, attachments: object, name: str, content: str) -> tuple[str, tuple[str, ...]]:
    """Append the attached texts to a message, each below its name, and return the kinds of other attachments."""
    found, left_out = [text_of(text)], []
    for one in dicts(attachments):
        if isinstance(one.get(content), str):
            found.append(f"{text_of(one.get(name))}:\n\n{one[content]}".removeprefix(":\n\n"))
        else:
            left_out.append(kind_of(one))
    return "\n\n".join(filter(None, found)), tuple(left_out)


def _taken_apart(text: str) -> tuple[str, list[str], list[str]]:
    """Remove ChatGPT's citations and Open WebUI's folded parts; returns text, thinking, and the kinds of other parts."""
    thinking: list[str] = []
    left_out: list[str] = []

    def unfold(match: re.Match[str]) -> str:
        if match[1] == "reasoning":
            lines = html.unescape(match[2]).strip().splitlines()
            thinking.append("\n".join(re.sub(r"^> ?", "", line) for line in lines))
        else:
            left_out.append(match[1])
        return ""

    text, citations = _CITATION.subn("", text)
    if "<details type=" in text:
        # Stop at the last end tag; each later start would be searched to the end of the text.
        folded, end, rest = text.rpartition(_DETAILS_END)
        blank = len(rest) - len(rest.lstrip())
        text = _DETAILS.sub(unfold, f"{folded}{end}{rest[:blank]}" if end else "") + rest[blank if end else 0 :]
    return text, thinking, left_out + ["citation"] * citations
