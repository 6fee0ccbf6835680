"""Conversations that were saved: found, resumed, renamed, deleted."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from textual.widgets import OptionList

from engine.backend import StopReason
from engine.prompt_history import history_path
from tests.fake_backend import ENGINE_DIED, FakeBackend
from tests.tui.host import wait_until
from tests.tui.program import program
from tests.tui.saved import save_session
from tui.dialogs.confirm import Confirm
from tui.library.sessions import SessionsScreen

pytestmark = pytest.mark.slow


async def test_sessions_are_found_resumed_renamed_and_deleted(tmp_path: Path) -> None:
    async with program(database=tmp_path / "chat.db") as run:
        await run.send("About elephants")
        await run.answered()
        await run.send("/save")
        await run.until_noticed("Everything is saved")
        await run.pilot.press("ctrl+n")
        await run.until("Write a message, or press Tab and a number")
        await run.send("About tigers")
        await run.answered()
        await run.pilot.press("f2")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, SessionsScreen))
        await run.until("About elephants")
        assert "open now" in run.text
        await run.pilot.press(*"elephants")
        await wait_until(run.pilot, lambda: run.app.screen.query_one(OptionList).option_count == 1)
        await run.pilot.press("alt+n")
        await run.until("Rename session")
        await run.pilot.press("!", "enter")
        await run.until("About elephants!")
        await run.pilot.press("enter")
        await wait_until(run.pilot, lambda: bool(run.session.branch) and run.session.branch[0].text == "About elephants")
        await run.pilot.press("f2")
        await run.until("About tigers")
        await run.pilot.press("alt+d")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, Confirm))
        await run.until("is deleted with its 2 messages")
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
        await run.until("Stopped. Continue: Alt+C.")
        assert note in run.text
        assert label in run.text


async def test_an_answer_that_failed_still_says_why_when_it_is_resumed(tmp_path: Path) -> None:
    session_id, _, _ = await save_session(tmp_path / "chat.db", "Hi", error="The window is full. Shorten it.", stop_reason=StopReason.ERROR)
    async with program(database=tmp_path / "chat.db", resume=session_id) as run:
        await run.until("The window is full. Shorten it.")


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


async def test_the_prompts_of_a_deleted_session_are_gone_from_the_history(tmp_path: Path) -> None:
    async with program(database=tmp_path / "xchat.db") as run:
        for text in ("secret of the first session", "said in both", "and another secret"):
            await run.send(text)
            await run.answered()
        await run.session.library.logged()
        session_id = run.session.session_id
        assert session_id is not None
        await run.pilot.press("f2")
        await run.until("secret of the first")
        await run.pilot.press("alt+d")
        await run.until("Delete this session?")
        await run.pilot.press("right", "enter")
        await wait_until(run.pilot, lambda: "secret" not in history_path().read_text(), "the file has forgotten")
        await run.until("No sessions yet.")
        await run.pilot.press("escape")
        await run.pilot.press("up")
        await run.pilot.pause()
        assert run.chat.prompt.text == ""


async def test_prompts_that_are_not_logged_are_not_written() -> None:
    async with program(log=False) as run:
        await run.send("unlogged")
        await run.answered()
    assert not history_path().exists()


async def test_what_was_typed_is_remembered_in_private() -> None:
    async with program() as run:
        await run.send("remember me")
        await run.answered()
        assert stat.S_IMODE(history_path().stat().st_mode) == 0o600
