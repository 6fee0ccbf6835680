"""A window of a few columns, as a split makes it, ends nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tui.host import wait_until
from tests.tui.program import program

pytestmark = pytest.mark.slow


async def test_the_program_goes_on_in_one_to_four_columns_and_after_them() -> None:
    async with program() as running:
        await running.send("Hi")
        for columns in (4, 3, 2, 1):
            await running.pilot.resize_terminal(columns, 24)
            await running.pilot.pause()
            assert "".join(running.text.split()) == "Toonarrow"
        await running.answered()
        await running.pilot.resize_terminal(80, 24)
        await running.until("Hello there.")
        assert "Too narrow" not in running.text


@pytest.mark.parametrize(
    "action", ["help", "palette", "theme", "sessions", "models", "presets", "flame", "performance", "show_prompt", "export"]
)
async def test_every_screen_goes_on_in_a_few_columns_or_rows(action: str, tmp_path: Path) -> None:
    async with program(database=tmp_path / "xchat.db") as running:
        await running.send("Hi")
        await running.answered()
        running.app.do(action)
        await wait_until(running.pilot, lambda: running.app.screen is not running.chat or bool(running.notices), "another screen")
        for columns, rows in ((4, 24), (2, 24), (1, 24), (80, 3), (80, 1), (1, 1)):
            await running.pilot.resize_terminal(columns, rows)
            await running.pilot.press("pagedown", "up")
        await running.pilot.press("escape")
        await running.pilot.resize_terminal(80, 24)
        await running.pilot.pause()
