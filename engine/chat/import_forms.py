"""Detects the formats of imported files by their contents, and reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from engine.chat.import_parts import calls, dicts, kind_of, parts, text_of, with_attachments
from engine.records import MessageStatus

FURTHEST_ANSWER = 50
"""Most messages between thinking and its answer, such as tool calls."""
LATEST_MS = 4_102_444_800_000
"""The year 2100; later times count as unknown."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A message of the file."""

    key: str
    parent: str | None
    role: str
    text: str
    thinking: str = ""
    status: MessageStatus = MessageStatus.COMPLETE
    created_ms: int = 0
    left_out: tuple[str, ...] = ()
    """Kinds of the unsupported parts: images, sounds, files and tool calls."""
    kind: str = ""
    """Its kind, if all of it is left out."""


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation of the file."""

    title: str
    drafts: tuple[Draft, ...]
    head: str | None = None
    created_ms: int = 0


class UnknownFormError(Exception):
    """The format of the file is unknown; the message says what is missing."""


# JSON, distinguished by the objects' fields


def from_json(data: bytes) -> tuple[Talk, ...]:
    """Read the conversations in JSON or lines of JSON.

    Raises:
        UnknownFormError: The format is unknown.
        msgspec.MsgspecError: It is not JSON.
    """
    try:
        content = msgspec.json.decode(data)
    except msgspec.DecodeError:
        if data.lstrip()[:1] != b"{" or b"\n" not in data.strip():
            raise
        content = msgspec.json.Decoder().decode_lines(data)
    if (
        isinstance(content, list)
        and content
        and all(isinstance(one, dict) and one.get("type") in {"session", "message"} for one in content)
    ):
        content = _web_ui_lines(content)
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise UnknownFormError("Its JSON does not consist of objects")
    if not content:
        raise UnknownFormError("It is empty")
    if all({"role", "content"} <= one.keys() for one in content):
        content = [{"messages": content}]
    for mark, read in _FORMS:
        if all(mark(one) for one in content):
            return tuple(read(content))
    raise UnknownFormError("Its objects are neither messages nor conversations")


def _from_own_rows(rows: Sequence[Mapping[str, Any]]) -> Iterator[Talk]:
    sessions: dict[str | None, list[Draft]] = {}
    for row in rows:
        sessions.setdefault(_key(row.get("session_id")), []).append(_own_draft(row, "message_id"))
    for drafts in sessions.values():
        yield Talk("", tuple(drafts))


def _from_own_sessions(sessions: Sequence[Mapping[str, Any]]) -> Iterator[Talk]:
    for one in sessions:
        info, messages = one["session"], one["messages"]
        if not isinstance(info, dict) or not isinstance(messages, list):
            raise UnknownFormError("A session in it has no list of messages")
        drafts = tuple(_own_draft(message, "id") for message in messages if isinstance(message, dict))
        yield Talk(text_of(info.get("title")), drafts, _key(info.get("head_id")), _milliseconds(info.get("created_ms")))


def _own_draft(row: Mapping[str, Any], identity: str) -> Draft:
    status = text_of(row.get("status"))
    return Draft(
        key=_key(row.get(identity)) or "",
        parent=_key(row.get("parent_id")),
        role=text_of(row.get("role")),
        text=text_of(row.get("text")),
        thinking=text_of(row.get("thinking")),
        status=MessageStatus(status) if status in set(MessageStatus) else MessageStatus.COMPLETE,
        created_ms=_milliseconds(row.get("created_ms")),
    )


def _web_ui_lines(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Convert the web UI's lines, a conversation followed by its messages, to its older objects."""
    found: list[dict[str, Any]] = []
    for line in lines:
        if line["type"] == "session":
            found.append({"conv": line, "messages": []})
        elif found:
            found[-1]["messages"].append(line.get("message"))
        else:
            raise UnknownFormError("It begins with a message outside a conversation")
    return found


def _from_web_ui(conversations: Sequence[Mapping[str, Any]]) -> Iterator[Talk]:
    for one in conversations:
        about, messages = one["conv"], one["messages"]
        if not isinstance(about, dict) or not isinstance(messages, list):
            raise UnknownFormError("A conversation in it has no list of messages")
        drafts = tuple(_web_ui_draft(message) for message in messages if isinstance(message, dict))
        yield Talk(text_of(about.get("name")), drafts, _key(about.get("currNode")))


def _web_ui_draft(message: Mapping[str, Any]) -> Draft:
    text, left_out = with_attachments(message.get("content"), message.get("extra"), "name", "content")
    return Draft(
        key=_key(message.get("id")) or "",
        parent=_key(message.get("parent")),
        # The root of every conversation has no content.
        role="" if message.get("type") == "root" else text_of(message.get("role")),
        text=text,
        thinking=text_of(message.get("thinking") or message.get("reasoningContent")),
        created_ms=_milliseconds(message.get("timestamp")),
        left_out=left_out + calls(message),
    )


def _from_chatgpt(conversations: Sequence[Mapping[str, Any]]) -> Iterator[Talk]:
    for one in conversations:
        nodes = one["mapping"]
        if not isinstance(nodes, dict):
            raise UnknownFormError("A conversation in it has no messages")
        drafts = _joined([_chatgpt_draft(key, node) for key, node in nodes.items() if isinstance(node, dict)])
        yield Talk(text_of(one.get("title")), drafts, _key(one.get("current_node")), _seconds(one.get("create_time")))


def _chatgpt_draft(key: str, node: Mapping[str, Any]) -> Draft:
    message = node.get("message")
    message = message if isinstance(message, dict) else {}
    author, content = message.get("author"), message.get("content")
    content = content if isinstance(content, dict) else {}
    text, _, left_out = parts(content.get("parts"))
    thoughts = content.get("thoughts")
    return Draft(
        key=key,
        parent=_key(node.get("parent")),
        role=text_of(author.get("role")) if isinstance(author, dict) else "",
        text=text,
        thinking="\n\n".join(text_of(one.get("content")) for one in thoughts if isinstance(one, dict))
        if isinstance(thoughts, list)
        else "",
        created_ms=_seconds(message.get("create_time")),
        left_out=left_out if text else (),
        kind=kind_of({**(author if isinstance(author, dict) else {}), **content}),
    )


def _joined(drafts: Sequence[Draft]) -> tuple[Draft, ...]:
    """Merge thinking in separate messages into the answer that follows."""
    below: dict[str | None, list[Draft]] = {}
    for draft in drafts:
        below.setdefault(draft.parent, []).append(draft)
    thoughts: dict[str, str] = {}
    given: set[str] = set()
    for draft in drafts:
        following = draft
        for _ in range(FURTHEST_ANSWER if draft.thinking and not draft.text else 0):
            if len(children := below.get(following.key, [])) != 1 or children[0].role == "user":
                break
            following = children[0]
            if following.role == "assistant" and following.text.strip():
                thoughts[following.key] = "\n\n".join(filter(None, (thoughts.get(following.key, ""), draft.thinking)))
                given.add(draft.key)
                break
    return tuple(
        replace(draft, role="" if draft.key in given else draft.role, thinking=thoughts.get(draft.key) or draft.thinking)
        for draft in drafts
    )


def _from_open_web_ui(conversations: Sequence[Mapping[str, Any]]) -> Iterator[Talk]:
    for one in conversations:
        history = one["chat"].get("history") if isinstance(one["chat"], dict) else None
        messages = history.get("messages") if isinstance(history, dict) else None
        if not isinstance(history, dict) or not isinstance(messages, dict):
            raise UnknownFormError("A conversation in it has no messages")
        drafts = []
        for key, message in messages.items():
            if isinstance(message, dict):
                text, thinking, left_out = parts(message.get("content"))
                files = message.get("files")
                beside = tuple(map(kind_of, files)) if isinstance(files, list) else ()
                at, role = _seconds(message.get("timestamp")), text_of(message.get("role"))
                drafts.append(Draft(key, _key(message.get("parentId")), role, text, thinking, created_ms=at, left_out=left_out + beside))
        yield Talk(text_of(one.get("title")), tuple(drafts), _key(history.get("currentId")))


def _from_claude(conversations: Sequence[Mapping[str, Any]]) -> Iterator[Talk]:
    for one in conversations:
        drafts: list[Draft] = []
        for message in dicts(one["chat_messages"]):
            text, thinking, left_out = parts(message.get("content"))
            text, not_text = with_attachments(text or message.get("text"), message.get("attachments"), "file_name", "extracted_content")
            role = "user" if message.get("sender") == "human" else text_of(message.get("sender"))
            files = ("file",) * len(dicts(message.get("files")))
            at = _iso(message.get("created_at"))
            drafts.append(_next(drafts, role, text, thinking, at, left_out + not_text + files))
        yield Talk(text_of(one.get("name")), tuple(drafts), created_ms=_iso(one.get("created_at")))


def _from_lm_studio(conversations: Sequence[Mapping[str, Any]]) -> Iterator[Talk]:
    for one in conversations:
        system = text_of(one.get("systemPrompt"))
        drafts = [_next([], "system", system)] if system.strip() else []
        for message in dicts(one["messages"]):
            versions, chosen = dicts(message.get("versions")), message.get("currentlySelected")
            version = versions[chosen] if isinstance(chosen, int) and 0 <= chosen < len(versions) else {}
            steps = dicts(version.get("steps")) or [version]
            contents = [part for step in steps for part in dicts(step.get("content"))]
            thinking = [text_of(part.get("text")) for step in steps if _thinks(step) for part in dicts(step.get("content"))]
            text, _, left_out = parts([part for step in steps if not _thinks(step) for part in dicts(step.get("content"))])
            others = ("other version",) * (len(versions) - 1) + (() if contents else ("empty message",))
            drafts.append(_next(drafts, text_of(version.get("role")), text, "".join(thinking), 0, left_out + others))
        yield Talk(text_of(one.get("name")), tuple(drafts), created_ms=_milliseconds(one.get("createdAt")))


def _thinks(step: Mapping[str, Any]) -> bool:
    style = step.get("style")
    return isinstance(style, dict) and style.get("type") == "thinking"


def _from_messages(conversations: Sequence[Mapping[str, Any]]) -> Iterator[Talk]:
    for one in conversations:
        drafts: list[Draft] = []
        for message in dicts(one["messages"]):
            text, thinking, left_out = parts(message.get("content"))
            thinking = thinking or text_of(message.get("reasoning_content"))
            drafts.append(_next(drafts, text_of(message.get("role")), text, thinking, 0, left_out + calls(message)))
        yield Talk(text_of(one.get("title")), tuple(drafts))


def _from_llm_logs(rows: Sequence[Mapping[str, Any]]) -> Iterator[Talk]:
    conversations: dict[str | None, list[Draft]] = {}
    for row in rows:
        drafts = conversations.setdefault(_key(row.get("conversation_id")), [])
        at = _iso(row.get("datetime_utc"))
        texts = (("system", row.get("system") if not drafts else ""), ("user", row["prompt"]), ("assistant", row["response"]))
        beside = tuple(kind for key in ("attachments", "fragments", "tool_results") for kind in map(kind_of, dicts(row.get(key))))
        for role, text in texts:
            if text_of(text).strip():
                drafts.append(
                    _next(
                        drafts,
                        role,
                        text_of(text),
                        "",
                        at,
                        (beside if role == "user" else ()) + (calls(row) if role == "assistant" else ()),
                    )
                )
    for drafts in conversations.values():
        yield Talk("", tuple(drafts))


def _next(drafts: Sequence[Draft], role: str, text: str, thinking: str = "", created_ms: int = 0, left_out: tuple[str, ...] = ()) -> Draft:
    """Make the next message of a format that has only the order."""
    number = len(drafts)
    return Draft(str(number), str(number - 1) if number else None, role, text, thinking, created_ms=created_ms, left_out=left_out)


def _iso(value: object) -> int:
    try:
        at = datetime.fromisoformat(text_of(value))
        return _milliseconds((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return 0


_Form = tuple[Callable[[Mapping[str, Any]], bool], Callable[[Sequence[Mapping[str, Any]]], Iterator[Talk]]]

_FORMS: tuple[_Form, ...] = (
    (lambda one: {"message_id", "role", "text"} <= one.keys(), _from_own_rows),
    (lambda one: {"session", "messages"} <= one.keys(), _from_own_sessions),
    (lambda one: {"conv", "messages"} <= one.keys(), _from_web_ui),
    (lambda one: "mapping" in one, _from_chatgpt),
    (lambda one: "chat" in one, _from_open_web_ui),
    (lambda one: "chat_messages" in one, _from_claude),
    (lambda one: {"prompt", "response"} <= one.keys(), _from_llm_logs),
    (lambda one: any("versions" in message for message in dicts(one.get("messages"))), _from_lm_studio),
    (lambda one: "messages" in one and "session" not in one and "conv" not in one, _from_messages),
)


def _key(value: object) -> str | None:
    return str(value) if isinstance(value, int | str) else None


def _milliseconds(value: object) -> int:
    return int(value) if isinstance(value, int | float) and 0 < value < LATEST_MS else 0


def _seconds(value: object) -> int:
    return _milliseconds(value * 1000) if isinstance(value, int | float) else 0
