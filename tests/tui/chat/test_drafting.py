"""What is not sent yet belongs to its session and outlives the program; what was sent is found again."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from engine.drafts import KEPT, drafts_path, forget_drafts, read_drafts, write_drafts
from engine.paths import state_dir
from tests.tui.host import wait_until
from tests.tui.program import program
from tui.chat import drafting
from tui.chat.library import LibraryController


@pytest.mark.slow
async def test_each_session_has_its_draft_also_after_a_restart(tmp_path: Path) -> None:
    database = tmp_path / "xchat.db"
    async with program(database=database) as run:
        run.backend.gated = True
        await run.send("First question")
        run.chat.prompt.put("typed while it answers")
        run.chat.drafting.keep()
        run.backend.gated = False
        run.backend.release(100)
        await run.answered()
        await wait_until(run.pilot, lambda: run.session.session_id == 1, "the session has a number")
        run.chat.prompt.put("draft of the first")
        run.session.new_session()
        await wait_until(run.pilot, lambda: run.chat.prompt.text == "", "a new session begins empty")
        run.chat.prompt.put("draft of the new one\nin two lines")
        await run.session.resume(1)
        await wait_until(run.pilot, lambda: run.chat.prompt.text == "draft of the first", "its draft is back")
    assert stat.S_IMODE(drafts_path().stat().st_mode) == 0o600
    async with program(database=database) as run:
        await wait_until(run.pilot, lambda: run.chat.prompt.text == "draft of the new one\nin two lines", "it outlives the program")
        await run.session.resume(1)
        await wait_until(run.pilot, lambda: run.chat.prompt.text == "draft of the first", "so does that of a saved session")
        await run.send("Sent now")
        await run.answered()
    assert read_drafts(drafts_path()) == {"new": "draft of the new one\nin two lines"}


@pytest.mark.slow
async def test_what_is_typed_before_a_session_is_resumed_stays_in_the_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = tmp_path / "xchat.db"
    async with program(database=database) as run:
        await run.send("First question")
        await run.answered()
        run.chat.prompt.put("draft of the first")
    resume = LibraryController.resume

    async def type_first(self: LibraryController, session_id: int) -> None:
        self._context.prompt.put("typed early")
        await asyncio.sleep(3 * drafting.WRITE_S)
        await resume(self, session_id)

    monkeypatch.setattr(LibraryController, "resume", type_first)
    monkeypatch.setattr(drafting, "WRITE_S", 0.05)
    async with program(database=database, resume=1) as run:
        await run.until("First question")
        assert run.chat.prompt.text == "typed early"
        await wait_until(run.pilot, lambda: read_drafts(drafts_path()) == {"1": "typed early"}, "it is the draft of that session")


@pytest.mark.slow
async def test_a_draft_is_written_while_one_types_and_not_without_a_log() -> None:
    async with program() as run:
        await run.pilot.press(*"hi")
        await wait_until(run.pilot, lambda: read_drafts(drafts_path()) == {"new": "hi"}, "written after a moment")
    drafts_path().unlink()
    async with program(log=False) as run:
        await run.pilot.press(*"secret")
        await run.pilot.pause()
    assert not drafts_path().exists()


@pytest.mark.slow
async def test_another_version_of_a_message_is_not_a_draft() -> None:
    async with program() as run:
        await run.send("Question")
        await run.answered()
        await run.pilot.press("alt+e")
        await wait_until(run.pilot, lambda: run.chat.prompt.text == "Question", "it is edited")
    assert read_drafts(drafts_path()) == {}


@pytest.mark.slow
async def test_a_sent_message_is_found_by_its_words() -> None:
    async with program(size=(80, 24)) as run:
        for text in ("What is a KV cache?", "And a token?"):
            await run.send(text)
            await run.answered()
        await run.pilot.press("alt+h", *"kv")
        await run.until("Messages you sent")
        await run.pilot.press("enter")
        await wait_until(run.pilot, lambda: run.chat.prompt.text == "What is a KV cache?", "it is in the prompt")


def test_a_deleted_session_takes_its_draft_along_and_a_damaged_file_is_only_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "drafts.json"
    write_drafts(path, {"1": "a", "2": "b", "3": " "})
    forget_drafts(path, [1, 7])
    assert read_drafts(path) == {"2": "b"}
    path.write_text('{"1": [')
    write_drafts(path, {str(number): "x" for number in range(2 * KEPT)})
    assert list(read_drafts(path)) == [str(number) for number in range(KEPT, 2 * KEPT)]


@pytest.mark.slow
async def test_a_persona_becomes_the_system_prompt_and_a_snippet_asks_for_its_variables() -> None:
    async with program(size=(80, 24)) as run:
        await run.pilot.press("alt+u", *"teacher")
        await run.until("persona  teacher")
        await run.pilot.press("enter")
        await wait_until(run.pilot, lambda: "patient teacher" in (run.session.preset.system or ""), "the persona is used")
        await run.pilot.press("alt+u", *"snippet explain")
        await run.until("snippet  explain")
        await run.pilot.press("enter")
        await run.until("explain: what")
        await run.pilot.press(*"KV caches", "enter")
        await run.until("explain: whom")
        await run.pilot.press("enter")
        wanted = "Explain KV caches to a beginner, with one example."
        await wait_until(run.pilot, lambda: run.chat.prompt.text == wanted, run.chat.prompt.text)


@pytest.mark.slow
async def test_a_message_that_a_killed_program_left_in_a_file_is_removed_at_the_start() -> None:
    left = state_dir() / "message-4999999-x1.md"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_text("private")
    async with program() as run:
        await wait_until(run.pilot, lambda: not left.exists(), "it is removed")
