"""Conversations from files that nobody can vouch for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.chat import importing
from engine.chat.importing import ImportedSession, read_conversations
from engine.chat.tree import ConversationTree
from engine.errors import StoreError, UsageError
from engine.messages import Role
from engine.records import MessageStatus


def rows(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"session_id": 1, "role": "user", "text": "Hi", "thinking": "", "status": "complete", "parent_id": None} | one for one in messages
    ]


def imported(tmp_path: Path, content: object) -> tuple[ImportedSession, ...]:
    path = tmp_path / "file.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return read_conversations(path)


def texts(session: ImportedSession) -> list[str]:
    """The branch that the session opens on."""
    tree = ConversationTree(session.messages, session.messages[-1].id)
    return [message.text for message in tree.branch()]


class TestOwnExports:
    def test_rows_keep_their_branches_and_get_new_ids(self, tmp_path: Path) -> None:
        (session,) = imported(
            tmp_path,
            rows(
                {"message_id": 1, "text": "Why?", "created_ms": 5_000},
                {"message_id": 2, "parent_id": 1, "role": "assistant", "text": "Because.", "thinking": "hm", "status": "partial"},
                {"message_id": 3, "parent_id": 1, "role": "assistant", "text": "No reason."},
            ),
        )
        first, second, third = session.messages
        assert (session.title, session.created_ms) == ("Why?", 5_000)
        assert second.parent_id == third.parent_id == first.id
        assert first.id < second.id < third.id
        assert first.id not in {1, 2, 3}
        assert (second.role, second.text, second.thinking, second.status) == (Role.ASSISTANT, "Because.", "hm", MessageStatus.PARTIAL)

    def test_lines_of_several_sessions_become_several_sessions(self, tmp_path: Path) -> None:
        lines = rows({"message_id": 1, "text": "One"}, {"message_id": 2, "session_id": 2, "text": "Two"})
        sessions = imported(tmp_path, "".join(json.dumps(line) + "\n" for line in lines))
        assert [session.title for session in sessions] == ["One", "Two"]

    def test_a_shown_session_keeps_its_title_and_its_branch(self, tmp_path: Path) -> None:
        messages = [{"id": 1, "role": "user", "text": "a"}, {"id": 2, "parent_id": 1, "role": "assistant", "text": "b"}]
        messages += [{"id": 3, "parent_id": 1, "role": "assistant", "text": "c"}]
        (session,) = imported(tmp_path, {"session": {"title": "Kept", "head_id": 2}, "messages": messages, "turns": []})
        assert session.title == "Kept"
        assert texts(session) == ["a", "b"]

    def test_markdown_keeps_text_and_thinking_whatever_fences_it_has(self, tmp_path: Path) -> None:
        (session,) = imported(
            tmp_path,
            "# xchat: turns of session 3, On \\*stars\\*\n\n## Table\n\n| a |\n|---|\n\n## Conversation\n\n### User, 2026-11-20 10:30\n\n"
            "~~~text\nWhat is\n\n### User, 2026-11-20 10:30\n~~~\n\n### Assistant, 2026-11-20 10:31\n\n"
            "Thinking:\n\n~~~text\nhm\n~~~\n\n~~~~text\n~~~\ncode\n~~~\n~~~~\n",
        )
        assert session.title == "On *stars*"
        assert texts(session) == ["What is\n\n### User, 2026-11-20 10:30", "~~~\ncode\n~~~"]
        assert session.messages[1].thinking == "hm"
        assert session.messages[1].parent_id == session.messages[0].id


class TestOtherPrograms:
    def test_the_web_ui_of_llama_cpp(self, tmp_path: Path) -> None:
        messages = [
            {"id": "r", "type": "root", "role": "system", "content": "", "parent": None, "timestamp": 1_700_000_000_000},
            {"id": "u", "type": "text", "role": "user", "content": "Hello", "parent": "r", "timestamp": 1_700_000_000_001},
            {
                "id": "a",
                "type": "text",
                "role": "assistant",
                "content": "Hi",
                "thinking": "hm",
                "parent": "u",
                "timestamp": 1_700_000_000_002,
            },
            {"id": "b", "type": "text", "role": "assistant", "content": "Hey", "parent": "u", "timestamp": 1_700_000_000_003},
        ]
        talk = {"conv": {"id": "c", "name": "Greeting", "currNode": "a", "lastModified": 1}, "messages": messages}
        for content in (talk, [talk]):
            (session,) = imported(tmp_path, content)
            assert (session.title, session.left_out) == ("Greeting", {})
            assert texts(session) == ["Hello", "Hi"]
            assert len(session.messages) == 3

    def test_chatgpt(self, tmp_path: Path) -> None:
        def node(key: str, parent: str | None, role: str | None, *parts: Any) -> dict[str, Any]:
            message = role and {
                "author": {"role": role},
                "create_time": 1_700_000_000.5,
                "content": {"content_type": "text", "parts": list(parts)},
            }
            return {"id": key, "message": message, "parent": parent, "children": []}

        nodes = [node("root", None, None), node("s", "root", "system", ""), node("u", "s", "user", "Draw ", {"image": 1}, "a cat")]
        nodes += [node("t", "u", "tool", "log"), node("a", "t", "assistant", "Done."), node("o", "u", "assistant", "Other.")]
        talk = {"title": "Cat", "create_time": 1_700_000_000.5, "mapping": {one["id"]: one for one in nodes}, "current_node": "a"}
        (session,) = imported(tmp_path, [talk])
        assert (session.title, session.created_ms, session.left_out) == ("Cat", 1_700_000_000_500, {"part": 1, "text": 1})
        assert texts(session) == ["Draw \n\na cat", "Done."]


class TestBadFiles:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("", "is empty"),
            ("   \n", "is empty"),
            ("[]", "It is empty"),
            ("[1, 2]", "does not consist of objects"),
            ('{"a": 1}', "neither messages nor conversations"),
            ('[{"message_id": 1, "role": "user", "text": "x"}, {"conv": {}, "messages": []}]', "neither messages nor conversations"),
            ('[{"message_id": 1, "role": "user", "text"', "not readable JSON"),
            ("[" * 100_000, "not readable JSON"),
            ('{"session": 1, "messages": []}', "no list of messages"),
            ('{"conv": {}, "messages": "x"}', "no list of messages"),
            ('{"mapping": 3}', "no messages"),
            ('{"session": {}, "messages": []}', "There is no conversation"),
            ("# notes", "no headings such as"),
            ("## Conversation\n\n### User, 2026-11-20 10:30\n\n~~~text\nnever closed", "no end"),
        ],
    )
    def test_each_says_what_is_wrong_with_it(self, tmp_path: Path, content: str, said: str) -> None:
        with pytest.raises(UsageError, match=said):
            imported(tmp_path, content)

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        path = tmp_path / "picture.png"
        path.write_bytes(b"\x89PNG\r\n\xff\xfe")
        with pytest.raises(UsageError, match="is not a text file"):
            read_conversations(path)

    def test_a_missing_file_and_a_folder(self, tmp_path: Path) -> None:
        for path in (tmp_path / "nothing", tmp_path):
            with pytest.raises(StoreError, match="can't be read"):
                read_conversations(path)

    def test_a_file_that_is_too_large_is_not_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importing, "MOST_BYTES", 10)
        with pytest.raises(UsageError, match="too large"):
            imported(tmp_path, rows({"message_id": 1}))

    def test_values_of_the_wrong_kind_and_rings_do_no_harm(self, tmp_path: Path) -> None:
        (session,) = imported(
            tmp_path,
            rows(
                {"message_id": 1, "parent_id": 2, "created_ms": "soon", "status": ["x"]},
                {"message_id": 2, "parent_id": 1, "role": "assistant", "created_ms": 1e300, "thinking": None},
                {"message_id": 3, "parent_id": 3, "text": "own parent"},
                {"message_id": 4, "role": {"x": 1}},
                {"message_id": None, "text": 5},
                {"message_id": [1], "text": "no key"},
            ),
        )
        known = {message.id for message in session.messages}
        assert len(session.messages) == 3
        assert all(message.parent_id in known | {None} for message in session.messages)
        assert all(message.created_ms > 0 for message in session.messages)
