"""The settings screen: every setting in one place, edited with validation, compared with the preset and saved as one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from engine.presets.folder import PresetFolder
from tests.tui.host import wait_until
from tests.tui.program import Running, program
from tui.models.settings import SettingsScreen

pytestmark = pytest.mark.slow


@pytest.fixture
async def run() -> AsyncIterator[Running]:
    async with program(size=(80, 24)) as running:
        yield running


async def opened(run: Running, typed: str = "") -> SettingsScreen:
    await run.pilot.press("alt+o")
    await run.until("Settings of daily")
    await run.pilot.press(*typed)
    await run.pilot.pause()
    screen = run.app.screen
    assert isinstance(screen, SettingsScreen)
    return screen


async def test_the_temperature_is_changed_in_a_few_keys_and_marked_as_different(run: Running) -> None:
    await opened(run, "temp")
    assert "0 is greedy" in run.text
    await run.pilot.press("enter", *["backspace"] * 3, *"0.2", "enter")
    await wait_until(run.pilot, lambda: run.session.preset.sampling.temperature == 0.2, "the new temperature")
    await run.until("0.2 *")
    assert "hot" in run.text


async def test_a_value_that_cannot_be_is_refused_while_it_is_typed_and_what_it_takes_is_named(run: Running) -> None:
    screen = await opened(run, "top_p")
    await run.pilot.press("enter", *["backspace"] * 4, *"7")
    await run.until("It may be a number above 0.0 to 1.0")
    await run.pilot.press("enter")
    assert run.app.screen is screen, "it can be corrected"
    assert run.session.preset.sampling.top_p == 0.95
    await run.pilot.press("escape")
    await run.until("Enter edit")
    await run.pilot.press("escape")
    await wait_until(run.pilot, lambda: run.app.screen is run.chat, "closed")


async def test_a_setting_of_the_engine_says_what_its_change_costs_and_waits_for_the_answer(run: Running) -> None:
    await opened(run, "type_k")
    await run.pilot.press("enter", "down")
    await run.until("Makes a new context")
    await run.pilot.press("enter")
    await run.session.switching.settled()
    assert run.session.preset.type_k != "f16"
    assert len(run.backend.loads) == 2
    await run.pilot.press("alt+r")
    await run.session.switching.settled()
    await wait_until(run.pilot, lambda: run.session.preset.type_k == "f16", "set back to what the preset says")


async def test_two_changes_that_wait_for_an_answer_are_both_made(run: Running) -> None:
    run.backend.gated = True
    run.session.send("Hi")
    run.session.switching.change({"n_ctx": "2048"})
    run.session.switching.change({"n_batch": "256"})
    run.session.switching.change({"sampling.temperature": "0"})
    assert run.session.preset.sampling.temperature == 0
    run.backend.release(100)
    run.backend.gated = False
    await run.session.wait_idle()
    await run.session.switching.settled()
    preset = run.session.preset
    assert (preset.n_ctx, preset.n_batch, preset.sampling.temperature) == (2048, 256, 0)


async def test_the_settings_are_saved_as_a_preset_which_is_used_and_no_longer_differs(run: Running) -> None:
    await run.send("/set top_k 10")
    await opened(run, "top_k")
    await run.until("10 *")
    await run.pilot.press("alt+s")
    await run.until("Save the settings as a preset")
    await run.pilot.press(*["backspace"] * 5, *"mine", "enter")
    await run.until("Settings of mine")
    await wait_until(run.pilot, lambda: "10 *" not in run.text, "nothing differs")
    assert PresetFolder().load().presets["mine"].sampling.top_k == 10
    assert run.session.preset.name == "mine"


async def test_another_preset_is_replaced_only_after_a_question(run: Running) -> None:
    await opened(run)
    await run.pilot.press("alt+s")
    await run.until("Save the settings as a preset")
    await run.pilot.press(*["backspace"] * 5, *"fast", "enter")
    await run.until("Replace preset fast?")
    await run.pilot.press("escape")
    await run.until("Settings of daily")
    assert "fast" not in PresetFolder().load().own


async def test_set_with_a_name_alone_edits_that_setting_and_text_keeps_its_lines(run: Running) -> None:
    run.session.switching.change({"system": "Be brief.\nUse C:\\n."})
    await run.send("/set system")
    await run.until("system = ")
    assert r"Be brief.\nUse C:\\n." in run.text
    await run.pilot.press("end", *" Now.", "enter")
    await wait_until(run.pilot, lambda: run.session.preset.system == "Be brief.\nUse C:\\n. Now.", str(run.session.preset.system))


async def test_an_unknown_setting_is_refused_with_the_nearest(run: Running) -> None:
    await run.send("/set temprature 1")
    await run.until_noticed("Did you mean sampling.temperature?")


async def test_the_description_of_the_preset_in_use_is_edited_where_it_is_asked_for(run: Running) -> None:
    await run.send("/set description")
    await run.until("description = ")
    await run.pilot.press(*"!", "enter")
    await wait_until(run.pilot, lambda: run.session.preset.description.endswith("!"), run.session.preset.description)
