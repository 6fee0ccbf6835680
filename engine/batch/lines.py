"""Parses a line of a batch file: OpenAI's Batch JSONL, plain JSONL, or a prompt as text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

import msgspec

from engine.errors import UsageError
from engine.messages import ChatMessage, ChatPrompt, Prompt, Role, TextPrompt
from engine.presets.answer_forms import schema_of_format
from engine.presets.preset import SAMPLING, Preset, Sampling
from engine.presets.settings import check_value, with_values
from engine.text import one_line

MOST_BYTES: Final = 8 << 20
"""Longest line in bytes; no context window fits more."""
MOST_ID: Final = 512
ANSWER_RESERVE: Final = 64
"""Tokens of the window reserved for an answer without `max_tokens`."""


Kind = TypeVar("Kind")


class Form(StrEnum):
    """The format of a batch file."""

    AUTO = "auto"
    JSONL = "jsonl"
    TEXT = "text"


class Shape(StrEnum):
    """The format of a line's result."""

    CHAT = "chat.completion"
    COMPLETION = "text_completion"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A prompt with its changes of the settings."""

    id: str
    """Identifies the line by its content, for resuming."""
    custom_id: str
    shape: Shape
    prompt: Prompt
    settings: Mapping[str, Any]
    """Settings of the preset by key."""
    stop: tuple[str, ...] = ()

    def preset(self, base: Preset) -> Preset:
        """Return the settings of this line."""
        return with_values(base, self.settings)


class _Message(msgspec.Struct):
    role: str
    content: str | list[dict[str, Any]] | None = None


class _Body(msgspec.Struct):
    """The fields of a request that are read; `_REFUSED` checks the others."""

    messages: list[_Message] | None = None
    prompt: str | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    logit_bias: dict[str, Annotated[float, msgspec.Meta(ge=-100, le=100)]] | None = None


class _Line(msgspec.Struct):
    custom_id: str | int | None = None
    id: str | int | None = None
    method: str = "POST"
    url: str | None = None
    body: dict[str, Any] | None = None


_URLS: Final = {"/v1/chat/completions": Shape.CHAT, "/v1/completions": Shape.COMPLETION}
_SETTINGS: Final = tuple(name for name in Sampling.__struct_fields__ if name != "logit_bias")
_ONE: Final[Callable[[Any], bool]] = lambda value: value in (None, 1)  # noqa: E731
_NOTHING: Final[Callable[[Any], bool]] = lambda value: not value  # noqa: E731
_REFUSED: Final[Mapping[str, Callable[[Any], bool]]] = {
    "n": _ONE,
    "best_of": _ONE,
    "tools": _NOTHING,
    "functions": _NOTHING,
    "logprobs": _NOTHING,
    "suffix": _NOTHING,
    "echo": _NOTHING,
}
"""Unsupported parameters, with a test for the values without effect."""


def line_id(custom_id: str, raw: bytes) -> str:
    """Return the id of a line, equal for equal lines with the same `custom_id`."""
    digest = hashlib.sha256(custom_id.encode(errors="surrogatepass") + b"\0" + raw).hexdigest()
    return f"batch_req_{digest[:32]}"


def custom_id_of(raw: bytes, number: int, form: Form) -> str:
    """Return the line's own id if readable, else one made from its number."""
    if form is Form.JSONL:
        try:
            line = msgspec.json.decode(raw, type=_Line)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            line = _Line()
        own = line.custom_id if line.custom_id is not None else line.id
        if own is not None and str(own):
            return str(own)[:MOST_ID]
    return f"line-{number}"


def parse_line(raw: bytes, custom_id: str, form: Form, system: str | None = None) -> BatchLine:
    """Parse a line; `system` is the system prompt of lines without one.

    Raises:
        UsageError: It is not a request, or an unsupported one.
    """
    ident = line_id(custom_id, raw)
    if form is Form.TEXT:
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise UsageError("The line is not UTF-8", str(error)) from error
        return BatchLine(ident, custom_id, Shape.PLAIN, _chat([ChatMessage(Role.USER, text)], system, None), {})
    line = _decoded(raw, _Line)
    shape, body = Shape.PLAIN, _decoded(raw, dict[str, Any])
    if line.body is not None or line.url is not None:
        if line.body is None:
            raise UsageError("The line has no body")
        if line.method != "POST" or line.url not in _URLS:
            raise UsageError(f"{one_line(f'{line.method} {line.url}')[:80]} is not supported", "", f"POST {' or '.join(_URLS)} is")
        shape, body = _URLS[line.url], line.body
    for name, harmless in _REFUSED.items():
        if not harmless(body.get(name)):
            raise UsageError(f"{name} = {one_line(str(body[name]))[:80]} is not supported")
    asked = _converted(body)
    settings = _settings(body, asked)
    stop = (asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop or ())
    return BatchLine(ident, custom_id, shape, _prompt(asked, shape, system, settings.get("max_tokens")), settings, stop)


def _settings(body: Mapping[str, Any], asked: _Body) -> dict[str, Any]:
    """Return the settings that a request changes; raises UsageError for invalid values."""
    settings = {f"{SAMPLING}.{name}": body[name] for name in _SETTINGS if body.get(name) is not None}
    if asked.logit_bias:
        settings[f"{SAMPLING}.logit_bias"] = " ".join(f"{token}{bias:+.6f}" for token, bias in asked.logit_bias.items())
    if (schema := schema_of_format(body.get("response_format"))) is not None:
        settings |= {"json_schema": schema, "grammar": None, "regex": None}
    most = asked.max_completion_tokens if asked.max_completion_tokens is not None else asked.max_tokens
    if most is not None:
        settings["max_tokens"] = most
    for key, value in settings.items():
        check_value(key, value)
    with_values(Preset(), settings)
    return settings


def _prompt(asked: _Body, shape: Shape, system: str | None, max_tokens: int | None) -> Prompt:
    if asked.messages is not None and shape is not Shape.COMPLETION:
        return _chat([_message(message) for message in asked.messages], system, max_tokens)
    if asked.prompt is None or shape is Shape.CHAT:
        raise UsageError(f"The line has no {'prompt' if shape is Shape.COMPLETION else 'messages'}")
    if not asked.prompt:
        raise UsageError("The prompt is empty")
    return TextPrompt(asked.prompt) if shape is Shape.COMPLETION else _chat([ChatMessage(Role.USER, asked.prompt)], system, max_tokens)


def _chat(messages: list[ChatMessage], system: str | None, max_tokens: int | None) -> ChatPrompt:
    if not messages or messages[-1].role is not Role.USER:
        raise UsageError("The last message is not the user's")
    if any(message.role is Role.SYSTEM for message in messages[1:]):
        raise UsageError("A system message is not the first message")
    if system and messages[0].role is not Role.SYSTEM:
        messages = [ChatMessage(Role.SYSTEM, system), *messages]
    return ChatPrompt(tuple(messages), reserve=max_tokens or ANSWER_RESERVE)


def _message(message: _Message) -> ChatMessage:
    try:
        role = Role("system" if message.role == "developer" else message.role)
    except ValueError:
        raise UsageError(f"The role {one_line(message.role)[:80]!r} is not supported", "", f"Known roles: {', '.join(Role)}") from None
    if isinstance(message.content, list):
        if any(part.get("type") != "text" or not isinstance(part.get("text"), str) for part in message.content):
            raise UsageError("A message has content that is not text")
        return ChatMessage(role, "".join(part["text"] for part in message.content))
    if message.content is None:
        raise UsageError("A message has no content")
    return ChatMessage(role, message.content)


def _decoded(raw: bytes, kind: type[Kind]) -> Kind:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise UsageError("The line is not a request", str(error) or "nested too deeply") from error


def _converted(body: dict[str, Any]) -> _Body:
    try:
        return msgspec.convert(body, _Body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UsageError("The line is not a request", str(error)) from error
