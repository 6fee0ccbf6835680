"""Conversations from files: xchat's own exports, and those of the llama.cpp web UI and of ChatGPT.

What can be read:

* `xchat export --what chat` as json or jsonl: all sessions and branches in it;
* `xchat sessions show ID --json`: the session with its title and branches;
* `xchat export --chat --format md`: the messages in their order, without branches (a text says nothing of them);
* the llama.cpp web UI's export, of one conversation or of all, with branches;
* ChatGPT's `conversations.json`, with branches; what tools said and what is no text is left out.

A file is untrusted: its size is bounded, its ids are replaced, and what is no text is no message. Nothing is imported of a file that
can't be understood as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from engine.chat.titles import session_title
from engine.chat.tree import ConversationTree
from engine.clock import wall_ms
from engine.errors import StoreError, UsageError
from engine.messages import Role
from engine.records import Message, MessageStatus, new_message_id

MOST_BYTES = 256 * 2**20
"""A file larger than this is not read: it is parsed in memory."""
MOST_MESSAGES = 500_000
LATEST_MS = 4_102_444_800_000
"""The year 2100: a time after it is taken for unknown."""

_KNOWN = "xchat reads its own chat exports (json, jsonl, md) and those of the llama.cpp web UI and of ChatGPT."
_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": Role.SYSTEM}


@dataclass(frozen=True, slots=True)
class ImportedSession:
    """A conversation that was read from a file, ready to be stored."""

    title: str
    created_ms: int
    messages: tuple[Message, ...]
    """Parents before children, with new ids; the last one is the head."""
    left_out: int
    """Messages of the file that xchat has no place for: of tools, without text."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """A message as the file has it."""

    key: str
    parent: str | None
    role: str
    text: str
    thinking: str = ""
    status: MessageStatus = MessageStatus.COMPLETE
    created_ms: int = 0


@dataclass(frozen=True, slots=True)
class _Talk:
    """A conversation as the file has it."""

    title: str
    drafts: tuple[_Draft, ...]
    head: str | None = None
    created_ms: int = 0


def read_conversations(path: Path) -> tuple[ImportedSession, ...]:
    """The conversations of a file.

    Raises:
        StoreError: It can't be read.
        UsageError: It holds nothing that could be imported, or too much.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise UsageError(f"{path} is too large", f"It has {size:,} bytes; the most is {MOST_BYTES:,}.", "Import it in parts.")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise StoreError(f"{path} can't be read", error.strerror or str(error)) from error
    if len(data) > MOST_BYTES:
        raise UsageError(f"{path} is too large", f"The most is {MOST_BYTES:,} bytes.", "Import it in parts.")
    talks = _talks_of(data, path)
    if sum(len(talk.drafts) for talk in talks) > MOST_MESSAGES:
        raise UsageError(f"{path} holds too many messages", f"The most is {MOST_MESSAGES:,}.", "Import it in parts.")
    found = tuple(session for talk in talks if (session := _session_of(talk)).messages)
    if not found:
        raise UsageError(f"There is no conversation in {path}", _KNOWN)
    return found


def _talks_of(data: bytes, path: Path) -> tuple[_Talk, ...]:
    if not data.strip():
        raise UsageError(f"{path} is empty", _KNOWN)
    try:
        if data.lstrip()[:1] in (b"{", b"["):
            return _from_json(data)
        return (_from_markdown(data.decode()),)
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text", _KNOWN) from None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UsageError(f"{path} is no JSON that can be read", f"{str(error).rstrip('.')}.", _KNOWN) from None
    except _UnknownError as error:
        raise UsageError(f"{path} can't be imported", str(error), _KNOWN) from None


class _UnknownError(Exception):
    """The file is not of a form that is known; says what is missing."""


# JSON, told apart by what the objects hold


def _from_json(data: bytes) -> tuple[_Talk, ...]:
    try:
        content = msgspec.json.decode(data)
    except msgspec.DecodeError:
        if data.lstrip()[:1] != b"{" or b"\n" not in data.strip():
            raise
        content = msgspec.json.Decoder().decode_lines(data)
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise _UnknownError("Its JSON is not made of objects")
    if not content:
        raise _UnknownError("It is empty")
    for mark, read in _FORMS:
        if all(mark(one) for one in content):
            return tuple(read(content))
    raise _UnknownError("Its objects are neither messages nor conversations")


def _from_own_rows(rows: Sequence[Mapping[str, Any]]) -> Iterator[_Talk]:
    sessions: dict[str | None, list[_Draft]] = {}
    for row in rows:
        sessions.setdefault(_key(row.get("session_id")), []).append(_own_draft(row, "message_id"))
    for drafts in sessions.values():
        yield _Talk("", tuple(drafts))


def _from_own_sessions(sessions: Sequence[Mapping[str, Any]]) -> Iterator[_Talk]:
    for one in sessions:
        info, messages = one["session"], one["messages"]
        if not isinstance(info, dict) or not isinstance(messages, list):
            raise _UnknownError("A session in it has no list of messages")
        drafts = tuple(_own_draft(message, "id") for message in messages if isinstance(message, dict))
        yield _Talk(_text(info.get("title")), drafts, _key(info.get("head_id")), _milliseconds(info.get("created_ms")))


def _own_draft(row: Mapping[str, Any], identity: str) -> _Draft:
    status = _text(row.get("status"))
    return _Draft(
        key=_key(row.get(identity)) or "",
        parent=_key(row.get("parent_id")),
        role=_text(row.get("role")),
        text=_text(row.get("text")),
        thinking=_text(row.get("thinking")),
        status=MessageStatus(status) if status in set(MessageStatus) else MessageStatus.COMPLETE,
        created_ms=_milliseconds(row.get("created_ms")),
    )


def _from_web_ui(conversations: Sequence[Mapping[str, Any]]) -> Iterator[_Talk]:
    for one in conversations:
        about, messages = one["conv"], one["messages"]
        if not isinstance(about, dict) or not isinstance(messages, list):
            raise _UnknownError("A conversation in it has no list of messages")
        drafts = tuple(
            _Draft(
                key=_key(message.get("id")) or "",
                parent=_key(message.get("parent")),
                # The root that every conversation hangs from says nothing.
                role="" if message.get("type") == "root" else _text(message.get("role")),
                text=_text(message.get("content")),
                thinking=_text(message.get("thinking") or message.get("reasoningContent")),
                created_ms=_milliseconds(message.get("timestamp")),
            )
            for message in messages
            if isinstance(message, dict)
        )
        yield _Talk(_text(about.get("name")), drafts, _key(about.get("currNode")))


def _from_chatgpt(conversations: Sequence[Mapping[str, Any]]) -> Iterator[_Talk]:
    for one in conversations:
        nodes = one["mapping"]
        if not isinstance(nodes, dict):
            raise _UnknownError("A conversation in it has no messages")
        drafts = tuple(_chatgpt_draft(key, node) for key, node in nodes.items() if isinstance(node, dict))
        yield _Talk(_text(one.get("title")), drafts, _key(one.get("current_node")), _seconds(one.get("create_time")))


def _chatgpt_draft(key: str, node: Mapping[str, Any]) -> _Draft:
    message = node.get("message")
    message = message if isinstance(message, dict) else {}
    author, content = message.get("author"), message.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    return _Draft(
        key=key,
        parent=_key(node.get("parent")),
        role=_text(author.get("role")) if isinstance(author, dict) else "",
        text="\n\n".join(part for part in parts if isinstance(part, str)) if isinstance(parts, list) else "",
        created_ms=_seconds(message.get("create_time")),
    )


_Form = tuple[Callable[[Mapping[str, Any]], bool], Callable[[Sequence[Mapping[str, Any]]], Iterator[_Talk]]]

_FORMS: tuple[_Form, ...] = (
    (lambda one: {"message_id", "role", "text"} <= one.keys(), _from_own_rows),
    (lambda one: {"session", "messages"} <= one.keys(), _from_own_sessions),
    (lambda one: {"conv", "messages"} <= one.keys(), _from_web_ui),
    (lambda one: "mapping" in one, _from_chatgpt),
)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _key(value: object) -> str | None:
    return str(value) if isinstance(value, int | str) else None


def _milliseconds(value: object) -> int:
    return int(value) if isinstance(value, int | float) and 0 < value < LATEST_MS else 0


def _seconds(value: object) -> int:
    return _milliseconds(value * 1000) if isinstance(value, int | float) else 0


# Markdown, as `xchat export --chat --format md` writes it

_HEADING = re.compile(r"### (User|Assistant|System), (\d{4}-\d\d-\d\d \d\d:\d\d)\Z")
_FENCE = re.compile(r"(~{3,})text\Z")
_TITLE = re.compile(r"# xchat: \S+ of session \d+, (?P<title>.+)")


def _from_markdown(text: str) -> _Talk:
    lines = iter(text.replace("\r\n", "\n").split("\n"))
    head = text.partition("\n")[0]
    title = _TITLE.match(head)
    for line in lines:
        if line == "## Conversation":
            break
    else:
        raise _UnknownError("It has no heading “Conversation”")
    drafts: list[_Draft] = []
    role, created, thinking, thinks = "", 0, "", False
    for line in lines:
        heading, fence = _HEADING.match(line), _FENCE.match(line)
        if heading is not None:
            role, created, thinking = heading[1].lower(), _minute(heading[2]), ""
        elif line == "Thinking:":
            thinks = True
        elif fence is not None and role:
            block = _fenced(lines, fence[1])
            if thinks:
                thinking, thinks = block, False
                continue
            number = len(drafts)
            drafts.append(_Draft(str(number), str(number - 1) if number else None, role, block, thinking, created_ms=created))
            role = ""
    return _Talk(_unescaped(title["title"]) if title is not None else "", tuple(drafts))


def _fenced(lines: Iterator[str], fence: str) -> str:
    block: list[str] = []
    for line in lines:
        if line == fence:
            return "\n".join(block)
        block.append(line)
    raise _UnknownError("A message in it has no end")


def _minute(text: str) -> int:
    try:
        return int(datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC).timestamp() * 1000)
    except ValueError:
        return 0


def _unescaped(cell: str) -> str:
    return re.sub(r"\\([\\`*_{}\[\]<>()#+!|~&])", r"\1", cell)


# From what the file has to what is stored


def _session_of(talk: _Talk) -> ImportedSession:
    kept = {
        draft.key: draft for draft in talk.drafts if draft.key and draft.role in _ROLES and (draft.text.strip() or draft.thinking.strip())
    }
    parents = {draft.key: draft.parent for draft in talk.drafts}
    numbers = {key: number for number, key in enumerate(kept)}
    # A tree of provisional ids puts parents before children and opens rings; a message left out hands its children to its parent.
    tree = ConversationTree(
        Message(numbers[key], _kept_parent(key, parents, numbers), _ROLES[draft.role], "") for key, draft in kept.items()
    )
    ordered = tree.messages()
    drafts = list(kept.values())
    now = wall_ms()
    created = talk.created_ms or next((draft.created_ms for draft in drafts if draft.created_ms), now)
    messages = _numbered(ordered, drafts, created)
    head = next((messages[number] for key in _upwards(talk.head, parents) if (number := numbers.get(key)) is not None), None)
    first = next((message.text for message in messages.values() if message.role is Role.USER), "")
    return ImportedSession(
        title=talk.title.strip() or session_title(first),
        created_ms=created,
        messages=tuple(_with_head_last(messages.values(), head)),
        left_out=sum(draft.role not in {"", "system"} and draft.key not in kept for draft in talk.drafts),
    )


def _numbered(ordered: Iterable[Message], drafts: Sequence[_Draft], created: int) -> dict[int, Message]:
    """The messages under their new ids, by their provisional ones."""
    messages: dict[int, Message] = {}
    above: dict[int, int] = {}
    last: int | None = None
    for one in ordered:
        draft = drafts[one.id]
        last = above[one.id] = new_message_id(last)
        messages[one.id] = Message(
            id=last,
            parent_id=above.get(one.parent_id) if one.parent_id is not None else None,
            role=one.role,
            text=draft.text,
            thinking=draft.thinking,
            status=draft.status,
            created_ms=draft.created_ms or created,
        )
    return messages


def _kept_parent(key: str, parents: Mapping[str, str | None], numbers: Mapping[str, int]) -> int | None:
    for above in _upwards(parents[key], parents):
        if above in numbers:
            return numbers[above]
    return None


def _upwards(key: str | None, parents: Mapping[str, str | None]) -> Iterator[str]:
    seen: set[str] = set()
    while key is not None and key not in seen:
        seen.add(key)
        yield key
        key = parents.get(key)


def _with_head_last(messages: Iterable[Message], head: Message | None) -> Iterator[Message]:
    """The store takes the last message for the head; ids decide about every other order."""
    yield from (message for message in messages if message is not head)
    if head is not None:
        yield head
