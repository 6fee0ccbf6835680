"""Finding saved conversations, looking at their branches, and what is done to them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual.widgets import OptionList

from engine.records import Message, TurnRecord
from engine.store.writer import Store
from tests.tui.host import wait_until
from tests.tui.program import Running, program
from tests.tui.saved import save_session
from tui.dialogs.confirm import Confirm
from tui.library.branches import BranchesScreen
from tui.library.sessions import PAGE, SessionsScreen

pytestmark = pytest.mark.slow


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "chat.db"


async def browse(run: Running) -> SessionsScreen:
    await run.pilot.press("f2")
    await wait_until(run.pilot, lambda: isinstance(run.app.screen, SessionsScreen))
    screen = run.app.screen
    assert isinstance(screen, SessionsScreen)
    return screen


def count(run: Running) -> int:
    return run.app.screen.query_one(OptionList).option_count


async def counted(run: Running, rows: int) -> None:
    await wait_until(run.pilot, lambda: count(run) == rows, f"{rows} rows instead of {count(run)} on\n{run.text}")


async def test_the_list_has_a_turn_that_the_screen_showed_before_the_disk_had_it(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_disk, save_turn = asyncio.Event(), Store.save_turn

    async def late(store: Store, turn: TurnRecord, answer: Message) -> None:
        await on_disk.wait()
        await save_turn(store, turn, answer)

    monkeypatch.setattr(Store, "save_turn", late)
    async with program(database=database) as run:
        await run.send("Question")
        await run.until("tokens/s")
        await browse(run)
        await run.pilot.pause()
        on_disk.set()
        await run.until("1 turn")


async def test_a_search_shows_the_words_and_goes_on_at_the_message(database: Path) -> None:
    _, messages, _ = await save_session(database, "About llamas", "What do alpacas eat", answers=2)
    await save_session(database, "About nothing")
    async with program(database=database) as run:
        await browse(run)
        await run.pilot.press(*"alpac")
        await run.until("What do alpacas eat")
        await counted(run, 3)
        await run.pilot.press("down", "down", "enter")
        await wait_until(run.pilot, lambda: bool(run.session.branch), "resumed")
        await wait_until(run.pilot, lambda: run.chat.transcript.chosen_id is not None, "the hit is picked")
        assert run.chat.transcript.chosen_id in {message.id for message in messages[3:]}


async def test_a_hit_in_the_open_session_moves_to_its_branch_without_reading_it_again(database: Path) -> None:
    session_id, messages, _ = await save_session(database, "Question", answers=2)
    async with program(database=database, resume=session_id) as run:
        await run.until("Answer 1 to Question")
        await browse(run)
        await run.pilot.press(*'"answer 0"')
        await counted(run, 1)
        await run.pilot.press("enter")
        await run.until("Answer 0 to Question")
        assert run.session.branch[-1].id == messages[1].id


async def test_a_session_found_by_its_title_only_is_listed_too(database: Path) -> None:
    await save_session(database, "Hello", title="Notes on geology")
    async with program(database=database) as run:
        await browse(run)
        await run.pilot.press(*"geolo")
        await run.until("Notes on geology")
        await counted(run, 1)
        await run.pilot.press(*"xx")
        await run.until("No session matches these words.")


async def test_all_sessions_with_the_words_in_the_title_are_found_and_counted(database: Path) -> None:
    for number in range(PAGE + 6):
        await save_session(database, f"Say {number}", title=f"Übung {number}: topic three")
    await save_session(database, "My topic", title="Another")
    async with program(database=database) as run:
        await browse(run)
        await run.pilot.press(*"TOPIC übung")
        await run.until(f"0 in messages, {PAGE + 6} titles")
        run.app.screen.query_one(OptionList).highlighted = PAGE - 1
        await counted(run, PAGE + 6)
        await run.pilot.press(*["backspace"] * 6)
        await run.until(f"2 in messages, {PAGE + 6} titles")


async def test_filters_turn_through_what_there_is_and_back_to_all(database: Path) -> None:
    await save_session(database, "One", model="Alpha", quant="Q8_0", preset="fast")
    await save_session(database, "Two", model="Beta", quant="Q4_K_M", preset="daily")
    async with program(database=database) as run:
        await browse(run)
        await counted(run, 2)
        await run.pilot.press("alt+o")
        await run.until("Model Alpha")
        await counted(run, 1)
        await run.pilot.press("alt+q")
        await run.until("Quant Q4_K_M")
        await run.until("No session matches the filters. Clear the filters: Alt+H.")
        await run.pilot.press("alt+h")
        await counted(run, 2)
        await run.pilot.press("alt+u", "alt+u")
        await run.until("Preset fast")
        await counted(run, 1)
        await run.pilot.press("alt+u", "alt+w")
        await run.until("24 hours")
        await run.until("No session matches the filters.")


async def test_a_pinned_session_goes_to_the_top(database: Path) -> None:
    old, _, _ = await save_session(database, "Older", at_ms=1_000)
    await save_session(database, "Newer", at_ms=2_000)
    async with program(database=database) as run:
        await browse(run)
        await counted(run, 2)
        await run.pilot.press("down", "alt+i")
        await run.until("pinned")
        assert (await run.session.library.sessions())[0].id == old
        await run.pilot.press("alt+i")
        await wait_until(run.pilot, lambda: "pinned" not in run.text)


async def test_deleting_asks_and_says_what_goes(database: Path) -> None:
    await save_session(database, "Doomed", answers=2)
    async with program(database=database) as run:
        await browse(run)
        await run.until("Doomed")
        await run.pilot.press("alt+d")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, Confirm))
        await run.until("3 messages of all branches, 2")
        await run.pilot.press("enter")
        await counted(run, 1)
        await run.pilot.press("alt+d")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, Confirm))
        await run.pilot.press("right", "enter")
        await run.until("No sessions yet.")


async def test_the_preview_shows_the_end_of_the_chosen_session_as_data(database: Path) -> None:
    await save_session(database, "Hi \x1b[31mred [bold]x[/]\x07", "Second question")
    async with program(database=database, size=(200, 50)) as run:
        await browse(run)
        await run.until("Answer 0 to Second question")
        await run.until("␛[31mred [bold]x[/]")
        assert run.app.screen.has_class("-wide")


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (200, 50), (36, 12)])
async def test_every_view_stands_at_any_size(database: Path, size: tuple[int, int]) -> None:
    await save_session(database, "First", "Second", answers=2)
    async with program(database=database, size=size) as run:
        await browse(run)
        await run.until("First")
        await run.pilot.press("alt+g")
        await run.until("1/2")
        await run.pilot.press("escape", "alt+m")
        await run.until("Performance of")
        await run.pilot.press("alt+x")
        await run.until("Export session")
        await run.pilot.press("escape", "escape", "escape")
        await wait_until(run.pilot, lambda: run.app.screen is run.chat)


async def test_more_sessions_than_a_page_are_read_as_one_goes_down(database: Path) -> None:
    from engine.store.writer import Store

    store = await Store.open(database)
    for number in range(PAGE + 30):
        await store.create_session(f"Session {number}", number)
    await store.close()
    async with program(database=database) as run:
        screen = await browse(run)
        await counted(run, PAGE)
        assert str(PAGE + 30) in run.text
        screen.options.highlighted = PAGE - 1
        await counted(run, PAGE + 30)
        await run.until(str(PAGE + 30))


async def test_branches_are_shown_and_enter_opens_one(database: Path) -> None:
    session_id, messages, _ = await save_session(database, "Why", "And then", answers=2)
    async with program(database=database) as run:
        await browse(run)
        await run.until("Why")
        await run.pilot.press("alt+g")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, BranchesScreen))
        await run.until("3 branches, 6 messages")
        listing = run.app.screen.query_one(OptionList)
        await wait_until(run.pilot, lambda: listing.highlighted == 5)
        await run.pilot.press("left")
        assert listing.highlighted == 4
        await run.pilot.press("up", "left")
        assert listing.highlighted == 1
        await run.until("Answer 0 to Why")
        await run.pilot.press("enter")
        await wait_until(run.pilot, lambda: bool(run.session.branch) and run.session.branch[-1].id == messages[1].id)
        assert run.session.session_id == session_id
        await wait_until(run.pilot, lambda: run.chat.transcript.chosen_id == messages[1].id)


async def test_a_long_run_of_messages_is_folded_until_enter(database: Path) -> None:
    await save_session(database, *(f"Question {number}" for number in range(10)))
    async with program(database=database) as run:
        await browse(run)
        await run.until("Question 0")
        await run.pilot.press("alt+g")
        await run.until("18 messages")
        await run.pilot.press("up", "enter")
        await run.until("Question 4")
        assert count(run) == 20


async def test_a_database_that_cannot_be_read_is_told(database: Path) -> None:
    async with program() as run:
        await browse(run)
        await run.until_noticed("There is no database to read")
        await run.pilot.press("escape")
        await wait_until(run.pilot, lambda: run.app.screen is run.chat)
