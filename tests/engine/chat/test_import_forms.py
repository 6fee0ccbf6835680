"""Conversations of other programs: read, or counted as left out; nothing goes unsaid."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import pytest

from engine.chat.import_parts import parts
from engine.chat.importing import ImportedSession, read_conversations
from engine.errors import UsageError

TEXTS = [("user", "Hello", ""), ("assistant", "Hi!", "")]
CONVERSATION = {"type": "session", "harness": "llama.cpp", "id": "c", "name": "Attached", "currNode": "a"}
ROOT = {"id": "r", "role": "system", "type": "root", "content": "", "parent": None}
ASKED = {
    "id": "u",
    "role": "user",
    "content": "Sum up",
    "parent": "r",
    "extra": [{"type": "TEXT", "name": "n.txt", "content": "BANANA"}, {"type": "IMAGE"}],
}
ANSWERED = {"id": "a", "role": "assistant", "content": "BANANA.", "reasoningContent": "A file.", "parent": "u"}
WEB_UI = "\n".join(json.dumps(line) for line in (CONVERSATION, *({"type": "message", "message": one} for one in (ROOT, ASKED, ANSWERED))))


FOLDED = """<details type="reasoning" done="true" duration="3">
<summary>Thought for 3 seconds</summary>
> greet
> &lt;them&gt;
</details>
<details type="tool_calls" done="true" name="search">
<summary>Tool Executed</summary>
</details>
Hi!"""
CITATION = "\ue200cite\ue202turn0search0\ue201"


def read(folder: Path, content: object, name: str = "file.json") -> tuple[ImportedSession, ...]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return read_conversations(path)


def said(session: ImportedSession) -> list[tuple[str, str, str]]:
    return [(message.role.value, message.text, message.thinking) for message in session.messages]


def claude_message(sender: str, text: str, **more: object) -> dict[str, Any]:
    return {"uuid": text, "text": text, "sender": sender, "created_at": "2026-01-02T03:04:06Z", **more}


def step(text: str, **more: object) -> dict[str, Any]:
    return {"type": "contentBlock", "content": [{"type": "text", "text": text}], **more}


FORMS: dict[str, tuple[object, list[tuple[str, str, str]], dict[str, int]]] = {
    "OpenAI": ({"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi!"}]}, TEXTS, {}),
    "tools of OpenAI": (
        {
            "messages": [
                {"role": "user", "content": "Hello"},
                {"role": "assistant", "content": None, "tool_calls": [{}, {}]},
                {"role": "tool", "content": "4"},
                {"role": "assistant", "content": "Hi!", "tool_calls": [{}]},
            ]
        },
        TEXTS,
        {"tool call": 1, "assistant": 1, "tool": 1},
    ),
    "a bare list": (
        [{"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "image_url"}]}, {"role": "assistant", "content": "Hi!"}],
        TEXTS,
        {"image_url": 1},
    ),
    "Open WebUI": (
        [
            {
                "title": "T",
                "chat": {
                    "history": {
                        "currentId": "2",
                        "messages": {
                            "1": {"parentId": None, "role": "user", "content": "Hello", "files": [{"type": "file"}]},
                            "2": {"parentId": "1", "role": "assistant", "content": FOLDED, "timestamp": 1_700_000_001},
                        },
                    }
                },
            }
        ],
        [("user", "Hello", ""), ("assistant", "Hi!", "greet\n<them>")],
        {"file": 1, "tool_calls": 1},
    ),
    "Claude": (
        [
            {
                "name": "T",
                "chat_messages": [
                    claude_message("human", "Hello", attachments=[{"file_name": "n.txt", "extracted_content": "BANANA"}], files=[{}]),
                    claude_message(
                        "assistant", "Hi!", content=[{"type": "thinking", "thinking": "greet"}, {"type": "text", "text": "Hi!"}]
                    ),
                ],
            }
        ],
        [("user", "Hello\n\nn.txt:\n\nBANANA", ""), ("assistant", "Hi!", "greet")],
        {"file": 1},
    ),
    "LM Studio": (
        {
            "name": "T",
            "systemPrompt": "Be short",
            "messages": [
                {"versions": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}], "currentlySelected": 0},
                {
                    "versions": [
                        {"role": "assistant", "steps": [step("Old")]},
                        {"role": "assistant", "steps": [step("greet", style={"type": "thinking"}), step("Hi!")]},
                    ],
                    "currentlySelected": 1,
                },
            ],
        },
        [("system", "Be short", ""), ("user", "Hello", ""), ("assistant", "Hi!", "greet")],
        {"other version": 1},
    ),
    "llm": (
        [{"prompt": "Hello", "system": None, "response": "Hi!", "conversation_id": "c", "datetime_utc": "2026-01-02T03:04:05"}],
        TEXTS,
        {},
    ),
    "ChatGPT by voice": (
        [
            {
                "title": "T",
                "current_node": "a",
                "mapping": {
                    "u": {
                        "parent": None,
                        "message": {
                            "author": {"role": "user"},
                            "content": {
                                "parts": [{"content_type": "audio_transcription", "text": "Hello"}, {"content_type": "audio_asset_pointer"}]
                            },
                        },
                    },
                    "t": {
                        "parent": "u",
                        "message": {
                            "author": {"role": "assistant"},
                            "content": {"content_type": "thoughts", "thoughts": [{"content": "greet"}]},
                        },
                    },
                    "k": {"parent": "t", "message": {"author": {"role": "assistant"}, "content": {"content_type": "code", "text": "2+2"}}},
                    "o": {"parent": "k", "message": {"author": {"role": "tool"}, "content": {"parts": ["4"]}}},
                    "a": {"parent": "o", "message": {"author": {"role": "assistant"}, "content": {"parts": [f"Hi!{CITATION}"]}}},
                },
            }
        ],
        [("user", "Hello", ""), ("assistant", "Hi!", "greet")],
        {"audio_asset_pointer": 1, "citation": 1, "code": 1, "tool": 1},
    ),
    "the web UI's lines": (
        WEB_UI.encode(),
        [("user", "Sum up\n\nn.txt:\n\nBANANA", ""), ("assistant", "BANANA.", "A file.")],
        {"IMAGE": 1},
    ),
    "a byte order mark": (
        b"\xef\xbb\xbf" + WEB_UI.encode(),
        [("user", "Sum up\n\nn.txt:\n\nBANANA", ""), ("assistant", "BANANA.", "A file.")],
        {"IMAGE": 1},
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_read_and_what_is_left_out_is_counted(tmp_path: Path, form: str) -> None:
    content, texts, left_out = FORMS[form]
    (session,) = read(tmp_path, content)
    assert said(session) == texts
    assert dict(session.left_out) == left_out


def test_an_archive_gives_all_its_conversations(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("one.jsonl", WEB_UI)
        archive.writestr("two.jsonl", WEB_UI)
        archive.writestr("readme.txt", "no conversation")
    assert len(read_conversations(tmp_path / "all.zip")) == 2


def test_an_archive_that_unpacks_without_end_and_a_broken_one_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.chat.importing.MOST_BYTES", 100_000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("one.json", " " * 10_000_000)
    with pytest.raises(UsageError, match="unpacks to more"):
        read_conversations(tmp_path / "bomb.zip")
    with pytest.raises(UsageError, match="not a readable archive"):
        read(tmp_path, b"PK\x03\x04 nothing")


def test_an_archive_of_archives_is_refused(tmp_path: Path) -> None:
    """However little each unpacks to, all of them together have no bound."""
    with zipfile.ZipFile(tmp_path / "inner.zip", "w") as archive:
        archive.writestr("conversations.json", WEB_UI)
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(tmp_path / "inner.zip", "conversations.json")
    with pytest.raises(UsageError, match="archive of archives"):
        read_conversations(tmp_path / "outer.zip")


@pytest.mark.parametrize("unit", ['<details type="a">', '<details type="a"', '<details type="a"><summary>', '<details type="a">\n  '])
def test_folded_parts_that_never_end_are_read_as_text_in_a_time_that_grows_with_the_text(unit: str) -> None:
    text = "</details>" + unit * 50_000
    began = process_time()
    assert parts(text) == (text, "", ())
    assert process_time() - began < 2


def test_messages_with_one_id_are_all_kept(tmp_path: Path) -> None:
    messages = [ASKED, ANSWERED, {**ANSWERED, "content": "Another."}]
    (session,) = read(tmp_path, {"conv": {"name": "T"}, "messages": messages})
    assert [text for _, text, _ in said(session)][-2:] == ["BANANA.", "Another."]


def test_long_conversations_with_much_left_out_take_no_longer_per_message(tmp_path: Path) -> None:
    def seconds(count: int) -> float:
        chain = [{"id": str(n), "role": "tool", "content": "x", "parent": str(n - 1)} for n in range(count)]
        answers = [{"id": f"a{n}", "role": "assistant", "content": "x", "parent": str(count - 1)} for n in range(count)]
        content = {"conv": {"name": "T"}, "messages": chain + answers}
        began = perf_counter()
        (session,) = read(tmp_path, content)
        assert (len(session.messages), session.left_out) == (count, {"tool": count})
        return perf_counter() - began

    short = min(seconds(500) for _ in range(3))
    assert seconds(8_000) < 16 * short * 5
