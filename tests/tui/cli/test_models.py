"""`xchat models` as a person uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.guide import builtin
from engine.paths import models_dir
from tests import ggufs
from tests.engine.models import raw_gguf
from tests.tui.cli.conftest import Run, save


def quants(xchat: Run) -> dict[str, list[dict[str, Any]]]:
    return {family["name"]: family["quants"] for family in json.loads(xchat("models", "list", "--json").out)["families"]}


@pytest.fixture
def tiny() -> Path:
    return raw_gguf.write(models_dir() / "tiny-Q8_0.gguf")


def test_the_built_in_model_is_listed_with_the_quants_it_can_be_had_in(xchat: Run) -> None:
    (guide,) = quants(xchat)["xchat guide"]
    assert (guide["path"], guide["quant"]) == (str(builtin.path()), "F16")
    listed = xchat("models", "list").out
    assert [line.split()[2] for line in listed.splitlines() if "made when it is first chosen" in line] == list(builtin.QUANTS)
    assert "xchat guide" in xchat("models", "show", "builtin").out


def test_the_speed_measured_on_this_host_stands_beside_the_file(xchat: Run, tiny: Path) -> None:
    assert quants(xchat)["tiny"][0]["measured"] is None
    assert "not measured on this host yet" in xchat("models", "show", "tiny").out
    save("Hello", at_ms=tiny.stat().st_mtime_ns // 1_000_000 + 1, model_path=str(tiny))
    measured = quants(xchat)["tiny"][0]["measured"]
    assert measured["predicted_per_second"] == pytest.approx(62.5, rel=0.1)
    (row,) = (line.split() for line in xchat("models", "list").out.splitlines() if line.startswith("tiny"))
    assert row[-2:] == [f"{measured['predicted_per_second']:.1f}", "xchat"]
    assert "tokens/s decoding (one clean turn on this host)" in xchat("models", "show", str(tiny)).out


def test_a_file_anywhere_can_be_shown_added_and_removed(xchat: Run, tmp_path: Path) -> None:
    path = raw_gguf.write(tmp_path / "elsewhere" / "m.gguf")
    assert json.loads(xchat("models", "show", str(path), "--json").out)[0]["path"] == str(path)
    assert xchat("models", "remove", path, "--yes").code == 2
    link = Path(xchat("models", "add", path).out.strip())
    assert link.is_symlink()
    assert "exists already" in xchat("models", "add", path).err
    assert xchat("models", "remove", link.name, "--yes").code == 0
    assert Path(xchat("models", "add", path, "--copy").out.strip()).read_bytes() == path.read_bytes()
    assert path.exists()
    assert [one.name for one in models_dir().iterdir()] == ["m.gguf"]
    removed = json.loads(xchat("models", "remove", "m.gguf", "--yes", "--json").out)
    assert removed == {"removed": [str(models_dir() / "m.gguf")], "freed_bytes": path.stat().st_size}
    assert json.loads(xchat("models", "add", path, "--json").out) == {"paths": [str(models_dir() / "m.gguf")]}


def test_what_is_broken_is_told_with_its_reason_and_can_be_removed(xchat: Run) -> None:
    (models_dir() / "bad.gguf").write_bytes(b"GGU")
    (models_dir() / "lost.gguf").symlink_to("/nowhere.gguf")
    out = xchat("models", "list").out
    _, *after = out[out.index("can't be loaded") :].splitlines()
    assert [line.split()[0] for line in after[:2]] == ["bad.gguf", "lost.gguf"]
    for name in ("bad.gguf", "lost.gguf"):
        assert xchat("models", "remove", name, "--yes").code == 0
    assert "can't be loaded" not in xchat("models", "list").out


@pytest.mark.slow
def test_a_file_whose_name_is_not_text_is_listed() -> None:
    raw_gguf.write(Path(os.fsdecode(bytes(models_dir()) + b"/caf\xe9.gguf")))
    for words in (("models", "list"), ("models", "list", "--json")):
        done = subprocess.run([sys.executable, "-m", "tui.cli.main", *words], capture_output=True, check=False)
        assert (words, done.returncode, done.stderr) == (words, 0, b"")
        assert b"caf" in done.stdout


@pytest.mark.slow
def test_a_file_whose_name_is_not_text_answers_and_is_logged_and_exported(tmp_path: Path) -> None:
    model = ggufs.dense(Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9.gguf")))
    ask = ("ask", "-m", str(model), "--max-tokens", "4", "Hi")
    for words in (ask, ("sessions", "list"), ("sessions", "list", "--json"), ("export", "1"), ("export", "1", "--format", "json")):
        done = subprocess.run([sys.executable, "-m", "tui.cli.main", *words], capture_output=True, check=False, timeout=60)
        assert (words, done.returncode, done.stderr) == (words, 0, b"")
        assert done.stdout
