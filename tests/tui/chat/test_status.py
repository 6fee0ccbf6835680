"""The lines at the bottom say what matters, in whatever room there is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.cells import cell_len

from tests.fake_backend import FakeBackend
from tests.tui.host import Host, screen_text, wait_until
from tests.tui.program import program
from tui.actions.bindings import resolve
from tui.actions.footer import KeyBar
from tui.chat.status import SEPARATOR, Status, StatusLine, fitted

FULL = Status(
    model="Qwen3 0.6B",
    quant="Q4_K_M",
    session="日本語 notes on \x1b[31mcaching",
    preset="daily",
    batch="4 auto",
    logged=False,
    activity="reading the prompt  45% of 2,600 tokens, 3.1 s left",
    left_out=2,
)


@pytest.mark.parametrize("width", [10, 20, 40, 60, 80, 120, 200])
def test_the_line_never_outgrows_the_screen(width: int) -> None:
    parts, right = fitted(FULL, width)
    used = sum(cell_len(text) for _, text in parts) + len(SEPARATOR) * max(0, len(parts) - 1)
    assert used + cell_len(right) + 2 <= max(width, cell_len(right) + 2)
    assert cell_len(right) <= width - 2


def test_that_turns_are_not_logged_is_the_last_thing_to_go() -> None:
    assert ("alarm", "not logged") in fitted(FULL, 70)[0]
    assert [text for _, text in fitted(FULL, 140)[0]][:3] == ["Qwen3 0.6B Q4_K_M", "not logged", "2 oldest turns left out"]


@pytest.mark.parametrize("state", ["slow line", "busy machine"])
def test_what_is_wrong_with_the_line_or_the_machine_stays_longer_than_what_was_chosen(state: str) -> None:
    status = Status(
        model="a-model-with-a-long-name",
        quant="Q4_K_M",
        preset="daily",
        batch="11 auto",
        threads="2 threads auto",
        why="physical cores within the limits of this process",
        context="2,195 of 8,192",
        temperature="0.8",
        changed=True,
        activity="answering  39.8 t/s",
        slow_line=state == "slow line",
        busy_machine=state == "busy machine",
    )
    assert all(("plain", state) in fitted(status, width)[0] for width in range(80, 200))


def test_a_long_title_takes_no_room_from_what_is_less_important_but_fits() -> None:
    status = Status(model="smol", quant="Q4_1", session="Write a long story about a sea captain.", preset="daily", threads="2 threads auto")
    assert [text for _, text in fitted(status, 60)[0]] == ["smol Q4_1", "2 threads auto", "daily"]


def test_a_tuner_sees_context_threads_temperature_and_whether_the_settings_are_those_of_the_preset() -> None:
    status = Status(model="smol", quant="Q4_1", context="2,195 of 8,192", threads="2 threads auto", temperature="0.8", preset="daily")
    status = replace(status, why="physical cores", batch="4 auto")
    assert [text for _, text in fitted(status, 80)[0]] == ["smol Q4_1", "2,195 of 8,192", "2 threads auto", "temp 0.8", "daily"]
    assert {"physical cores", "stream batch 4 auto"} <= {text for _, text in fitted(status, 160)[0]}
    assert ("alarm", "daily*") in fitted(replace(status, changed=True), 80)[0]


def test_names_from_files_and_conversations_are_inert() -> None:
    assert any("␛[31m" in text for _, text in fitted(FULL, 200)[0])


async def test_what_changes_is_shown() -> None:
    line = StatusLine()
    async with Host(line).run_test(size=(100, 4)) as pilot:
        line.show(FULL)
        await pilot.pause()
        assert "reading the prompt" in screen_text(pilot.app)
        line.show(Status(unseen=True))
        await pilot.pause()
        assert "new text below" in screen_text(pilot.app)


async def test_the_key_bar_shows_the_keys_in_force_and_help_and_quit_even_when_narrow() -> None:
    bar = KeyBar()
    async with Host(bar).run_test(size=(30, 4)) as pilot:
        bar.use(resolve({"help": "f9"}))
        await pilot.pause()
        text = screen_text(pilot.app)
        assert "F9 Help" in text
        assert "Ctrl+Q Quit" in text


@pytest.mark.slow
async def test_the_key_bar_follows_what_one_does() -> None:
    backend = FakeBackend(script=["one ", "two ", "three"], gated=True)
    async with program(backend, size=(80, 24)) as run:
        await run.until("F3 Models")
        assert "Esc Stop" not in run.text
        await run.send("Count")
        await run.until("Esc Stop")
        assert "F9 Profile" in run.text
        assert "Regenerate" not in run.text
        backend.release(3)
        await run.answered()
        await run.until("Ctrl+R Regenerate")
        await run.pilot.press("ctrl+up")
        await run.until("Esc Back")
        assert "Alt+E Edit" in run.text
        await run.pilot.press("escape", "ctrl+g")
        await run.until("Enter Expand")
        await run.pilot.press("enter")
        await run.until("Enter Restore")
        await run.pilot.press("escape")
        await run.until("Ctrl+R Regenerate")


@pytest.mark.slow
async def test_the_preset_has_a_star_while_settings_differ_from_it_and_a_key_lists_them() -> None:
    async with program(size=(120, 30)) as run:
        await run.until("temp 0.7")
        await run.send("/set temperature 0.3")
        await run.until("temp 0.3")
        await run.until("daily*")
        await run.pilot.press("alt+o", "*")
        await run.until("temperature")
        await wait_until(run.pilot, lambda: "top_k" not in run.text, "only what differs is listed")
        await run.pilot.press("escape")
        await run.send("/set temperature 0.7")
        await wait_until(run.pilot, lambda: "daily*" not in run.text, "nothing differs")
