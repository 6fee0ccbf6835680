"""An empty conversation shows the model, questions to ask and the last sessions, the interrupted one first."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.messages import Role
from tests.factories import turn_record
from tests.fake_backend import FakeBackend
from tests.tui.host import wait_until
from tests.tui.program import program
from tests.tui.saved import save_turns
from tui.chat.welcome import QUESTIONS

pytestmark = pytest.mark.slow


async def test_the_first_screen_is_a_card_of_the_model_with_questions_that_a_number_asks() -> None:
    async with program(FakeBackend(), size=(80, 24)) as run:
        await run.until(QUESTIONS[0])
        for fact in ("fake-Q4_K_M", "context  4,096 tokens", "threads"):
            assert fact in run.text
        assert "–" not in run.text, "what is not known is left out"
        await run.pilot.press("tab", "2")
        await run.answered()
        assert run.session.branch[0].text == QUESTIONS[1]
        assert run.session.branch[0].role is Role.USER


async def test_the_last_sessions_are_listed_and_a_number_resumes_one(tmp_path: Path) -> None:
    database = tmp_path / "chat.db"
    await save_turns(database, "An older talk", [turn_record()])
    async with program(database=database, size=(100, 36)) as run:
        await run.until("An older talk")
        await run.pilot.press("tab", "4")
        await wait_until(run.pilot, lambda: run.session.info is not None, "it is resumed")
        assert run.session.info is not None
        assert run.session.info.title == "An older talk"


async def test_digits_typed_into_the_prompt_stay_text() -> None:
    async with program(size=(80, 24)) as run:
        await run.until(QUESTIONS[0])
        await run.pilot.press("1")
        assert run.chat.prompt.text == "1"
