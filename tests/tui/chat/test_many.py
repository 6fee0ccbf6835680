"""Several answers side by side on the screen, and conversations that go on in the background."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fake_backend import FakeBackend
from tests.tui.host import wait_until
from tests.tui.program import Running, program
from tui.chat.many.choose import ChooseScreen
from tui.chat.many.screen import AnswersScreen


def answers(run: Running) -> AnswersScreen:
    screen = run.app.screen
    assert isinstance(screen, AnswersScreen)
    return screen


async def ended(run: Running) -> None:
    await run.until("Esc close")


class TestAnswers:
    @pytest.mark.slow
    async def test_the_message_in_the_prompt_gets_several_answers_and_one_key_keeps_one(self) -> None:
        async with program() as run:
            run.chat.prompt.put("Which one?")
            run.app.do("answers", "3")
            await run.until("3 daily")
            await ended(run)
            assert run.chat.prompt.text == ""
            assert run.text.count("Hello there.") == 3
            assert run.text.count("3 tokens") == 3
            await run.pilot.press("2")
            await wait_until(run.pilot, lambda: run.app.screen is run.chat, "the comparison is closed")
            await run.until("2/3")
            assert run.session.branch[-1].text == "Hello there."

    @pytest.mark.slow
    async def test_closing_without_a_choice_leaves_the_branch_of_before(self) -> None:
        async with program() as run:
            await run.send("Hi")
            await run.answered()
            before = run.session.branch
            await run.send("/answers 2")
            await ended(run)
            await run.pilot.press("escape")
            await wait_until(run.pilot, lambda: run.app.screen is run.chat, "the comparison is closed")
            assert run.session.branch == before
            await run.send("/answers 2 Another one")
            await ended(run)
            assert "Another one" in run.text
            await run.pilot.press("escape")
            await wait_until(run.pilot, lambda: run.app.screen is run.chat, "the comparison is closed")
            await run.until("1/3")

    @pytest.mark.slow
    async def test_esc_stops_all_and_keeping_one_stops_the_others(self) -> None:
        async with program(FakeBackend(gated=True, at_once=True)) as run:
            run.chat.prompt.put("Hi")
            await run.pilot.press("alt+q")
            await run.until("Esc stop all")
            run.backend.release(2, answer=2)
            await run.until("2 tokens")
            await run.pilot.press("3")
            await wait_until(run.pilot, lambda: run.app.screen is run.chat, "the comparison is closed")
            assert run.session.branch[-1].text == "Hello there"

    @pytest.mark.slow
    async def test_what_to_compare_is_chosen_from_a_list(self) -> None:
        async with program(size=(80, 24)) as run:
            run.chat.prompt.put("Hi")
            await run.pilot.press("alt+g")
            await wait_until(run.pilot, lambda: isinstance(run.app.screen, ChooseScreen), "the list is open")
            await run.pilot.press("down", "down", "space", "enter")
            await ended(run)
            assert answers(run).has_class("-stacked")
            assert "2 fast  n_ctx 4096" in run.text

    @pytest.mark.parametrize(
        "command", ["/answers 10000", "/answers 0", "/answers many", "/compare nosuch", "/compare a b c d e", '/compare "a']
    )
    @pytest.mark.slow
    async def test_what_can_not_be_compared_is_refused(self, command: str) -> None:
        async with program() as run:
            await run.send("Hi")
            await run.answered()
            await run.send(command)
            await wait_until(run.pilot, lambda: bool(run.notices), "it is refused")
            assert run.app.screen is run.chat
            assert len(run.backend.requests) == 1


@pytest.mark.slow
async def test_a_conversation_goes_on_in_the_background_and_the_list_shows_it(tmp_path: Path) -> None:
    async with program(FakeBackend(gated=True, at_once=True), database=tmp_path / "x.db") as run:
        await run.send("Tell me a story")
        run.backend.release(1)
        await run.until("Hello")
        await run.pilot.press("ctrl+n")
        await run.until("1 in the background")
        await run.pilot.press("f2")
        await run.until("1 token")
        await run.pilot.press("enter")
        await run.until("Hello")
        assert "in the background" not in run.text
        assert run.chat.status_line.status.activity == "answering"
        await run.pilot.press("ctrl+n")
        run.backend.release(2)
        await run.until_noticed("Answered: “Tell me a story”")
