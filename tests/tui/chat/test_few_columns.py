"""A window of a few columns, as a split makes it, ends nothing."""

from __future__ import annotations

from tests.tui.program import program


async def test_the_program_goes_on_in_one_to_four_columns_and_after_them() -> None:
    async with program() as running:
        await running.send("Hi")
        for columns in (4, 3, 2, 1):
            await running.pilot.resize_terminal(columns, 24)
            await running.pilot.pause()
        await running.answered()
        await running.pilot.resize_terminal(80, 24)
        await running.until("Hello there.")
