"""A person chats: the whole screen on a backend that says a script."""

from __future__ import annotations

import stat
from inspect import signature
from pathlib import Path

import pytest
from textual.widgets import OptionList

from engine.backend import StopReason
from engine.errors import ModelError
from engine.events import Notice
from engine.paths import state_dir
from tests.fake_backend import ENGINE_DIED, FakeBackend
from tests.tui.host import wait_until
from tests.tui.program import program
from tests.tui.saved import save_session
from tui.actions.registry import ACTIONS, BY_ID, Scope
from tui.choices import KnownModel
from tui.dialogs.confirm import Confirm
from tui.dialogs.help import HelpScreen
from tui.dialogs.palette import Palette
from tui.dialogs.text import LogScreen, PromptScreen
from tui.library.sessions import SessionsScreen
from tui.models.models import ModelsScreen

pytestmark = pytest.mark.slow


async def test_a_message_is_answered_and_its_timings_stand_below() -> None:
    async with program() as run:
        await run.send("Good morning")
        await run.until("Hello there.")
        await run.until("3 tokens")
        assert "Good morning" in run.text
        assert "fake-Q4_K_M" in run.text
        assert run.chat.prompt.text == ""


async def test_text_is_painted_while_it_arrives_and_its_end_is_never_lost() -> None:
    backend = FakeBackend(script=[f"word{number} " for number in range(40)], gated=True)
    async with program(backend) as run:
        await run.send("Count")
        backend.release(10)
        await run.until("word3")
        assert "word39" not in run.text
        assert "answering" in run.text
        backend.release(30)
        await run.until("word39")
        await run.until("40 tokens")


async def test_escape_stops_the_answer_keeps_it_and_continue_goes_on() -> None:
    backend = FakeBackend(script=["one ", "two ", "three"], gated=True)
    async with program(backend) as run:
        await run.send("Count")
        backend.release(1)
        await run.until("one")
        await run.pilot.press("escape")
        await run.until("Stopped. Alt+C goes on.")
        backend.gated = False
        await run.pilot.press("alt+c")
        await run.answered()
        assert run.session.branch[-1].text == "one one two three"
        await run.until("one one two three")
        await run.until("2/2")


async def test_regenerate_makes_a_sibling_that_left_and_right_switch() -> None:
    backend = FakeBackend()
    async with program(backend) as run:
        await run.send("Hi")
        await run.answered()
        backend.script = ("Another", " answer.")
        await run.pilot.press("ctrl+r")
        await run.until("Another answer.")
        await run.until("2/2")
        await run.pilot.press("ctrl+up")
        await run.pilot.press("left")
        await run.until("Hello there.")
        assert "Another answer." not in run.text


async def test_editing_a_message_sends_it_as_another_version() -> None:
    async with program() as run:
        await run.send("First wording")
        await run.answered()
        await run.pilot.press("alt+e")
        assert run.chat.prompt.text == "First wording"
        await run.send("Second wording")
        await run.answered()
        assert [message.text for message in run.session.branch] == ["Second wording", "Hello there."]
        assert run.session.turns.conversation.siblings(run.session.branch[0].id) == (1, 2)


async def test_escape_leaves_editing_before_anything_else() -> None:
    async with program() as run:
        await run.send("Hi")
        await run.answered()
        await run.pilot.press("alt+e")
        await run.pilot.press("escape")
        assert run.chat.composing.editing is None
        assert run.chat.prompt.text == ""


async def test_a_message_sent_before_the_model_is_loaded_waits_for_it() -> None:
    backend = FakeBackend()
    backend.load_gate.clear()
    async with program(backend, ready=False) as run:
        await run.send("Early bird")
        await run.until_noticed("waits for the model")
        await run.until("loading")
        backend.load_gate.set()
        await run.until("Hello there.")
        assert run.session.branch[0].text == "Early bird"


async def test_a_model_that_cannot_be_used_gives_the_message_back_and_the_chat_lives_on() -> None:
    backend = FakeBackend(load_error=ModelError("bad.gguf is no GGUF file", "it begins with PNG", "Pick another with F3."))
    async with program(backend, ready=False) as run:
        await run.until_noticed("bad.gguf is no GGUF file")
        await run.until("no model")
        await run.send("Anybody?")
        await run.until_noticed("No model is loaded")
        assert run.chat.prompt.text == "Anybody?"


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
    async with program(backend) as run:
        await run.send("Go")
        backend.release(2)
        await run.pilot.press("alt+b")
        await wait_until(run.pilot, lambda: backend.stream_batch == 8)
        await run.until("batch 8")
        await run.pilot.press("alt+s")
        await run.until("batch 4")
        await run.pilot.press("alt+a")
        await run.until("auto")
        backend.release(50)
        await run.answered()


async def test_sessions_are_found_resumed_renamed_and_deleted(tmp_path: Path) -> None:
    async with program(database=tmp_path / "chat.db") as run:
        await run.send("About elephants")
        await run.answered()
        await run.pilot.press("ctrl+n")
        await run.until("Write a message and press Enter.")
        await run.send("About tigers")
        await run.answered()
        await run.pilot.press("f2")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, SessionsScreen))
        await run.until("About elephants")
        assert "open now" in run.text
        await run.pilot.press(*"elephants")
        await wait_until(run.pilot, lambda: run.app.screen.query_one(OptionList).option_count == 1)
        await run.pilot.press("alt+n")
        await run.until("Another title")
        await run.pilot.press("!", "enter")
        await run.until("About elephants!")
        await run.pilot.press("enter")
        await wait_until(run.pilot, lambda: bool(run.session.branch) and run.session.branch[0].text == "About elephants")
        await run.pilot.press("f2")
        await run.until("About tigers")
        await run.pilot.press("alt+d")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, Confirm))
        await run.until("goes with its 2 messages")
        await run.pilot.press("right", "enter")
        await wait_until(run.pilot, lambda: run.app.screen.query_one(OptionList).option_count == 1)
        assert [info.title for info in await run.session.library.sessions()] == ["About elephants!"]


async def test_a_long_conversation_resumes_at_its_end(tmp_path: Path) -> None:
    database = tmp_path / "chat.db"
    async with program(database=database) as run:
        for number in range(3):
            await run.send(f"Question {number}")
            await run.answered()
    async with program(database=database, resume=0) as run:
        await run.until("Question 2")
        assert [message.text for message in run.session.branch][::2] == ["Question 0", "Question 1", "Question 2"]


async def test_a_resumed_conversation_says_who_answered_how_fast_and_why_it_ended(tmp_path: Path) -> None:
    backend = FakeBackend(script=["half ", "never"], gated=True)
    database = tmp_path / "chat.db"
    async with program(backend, database=database) as run:
        await run.send("Hi")
        backend.release(1)
        await run.until("half")
        await run.pilot.press("escape")
        await run.until("first token after")
        shown = [line.partition("│")[0].strip() for line in run.text.splitlines()]
        label, note = (next(line for line in shown if words in line) for words in ("fake", "first token after"))
    async with program(database=database, resume=0) as run:
        await run.until("Stopped. Alt+C goes on.")
        assert note in run.text
        assert label in run.text


async def test_an_answer_that_failed_still_says_why_when_it_is_resumed(tmp_path: Path) -> None:
    session_id, _, _ = await save_session(tmp_path / "chat.db", "Hi", error="The window is full. Shorten it.", stop_reason=StopReason.ERROR)
    async with program(database=tmp_path / "chat.db", resume=session_id) as run:
        await run.until("The window is full. Shorten it.")


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
        await run.until("No message was sent yet.")
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


async def test_when_the_engine_dies_a_restart_on_the_same_session_is_offered(tmp_path: Path) -> None:
    backend = FakeBackend(script=["a", "b"], gated=True)
    async with program(backend, database=tmp_path / "chat.db", restart=("/bin/xchat",)) as run:
        await run.send("Hi")
        backend.release(1)
        backend.die(ENGINE_DIED)
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, Confirm))
        await run.until("GGML_ASSERT failed")
        number = run.session.info.id if run.session.info else None
        await run.pilot.press("enter")
        await wait_until(run.pilot, lambda: run.app.restart_command is not None)
        assert run.app.restart_command == ["/bin/xchat", "/models/fake-Q4_K_M.gguf", "--resume", str(number)]


async def test_quitting_in_the_middle_of_an_answer_saves_it(tmp_path: Path) -> None:
    backend = FakeBackend(script=["half ", "never"], gated=True)
    database = tmp_path / "chat.db"
    async with program(backend, database=database) as run:
        await run.send("Hi")
        backend.release(1)
        await run.until("half")
        await run.pilot.press("ctrl+q")
        await wait_until(run.pilot, lambda: run.app.return_code == 0)
    async with program(database=database, resume=0) as run:
        await run.until("half")
        assert run.session.branch[-1].text.startswith("half")


async def test_not_logging_is_visible() -> None:
    async with program() as run:
        await run.until("not logged")


async def test_turns_left_out_of_the_window_are_told() -> None:
    backend = FakeBackend(n_ctx=700)
    async with program(backend) as run:
        for number in range(4):
            await run.send(f"{number} " + "long message " * 20)
            await run.answered()
        await run.until("left out")


async def test_thinking_is_folded_and_unfolds_on_a_key() -> None:
    async with program(FakeBackend(script=["<think>", "secret plan", "</think>", "Answer"])) as run:
        await run.send("Think")
        await run.until("Thought, 2 words")
        assert "secret plan" not in run.text
        await run.pilot.press("ctrl+t")
        await run.until("secret plan")


async def test_what_a_model_emits_stays_text_from_end_to_end() -> None:
    async with program(FakeBackend(script=["\x1b]0;title\x07", "[red]", "x[/red]"])) as run:
        await run.send("[bold]hi[/bold] \x1b[2J")
        await run.until("␛]0;title␇[red]x[/red]")
        assert "[bold]hi[/bold] ␛[2J" in run.text


async def test_notices_take_no_markup() -> None:
    async with program() as run:
        run.app.show_notice(Notice("warning", "[red]title[/red]", "[link=x]detail[/link]", "\x1b[31mhint"))
        await run.until_noticed("[link=x]detail[/link]")
        await run.until("[link=x]detail[/link]")


async def test_copying_the_last_answer_and_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    async with program(FakeBackend(script=["Text\n\n```py\nx = 1\n```\n"])) as run:
        copied: list[str] = []

        async def keep(text: str) -> None:
            copied.append(text)

        monkeypatch.setattr(run.app, "copy", keep)
        await run.send("Code")
        await run.answered()
        await run.pilot.press("ctrl+y")
        await run.pilot.press("alt+y")
        await wait_until(run.pilot, lambda: len(copied) == 2)
        assert copied == ["Text\n\n```py\nx = 1\n```\n", "x = 1"]


@pytest.mark.parametrize("size", [(200, 50), (120, 40), (80, 24), (60, 20), (40, 10), (20, 6)])
async def test_nothing_overlaps_or_breaks_at_any_size(size: tuple[int, int]) -> None:
    async with program(size=size) as run:
        await run.send("Hi")
        await run.answered()
        if size[0] >= 40:
            await run.until("Hello there.")
        chat = run.chat
        shown = [widget for widget in (chat.transcript, chat.prompt, chat.status_line, chat.key_bar) if widget.region.area]
        for index, one in enumerate(shown):
            assert all(not one.region.overlaps(other.region) for other in shown[index + 1 :])
        place = chat.query_one("#panel-place")
        assert place.display == (size[0] >= 100 or (size[1] >= 26 and size[0] >= 36))
        assert not place.display or not place.region.overlaps(chat.transcript.region)


async def test_resizing_at_any_moment_loses_nothing() -> None:
    backend = FakeBackend(script=[f"w{number} " for number in range(30)], gated=True)
    async with program(backend) as run:
        await run.send("Go")
        for size in ((80, 24), (40, 10), (200, 50), (60, 20)):
            backend.release(7)
            await run.pilot.resize_terminal(*size)
        backend.release(10)
        await run.answered()
        await run.until("w29")


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
            Scope.DIALOG: (HelpScreen, Palette),
        }
        for action in ACTIONS:
            if action.scope in owners and action.id != "accept":
                assert any(hasattr(owner, f"action_{action.id}") for owner in owners[action.scope]), action.id


async def test_a_command_that_needs_words_is_put_into_the_prompt_when_it_comes_without() -> None:
    async with program() as run:
        run.app.do("change_setting")
        await wait_until(run.pilot, lambda: run.chat.prompt.text == "/set ")
        await run.until_noticed("/set KEY VALUE: Change one setting")
        await run.send("/set temperature 0.2")
        await wait_until(run.pilot, lambda: run.session.preset.sampling.temperature == 0.2)
        assert run.chat.prompt.text == ""


async def test_hints_of_the_engine_name_the_keys_in_force() -> None:
    async with program(ready=False, model=None, keys={"models": "f11"}) as run:
        await wait_until(run.pilot, lambda: not run.chat.models.first_expected)
        await run.send("Anybody?")
        await run.until_noticed("or pick one: F11.")


async def test_single_panes_are_shown_and_hidden_from_the_palette() -> None:
    async with program(size=(200, 60)) as run:
        await wait_until(run.pilot, lambda: run.chat.panel.widget is not None)
        assert run.chat.panel.widget is not None
        before = len(run.chat.panel.widget.panes)
        await run.pilot.press("ctrl+p", *"events pane", "enter")
        await wait_until(run.pilot, lambda: len(run.chat.panel.widget.panes) == before - 1)  # type: ignore[union-attr]


async def test_what_was_typed_is_remembered_in_private() -> None:
    async with program() as run:
        await run.send("remember me")
        await run.answered()
        assert stat.S_IMODE((state_dir() / "prompts.jsonl").stat().st_mode) == 0o600


async def test_a_turn_that_fails_says_why_and_the_next_one_works() -> None:
    backend = FakeBackend(script=["partial"], error=ModelError("The window is too small", "the prompt has 9,000 tokens"))
    async with program(backend) as run:
        await run.send("Hi")
        await run.until("The window is too small: the prompt has 9,000 tokens")
        backend.error, backend.reason = None, StopReason.EOG
        await run.send("Again")
        await run.until("1 token ")


async def test_a_window_that_was_tiny_for_a_moment_still_follows_a_long_answer() -> None:
    backend = FakeBackend(script=[f" word{number}" for number in range(600)], gated=True)
    async with program(backend) as run:
        await run.send("Go")
        backend.release(300)
        await run.until("word299")
        for size in ((8, 3), (120, 40), (1, 1), (37, 60), (120, 36)):
            await run.pilot.resize_terminal(*size)
            assert run.chat.transcript.following
        backend.release(300)
        await run.answered()
        await run.until("word599")
