"""Conversion of requests' messages to those of the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from engine.clock import wall_ms
from engine.messages import ChatMessage, ChatPrompt, Role, Thinking, ToolCall
from engine.presets.preset import Preset
from engine.serving.refusal import Refusal
from engine.serving.request import encode
from engine.serving.tools import Tools
from engine.text import one_line

MOST_MESSAGES: Final = 10_000
_DAY_MS: Final = 86_400_000
_ROLES: Final = {"system": Role.SYSTEM, "developer": Role.SYSTEM, "user": Role.USER, "assistant": Role.ASSISTANT, "tool": Role.TOOL}
_TEXTS: Final = ("text", "input_text", "output_text")
_ELSEWHERE: Final = ("thinking", "redacted_thinking", "tool_use", "tool_result")
"""Parts of Anthropic's messages that are not text."""


class WireMessage(msgspec.Struct, kw_only=True):
    """A message of a request."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    reasoning_content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    tool_name: str | None = None
    images: list[Any] | None = None


def conversation(
    messages: Sequence[WireMessage], preset: Preset, *, system: str = "", thinking: Thinking | None = None, tools: Tools | None = None
) -> ChatPrompt:
    """Return the conversation to be answered; a final assistant message is continued.

    Templates accept a system message at the beginning only, so later ones are appended to the first.

    Raises:
        Refusal: With every message that can't be used.
    """
    wrong: list[str] = []
    read: list[ChatMessage] = []
    if len(messages) > MOST_MESSAGES:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"messages has more than {MOST_MESSAGES:,} messages")
    for index, message in enumerate(messages):
        try:
            read += _read(message, read)
        except Refusal as refusal:
            wrong.append(f"messages[{index}]: {refusal.message}")
    if not any(message.role is Role.USER for message in read) and not wrong:
        wrong.append("messages has no message of a user")
    if read and read[-1].calls:
        wrong.append("the last message calls tools, and their results are missing")
    if wrong:
        raise Refusal(HTTPStatus.BAD_REQUEST, "; ".join(wrong[:20]))
    systems = [message.text for message in read if message.role is Role.SYSTEM]
    if system or not systems:
        systems.insert(0, system or preset.system or "")
    rest = [message for message in read if message.role is not Role.SYSTEM]
    whole = "\n\n".join(filter(None, systems))
    return ChatPrompt(
        (ChatMessage(Role.SYSTEM, whole), *rest) if whole else tuple(rest),
        thinking=thinking or preset.thinking,
        began_ms=wall_ms() // _DAY_MS * _DAY_MS,  # constant for a day, to keep the KV cache valid
        complete=True,
        continue_answer=rest[-1].role is Role.ASSISTANT,
        tools=tools.text if tools is not None else "",
    )


def _read(message: WireMessage, before: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Return one message, or several where it contains tool results. Raises Refusal."""
    role = _ROLES.get(message.role)
    if role is None:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"role {one_line(message.role)[:40]!r} is not supported")
    if message.images:
        raise Refusal(HTTPStatus.BAD_REQUEST, "images are not supported")
    parts = message.content if isinstance(message.content, list) else []
    known = {call.id: call for earlier in before for call in earlier.calls}
    results = [_result(str(part.get("tool_use_id")), part.get("content"), known) for part in parts if part.get("type") == "tool_result"]
    calls = tuple(map(_called, message.tool_calls or ()))
    calls += tuple(
        _called({"id": part.get("id"), "function": {"name": part.get("name"), "arguments": part.get("input")}})
        for part in parts
        if part.get("type") == "tool_use"
    )
    if role is Role.TOOL:
        return [_result(message.tool_call_id or "", message.content, known, message.tool_name or "")]
    text, problem = text_of(message.content)
    if problem and not (calls and message.content is None):
        raise Refusal(HTTPStatus.BAD_REQUEST, problem)
    if results and not text:
        return results
    return [*results, ChatMessage(role, text, message.reasoning_content or _thinking_of(message.content), calls=calls)]


def _called(call: dict[str, Any]) -> ToolCall:
    """Return a tool call of an earlier answer. Raises Refusal."""
    function = call.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str):
        raise Refusal(HTTPStatus.BAD_REQUEST, "a call of a tool has no name")
    arguments = function.get("arguments") or {}
    return ToolCall(name, arguments if isinstance(arguments, str) else encode(arguments).decode(), str(call.get("id") or ""))


def _result(call_id: str, content: Any, known: Mapping[str, ToolCall], name: str = "") -> ChatMessage:
    """Return the result of a call. Raises Refusal."""
    text, problem = text_of(content) if content is None or isinstance(content, str | list) else ("", "a result is not a text")
    if problem and content is not None:
        raise Refusal(HTTPStatus.BAD_REQUEST, problem)
    return ChatMessage(Role.TOOL, text, result_of=known.get(call_id, ToolCall(name, "{}", call_id)))


def text_of(content: str | list[Any] | None) -> tuple[str, str]:
    """Return the text of a content without thinking, and the error in it, if any."""
    if content is None:
        return "", "it has no content"
    if isinstance(content, str):
        return content, ""
    texts = []
    for part in content:
        if not isinstance(part, dict):
            return "", "a part of its content is not an object"
        if part.get("type") in _ELSEWHERE:
            continue
        if part.get("type") not in _TEXTS or not isinstance(part.get("text"), str):
            return "", f"content of type {one_line(str(part.get('type')))[:40]!r} is not supported"
        texts.append(part["text"])
    return "".join(texts), ""


def _thinking_of(content: str | list[dict[str, Any]] | None) -> str:
    parts = [] if content is None or isinstance(content, str) else content
    return "".join(part["thinking"] for part in parts if part.get("type") == "thinking" and isinstance(part.get("thinking"), str))
