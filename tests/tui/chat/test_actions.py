"""What keys and commands do in the whole program: pickers, dialogs, settings, panes."""

from __future__ import annotations

from inspect import signature
from pathlib import Path

import pytest

from tests.fake_backend import FakeBackend
from tests.tui.host import wait_until
from tests.tui.program import program
from tui.actions.registry import ACTIONS, BY_ID, Scope
from tui.choices import KnownModel
from tui.dialogs.help import HelpScreen
from tui.dialogs.palette import Palette
from tui.dialogs.text import LogScreen, PromptScreen
from tui.library.sessions import SessionsScreen
from tui.models.models import ModelsScreen

pytestmark = pytest.mark.slow


async def test_an_unknown_command_is_neither_sent_nor_lost() -> None:
    async with program() as run:
        await run.send("/regenrate")
        await run.until_noticed("There is no command /regenrate")
        assert run.chat.prompt.text == "/regenrate"
        assert run.session.branch == ()


async def test_commands_change_theme_settings_and_system_prompt(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("some\r\nnotes \x1b[31m")
    async with program() as run:
        await run.send("/theme light")
        await wait_until(run.pilot, lambda: run.app.theme == "light")
        await run.send("/set temperature 0.2")
        await run.send("/set stream_batch 16")
        await run.send("/system Be brief.")
        await wait_until(run.pilot, lambda: run.session.preset.system == "Be brief.")
        assert run.session.preset.sampling.temperature == 0.2
        assert run.session.slot.stream_batch == 16
        await run.send("/set temperature hot")
        await run.until_noticed("sampling.temperature can't be hot")
        await run.send("/set warmth 3")
        await run.until_noticed("There is no setting 'warmth'")
        await run.send(f"/read {notes}")
        await wait_until(run.pilot, lambda: run.chat.prompt.text == "some\nnotes ␛[31m")
        await run.send("/read /no/such/file")
        await run.until_noticed("/no/such/file can't be read")


async def test_the_knob_turns_while_tokens_flow() -> None:
    backend = FakeBackend(script=["x"] * 50, gated=True)
    async with program(backend, size=(160, 40)) as run:
        await run.send("Go")
        backend.release(2)
        await run.pilot.press("f12")
        await wait_until(run.pilot, lambda: backend.stream_batch == 8)
        line = run.chat.status_line
        await wait_until(run.pilot, lambda: line.status.batch == "8", "the status line knows")
        await run.pilot.press("alt+s")
        await wait_until(run.pilot, lambda: line.status.batch == "4")
        await run.pilot.press("alt+a")
        await wait_until(run.pilot, lambda: "auto" in line.status.batch)
        backend.release(50)
        await run.answered()


async def test_a_model_is_picked_from_the_list_or_by_its_path(tmp_path: Path) -> None:
    known = [KnownModel(Path("/models/one.gguf"), "One 1B", "Q4_K_M"), KnownModel(Path("/models/two.gguf"), "Two 2B", "Q8_0")]
    async with program(known_models=lambda: known) as run:
        await run.pilot.press("f3")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, ModelsScreen))
        await run.until("Two 2B")
        await run.pilot.press(*"two")
        await wait_until(run.pilot, lambda: "One 1B" not in run.text)
        await run.pilot.press("enter")
        await run.until("two Q4_K_M")
        await run.send("/model /models/three.gguf")
        await run.until("three Q4_K_M")


async def test_help_explains_where_one_is_and_shows_the_keys_in_force() -> None:
    async with program(keys={"regenerate": "alt+g"}) as run:
        await run.pilot.press("f1")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, HelpScreen))
        await run.until("The message")
        await run.until("Alt+G")
        await run.pilot.press("f1")
        await wait_until(run.pilot, lambda: run.app.screen is run.chat)


async def test_the_palette_finds_a_command_and_runs_it() -> None:
    async with program() as run:
        await run.pilot.press("ctrl+p")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, Palette))
        await run.pilot.press(*"raw prompt")
        await run.pilot.press("enter")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, PromptScreen))
        await run.until("No message has been sent yet.")
        await run.pilot.press("escape")
        await wait_until(run.pilot, lambda: run.app.screen is run.chat)


async def test_the_theme_picker_switches_themes() -> None:
    async with program() as run:
        await run.pilot.press("alt+t")
        await run.until("Themes")
        await run.pilot.press(*"contrast")
        await run.pilot.press("enter")
        await wait_until(run.pilot, lambda: run.app.theme == "contrast")


async def test_the_native_log_is_shown_inert() -> None:
    async with program(native_log=lambda: ["llama_model_loader: loaded", "\x1b[31m[bold]red[/bold]"]) as run:
        await run.pilot.press("alt+l")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, LogScreen))
        await run.until("␛[31m[bold]red[/bold]")


async def test_bad_keys_themes_and_options_are_told_and_the_program_starts() -> None:
    async with program(keys={"quit": "", "fly": "f9"}, theme="neon") as run:
        for said in ("can't be left without a key", "There is no action 'fly'", "There is no theme 'neon'"):
            await run.until_noticed(said)


async def test_every_action_of_the_registry_has_somebody_who_does_it() -> None:
    async with program() as run:
        anywhere = {**run.app._actions, **run.chat.actions}
        assert set(anywhere) == {action.id for action in ACTIONS if action.scope is Scope.APP}
        for name, handler in anywhere.items():
            takes = [one for one in signature(handler).parameters.values() if one.default is one.empty]
            assert len(takes) == bool(BY_ID[name].argument), name
        owners = {
            Scope.PROMPT: (run.chat.prompt,),
            Scope.TRANSCRIPT: (run.chat.transcript,),
            Scope.LIST: (SessionsScreen,),
            Scope.MODELS: (ModelsScreen,),
            Scope.DIALOG: (HelpScreen, Palette),
        }
        for action in ACTIONS:
            if action.scope in owners and action.id not in {"accept", "take_welcome"}:
                assert any(hasattr(owner, f"action_{action.method.partition('(')[0]}") for owner in owners[action.scope]), action.id


async def test_a_command_that_needs_words_is_put_into_the_prompt_when_it_comes_without() -> None:
    async with program() as run:
        run.app.do("use_quant")
        await wait_until(run.pilot, lambda: run.chat.prompt.text == "/quant ")
        await run.until_noticed("/quant NAME: Use this quant")
        await run.send("/set temperature 0.2")
        await wait_until(run.pilot, lambda: run.session.preset.sampling.temperature == 0.2)
        assert run.chat.prompt.text == ""


async def test_hints_of_the_engine_name_the_keys_in_force() -> None:
    async with program(ready=False, model=None, keys={"models": "f11"}) as run:
        await wait_until(run.pilot, lambda: not run.chat.models.first_expected)
        await run.send("Anybody?")
        await run.until_noticed("or pick one: F11.")


async def test_keys_palette_and_footer_run_the_actions_of_the_focused_widget() -> None:
    async with program(size=(200, 60)) as run:
        await wait_until(run.pilot, lambda: run.chat.panel.widget is not None)
        panel = run.chat.panel.widget
        assert panel is not None
        run.app.do("pause_panel")
        await run.pilot.pause()
        assert not panel._paused, "only the focused widget runs it"
        panel.focus()
        await run.pilot.press("space")
        await wait_until(run.pilot, lambda: panel._paused, "the key pauses the panel")
        await run.pilot.press("ctrl+p", *"measure: pause", "enter")
        await wait_until(run.pilot, lambda: not panel._paused, "the palette resumes it")
        bar = run.chat.key_bar
        column = next(column for column, action in bar._fitting() if action.id == "pause_panel")
        await run.pilot.click(bar, offset=(column, 0))
        await wait_until(run.pilot, lambda: panel._paused, "the footer pauses it")


async def test_notices_name_a_command_where_the_key_was_unbound() -> None:
    async with program(keys={"capture": "", "flame": ""}) as run:
        await run.send("/flame")
        await run.until_noticed("Record one: /profile.")


async def test_an_action_without_a_key_gets_the_one_of_the_config() -> None:
    async with program(keys={"doctor": "f12", "read_file": "f9", "capture": ""}) as run:
        await run.pilot.press("f12")
        await run.until("Instruction sets")
        await run.pilot.press("escape", "f9")
        await wait_until(run.pilot, lambda: run.chat.prompt.text == "/read ", "the prompt asks for the file")


async def test_single_panes_are_shown_and_hidden_from_the_palette() -> None:
    async with program(size=(200, 60)) as run:
        await wait_until(run.pilot, lambda: run.chat.panel.widget is not None)
        assert run.chat.panel.widget is not None
        before = len(run.chat.panel.widget.panes)
        await run.pilot.press("ctrl+p", *"events pane", "enter")
        await wait_until(run.pilot, lambda: len(run.chat.panel.widget.panes) == before - 1)  # type: ignore[union-attr]
