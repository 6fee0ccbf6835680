from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from engine.errors import CaptureError
from engine.profiling.export import ExportFormat, default_name, export_bytes, write_export
from engine.profiling.speedscope import read_pyspy
from engine.profiling.stacks import parse_folded
from tests.engine.profiling.captures import record, timed

IMPORTER = Path(__file__).with_name("speedscope_import.mjs")


def speedscope_package() -> Path | None:
    """Where the npm package `speedscope` is: SPEEDSCOPE_PACKAGE, or installed globally."""
    if shutil.which("node") is None:
        return None
    named = os.environ.get("SPEEDSCOPE_PACKAGE")
    if named is None and shutil.which("npm") is not None:
        root = subprocess.run(["npm", "root", "-g"], capture_output=True, text=True, check=False).stdout.strip()
        named = f"{root}/speedscope"
    return Path(named) if named and (Path(named) / "dist/release").is_dir() else None


def test_folded_text_comes_back_as_it_was() -> None:
    capture = record()
    assert parse_folded(export_bytes(capture, ExportFormat.FOLDED).splitlines()).counts == capture.stacks.counts


def test_speedscope_has_one_profile_per_thread_in_order_of_time() -> None:
    document = json.loads(export_bytes(record(stacks=timed()), ExportFormat.SPEEDSCOPE))
    assert document["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    (profile,) = document["profiles"]
    names = [document["shared"]["frames"][sample[-1]]["name"] for sample in profile["samples"]]
    assert (profile["name"], profile["unit"], names) == ("MainThread", "seconds", ["a", "b", "a"])
    assert profile["weights"] == [0.04, 0.02, 0.02]
    assert profile["endValue"] == pytest.approx(sum(profile["weights"]))
    assert document["shared"]["frames"][0] == {"name": "main", "file": "m.py", "line": 1}


@pytest.mark.skipif(speedscope_package() is None, reason="needs Node and the npm package speedscope (npm install -g speedscope)")
def test_speedscopes_own_importer_takes_the_export(tmp_path: Path) -> None:
    path = write_export(record(), ExportFormat.SPEEDSCOPE, tmp_path / "out.json")
    done = subprocess.run(["node", IMPORTER, str(speedscope_package()), path], capture_output=True, text=True, check=True)
    imported = json.loads(done.stdout)
    assert {(profile["name"], profile["unit"], profile["total"]) for profile in imported["profiles"]} == {
        ("MainThread", "seconds", 1),
        ("compute", "seconds", 1),
    }
    assert "llama_decode" in imported["profiles"][1]["frames"]


def test_the_picture_is_xml_whose_titles_name_every_block() -> None:
    capture = record(b"thread: t;<b>&\x1b[31m;x 3")
    picture = export_bytes(capture, ExportFormat.SVG)
    titles = [element.text or "" for element in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}title")]
    assert [title.split(":")[0] for title in titles] == ["all", "thread", "<b>&␛[31m", "x"]
    assert "0.06 s, 100.0 %" in titles[-1]
    assert b"<script" not in picture


def test_an_export_is_private_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / default_name(record(), ExportFormat.FOLDED)
    path.write_text("old")
    assert write_export(record(), ExportFormat.FOLDED, path) == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().startswith(b"thread: MainThread;")
    assert list(tmp_path.glob(".*")) == []


def test_an_export_into_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="folder does not exist"):
        write_export(record(), ExportFormat.SVG, tmp_path / "missing" / "a.svg")


@pytest.mark.parametrize("document", [b"", b"{}", b'{"shared":{"frames":[]},"profiles":[{"name":"x","samples":[[3]]}]}'])
def test_broken_output_of_py_spy_is_refused(document: bytes) -> None:
    with pytest.raises(CaptureError, match="can't be read"):
        read_pyspy(document)
