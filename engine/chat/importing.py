"""Imports conversations: xchat's own exports, and those of other programs.

* `xchat export --what chat` as json or jsonl: all sessions and branches in it;
* `xchat sessions show ID --json`: the session with its title and branches;
* `xchat export --what chat --format md`: the branch that was shown;
* the llama.cpp web UI's export as json, jsonl or zip, with branches and attached texts;
* ChatGPT's `conversations.json`, and that of Open WebUI, with branches;
* Claude's `conversations.json`, LM Studio's `*.conversation.json`, `llm logs --json`, and lists of messages as OpenAI's API takes them.

Messages of tools and parts without text are left out and counted. Files are untrusted: their size is limited and their ids are replaced. A
file that can't be parsed as a whole is not imported.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine.chat.import_forms import Draft, Talk, UnknownFormError, from_json
from engine.chat.import_markdown import from_markdown
from engine.chat.titles import session_title
from engine.chat.tree import ConversationTree
from engine.clock import wall_ms
from engine.errors import StoreError, UsageError
from engine.messages import Role
from engine.records import Message, new_message_id
from engine.regular_file import read_regular

MOST_BYTES = 256 * 2**20
"""Largest file, since it is parsed in memory."""
MOST_MESSAGES = 500_000

_KNOWN = (
    "xchat reads its own chat exports (json, jsonl, md) and those of the llama.cpp web UI, ChatGPT, Claude, LM Studio, Open WebUI and llm, "
    "and lists of messages as OpenAI's API takes them."
)
_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": Role.SYSTEM}


@dataclass(frozen=True, slots=True)
class ImportedSession:
    """A conversation read from a file, ready to store."""

    title: str
    created_ms: int
    messages: tuple[Message, ...]
    """Parents before children, with new ids; the last one is the head."""
    left_out: Mapping[str, int]
    """Number of parts left out by their kind: messages of tools or without text, pictures, other versions of an answer."""


def read_conversations(path: Path) -> tuple[ImportedSession, ...]:
    """Read the conversations of a file.

    Raises:
        StoreError: It can't be read.
        UsageError: It has nothing to import, or too much.
    """
    try:
        data = read_regular(path, MOST_BYTES)
    except OSError as error:
        raise StoreError(f"{path} can't be read", error.strerror or str(error)) from error
    if len(data) > MOST_BYTES:
        raise UsageError(f"{path} is too large", f"The limit is {MOST_BYTES:,} bytes.", "Import it in parts.")
    talks = _talks_of(data, path)
    if sum(len(talk.drafts) for talk in talks) > MOST_MESSAGES:
        raise UsageError(f"{path} has too many messages", f"The limit is {MOST_MESSAGES:,}.", "Import it in parts.")
    found = tuple(session for talk in talks if (session := _session_of(talk)).messages)
    if not found:
        raise UsageError(f"There is no conversation in {path}", _KNOWN)
    return found


def _talks_of(data: bytes, path: Path, *, packed: bool = False) -> tuple[Talk, ...]:
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise UsageError(f"{path} is empty", _KNOWN)
    try:
        if data.startswith(b"PK\x03\x04"):
            if packed:
                raise UsageError(f"{path} can't be imported", "It is an archive of archives", _KNOWN)
            return tuple(talk for member in _members(data, path) for talk in _talks_of(member, path, packed=True))
        if data.lstrip()[:1] in (b"{", b"["):
            return from_json(data)
        return from_markdown(data.decode())
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not a text file", _KNOWN) from None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UsageError(f"{path} is not readable JSON", f"{str(error).rstrip('.')}.", _KNOWN) from None
    except UnknownFormError as error:
        raise UsageError(f"{path} can't be imported", str(error), _KNOWN) from None


def _members(data: bytes, path: Path) -> Iterator[bytes]:
    """Yield the files with conversations in an archive, within the size limit of a file."""
    left = MOST_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            # ChatGPT and Claude add many other files.
            names = [name for name in archive.namelist() if name.endswith((".json", ".jsonl"))]
            for name in [name for name in names if name.endswith("conversations.json")] or names:
                with archive.open(name) as member:
                    content = member.read(left + 1)
                left -= len(content)
                if left < 0:
                    raise UsageError(f"{path} is too large", f"It unpacks to more than {MOST_BYTES:,} bytes.", "Import it in parts.")
                yield content
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise UsageError(f"{path} is not a readable archive", str(error), _KNOWN) from error


# From the file's messages to stored ones


def _session_of(talk: Talk) -> ImportedSession:
    kept: dict[str, Draft] = {}
    for place, draft in enumerate(talk.drafts):
        if draft.key and draft.role in _ROLES and (draft.text.strip() or draft.thinking.strip()):
            # Two messages with one id are both kept; their children belong to the first one.
            kept[draft.key if draft.key not in kept else f"{draft.key} again {place}"] = draft
    parents = {key: draft.parent for key, draft in kept.items()}
    for draft in talk.drafts:
        parents.setdefault(draft.key, draft.parent)
    numbers = {key: number for number, key in enumerate(kept)}
    # A tree of provisional ids puts parents before children and breaks cycles; the children of a message left out go to its parent.
    nearest: dict[str, int | None] = {}
    tree = ConversationTree(
        Message(numbers[key], _kept_parent(key, parents, numbers, nearest), _ROLES[draft.role], "") for key, draft in kept.items()
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
        left_out=Counter(
            [
                *(kind for draft in kept.values() for kind in draft.left_out),
                *(draft.kind or draft.role for draft in talk.drafts if draft.role not in {"", "system"} and draft.key not in kept),
            ]
        ),
    )


def _numbered(ordered: Iterable[Message], drafts: Sequence[Draft], created: int) -> dict[int, Message]:
    """Return the messages with their new ids, by their provisional ones."""
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


def _kept_parent(key: str, parents: Mapping[str, str | None], numbers: Mapping[str, int], nearest: dict[str, int | None]) -> int | None:
    """Return the nearest kept message above; `nearest` caches it for all passed ones."""
    passed: list[str] = []
    found: int | None = None
    for above in _upwards(parents[key], parents):
        if above in numbers or above in nearest:
            found = numbers[above] if above in numbers else nearest[above]
            break
        passed.append(above)
    nearest.update(dict.fromkeys(passed, found))
    return found


def _upwards(key: str | None, parents: Mapping[str, str | None]) -> Iterator[str]:
    seen: set[str] = set()
    while key is not None and key not in seen:
        seen.add(key)
        yield key
        key = parents.get(key)


def _with_head_last(messages: Iterable[Message], head: Message | None) -> Iterator[Message]:
    """Yield the head last, since the store makes the last message the head; ids determine any other order."""
    yield from (message for message in messages if message is not head)
    if head is not None:
        yield head
