"""The doctor's screen: findings listed with details, commands copied, nothing from outside acts."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.doctor.registry import CHECKS
from tests.engine.doctor.machines import HEALTHY, machine
from tests.tui.host import Host, screen_text, wait_until
from tests.tui.program import program
from tui.lab.doctor import DoctorScreen


async def test_findings_are_listed_the_worst_first_and_commands_are_copied(tmp_path: Path) -> None:
    copied: list[str] = []

    async def copy(text: str) -> None:
        copied.append(text)

    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = DoctorScreen(lambda: machine(tmp_path, {"proc/sys/vm/nr_hugepages": "1024"}), copy)
        await app.push_screen(screen)
        await wait_until(pilot, lambda: "1 warning" in screen_text(app), "the findings")
        text = screen_text(app)
        assert text.index("Huge pages: 1,024") < text.index("  good")
        assert "Cost: 2.15 GB that neither" in text
        await pilot.press("enter")
        await wait_until(pilot, lambda: copied == ["sudo sysctl vm.nr_hugepages=0"], "the command is copied")
        await pilot.press("end")
        await pilot.press("escape")
        assert app.screen is not screen


async def test_files_that_hold_escapes_are_shown(tmp_path: Path) -> None:
    async def copy(_: str) -> None:
        raise AssertionError("nothing was chosen")

    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = DoctorScreen(lambda: machine(tmp_path, dict.fromkeys(HEALTHY, b"\x1b[2J[bold]x[/]")), copy)
        await app.push_screen(screen)
        await wait_until(pilot, lambda: "unknown" in screen_text(app), "the findings")
        assert "\x1b" not in screen_text(app)
        assert len(screen._findings) == len(CHECKS)


@pytest.mark.slow
async def test_the_slash_command_examines_this_machine() -> None:
    async with program() as running:
        await running.send("/doctor")
        await running.until("Instruction sets")
