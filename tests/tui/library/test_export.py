"""Exporting from the screen."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from textual.widgets import Checkbox, Input, OptionList, Static

from tests.tui.host import wait_until
from tests.tui.program import Running, program
from tests.tui.saved import save_session
from tui.library.export import ExportScreen

pytestmark = pytest.mark.slow


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return tmp_path / "chat.db"


async def opened(run: Running) -> ExportScreen:
    await wait_until(run.pilot, lambda: isinstance(run.app.screen, ExportScreen))
    assert isinstance(run.app.screen, ExportScreen)
    return run.app.screen


def choose(screen: ExportScreen, which: str, name: str) -> None:
    choices = screen.query_one(f"#{which}", OptionList)
    choices.highlighted = next(place for place, option in enumerate(choices.options) if str(option.prompt) == name)


async def test_one_key_and_enter_write_the_chat_as_a_document(database: Path) -> None:
    session_id, _, _ = await save_session(database, "Top secret")
    async with program(database=database, resume=session_id) as run:
        await run.until("Answer 0")
        await run.pilot.press("alt+x")
        await opened(run)
        await run.pilot.press("enter")
        await run.until("Exported to")
        text = (Path.cwd() / f"xchat-session-{session_id}-chat.md").read_text("utf-8")
        assert text.startswith("# Top secret\n")
        assert "Answer 0 to Top secret" in text


async def test_a_page_is_written_into_this_folder_and_its_path_is_copied(database: Path) -> None:
    session_id, _, _ = await save_session(database, "Top secret")
    async with program(database=database, resume=session_id) as run:
        await run.until("Answer 0")
        await run.pilot.press("alt+x")
        screen = await opened(run)
        choose(screen, "what", "turns")
        choose(screen, "format", "html")
        await run.pilot.press("enter")
        await run.until("Exported to")
        target = Path.cwd() / f"xchat-session-{session_id}-turns.html"
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        page = target.read_text("utf-8")
        assert "<svg" in page
        assert "Top secret" not in page
        await run.pilot.press("shift+tab", "enter")
        await run.until_noticed("Copied")
        await wait_until(run.pilot, lambda: run.app.screen is run.chat)


async def test_what_and_format_change_the_name_until_the_person_does(database: Path) -> None:
    session_id, _, _ = await save_session(database, "Top secret")
    async with program(database=database, resume=session_id) as run:
        await run.until("Answer 0")
        await run.pilot.press("alt+x")
        screen = await opened(run)
        choose(screen, "what", "chat")
        choose(screen, "format", "jsonl")
        file = screen.query_one("#file", Input)
        await wait_until(run.pilot, lambda: file.value.endswith("-chat.jsonl"))
        file.value = "mine.json"
        choose(screen, "format", "json")
        await run.pilot.pause()
        assert file.value == "mine.json"
        file.focus()
        await run.pilot.press("enter")
        await run.until("Exported to")
        assert "Top secret" in Path("mine.json").read_text("utf-8")


async def test_texts_come_along_when_asked_for(database: Path) -> None:
    session_id, _, _ = await save_session(database, "Top secret")
    async with program(database=database, resume=session_id) as run:
        await run.until("Answer 0")
        await run.pilot.press("alt+x")
        screen = await opened(run)
        choose(screen, "what", "turns")
        choose(screen, "format", "html")
        screen.query_one("#texts", Checkbox).value = True
        await run.pilot.press("enter")
        await run.until("Exported to")
        assert "Top secret" in Path(f"xchat-session-{session_id}-turns.html").read_text("utf-8")


async def test_a_file_in_the_way_is_overwritten_when_that_is_asked_for_once_more(database: Path) -> None:
    session_id, _, _ = await save_session(database, "Hello")
    taken = Path(f"xchat-session-{session_id}-chat.md")
    taken.write_text("mine", encoding="utf-8")
    async with program(database=database, resume=session_id) as run:
        await run.until("Answer 0")
        await run.pilot.press("alt+x")
        await opened(run)
        await run.pilot.press("enter")
        await run.until("overwrite")
        assert taken.read_text("utf-8") == "mine"
        await run.pilot.press("enter")
        await run.until("Exported to")
        assert taken.read_text("utf-8").startswith("# Hello")


async def test_a_refusal_stands_in_the_dialog_and_another_name_works(database: Path) -> None:
    session_id, _, _ = await save_session(database, "Hello")
    taken = Path(f"xchat-session-{session_id}-chat.md")
    taken.write_text("mine", encoding="utf-8")
    async with program(database=database, resume=session_id) as run:
        await run.until("Answer 0")
        await run.pilot.press("alt+x")
        screen = await opened(run)
        await run.pilot.press("enter")
        # Read from the widget: where the sentence wraps on the screen depends on the length of the path.
        wrong = screen.query_one(".wrong", Static)
        await wait_until(run.pilot, lambda: wrong.display and "exists already" in str(wrong.content))
        assert taken.read_text("utf-8") == "mine"
        screen.query_one("#file", Input).value = str(Path.cwd())
        await run.pilot.press("enter")
        await run.until("is a folder")
        choose(screen, "what", "samples")
        choose(screen, "format", "llama-bench")
        await run.pilot.press("enter")
        await run.until("has no samples")
        choose(screen, "what", "turns")
        screen.query_one("#file", Input).value = "rows.sql"
        await run.pilot.press("enter")
        await run.until("Exported to")
        assert "INSERT INTO" in Path("rows.sql").read_text("utf-8")


async def test_the_command_writes_at_once(database: Path) -> None:
    session_id, _, _ = await save_session(database, "Hello")
    async with program(database=database, resume=session_id) as run:
        await run.until("Answer 0")
        await run.send("/export csv turns here.csv")
        await run.until("Exported to")
        assert Path("turns here.csv").read_text("utf-8").startswith("turn_id,")
        await run.pilot.press("escape")
        await run.send("/export pdf")
        await run.until("There is no export format 'pdf'")


async def test_there_is_nothing_to_export_before_the_first_message(database: Path) -> None:
    async with program(database=database) as run:
        await run.send("/export")
        await run.until_noticed("There is nothing to export yet")
