"""Writes the chat as a document: title, facts, and each message under a heading."""

from __future__ import annotations

import sqlite3
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TextIO

from engine.chat.markdown import BRANCH, embedded, html, minute, quoted
from engine.messages import Role
from engine.pictures.stored import Picture, data_of, pictures_in
from engine.records import Message, MessageStatus, SessionInfo
from engine.store.export.escaping import markdown_cell
from engine.store.export.tables import Selection
from engine.store.queries.sessions import page_of_branch, session_info
from engine.text import visible

_NOTES = {MessageStatus.PARTIAL: "incomplete", MessageStatus.FAILED: "failed"}


@dataclass(frozen=True, slots=True)
class Part:
    """One branch of a session."""

    title: str
    facts: str
    """The facts about the messages, one line."""
    messages: Sequence[Message]
    """Oldest first."""
    models: Mapping[int, str]
    """The model and quant of each answer, where they differ."""

    def headings(self) -> Iterator[tuple[str, Message]]:
        """Yield each message with its heading."""
        for message in self.messages:
            notes = ", ".join(filter(None, (self.models.get(message.id), _NOTES.get(message.status))))
            yield f"{message.role.capitalize()}, {minute(message.created_ms)}{f' ({notes})' if notes else ''}", message


def parts_of(db: sqlite3.Connection, selection: Selection) -> Iterator[Part]:
    """Yield the shown branch of each session, and the others if selected."""
    ids = selection.sessions
    for session_id in ids if ids is not None else [row[0] for row in db.execute("SELECT id FROM sessions ORDER BY id")]:
        info = session_info(db, session_id)
        shown = page_of_branch(db, session_id, info.head_id, limit=info.n_messages or 1)
        models = _models(db, session_id)
        names = dict.fromkeys(models[message.id] for message in shown if message.id in models)
        named = models if len(names) > 1 else {}
        yield Part(info.title, _facts(info, shown, names), shown, named)
        if selection.branches:
            for number, branch in enumerate(_others(db, info, shown), start=2):
                yield Part(f"{info.title}, branch {number}", f"{BRANCH} of session {session_id}", branch, models)


def write_markdown_parts(out: TextIO, parts: Iterator[Part]) -> None:
    """Write the parts."""
    for number, part in enumerate(parts):
        line = "\n" if number else ""
        out.write(f"{line}# {markdown_cell(part.title)}\n\n{markdown_cell(part.facts)}\n")
        for heading, message in part.headings():
            out.write(f"\n## {markdown_cell(heading)}\n")
            if message.thinking.strip():
                out.write(f"\n{quoted(message.thinking)}")
            if message.text.strip():
                out.write(f"\n{embedded(message.text)}\n")


def write_html_parts(out: TextIO, parts: Iterator[Part]) -> None:
    """Write the parts as the body of a page."""
    for part in parts:
        out.write(f'<section>\n<h1>{escape(visible(part.title))}</h1>\n<p class="facts">{escape(visible(part.facts))}</p>\n')
        for heading, message in part.headings():
            out.write(f'<article class="{escape(message.role)}">\n<h2>{escape(visible(heading))}</h2>\n')
            if message.thinking.strip():
                out.write(f"<details><summary>Thinking</summary>\n{html(message.thinking)}</details>\n")
            out.write(html(message.text))
            if message.role is Role.USER:
                out.writelines(map(_image, dict.fromkeys(picture for _, _, picture in pictures_in(message.text))))
            out.write("</article>\n")
        out.write("</section>\n")


def _image(picture: Picture) -> str:
    """Return a picture as a part of the page; nothing when it is not in the folder any more."""
    data = data_of(picture)
    if data is None:
        return ""
    return f'<p><img alt="{escape(visible(picture.name))}" src="data:image/png;base64,{b64encode(data).decode()}"></p>\n'


def _facts(info: SessionInfo, shown: Sequence[Message], models: Iterable[str]) -> str:
    if not shown:
        return f"Session {info.id}, no messages"
    first, last = minute(shown[0].created_ms), minute(shown[-1].created_ms)
    span = first if first == last else f"{first} to {last.removeprefix(first[:11])}"
    return ", ".join((f"Session {info.id}", f"{len(shown):,} message{'s' if len(shown) > 1 else ''}", f"{span} UTC", *models))


def _models(db: sqlite3.Connection, session_id: int) -> dict[int, str]:
    return {
        answer: f"{model} {quant}".strip()
        for answer, model, quant in db.execute("SELECT id, model, quant FROM turns WHERE session_id = ?", (session_id,))
    }


def _others(db: sqlite3.Connection, info: SessionInfo, shown: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Yield the hidden branches, oldest first, each from its first own message."""
    written = {message.id for message in shown}
    leaves = db.execute(
        "SELECT id FROM messages WHERE session_id = ?1 AND id NOT IN "
        "(SELECT parent_id FROM messages WHERE session_id = ?1 AND parent_id IS NOT NULL) ORDER BY id",
        (info.id,),
    ).fetchall()
    for (leaf,) in leaves:
        branch = [message for message in page_of_branch(db, info.id, leaf, limit=info.n_messages) if message.id not in written]
        written.update(message.id for message in branch)
        if branch:
            yield branch
