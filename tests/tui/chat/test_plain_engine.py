"""The chat screen on an engine that answers messages and can do nothing else."""

from __future__ import annotations

from pathlib import Path

from tests.echo_backend import EchoBackend
from tests.tui.program import program


async def test_a_conversation_with_its_panel_and_log_goes_on_without_any_capability(tmp_path: Path) -> None:
    async with program(EchoBackend(), database=tmp_path / "xchat.db") as run:  # type: ignore[arg-type]
        await run.send("Hi there")
        await run.answered()
        await run.until("1 messages, the last one says: Hi there")
        await run.send("And now?")
        await run.answered()
        await run.until("3 messages, the last one says: And now?")
        await run.pilot.press("f8")
        await run.until_noticed("This engine has no threads to set")
