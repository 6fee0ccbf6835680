"""F4: presets are used, saved, edited, renamed, deleted, exported and imported without leaving the screen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.presets.folder import PresetFolder, Shelf
from engine.presets.preset import Preset
from tests.tui.host import wait_until
from tests.tui.program import Running, program
from tui.models.presets import PresetsScreen

pytestmark = pytest.mark.slow


@pytest.fixture
async def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.chdir(tmp_path)
    PresetFolder().save(Preset(name="nightly", description="for the night", threads=2))
    async with program(size=(80, 24)) as running:
        await running.pilot.press("f4")
        await running.until("Balanced")
        await running.pilot.press(*"nightly")
        await running.until("for the night")
        await wait_until(running.pilot, lambda: screen(running).chosen_id == "nightly", "it is selected")
        yield running


def screen(run: Running) -> PresetsScreen:
    assert isinstance(run.app.screen, PresetsScreen)
    return run.app.screen


def shelf() -> Shelf:
    return PresetFolder().load()


async def replaced(run: Running, before: str, text: str) -> None:
    """Type in place of what a dialog offers."""
    await run.pilot.press("end", *["backspace"] * len(before), *text, "enter")


async def test_a_preset_is_edited_in_the_settings_screen_and_saved_at_each_change(run: Running) -> None:
    await run.pilot.press("alt+e")
    await run.until("Preset nightly")
    await run.pilot.press(*"description", "enter", *"by day", "enter")
    await wait_until(run.pilot, lambda: shelf().get("nightly").description == "by day", "saved")
    assert run.session.preset == Preset(), "another preset is in use"
    await run.pilot.press("escape")
    await run.until("by day")


async def test_a_preset_is_renamed_and_deleted(run: Running) -> None:
    await run.pilot.press("alt+n")
    await run.until("Rename preset nightly")
    await replaced(run, "nightly", "nightly-2")
    await run.until("nightly-2")
    assert shelf().own == {"nightly-2"}
    await run.pilot.press("alt+d")
    await run.until("Delete preset nightly-2?")
    await run.pilot.press("right", "enter")
    await wait_until(run.pilot, lambda: shelf().own == set(), "deleted")


async def test_a_preset_that_comes_with_xchat_is_not_deleted(run: Running) -> None:
    await run.pilot.press(*["backspace"] * 7, *"quality")
    await wait_until(run.pilot, lambda: screen(run).chosen_id == "quality", "it is selected")
    await run.pilot.press("alt+d")
    await run.until_noticed("comes with xchat")


async def test_a_preset_is_exported_and_a_command_line_is_imported(run: Running, tmp_path: Path) -> None:
    await run.pilot.press("alt+x")
    await run.until("Write preset nightly to a file")
    await run.pilot.press("enter")
    await wait_until(run.pilot, (tmp_path / "nightly.toml").exists, "written")
    (tmp_path / "run.sh").write_text("llama-server -m /m.gguf -c 4096 --lora x.gguf\n")
    await run.pilot.press("alt+i")
    await run.until("Import a file")
    await run.pilot.press(*"run.sh", "enter")
    await run.until_noticed("1 unknown setting was left out: --lora")
    assert shelf().get("run").n_ctx == 4096
    await run.pilot.press("alt+i")
    await run.until("Import a file")
    await run.pilot.press(*"nightly.toml", "enter")
    await run.until("Replace preset nightly?")
    await run.pilot.press("escape")
    await wait_until(run.pilot, lambda: isinstance(run.app.screen, PresetsScreen), "nothing is replaced")


async def test_the_settings_in_use_become_a_preset(run: Running) -> None:
    run.session.switching.change({"sampling.top_k": "7"})
    await run.pilot.press("alt+s")
    await run.until("Save the settings as a preset")
    await replaced(run, "daily", "seven")
    await wait_until(run.pilot, lambda: run.session.preset.name == "seven", "saved and used")
    assert shelf().get("seven").sampling.top_k == 7
