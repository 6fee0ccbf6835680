from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from engine.profiling.records import CaptureMode, CaptureRecord, Overhead, ThreadLane
from tests.engine.profiling.captures import record, timed
from tests.tui.host import Host, screen_lines, screen_text, wait_until
from tests.tui.program import program
from tui.actions.footer import KeyBar
from tui.flame.icicle import Icicle
from tui.flame.screen import FlameScreen
from tui.flame.subject import CaptureSubject, DiffSubject, Subject
from tui.flame.table import RowTable

pytestmark = pytest.mark.slow

LANES = (ThreadLane(1, "compute", True, (95.0, 100.0)), ThreadLane(2, "worker 2", False, (50.0, 60.0)))
CAPTURE = record(model="tiny", quant="Q4", preset="daily", tokens=120, failures=3, lanes=LANES)


def said(pilot: Pilot[Any]) -> str:
    """The notices so far."""
    return "\n".join(notice.message for notice in pilot.app._notifications)


async def opened(pilot: Pilot[Any], subject: Subject | None = None, **options: Any) -> FlameScreen:
    screen = FlameScreen(subject or CaptureSubject(CAPTURE), **options)
    await pilot.app.push_screen(screen)
    await pilot.pause()
    return screen


async def test_everything_that_matters_is_said_at_80x24() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        lines = screen_lines(pilot.app)
        assert "Capture 1 · Python frames, without pausing · tiny Q4 · preset daily" in lines[0]
        assert "2.0 s at 50/s · 120 tokens · 3 failed · cost unknown · 100 samples" in lines[1]
        assert "all threads, heaviest left" in lines[2]
        assert lines[3].strip("▏ ") == "all"
        assert "total 1.00 s (50.0 %), own 0.00 s (0.0 %)" in lines[-2]
        assert "Back" in lines[-1]


async def test_a_wide_screen_shows_the_table_beside_the_flamegraph() -> None:
    async with Host().run_test(size=(160, 30)) as pilot:
        await opened(pilot)
        text = screen_text(pilot.app)
        assert "own▾" in text
        assert "llama_decode (libllama.so)" in text


async def test_functions_are_sorted_by_own_then_total_then_name() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("2")
        table = screen.query_one(RowTable)
        assert table.key == "llama_decode (libllama.so)"
        await pilot.press("c", "home")
        assert screen_lines(pilot.app)[4].split()[3:5] == ["50.0", "%"]
        await pilot.press("c", "home")
        assert table.key == "decode (engine/llama/context.py)"


async def test_a_search_says_its_share_and_escape_ends_it() -> None:
    async with Host().run_test(size=(100, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("slash", *"LLAMA")
        assert "“LLAMA” in 50.0 % of the samples, 1.00 s" in screen_lines(pilot.app)[2]
        await pilot.press("enter")
        icicle = screen.query_one("#icicle", Icicle)
        assert "llama" in icicle.flame.label(icicle.cursor)
        await pilot.press("escape")
        assert "LLAMA" not in screen_lines(pilot.app)[2]
        assert pilot.app.screen is screen


async def test_filters_narrow_the_picture() -> None:
    async with Host().run_test(size=(100, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("t")
        assert "thread MainThread" in screen_lines(pilot.app)[2]
        assert "compute" not in screen_text(pilot.app)
        await pilot.press("i")
        assert "idle hidden" in screen_lines(pilot.app)[2]
        assert "select" not in screen_text(pilot.app)
        await pilot.press("t", "t")
        assert screen.query_one("#icicle", Icicle).flame.total(screen.query_one("#icicle", Icicle).flame.root) == 80


async def test_time_order_where_there_is_one_and_a_sentence_where_not() -> None:
    async with Host().run_test(size=(100, 24)) as pilot:
        await opened(pilot)
        await pilot.press("o")
        await wait_until(pilot, lambda: "no time order" in said(pilot))
        await pilot.press("escape")
        await opened(pilot, CaptureSubject(record(stacks=timed())))
        await pilot.press("o")
        assert "in order of time" in screen_lines(pilot.app)[2]


async def test_lines_are_told_apart_where_the_mode_has_them() -> None:
    async with Host().run_test(size=(100, 24)) as pilot:
        await opened(pilot)
        await pilot.press("v")
        await wait_until(pilot, lambda: "does not record lines" in said(pilot))
        await pilot.press("escape")
        await opened(pilot, CaptureSubject(replace(CAPTURE, mode=CaptureMode.IDLE)))
        await pilot.press("v")
        assert "by line" in screen_lines(pilot.app)[2]


async def test_callers_and_callees_of_the_selected_function() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("right", "down", "down", "s")
        lines = screen_lines(pilot.app)
        heading = next(number for number, line in enumerate(lines) if "▲ callers" in line)
        assert "decode (engine/llama/context.py)" in lines[heading]
        assert "compute" in "".join(lines[:heading])
        assert "llama_decode" in "".join(lines[heading:])
        await pilot.press("escape")
        assert screen.view == "flame"


async def test_callers_begin_with_the_nearest() -> None:
    deep = record(b"thread: t;" + b";".join(b"f%d (engine/x.py:1)" % depth for depth in range(40)) + b" 10")
    async with Host().run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, CaptureSubject(deep))
        await pilot.press("2", "end", "enter")
        await pilot.pause()
        chosen = screen.query_one(RowTable).key or ""
        lines = screen_lines(pilot.app)
        heading = next(number for number, line in enumerate(lines) if "▲ callers" in line)
        assert chosen in lines[heading]
        assert chosen in lines[heading - 1]


async def test_filters_reach_callers_and_callees() -> None:
    both = record(b"thread: one;work (engine/x.py:1) 20\nthread: two;work (engine/x.py:1) 10")
    async with Host().run_test(size=(80, 24)) as pilot:
        await opened(pilot, CaptureSubject(both))
        await pilot.press("down", "s")
        await pilot.pause()
        assert "▏two" in screen_text(pilot.app)
        await pilot.press("t")
        await pilot.pause()
        assert "thread one" in screen_lines(pilot.app)[2]
        assert "▏two" not in screen_text(pilot.app)
        assert "100.0 % of work" in screen_lines(pilot.app)[-2]


async def test_threads_that_only_wait_are_passed_over_while_waiting_is_hidden() -> None:
    busy = b"thread: %b;work (engine/x.py:1) 10"
    stacks = b"\n".join((busy % b"one", b"thread: two;wait (threading.py:327) 10", busy % b"three"))
    async with Host().run_test(size=(80, 24)) as pilot:
        await opened(pilot, CaptureSubject(record(stacks, mode=CaptureMode.NATIVE)))
        shown = []
        for _ in range(4):
            await pilot.press("t")
            await pilot.pause()
            shown.append(screen_lines(pilot.app)[2].split(",")[0].strip())
        assert shown == ["thread one", "thread three", "all threads", "thread one"]


async def test_failures_are_not_cut_off_at_80_columns() -> None:
    overhead = Overhead(3.1, 50.0, 48.5)
    async with Host().run_test(size=(80, 24)) as pilot:
        await opened(pilot, CaptureSubject(record(seconds=10.0, tokens=1234, failures=12, overhead=overhead)))
        assert "12 failed" in screen_lines(pilot.app)[1]


async def test_a_filter_leaves_the_figures_with_the_chosen_function() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("2", "t", "t")
        await wait_until(pilot, lambda: "llama_decode (libllama.so)" in screen_lines(pilot.app)[-3])
        assert "total 0.80 s (80.0 %)" in screen_lines(pilot.app)[-2]


async def test_beside_the_flamegraph_the_table_has_its_own_callers() -> None:
    async with Host().run_test(size=(160, 30)) as pilot:
        screen = await opened(pilot)
        await pilot.press("tab", "down")
        chosen = screen.query_one(RowTable).key or ""
        await pilot.press("s")
        await pilot.pause()
        assert any("▲ callers" in line and chosen in line for line in screen_lines(pilot.app))


async def test_a_search_typed_at_once_loses_no_letter() -> None:
    async with Host().run_test(size=(100, 24)) as pilot:
        screen = await opened(pilot)
        for key in ("slash", *"decode"):
            pilot.app.post_message(Key(key, "/" if key == "slash" else key))
        await wait_until(pilot, lambda: screen.query_one("#search", Input).value == "decode")
        assert pilot.app.screen is screen


async def test_the_last_line_names_the_keys_and_takes_clicks() -> None:
    async with Host().run_test(size=(60, 20)) as pilot:
        screen = await opened(pilot)
        last = screen_lines(pilot.app)[-1]
        assert last == " Esc Back  1 Flame  2 Functions  3 Threads  / Search  ? Help"
        await pilot.click(KeyBar, offset=(last.index("3 Threads") + 3, 0))
        await wait_until(pilot, lambda: screen.view == "threads")
        await pilot.press("slash")
        await wait_until(pilot, lambda: "Esc End the search" in screen_lines(pilot.app)[-1])


async def test_what_cannot_be_done_here_says_what_to_do_instead() -> None:
    async with Host().run_test(size=(100, 24)) as pilot:
        await opened(pilot)
        await pilot.press("y", "s", "d")
        await wait_until(pilot, lambda: "`xchat profile diff A B`" in said(pilot))
        assert "Select a function first" in said(pilot)
        assert "Nothing was exported yet" in said(pilot)


async def test_threads_that_the_stacks_miss_are_listed() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("3")
        assert "55.0 %" in screen_text(pilot.app)
        assert "worker 2 · native" in screen_text(pilot.app)
        assert "no stack shows them" in screen_text(pilot.app)


async def test_an_export_is_written_and_its_path_shown_and_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with Host().run_test(size=(100, 24)) as pilot:
        await opened(pilot)
        await pilot.press("e")
        await wait_until(pilot, lambda: bool(pilot.app.screen.query(OptionList)))
        await pilot.press("down", "down", "enter")
        path = tmp_path / "xchat-capture-1.folded"
        await wait_until(pilot, path.exists)
        await wait_until(pilot, lambda: "xchat-capture-1.folded" in said(pilot))
        await pilot.press("y")
        assert pilot.app.clipboard == os.path.realpath(path)


async def test_a_second_capture_is_compared_with_the_first() -> None:
    later = replace(
        record(b"thread: compute;step (engine/a.py:1);decode (engine/llama/context.py:7) 80", tokens=100), started_ms=2 * 10**12, id=2
    )

    async def pick(beside: CaptureRecord) -> CaptureRecord | None:
        assert beside.id == 1
        return later

    async with Host().run_test(size=(120, 24)) as pilot:
        first = await opened(pilot, pick=pick)
        await pilot.press("d")
        await wait_until(pilot, lambda: pilot.app.screen is not first)
        await wait_until(pilot, lambda: "Capture 1 daily Q4 → Capture 2" in screen_text(pilot.app))
        assert "ms per token" in screen_lines(pilot.app)[1]


async def test_a_difference_is_said_in_words() -> None:
    before = record(b"thread: t;a (engine/x.py:1) 10\nthread: t;b (engine/x.py:1) 10", tokens=10)
    after = record(b"thread: t;a (engine/x.py:1) 20", tokens=10, id=2)
    async with Host().run_test(size=(100, 24)) as pilot:
        await opened(pilot, DiffSubject(before, after))
        await pilot.press("down")
        assert "total 20 → 40 ms per token, grew by 20 (+100 %)" in screen_lines(pilot.app)[-2]
        await pilot.press("2")
        assert screen_lines(pilot.app)[4].split() == ["20", "40", "+20", "+20", "a", "(engine/x.py)"]
        assert screen_lines(pilot.app)[5].split() == ["20", "0", "−20", "−20", "b", "(engine/x.py)"]


async def test_help_says_what_the_mode_cannot_see() -> None:
    async with Host().run_test(size=(100, 40)) as pilot:
        await opened(pilot)
        await pilot.press("question_mark")
        await wait_until(pilot, lambda: "compute threads" in screen_text(pilot.app))


async def test_help_tells_the_keys_and_the_mouse_of_what_is_shown() -> None:
    async with Host().run_test(size=(100, 90)) as pilot:
        await opened(pilot)
        await pilot.press("question_mark")
        await wait_until(pilot, lambda: "Zoom in on the selected block" in screen_text(pilot.app))
        assert "A click selects, a second click" in screen_text(pilot.app)
        await pilot.press("escape", "2", "question_mark")
        await wait_until(pilot, lambda: "A click on a" in screen_text(pilot.app))
        await pilot.press("escape", "3", "question_mark")
        await wait_until(pilot, lambda: "The running Python code" in screen_text(pilot.app))


async def test_escape_leaves_after_everything_else_is_closed() -> None:
    async with Host().run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("down", "enter")
        await pilot.press("escape")
        assert screen.query_one("#icicle", Icicle).top.depth == 0
        await pilot.press("escape")
        assert pilot.app.screen is not screen


async def test_the_reason_for_a_fallback_stands_on_the_screen() -> None:
    async with Host().run_test(size=(100, 24)) as pilot:
        await opened(
            pilot, CaptureSubject(replace(CAPTURE, mode=CaptureMode.IN_PROCESS, notes=("py-spy may not look. Run `sudo [red]py-spy`.",)))
        )
        assert "Run `sudo [red]py-spy`." in screen_text(pilot.app)


async def test_the_command_to_run_instead_is_shown_whole_at_80x24() -> None:
    command = "sudo /home/somebody/.local/share/pipx/venvs/xchat/bin/py-spy record --pid 12345 --duration 10 --rate 50 --format raw"
    reason = "py-spy is not permitted to read this process: The process belongs to another user, or a security policy forbids tracing it."
    note = f"{reason} Run `{command} --threads --nonblocking --output capture.folded`, then `xchat profile show capture.folded`."
    async with Host().run_test(size=(80, 24)) as pilot:
        await opened(pilot, CaptureSubject(replace(CAPTURE, mode=CaptureMode.IN_PROCESS, notes=(note,))))
        assert "".join(note.split()) in "".join(screen_text(pilot.app).split())


async def test_keys_of_the_viewer_follow_the_config_in_the_line_and_in_what_they_do() -> None:
    async with program(keys={"flame_functions": "f"}) as run:
        screen = await opened(run.pilot)
        assert "F Functions" in screen_lines(run.app)[-1]
        await run.pilot.press("2")
        assert screen.view == "flame"
        await run.pilot.press("f")
        assert screen.view == "functions"
