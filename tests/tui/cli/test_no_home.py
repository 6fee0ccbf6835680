"""Without a folder to write to, what needs none works, and what needs one says which variables help."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine import paths
from tests.tui.cli.conftest import Run

VARIABLES = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")


@pytest.fixture(params=["no home", "home that can't be written"])
def homeless(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable)
    if request.param == "no home":
        monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    else:
        (tmp_path / "file").touch()  # nothing can be made below a file, by root either
        monkeypatch.setenv("HOME", str(tmp_path / "file"))


@pytest.mark.usefixtures("homeless")
@pytest.mark.parametrize(
    "command", [("locate",), ("models", "list"), ("presets", "list"), ("sessions", "list"), ("doctor", "--only", "nice")]
)
def test_reading_needs_no_folder(command: tuple[str, ...], xchat: Run) -> None:
    ran = xchat(*command)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out


@pytest.mark.usefixtures("homeless")
def test_nothing_is_written_below_the_current_folder(xchat: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    xchat("locate")
    assert paths.database_path().is_absolute()
    assert not os.listdir()
