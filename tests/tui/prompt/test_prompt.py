"""The prompt: several lines, history, and pastes that are text whatever they hold."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest
from textual import events, on

from engine.prompt_history import KEPT, append_prompt
from tests.tui.host import Host, wait_until
from tui.prompt.history import PromptHistory
from tui.prompt.prompt import Prompt
from tui.terminal.driver import Burst


class PromptHost(Host):
    def __init__(self, prompt: Prompt) -> None:
        super().__init__(prompt)
        self.prompt = prompt
        self.submitted: list[str] = []

    @on(Prompt.Submitted)
    def keep(self, message: Prompt.Submitted) -> None:
        self.submitted.append(message.text)
        self.prompt.sent()


@pytest.fixture
def app(tmp_path: Path) -> PromptHost:
    return PromptHost(Prompt(history=tmp_path / "prompts.jsonl"))


def key(name: str, time: float, character: str | None = None) -> events.Key:
    event = events.Key(name, character)
    event.time = time
    return event


async def test_enter_sends_and_ctrl_j_starts_a_line(app: PromptHost) -> None:
    async with app.run_test() as pilot:
        for pressed, character in (("h", "h"), ("i", "i")):
            app.prompt.post_message(key(pressed, len(app.prompt.text), character))
            await pilot.pause()
        await pilot.press("ctrl+j")
        await pilot.press("x")
        app.prompt.post_message(key("enter", 1e12))
        await wait_until(pilot, lambda: app.submitted == ["hi\nx"])
        assert app.prompt.text == ""


async def test_a_message_written_to_the_terminal_in_one_go_is_sent(app: PromptHost) -> None:
    async with app.run_test() as pilot:
        for character in "hello":
            app.prompt.post_message(key(character, 5.0, character))
        app.prompt.post_message(key("enter", 5.001))
        await wait_until(pilot, lambda: app.submitted == ["hello"])


async def test_a_paste_without_brackets_is_never_sent_line_by_line(app: PromptHost) -> None:
    async with app.run_test() as pilot:
        for number, character in enumerate("ab\rcd\r\ref\r"):
            name = "enter" if character == "\r" else character
            app.prompt.post_message(key(name, 5.0 + number * 0.0005, None if name == "enter" else character))
        await wait_until(pilot, lambda: app.prompt.text == "ab\ncd\n\nef\n")
        await asyncio.sleep(0.1)
        assert app.submitted == []


async def test_five_thousand_lines_arrive_as_text(app: PromptHost) -> None:
    lines = [f"line {number}" for number in range(5000)]
    async with app.run_test() as pilot:
        app.prompt.post_message(events.Paste("\r".join(lines)))
        await wait_until(pilot, lambda: app.prompt.text == "\n".join(lines))
        assert app.submitted == []


async def test_pieces_of_a_burst_join_to_one_text(app: PromptHost) -> None:
    async with app.run_test() as pilot:
        for piece in ("one\rtwo\r", "three\r"):
            app.prompt.post_message(Burst(piece))
        app.prompt.post_message(events.Key("enter", "\r"))
        await wait_until(pilot, lambda: app.prompt.text == "one\ntwo\nthree\n\n")
        assert app.submitted == []


@pytest.mark.parametrize("paste", [events.Paste, Burst])
async def test_a_line_too_long_to_edit_is_shown_as_a_word_and_sent_in_full(app: PromptHost, paste: type[events.Paste]) -> None:
    long = "x" * 300_000
    async with app.run_test() as pilot:
        app.prompt.put("see: ")
        for start in range(0, len(long), 100_000):
            app.prompt.post_message(paste(long[start : start + 100_000]))
        app.prompt.post_message(events.Paste("\nand this"))
        await wait_until(pilot, lambda: app.prompt.text.endswith("and this"))
        assert len(app.prompt.text) < 200
        assert "characters" in app.prompt.text
        app.prompt.action_send()
        await wait_until(pilot, lambda: app.submitted == [f"see: {long}\nand this"])
        await pilot.press("up")
        assert app.prompt.whole == f"see: {long}\nand this"
        assert len(app.prompt.text) < 200


async def test_control_characters_in_a_paste_are_visible_and_inert(app: PromptHost) -> None:
    async with app.run_test() as pilot:
        app.prompt.post_message(events.Paste("a\x1b[31mb\x07\x00c\r\nd"))
        await wait_until(pilot, lambda: app.prompt.text == "a␛[31mb␇␀c\nd")


async def test_an_empty_message_is_not_sent(app: PromptHost) -> None:
    async with app.run_test() as pilot:
        app.prompt.put("  \n ")
        app.prompt.action_send()
        await pilot.pause()
        assert app.submitted == []


async def test_up_on_the_first_line_brings_back_what_was_sent_and_down_returns_to_the_draft(app: PromptHost) -> None:
    async with app.run_test() as pilot:
        for text in ("first", "second"):
            app.prompt.put(text)
            app.prompt.action_send()
            await pilot.pause()
        app.prompt.put("draft\nof two lines")
        await pilot.press("up")
        assert app.prompt.text == "draft\nof two lines"
        for expected in ("second", "first", "first"):
            await pilot.press("up")
            assert app.prompt.text == expected
        for expected in ("second", "draft\nof two lines", "draft\nof two lines"):
            await pilot.press("down")
            assert app.prompt.text == expected


def test_history_outlives_the_program_in_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    history = PromptHistory(path)
    history.add("first\nof two lines")
    history.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert PromptHistory(path).back("") == "first\nof two lines"


def test_a_damaged_history_is_no_obstacle_and_a_long_one_is_shortened(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"half\n[1]\n' + "".join(f'"entry {number}"\n' for number in range(2 * KEPT)))
    history = PromptHistory(path)
    assert history.back("") == f"entry {2 * KEPT - 1}"
    assert len(path.read_text().splitlines()) == KEPT


def test_a_history_that_cannot_be_written_is_kept_in_memory(tmp_path: Path) -> None:
    history = PromptHistory(tmp_path / "no-such-folder" / "prompts.jsonl")
    history.add("text")
    assert history.back("") == "text"


def test_what_is_not_to_be_written_is_kept_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    append_prompt(path, "before")
    history = PromptHistory(path, written=False)
    history.add("unlogged")
    history.close()
    assert history.back("") == "unlogged"
    assert history.back("") == "before"
    assert "unlogged" not in path.read_text()


async def test_what_is_typed_while_a_message_is_being_taken_stays(app: PromptHost) -> None:
    async with app.run_test() as pilot:
        for character in "hi":
            await pilot.press(character)
        app.prompt.action_send()
        app.prompt.insert("§")
        await wait_until(pilot, lambda: app.submitted == ["hi"])
        assert app.prompt.text == "§"
        app.prompt.action_send()
        await wait_until(pilot, lambda: app.submitted == ["hi", "§"])
        assert app.prompt.text == ""


async def test_words_are_jumped_over_and_deleted_as_in_a_shell_and_changes_are_undone_and_redone(app: PromptHost) -> None:
    async with app.run_test() as pilot:
        app.prompt.put("one two three")
        await pilot.press("alt+b", "ctrl+left", "X")
        assert app.prompt.text == "one Xtwo three"
        await pilot.press("alt+f", "alt+d", "ctrl+w")
        assert app.prompt.text == "one "
        for _ in range(9):
            await pilot.press("ctrl+underscore")
        assert app.prompt.text == ""
        for _ in range(9):
            await pilot.press("alt+n")
        assert app.prompt.text == "one "


async def test_one_key_clears_all_lines_and_undo_brings_them_back(app: PromptHost) -> None:
    async with app.run_test() as pilot:
        await pilot.press(*"ab", "ctrl+j", *"cd", "ctrl+u")
        assert app.prompt.text == ""
        await pilot.press("ctrl+underscore")
        assert app.prompt.text == "ab\ncd"


async def test_what_history_replaced_is_brought_back_by_undo_but_what_was_sent_is_not(app: PromptHost) -> None:
    async with app.run_test() as pilot:
        app.prompt.put("sent")
        app.prompt.action_send()
        await wait_until(pilot, lambda: app.submitted == ["sent"])
        await pilot.press("ctrl+underscore")
        assert app.prompt.text == ""
        await pilot.press(*"new", "up")
        assert app.prompt.text == "sent"
        await pilot.press("ctrl+underscore")
        assert app.prompt.text == "new"
