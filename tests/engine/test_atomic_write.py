"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from engine import atomic_write
from engine.atomic_write import replacing, write_atomically

ROOT = Path(__file__).parents[2]


def test_a_file_is_replaced_and_private_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "made" / "file"
    before = os.umask(0)
    try:
        write_atomically(path, b"one")
        write_atomically(path, b"two")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [OSError("disk full"), ValueError("nonsense"), KeyboardInterrupt()])
def test_whatever_goes_wrong_the_old_file_stays_and_nothing_is_left(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "folder" / "file"
    write_atomically(path, b"old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert [(entry.name, entry.read_bytes()) for entry in path.parent.iterdir()] == [("file", b"old")]


def test_a_folder_in_the_way_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    (path / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="file"):
        write_atomically(path, b"data")
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_a_link_is_replaced_and_what_it_names_is_untouched(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"other")
    (tmp_path / "file").symlink_to(tmp_path / "target")
    write_atomically(tmp_path / "file", b"data")
    assert (tmp_path / "target").read_bytes() == b"other"
    assert not (tmp_path / "file").is_symlink()


def test_nothing_else_makes_temporary_files_of_its_own() -> None:
    """But for what another program must open by its name: the person's editor, and SQLite, whose file loses its name at once."""
    found = subprocess.run(
        ["git", "grep", "-l", "mkstemp", "--", "engine", "tui"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert found == ["engine/atomic_write.py", "engine/store/sqlite/nameless.py", "tui/terminal/editor.py"]


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="files without a name are Linux's")
def test_a_program_killed_while_it_writes_leaves_nothing(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from engine import atomic_write
from engine.atomic_write import replacing
with replacing(Path(sys.argv[1])) as temporary, temporary.open("w") as out:
    out.write("private")
    out.flush()
    os.kill(os.getpid(), 9)
"""
    folder = tmp_path / "folder"
    folder.mkdir()
    killed = subprocess.run([sys.executable, "-c", code, str(folder / "export.csv")], cwd=ROOT, check=False)
    assert killed.returncode == -9
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("named", [True, False])
def test_a_file_with_and_without_a_name_is_put_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool) -> None:
    if named:
        monkeypatch.setattr(atomic_write, "_nameless", lambda _: None)  # as where there is no /proc
    folder = tmp_path / "folder"
    folder.mkdir()
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    with replacing(folder / "file") as temporary:
        temporary.write_bytes(b"data")
    assert (folder / "file").read_bytes() == b"data"
    assert [entry.name for entry in folder.iterdir()] == ["file"]
    assert len(os.listdir("/proc/self/fd") if before else []) == len(before)
