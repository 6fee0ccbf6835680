"""Messages of requests as the engine takes them."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from engine.clock import wall_ms
from engine.messages import ChatMessage, ChatPrompt, Role, Thinking
from engine.presets.preset import Preset
from engine.serving.refusal import Refusal
from engine.text import one_line

MOST_MESSAGES: Final = 10_000
_DAY_MS: Final = 86_400_000
_ROLES: Final = {"system": Role.SYSTEM, "developer": Role.SYSTEM, "user": Role.USER, "assistant": Role.ASSISTANT}
_TEXTS: Final = ("text", "input_text", "output_text")
_THINKING: Final = ("thinking", "redacted_thinking")
"""Parts of earlier answers that clients of Anthropic's API send back with them."""


class WireMessage(msgspec.Struct, kw_only=True):
    """A message as requests have it."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    reasoning_content: str | None = None
    tool_calls: list[Any] | None = None
    images: list[Any] | None = None


def conversation(messages: Sequence[WireMessage], preset: Preset, *, system: str = "", thinking: Thinking | None = None) -> ChatPrompt:
    """The conversation to be answered; an assistant's message at the end is continued.

    Raises:
        Refusal: With every message that can't be used.
    """
    wrong = []
    read: list[ChatMessage] = []
    if len(messages) > MOST_MESSAGES:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"messages has more than {MOST_MESSAGES:,} messages")
    for index, message in enumerate(messages):
        role = _ROLES.get(message.role)
        text, problem = _text_of_message(message)
        if not problem and role is Role.SYSTEM and any(before.role is not Role.SYSTEM for before in read):
            problem = "a system message is not the first one"
        if problem:
            wrong.append(f"messages[{index}]: {problem}")
        if role is not None:
            read.append(ChatMessage(role, text, message.reasoning_content or _thinking_of(message.content)))
    if not any(message.role is Role.USER for message in read) and not wrong:
        wrong.append("messages has no message of a user")
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
        began_ms=wall_ms() // _DAY_MS * _DAY_MS,  # the same all day, so that the KV cache stays useful
        complete=True,
        continue_answer=rest[-1].role is Role.ASSISTANT,
    )


def _text_of_message(message: WireMessage) -> tuple[str, str]:
    if message.role not in _ROLES:
        return "", f"role {one_line(message.role)[:40]!r} is not supported"
    for name in ("tool_calls", "images"):
        if getattr(message, name):
            return "", f"{name} are not supported"
    return text_of(message.content)


def text_of(content: str | list[dict[str, Any]] | None) -> tuple[str, str]:
    """The text of a content, without thinking, and what is wrong with it."""
    if content is None:
        return "", "it has no content"
    if isinstance(content, str):
        return content, ""
    texts = []
    for part in content:
        if part.get("type") in _THINKING:
            continue
        if part.get("type") not in _TEXTS or not isinstance(part.get("text"), str):
            return "", f"content of type {one_line(str(part.get('type')))[:40]!r} is not supported"
        texts.append(part["text"])
    return "".join(texts), ""


def _thinking_of(content: str | list[dict[str, Any]] | None) -> str:
    parts = [] if content is None or isinstance(content, str) else content
    return "".join(part["thinking"] for part in parts if part.get("type") == "thinking" and isinstance(part.get("thinking"), str))
