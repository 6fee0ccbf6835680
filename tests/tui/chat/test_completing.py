"""Commands, settings, themes, presets and paths are listed while one types, and completed with Tab."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.presets.folder import PresetFolder
from engine.presets.preset import Preset
from tests.tui.host import wait_until
from tests.tui.program import Running, program
from tui.actions.registry import ACTIONS
from tui.prompt.suggestions import Suggestions

pytestmark = pytest.mark.slow


@pytest.fixture
async def run() -> AsyncIterator[Running]:
    async with program(size=(100, 30)) as running:
        yield running


async def completed(run: Running, typed: str, wanted: str) -> None:
    run.chat.prompt.put(typed)
    await run.pilot.pause()
    await run.pilot.press("tab")
    await wait_until(run.pilot, lambda: run.chat.prompt.text == wanted, f"{typed!r} became {run.chat.prompt.text!r}, not {wanted!r}")


async def test_names_settings_values_themes_presets_and_paths_are_completed(run: Running, tmp_path: Path) -> None:
    PresetFolder().save(Preset(name="nightly", description="for the night"))
    (tmp_path / "notes of today.txt").write_text("x")
    await completed(run, "/the", "/theme ")
    await completed(run, "/theme solar", "/theme solarized-light ")
    await completed(run, "/set temp", "/set temperature ")
    await completed(run, "/set flash_attn of", "/set flash_attn off ")
    await completed(run, "/preset nig", "/preset nightly ")
    await completed(run, f"/read {tmp_path}/not", f"/read {tmp_path}/notes of today.txt ")
    await completed(run, "/threads au", "/threads auto ")
    await completed(run, "/export cs", "/export csv ")
    await completed(run, "/set n_", "/set n_")
    await run.until("n_ubatch")


async def test_the_list_has_arguments_and_the_arrows_choose_from_it(run: Running) -> None:
    await run.pilot.press("slash")
    await run.until("/system [TEXT]")
    shown = run.chat.query_one(Suggestions)
    assert {row.text for row in shown._rows} == {f"/{action.slash[0]}" for action in ACTIONS if action.slash}
    await run.pilot.press("t", "h", "down", "down")
    assert shown.selected is not None
    assert shown.selected.text == "/theme"
    await run.pilot.press("enter")
    await wait_until(run.pilot, lambda: run.chat.prompt.text == "/theme ", "Enter takes what was chosen")
    await run.until("Gruvbox")
    await run.pilot.press("ctrl+u")
    await wait_until(run.pilot, lambda: not shown.display, "nothing to suggest")


async def test_tab_goes_to_the_conversation_where_no_command_is_typed(run: Running) -> None:
    await run.pilot.press("h", "i", "tab")
    assert run.chat.focused is run.chat.transcript
