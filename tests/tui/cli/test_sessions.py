"""`xchat sessions` on a real database."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.paths import database_path
from tests.tui.cli.conftest import HOSTILE, Run, save


def assert_harmless(text: str) -> None:
    assert not set(text) & {"\x1b", "\x07", "\r", "\u202e", "\x02", "\x03"}


class TestReading:
    def test_without_a_database_there_are_no_sessions_and_none_is_made(self, xchat: Run) -> None:
        assert xchat("sessions", "list").out == "no sessions\n"
        assert xchat("sessions", "show", "last").err.startswith("xchat: There are no sessions yet")
        assert not database_path().exists()

    def test_a_line_per_session_newest_first(self, xchat: Run) -> None:
        save("Older", at_ms=1_000)
        save("Newer", at_ms=2_000)
        lines = xchat("sessions", "list").out.splitlines()
        assert ["Newer" in lines[0], "Older" in lines[1]] == [True, True]
        assert "Tiny 0.6B Q4_K_M" in lines[0]

    def test_a_hostile_title_is_one_harmless_line(self, xchat: Run) -> None:
        session_id = save("Hello", title=HOSTILE)
        for arguments in (("list",), ("show", str(session_id)), ("search", "hello"), ("performance", str(session_id))):
            ran = xchat("sessions", *arguments)
            assert ran.code == 0
            assert_harmless(ran.out)
            assert "\U0001f600" in ran.out
        assert len(xchat("sessions", "list").out.splitlines()) == 1

    def test_a_hostile_message_is_one_harmless_line_of_the_outline_and_of_a_search(self, xchat: Run) -> None:
        session_id = save(HOSTILE)
        assert_harmless(xchat("sessions", "show", str(session_id), "--branches").out)
        assert len(xchat("sessions", "search", "owned").out.splitlines()) == 6

    def test_filters_and_words_narrow_the_list(self, xchat: Run) -> None:
        save("Apples", model="A", preset="fast")
        save("Pears", model="B")
        assert "Apples" not in xchat("sessions", "list", "--model", "B").out
        assert "Pears" not in xchat("sessions", "list", "--preset", "fast").out
        assert "Apples" not in xchat("sessions", "list", "--search", "pears").out
        assert xchat("sessions", "list", "--since", "2026-01-01").out == "no sessions\n"
        assert xchat("sessions", "list", "--since", "yesterday").code == 2

    def test_json_is_one_value_with_everything(self, xchat: Run) -> None:
        session_id = save(HOSTILE, answers=2)
        assert [one["id"] for one in json.loads(xchat("sessions", "list", "--json").out)] == [session_id]
        shown = json.loads(xchat("sessions", "show", "last", "--json").out)
        assert len(shown["messages"]) == 3
        assert shown["messages"][0]["text"] == HOSTILE
        assert shown["turns"][0]["predicted_per_second"] > 0

    def test_a_search_says_where_the_words_are(self, xchat: Run) -> None:
        save("The llama sleeps", title="Animals")
        assert xchat("sessions", "search", "llama").out.split("\n")[1].strip() == "The llama sleeps"
        assert xchat("sessions", "search", "zebra").out == "no matches\n"
        assert xchat("sessions", "search", '"AND" OR ( *').code == 0

    def test_all_titles_are_found_and_counted(self, xchat: Run) -> None:
        for number in range(70):
            save(f"Say {number}", title=f"Übung {number}: topic three")
        ran = xchat("sessions", "search", "TOPIC", "übung", "--limit", "5").out.splitlines()
        assert len(ran) == 71
        assert ran[-1] == "70 titles, 0 in messages"
        assert len(json.loads(xchat("sessions", "search", "topic", "--json").out)) == 70
        listed = xchat("sessions", "list", "--search", "topic").out.splitlines()
        assert (len(listed), listed[-1]) == (51, "50 of 70 sessions; --limit 70 lists all")

    def test_branches_stand_as_an_outline(self, xchat: Run) -> None:
        session_id = save("Why", answers=2)
        lines = xchat("sessions", "show", str(session_id), "--branches").out.splitlines()[1:]
        assert lines[0] == "* User: Why"
        assert lines[1].startswith("    Assistant 1/2 [62.5 tokens/s]: Answer 0")
        assert lines[2].startswith("*   Assistant 2/2")

    @pytest.mark.slow
    def test_ten_megabytes_in_a_message_are_no_trouble(self, xchat: Run) -> None:
        text = "needle " + "x" * 10_000_000
        session_id = save(text, title="Long")
        assert len(xchat("sessions", "show", str(session_id)).out) > 10_000_000
        for words in ("needle", "xxx"):
            ran = xchat("sessions", "search", words)
            assert words in ran.out
            assert len(ran.out) < 2_000
        assert xchat("sessions", "search", "needle", "--limit", "0").out == "no matches\n"
        assert len(xchat("sessions", "show", str(session_id), "--branches").out) < 2_000

    @pytest.mark.parametrize(
        ("session", "code", "said"), [("7", 1, "There is no session 7"), ("x", 2, "x is not a session"), ("-1", 2, "")]
    )
    def test_a_session_that_is_not_there_is_named(self, xchat: Run, session: str, code: int, said: str) -> None:
        save("Hello")
        ran = xchat("sessions", "show", session)
        assert ran.code == code
        assert said in ran.err


class TestMeasurements:
    def test_turns_stand_in_a_table(self, xchat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        session_id = save("One", "Two", noisy="swapping")
        lines = xchat("sessions", "performance", str(session_id)).out.splitlines()
        assert lines[0] == f"{session_id}: One"
        assert lines[1].split()[:4] == ["turn", "prompt", "reused", "generated"]
        assert lines[3].split()[:6] == ["2", "30", "7", "20", "400", "62.5"]
        assert max(map(len, lines)) <= 80

    def test_two_sessions_stand_side_by_side(self, xchat: Run) -> None:
        save("One", title="First")
        save("Two", title="Second")
        ran = xchat("sessions", "performance", "1", "--beside", "2")
        assert "1: First" in ran.out
        assert "+0.0%" in ran.out


class TestChanging:
    def test_a_new_title_is_made_harmless(self, xchat: Run) -> None:
        session_id = save("Hello")
        assert xchat("sessions", "rename", str(session_id), HOSTILE).code == 0
        (info,) = json.loads(xchat("sessions", "list", "--json").out)
        assert_harmless(info["title"])
        assert "\n" not in info["title"]
        assert "\U0001f600" in info["title"]

    def test_a_pinned_session_is_first_until_it_is_unpinned(self, xchat: Run) -> None:
        old = save("Older", at_ms=1_000)
        save("Newer", at_ms=2_000)
        assert xchat("sessions", "pin", str(old)).code == 0
        assert "Older (pinned)" in xchat("sessions", "list").out.splitlines()[0]
        assert xchat("sessions", "unpin", str(old)).code == 0
        assert "Newer" in xchat("sessions", "list").out.splitlines()[0]

    def test_deleting_needs_a_yes_and_leaves_no_word_behind(self, xchat: Run) -> None:
        session_id = save("Quetzalcoatlus")
        assert xchat("sessions", "delete", str(session_id)).code == 2
        assert xchat("sessions", "delete", str(session_id), "--yes").code == 0
        assert xchat("sessions", "list").out == "no sessions\n"
        for file in database_path().parent.glob("xchat.db*"):
            assert b"uetzalcoatlus" not in file.read_bytes().lower()

    @pytest.mark.parametrize("arguments", [("rename", "9", "x"), ("pin", "9"), ("unpin", "9"), ("delete", "9", "--yes")])
    def test_changing_what_is_not_there_is_refused(self, xchat: Run, arguments: tuple[str, ...]) -> None:
        save("Hello")
        ran = xchat("sessions", *arguments)
        assert (ran.code, ran.err[:27]) == (1, "xchat: There is no session ")


class TestImporting:
    def test_what_was_exported_comes_back(self, xchat: Run, tmp_path: Path) -> None:
        session_id = save(f"Question {HOSTILE}", "Second", answers=2)
        before = json.loads(xchat("sessions", "show", str(session_id), "--json").out)["messages"]
        for form in ("json", "jsonl"):
            file = tmp_path / f"chat.{form}"
            assert xchat("export", str(session_id), "--what", "chat", "--format", form, "-o", file).code == 0
            ran = xchat("sessions", "import", file)
            assert (ran.code, "6 messages" in ran.out) == (0, True)
            assert_harmless(ran.out)
            after = json.loads(xchat("sessions", "show", ran.out.split()[0], "--json").out)["messages"]
            assert [one["text"] for one in after] == [one["text"] for one in before]
            assert [one["thinking"] for one in after] == [one["thinking"] for one in before]
            known = {one["id"]: place for place, one in enumerate(after)}
            places = {one["id"]: place for place, one in enumerate(before)}
            assert [known.get(one["parent_id"]) for one in after] == [places.get(one["parent_id"]) for one in before]

    def test_markdown_comes_back_as_one_branch(self, xchat: Run, tmp_path: Path) -> None:
        save("What is ~~~text\n### User, 2026-01-01 10:00", "Second", title="Fences")
        file = tmp_path / "chat.md"
        assert xchat("export", "last", "--chat", "--format", "md", "-o", file).code == 0
        ran = xchat("sessions", "import", file)
        assert "Fences  4 messages" in ran.out
        shown = json.loads(xchat("sessions", "show", ran.out.split()[0], "--json").out)["messages"]
        assert [one["text"] for one in shown] == [
            "What is ~~~text\n### User, 2026-01-01 10:00",
            "Answer 0 to What is ~~~text\n### User, 2026-01-01 10:00",
            "Second",
            "Answer 0 to Second",
        ]
        assert shown[1]["thinking"] == "hm"

    def test_a_shown_session_comes_back_with_its_title(self, xchat: Run, tmp_path: Path) -> None:
        session_id = save("Hello", title="Named")
        file = tmp_path / "one.json"
        file.write_text(xchat("sessions", "show", str(session_id), "--json").out, encoding="utf-8")
        assert "Named  2 messages" in xchat("sessions", "import", file).out

    def test_a_bad_file_is_refused_and_nothing_is_made(self, xchat: Run, tmp_path: Path) -> None:
        file = tmp_path / "bad.json"
        file.write_text('[{"message_id": 1, "role": "user"', encoding="utf-8")
        ran = xchat("sessions", "import", file)
        assert ran.code == 2
        assert "is not readable JSON" in ran.err
        assert xchat("sessions", "import", tmp_path / "nothing.json").code == 1
        assert not database_path().exists()

    def test_a_locked_database_is_named(self, xchat: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        save("Hello")
        file = tmp_path / "one.json"
        file.write_text('[{"message_id": 1, "role": "user", "text": "Hi"}]', encoding="utf-8")
        monkeypatch.setenv("XCHAT_SQLITE_BUSY_TIMEOUT", "0")
        with closing(sqlite3.connect(database_path(), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            ran = xchat("sessions", "import", file)
        assert ran.code == 1
        assert "xchat:" in ran.err
        assert len(json.loads(xchat("sessions", "list", "--json").out)) == 1
