"""A person chats: the whole screen on a backend that says a script."""

from __future__ import annotations

import pytest
from textual.screen import Screen

from engine.backend import StopReason
from engine.errors import ModelError
from engine.events import Notice
from tests.fake_backend import FakeBackend
from tests.tui.host import wait_until
from tests.tui.program import program
from tui.app import XchatApp
from tui.chat.screen import ChatScreen
from tui.prompt.prompt import Prompt
from tui.transcript.transcript import Transcript

pytestmark = pytest.mark.slow


async def test_a_message_is_answered_and_its_timings_stand_below() -> None:
    async with program() as run:
        await run.send("Good morning")
        await run.until("Hello there.")
        await run.until("3 tokens")
        assert "Good morning" in run.text
        assert "fake-Q4_K_M" in run.text
        assert run.chat.prompt.text == ""


async def test_text_is_painted_while_it_arrives_and_its_end_is_never_lost() -> None:
    backend = FakeBackend(script=[f"word{number} " for number in range(40)], gated=True)
    async with program(backend) as run:
        await run.send("Count")
        backend.release(10)
        await run.until("word3")
        assert "word39" not in run.text
        assert "answering" in run.text
        backend.release(30)
        await run.until("word39")
        await run.until("40 tokens")


async def test_escape_stops_the_answer_keeps_it_and_continue_goes_on() -> None:
    backend = FakeBackend(script=["one ", "two ", "three"], gated=True)
    async with program(backend) as run:
        await run.send("Count")
        backend.release(1)
        await run.until("one")
        await run.pilot.press("escape")
        await run.until("Stopped. Continue: Alt+C.")
        backend.gated = False
        await run.pilot.press("alt+c")
        await run.answered()
        assert run.session.branch[-1].text == "one one two three"
        await run.until("one one two three")
        await run.until("2/2")


async def test_regenerate_makes_a_sibling_that_left_and_right_switch() -> None:
    backend = FakeBackend()
    async with program(backend) as run:
        await run.send("Hi")
        await run.answered()
        backend.script = ("Another", " answer.")
        await run.pilot.press("ctrl+r")
        await run.until("Another answer.")
        await run.until("2/2")
        await run.pilot.press("ctrl+up")
        await run.pilot.press("left")
        await run.until("Hello there.")
        assert "Another answer." not in run.text


async def test_editing_a_message_sends_it_as_another_version() -> None:
    async with program() as run:
        await run.send("First wording")
        await run.answered()
        await run.pilot.press("alt+e")
        assert run.chat.prompt.text == "First wording"
        await run.send("Second wording")
        await run.answered()
        assert [message.text for message in run.session.branch] == ["Second wording", "Hello there."]
        assert run.session.turns.conversation.siblings(run.session.branch[0].id) == (1, 2)


async def test_escape_leaves_editing_before_anything_else() -> None:
    async with program() as run:
        await run.send("Hi")
        await run.answered()
        await run.pilot.press("alt+e")
        await run.pilot.press("escape")
        assert run.chat.composing.editing is None
        assert run.chat.prompt.text == ""


async def test_a_message_sent_before_the_model_is_loaded_waits_for_it() -> None:
    backend = FakeBackend()
    backend.load_gate.clear()
    async with program(backend, ready=False) as run:
        await run.send("Early bird")
        await run.until_noticed("message is queued")
        await run.until("loading")
        backend.load_gate.set()
        await run.until("Hello there.")
        assert run.session.branch[0].text == "Early bird"


async def test_a_model_that_cannot_be_used_gives_the_message_back_and_the_chat_lives_on() -> None:
    backend = FakeBackend(load_error=ModelError("bad.gguf is no GGUF file", "it begins with PNG", "Pick another with F3."))
    async with program(backend, ready=False) as run:
        await run.until_noticed("bad.gguf is no GGUF file")
        await run.until("no model")
        await run.send("Anybody?")
        await run.until_noticed("No model is loaded")
        assert run.chat.prompt.text == "Anybody?"


async def test_turns_left_out_of_the_window_are_told() -> None:
    backend = FakeBackend(n_ctx=700)
    async with program(backend) as run:
        for number in range(4):
            await run.send(f"{number} " + "long message " * 20)
            await run.answered()
        await run.until("left out")


async def test_thinking_is_folded_and_unfolds_on_a_key() -> None:
    async with program(FakeBackend(script=["<think>", "secret plan", "</think>", "Answer"])) as run:
        await run.send("Think")
        await run.until("Thought, 2 words")
        assert "secret plan" not in run.text
        await run.pilot.press("ctrl+t")
        await run.until("secret plan")


async def test_what_a_model_emits_stays_text_from_end_to_end() -> None:
    async with program(FakeBackend(script=["\x1b]0;title\x07", "[red]", "x[/red]"])) as run:
        await run.send("[bold]hi[/bold] \x1b[2J")
        await run.until("␛]0;title␇[red]x[/red]")
        assert "[bold]hi[/bold] ␛[2J" in run.text


async def test_notices_take_no_markup() -> None:
    async with program() as run:
        run.app.show_notice(Notice("warning", "[red]title[/red]", "[link=x]detail[/link]", "\x1b[31mhint"))
        await run.until_noticed("[link=x]detail[/link]")
        await run.until("[link=x]detail[/link]")


async def test_copying_the_last_answer_and_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    async with program(FakeBackend(script=["Text\n\n```py\nx = 1\n```\n"])) as run:
        copied: list[str] = []

        async def keep(text: str) -> None:
            copied.append(text)

        monkeypatch.setattr(run.app, "copy", keep)
        await run.send("Code")
        await run.answered()
        await run.pilot.press("ctrl+y")
        await run.pilot.press("alt+y")
        await wait_until(run.pilot, lambda: len(copied) == 2)
        assert copied == ["Text\n\n```py\nx = 1\n```\n", "x = 1"]


@pytest.mark.parametrize("size", [(200, 50), (120, 40), (80, 24), (60, 20), (40, 10), (20, 6)])
async def test_nothing_overlaps_or_breaks_at_any_size(size: tuple[int, int]) -> None:
    async with program(size=size) as run:
        await run.send("Hi")
        await run.answered()
        if size[0] >= 40:
            await run.until("Hello there.")
        chat = run.chat
        shown = [widget for widget in (chat.transcript, chat.prompt, chat.status_line, chat.key_bar) if widget.region.area]
        for index, one in enumerate(shown):
            assert all(not one.region.overlaps(other.region) for other in shown[index + 1 :])
        place = chat.query_one("#panel-place")
        assert place.display == (size[0] >= 100 or (size[1] >= 26 and size[0] >= 36))
        assert not place.display or not place.region.overlaps(chat.transcript.region)


async def test_resizing_at_any_moment_loses_nothing() -> None:
    backend = FakeBackend(script=[f"w{number} " for number in range(30)], gated=True)
    async with program(backend) as run:
        await run.send("Go")
        for size in ((80, 24), (40, 10), (200, 50), (60, 20)):
            backend.release(7)
            await run.pilot.resize_terminal(*size)
        backend.release(10)
        await run.answered()
        await run.until("w29")


async def test_a_turn_that_fails_says_why_and_the_next_one_works() -> None:
    backend = FakeBackend(script=["partial"], error=ModelError("The window is too small", "the prompt has 9,000 tokens"))
    async with program(backend) as run:
        await run.send("Hi")
        await run.until("The window is too small: the prompt has 9,000 tokens")
        backend.error, backend.reason = None, StopReason.EOG
        await run.send("Again")
        await run.until("1 token ")


async def test_a_window_that_was_tiny_for_a_moment_still_follows_a_long_answer() -> None:
    backend = FakeBackend(script=[f" word{number}" for number in range(600)], gated=True)
    async with program(backend) as run:
        await run.send("Go")
        backend.release(300)
        await run.until("word299")
        for size in ((8, 3), (120, 40), (1, 1), (37, 60), (120, 36)):
            await run.pilot.resize_terminal(*size)
            assert run.chat.transcript.following
        backend.release(300)
        await run.answered()
        await run.until("word599")


async def test_the_last_code_block_of_the_conversation_is_copied_also_from_an_older_answer() -> None:
    backend = FakeBackend(script=["```python\n", "print(1)\n", "```\n"])
    async with program(backend) as run:
        await run.send("Code")
        await run.answered()
        backend.script = ["No ", "code"]
        await run.send("And now without")
        await run.answered()
        run.app.do("copy_code")
        await run.until_noticed("Copied")


async def test_what_is_typed_while_the_chat_screen_takes_over_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    push = XchatApp.push_screen

    def typing(app: XchatApp, screen: Screen[None], *arguments: object) -> object:
        if isinstance(screen, ChatScreen):
            app.screen.query_one(Prompt).insert(" and the rest")
        return push(app, screen, *arguments)  # type: ignore[call-overload]

    monkeypatch.setattr(XchatApp, "push_screen", typing)
    async with program() as run:
        assert run.chat.prompt.text == " and the rest"


async def test_the_keys_that_scroll_the_conversation_work_while_the_prompt_has_the_focus() -> None:
    async with program(size=(100, 30)) as running:
        await running.send(" ".join(f"word{number}" for number in range(1500)))
        await running.answered()
        transcript = running.app.screen.query_one(Transcript)
        end = transcript.scroll_offset.y
        await running.pilot.press("pageup", "pageup", "pagedown")
        await wait_until(running.pilot, lambda: 0 < transcript.scroll_offset.y < end)
        await running.pilot.press("ctrl+end")
        await wait_until(running.pilot, lambda: transcript.scroll_offset.y == end)


async def test_the_label_of_an_answer_names_a_count_that_auto_chooses_only_at_its_end() -> None:
    backend = FakeBackend(script=["one ", "two ", "three"], gated=True)
    async with program(backend, size=(160, 40)) as run:
        await run.send("Count")
        backend.release(1)
        await run.until("one")
        label = next(line for line in run.text.splitlines() if "· daily" in line and "auto" not in line)
        assert "thread" not in label.partition("│")[0]
        backend.release(2)
        await run.until("3 tokens")
        assert any("· daily · " in line and "thread" in line.partition("│")[0] for line in run.text.splitlines())


async def test_a_theme_is_tried_while_moving_in_the_list_and_given_up_with_escape() -> None:
    async with program() as run:
        run.app.do("theme")
        await run.until("Gruvbox")
        assert run.app.theme == "dark"
        await run.pilot.press("down")
        await wait_until(run.pilot, lambda: run.app.theme != "dark", "the next theme is tried")
        await run.pilot.press("escape")
        await wait_until(run.pilot, lambda: run.app.theme == "dark", "the theme of before")
        run.app.do("theme")
        await run.until("Gruvbox")
        await run.pilot.press(*"gruvbox", "enter")
        await wait_until(run.pilot, lambda: run.app.theme == "gruvbox", "it is used")
