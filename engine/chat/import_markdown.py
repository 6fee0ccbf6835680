"""Imports conversations from Markdown exports of xchat, of the current format and of version 0.1.0."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from engine.chat.import_forms import Draft, Talk, UnknownFormError
from engine.chat.markdown import BRANCH, THINKING, headings, plain_message
from engine.records import MessageStatus

_HEADING = re.compile(r"(User|Assistant|System), (\d{4}-\d\d-\d\d \d\d:\d\d)(?: \((?P<notes>.*)\))?\Z")
_INCOMPLETE = {"incomplete": MessageStatus.PARTIAL, "failed": MessageStatus.FAILED}


def from_markdown(text: str) -> tuple[Talk, ...]:
    """Read the conversations of a document of `xchat export --what chat --format md`, without the branches that are not shown.

    Raises UnknownFormError for another document.
    """
    if _FIRST_FORM.match(text):
        return (_from_first_form(text),)
    talks: list[tuple[str, list[Draft]]] = []
    branch = False
    for level, title, part in headings(text):
        named = _HEADING.match(title)
        if level == 1:
            branch = part.lstrip().startswith(BRANCH)
            if not branch:
                talks.append((_unescaped(title), []))
        elif talks and named is not None and not branch:
            drafts = talks[-1][1]
            thinking, answer = _taken_apart(part)
            number, notes = len(drafts), _unescaped(named["notes"] or "").split(", ")
            status = _INCOMPLETE.get(notes[-1], MessageStatus.COMPLETE)
            above = str(number - 1) if number else None
            drafts.append(Draft(str(number), above, named[1].lower(), answer, thinking, status, created_ms=_minute(named[2])))
    if not any(drafts for _, drafts in talks):
        raise UnknownFormError("It has no headings such as “User, 2026-11-20 10:30”")
    return tuple(Talk(title, tuple(drafts)) for title, drafts in talks)


def _taken_apart(part: str) -> tuple[str, str]:
    """Split the part below a heading into thinking and answer."""
    lines = part.strip("\n").split("\n")
    if lines[0] != f"> {THINKING}":
        return "", plain_message(part)
    length = next((number for number, line in enumerate(lines) if not line.startswith(">")), len(lines))
    thought = "\n".join(line[2:] for line in lines[1:length])
    return plain_message(thought), plain_message("\n".join(lines[length:]))


# The format of version 0.1.0

_CONVERSATION = "## Conversation"
_FIRST_FORM = re.compile(rf"# xchat: \S+ of |{_CONVERSATION}\n")
_FIRST_HEADING = re.compile(r"### (User|Assistant|System), (\d{4}-\d\d-\d\d \d\d:\d\d)\Z")
_FENCE = re.compile(r"(~{3,})text\Z")
_TITLE = re.compile(r"# xchat: \S+ of session \d+, (?P<title>.+)")


def _from_first_form(text: str) -> Talk:
    """Read the conversation of a page of xchat 0.1.0, where each message is a fence below the heading “Conversation”."""
    lines = iter(text.replace("\r\n", "\n").split("\n"))
    head = text.partition("\n")[0]
    title = _TITLE.match(head)
    for line in lines:
        if line == _CONVERSATION:
            break
    drafts: list[Draft] = []
    role, created, thinking, thinks = "", 0, "", False
    for line in lines:
        heading, fence = _FIRST_HEADING.match(line), _FENCE.match(line)
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
            drafts.append(Draft(str(number), str(number - 1) if number else None, role, block, thinking, created_ms=created))
            role = ""
    return Talk(_unescaped(title["title"]) if title is not None else "", tuple(drafts))


def _fenced(lines: Iterator[str], fence: str) -> str:
    block: list[str] = []
    for line in lines:
        if line == fence:
            return "\n".join(block)
        block.append(line)
    raise UnknownFormError("A message in it has no end")


def _minute(text: str) -> int:
    try:
        return int(datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC).timestamp() * 1000)
    except ValueError:
        return 0


def _unescaped(cell: str) -> str:
    return re.sub(r"\\([\\`*_{}\[\]<>()#+!|~&])", r"\1", cell)
