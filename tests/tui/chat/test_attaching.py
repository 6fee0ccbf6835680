"""`@path` in the prompt: completed, counted before sending, sent in fences, folded in the transcript."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.tui.host import wait_until
from tests.tui.program import Running, program


@pytest.fixture
async def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "main.py").write_text("print('hello')\n" * 3)
    (tmp_path / "my notes.md").write_text("# Notes\n")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("a = 1\n")
    (tmp_path / "big.txt").write_text("word " * 2000)
    async with program(size=(100, 30)) as running:
        yield running


@pytest.mark.slow
async def test_a_file_is_completed_counted_sent_and_folded(run: Running) -> None:
    await run.pilot.press(*"Explain @ma")
    await run.until("@main.py")
    await run.pilot.press("tab")
    await wait_until(run.pilot, lambda: run.chat.prompt.text == "Explain @main.py ", "completed")
    await run.until("main.py: 66 tokens of 3,968")
    await run.pilot.press("enter")
    await run.answered()
    fence = "```python main.py\n" + "print('hello')\n" * 3 + "```"
    assert run.session.branch[0].text == f"Explain @main.py \n\n{fence}"
    await run.until("▸ main.py, 3 lines")
    assert "print('hello')" not in run.text
    await run.pilot.press("ctrl+t")
    await run.until("print('hello')")
    await run.pilot.press("alt+e")
    await wait_until(run.pilot, lambda: run.chat.prompt.text == "Explain @main.py ", "its files are read again when it is sent again")


@pytest.mark.slow
async def test_folders_and_paths_with_blanks_are_completed(run: Running) -> None:
    await run.pilot.press(*"@sr", "tab")
    await wait_until(run.pilot, lambda: run.chat.prompt.text == "@src/", "a folder stays open")
    await run.pilot.press(*"a", "tab")
    await wait_until(run.pilot, lambda: run.chat.prompt.text == "@src/a.py ", "a file is done")
    await run.pilot.press(*'@"my', "tab")
    await wait_until(run.pilot, lambda: run.chat.prompt.text == '@src/a.py @"my notes.md" ', "in quotes")
    await run.until("2 files: ")


@pytest.mark.slow
async def test_what_does_not_fit_is_said_while_typing_and_not_sent(run: Running) -> None:
    await run.pilot.press(*"@big.txt @main.py ")
    await run.until("too many")
    await run.pilot.press("enter")
    await run.until_noticed("don't fit into the context")
    assert "big.txt 10,0" in run.notices
    assert run.session.branch == ()
    assert run.chat.prompt.text == "@big.txt @main.py "


@pytest.mark.slow
async def test_a_file_that_cannot_be_attached_is_named_and_nothing_is_sent(run: Running, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    await run.send("@link @property")
    await run.until_noticed("link can't be attached: It is a symbolic link")
    assert run.session.branch == ()


@pytest.mark.slow
async def test_words_after_at_that_name_nothing_are_words(run: Running) -> None:
    await run.send("@property and @angular/core")
    await run.answered()
    assert run.session.branch[0].text == "@property and @angular/core"


@pytest.mark.slow
async def test_attach_puts_the_path_into_the_prompt(run: Running) -> None:
    run.chat.prompt.put("/attach my notes.md")
    run.chat.prompt.action_send()
    await wait_until(run.pilot, lambda: run.chat.prompt.text == '@"my notes.md" ', run.chat.prompt.text)


@pytest.mark.slow
async def test_a_long_paste_is_folded_after_its_first_lines(run: Running) -> None:
    await run.send("\n".join(f"row {number}" for number in range(100)))
    await run.answered()
    await run.until("▸ 80 more lines")
    assert "row 50" not in run.text
