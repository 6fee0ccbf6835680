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


class WireMessage(msgspec.Struct, kw_only=True):
    """A message as requests have it."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    reasoning_content: str | None = None
    tool_calls: list[Any] | None = None


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
        role, text, problem = _ROLES.get(message.role), "", ""
        if role is None or message.tool_calls:
            problem = f"role {one_line(message.role)[:40]!r} is not supported" if role is None else "tool_calls are not supported"
        else:
            text, problem = text_of(message.content)
            if role is Role.SYSTEM and any(before.role is not Role.SYSTEM for before in read):
                problem = "a system message is not the first one"
        if problem:
            wrong.append(f"messages[{index}]: {problem}")
        if role is not None:
            read.append(ChatMessage(role, text, message.reasoning_content or ""))
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


def text_of(content: str | list[dict[str, Any]] | None) -> tuple[str, str]:
    """The text of a content, and what is wrong with it."""
    if content is None:
        return "", "it has no content"
    if isinstance(content, str):
        return content, ""
    texts = []
    for part in content:
        if part.get("type") not in _TEXTS or not isinstance(part.get("text"), str):
            return "", f"content of type {one_line(str(part.get('type')))[:40]!r} is not supported"
        texts.append(part["text"])
    return "".join(texts), ""
