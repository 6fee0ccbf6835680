"""The chat screen and `xchat ask` on an engine that answers messages and can do nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.config import Config
from engine.model_ref import RemoteModel
from engine.presets.preset import Preset
from engine.session.engines import ENGINES
from engine.session.open import open_session
from tests.echo_backend import PARROT, EchoBackend
from tests.tui.program import program
from tui.cli.ask import converse

pytestmark = pytest.mark.slow


async def test_a_conversation_with_its_panel_and_log_goes_on_without_any_capability(tmp_path: Path) -> None:
    async with program(EchoBackend(), model=PARROT, database=tmp_path / "xchat.db") as run:  # type: ignore[arg-type]
        await run.send("Hi there")
        await run.answered()
        await run.until("1 messages, the last one says: Hi there")
        await run.send("And now?")
        await run.answered()
        await run.until("3 messages, the last one says: And now?")
        await run.pilot.press("f8")
        await run.until_noticed("The thread count of this engine can't be set")


async def test_a_running_program_changes_to_another_engine_with_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, RemoteModel, lambda _parallel: EchoBackend())
    async with program() as run:
        await run.send("Hi")
        await run.answered()
        run.session.switching.use_model(PARROT)
        await run.session.switching.settled()
        await run.send("And you?")
        await run.answered()
        await run.until("3 messages, the last one says: And you?")
        await run.pilot.press("f8")
        await run.until_noticed("The thread count of this engine can't be set")


async def test_the_memory_pane_gives_the_reason_where_the_engine_has_no_figures() -> None:
    async with program(EchoBackend(), model=PARROT, size=(160, 60)) as run:  # type: ignore[arg-type]
        await run.until("KV cache unavailable: Not available from this engine")


async def test_a_capture_names_what_it_cannot_see_of_an_engine_elsewhere() -> None:
    async with program(EchoBackend(), model=PARROT) as run:  # type: ignore[arg-type]
        await run.pilot.press("f9")
        await run.until_noticed("The capture shows the screen only")
        await run.pilot.press("escape")
        await run.until_noticed("The capture was cancelled")


@pytest.mark.parametrize("as_json", [False, True])
async def test_ask_needs_no_capability(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    session = await open_session(Preset(), Config(), backend=EchoBackend())
    await session.load(PARROT, Preset())
    try:
        assert await converse(session, "Hi there", as_json=as_json) == 0
    finally:
        await session.close()
    out = capsys.readouterr().out
    if as_json:
        answer = json.loads(out)
        assert (answer["text"], answer["stop_reason"], answer["timings"]["predicted_n"]) == (
            "1 messages, the last one says: Hi there ",
            "eog",
            8,
        )
    else:
        assert out == "1 messages, the last one says: Hi there \n"
