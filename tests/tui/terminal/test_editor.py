"""The user's editor: which one is started, and what is left of a message that was being edited."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import UsageError
from tests.test_house import ROOT
from tui.terminal.editor import _private_file, editor_command, remove_left_messages

KILLED = """
import os, sys
from pathlib import Path
from tui.terminal.editor import _private_file
print(_private_file("private", Path(sys.argv[1])), flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_message_that_a_killed_program_left_is_removed_and_one_that_is_being_edited_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False)
    left = Path(killed.stdout.strip())
    assert killed.returncode == -9, killed.stderr
    assert (left.read_text(), stat.S_IMODE(left.stat().st_mode)) == ("private", 0o600)
    kept = {_private_file("of this program", folder), folder / "message-1.txt", folder / "message-of-a-person.md"}
    for path in kept:
        path.touch()
    remove_left_messages(folder)
    assert set(folder.iterdir()) == kept


def test_a_folder_that_is_missing_has_nothing_to_remove(tmp_path: Path) -> None:
    remove_left_messages(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


def test_visual_comes_before_editor_and_blank_ones_count_as_unset() -> None:
    assert editor_command({"VISUAL": "code --wait", "EDITOR": "nano"}) == ["code", "--wait"]
    assert editor_command({"VISUAL": "  ", "EDITOR": "nano"}) == ["nano"]
    assert editor_command({"VISUAL": "", "EDITOR": " "}) == ["vi"]


def test_an_editor_that_is_no_command_is_refused() -> None:
    for command in ("vi 'x", "''"):
        with pytest.raises(UsageError, match="can't be started"):
            editor_command({"EDITOR": command})
