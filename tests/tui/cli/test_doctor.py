"""`xchat doctor` on this machine: it always ends well, fits 80 columns, and its JSON and hints say the same as its text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.doctor.registry import CHECKS, examine
from tests.engine.doctor.machines import machine
from tests.tui.cli.conftest import Run
from tui.cli.lab.doctor import as_text, hints

IDS = {check.id for check in CHECKS}
QUICK = ("--only", "cpu-features", "--only", "versions", "--only", "page-cache")


def test_every_check_is_in_the_json(xchat: Run) -> None:
    ran = xchat("doctor", "--json")
    assert (ran.code, ran.err) == (0, "")
    findings = json.loads(ran.out)["findings"]
    assert {one["id"] for one in findings} == IDS
    assert all(one["found"] and one["severity"] for one in findings)


def test_a_missing_model_is_refused_only_when_it_was_asked_for(xchat: Run, tmp_path: Path) -> None:
    assert xchat("doctor", "-m", tmp_path / "none.gguf").code == 3
    (tmp_path / "home/config/xchat").mkdir(parents=True, exist_ok=True)
    (tmp_path / "home/config/xchat/config.toml").write_text('model = "/none.gguf"\n')
    ran = xchat("doctor", *QUICK)
    assert ran.code == 0
    assert "unknown  Page cache" in ran.out


@pytest.mark.parametrize("arguments", [("--only", "nonsense"), ("apply", "nonsense"), ("restore", "nonsense"), ("restore", "page-cache")])
def test_what_can_not_be_meant_is_refused(arguments: tuple[str, ...], xchat: Run) -> None:
    assert xchat("doctor", *arguments).code == 2


def test_a_change_is_shown_applied_and_undone(xchat: Run) -> None:
    assert "not applied" in xchat("doctor", "show").out
    assert xchat("doctor", "apply", "page-cache").code == 0
    assert "page-cache        applied" in xchat("doctor", "show").out
    assert xchat("doctor", "restore", "page-cache").code == 0


@pytest.mark.parametrize("width", [20, 40, 80])
def test_the_text_is_wrapped_and_commands_stay_whole(width: int, tmp_path: Path) -> None:
    report = examine(machine(tmp_path, {"proc/sys/vm/nr_hugepages": "1024"}, niceness=7))
    lines = as_text(report, width).splitlines()
    assert all(len(line) <= max(width, 40) or "$ " in line or line.startswith("36 checks") for line in lines)
    assert any(line.strip() == "$ sudo sysctl vm.nr_hugepages=0" for line in lines)


def test_hints_are_a_script_that_does_nothing_by_itself_but_its_commands(tmp_path: Path) -> None:
    report = examine(machine(tmp_path, {"proc/sys/vm/nr_hugepages": "1024"}, niceness=7))
    lines = "".join(hints(report)).splitlines()
    assert "sudo sysctl vm.nr_hugepages=0" in lines
    assert any(line.startswith("# nice (warning): ") for line in lines)


def test_nothing_to_do_is_said(tmp_path: Path) -> None:
    assert hints(examine(machine(tmp_path), [check for check in CHECKS if check.id == "nice"])) == ["# nothing needs to be done\n"]
